"""A learner whose base is divided over processes: what each holds, that it learns what one learns, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from debate.engines.adapters import AdapterPolicies, AdapterSpec
from debate.engines.tiny import save_tiny
from debate.errors import Failed, UserError
from debate.learning.adapter_learner import AdapterLearner
from debate.learning.batch import TokenBatch
from debate.learning.joint_learner import JointLearner
from debate.learning.learner import LearnerConfig, TrainingFailed
from debate.learning.losses import preset
from debate.learning.samples import Sample
from debate.reader import parse_yaml
from debate.recipe import parse_recipe
from debate.run.folder import RunFolder
from debate.run.manifest import differing_keys, recipe_hash
from debate.scale.actors import GroupLearner
from debate.scale.trainer import trainer
from debate.sharding.base import span
from debate.sharding.learners import Shards
from debate.sharding.processes import Processes, environment
from debate.sharding.rank import ShardSpec
from debate.train import train
from debate.transcript import Policy, Turn

VOCABULARY, WIDTH = 31, 20  # an odd vocabulary: the halves are not alike
SPEC = AdapterSpec(rank=4, alpha=8.0, targets="all-linear")
# A large epsilon keeps Adam from turning rounding of tiny gradients into whole steps.
CONFIG = LearnerConfig(lr=1e-2, eps=1e-3, loss=preset("grpo", kl=0.1), part_rows=2)


def saved(folder, width=WIDTH, tied=False):
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=25,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        initializer_range=0.3,
        tie_word_embeddings=tied,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def started(model, size=2, timeout=60.0):
    return Shards(str(model), {"shard": size, "device": "cpu", "dtype": "float32", "shard_timeout": timeout}, SPEC)


def host(model):
    base = LlamaForCausalLM.from_pretrained(model, use_safetensors=True)
    return AdapterPolicies(base.eval().requires_grad_(False), SPEC)


def batch(seed, rows, picks=False, wrong=()):
    """Rows of several turns and lengths; `wrong` ones hold an id that the model does not have."""
    rng = np.random.default_rng(seed)
    samples = []
    for n in range(rows):
        turns = []
        for t in range(1 + n % 2):
            prompt = tuple(rng.integers(0, VOCABULARY, 3 + n % 5).tolist())
            if turns:
                prompt = (*turns[-1].prompt_tokens, *turns[-1].tokens, *prompt)
            if n in wrong:
                prompt = (999, *prompt[1:])
            turn = Turn("A", "debater", "s", t, "x-v0", "", prompt_tokens=prompt)
            if picks and n % 2 == 0:
                choices = ((5,), (6, 7), (6, 8, 9))
                turn = replace(turn, choices=choices, option=n % 3, tokens=choices[n % 3], logprobs=(-1.1,))
            else:
                turn = replace(turn, tokens=tuple(rng.integers(0, VOCABULARY, 4).tolist()), logprobs=(-3.4,) * 4)
            turns.append(turn)
        samples.append(
            Sample(f"e{n}", "p", "debater", "A", 0, "g", "x-v0", tuple(turns), ("win",), np.ones(1), ("ok",))
        )
    return TokenBatch.from_samples(samples, rng.normal(size=rows))


def start(model, seed):
    """An adapter whose B is not zero, so that gradients reach both matrices."""
    generator = torch.Generator().manual_seed(seed)
    state = host(model).first_state(seed)
    return {k: v + 0.1 * torch.randn(v.shape, generator=generator) for k, v in state.items()}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("sharded") / "model")


@pytest.fixture(scope="module")
def shards(model):
    """Two processes for all tests that do not end them."""
    found = started(model)
    yield found
    found.close()


def pair(shards, model, name, config):
    """The same learner over two processes and in this one."""
    policy, weights = Policy(name, 0, "tiny"), start(model, 1)
    return shards.learner(policy, config, weights), AdapterLearner(host(model), policy, config, weights)


def close_to(got, expected, rtol=2e-4, atol=2e-6):
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        if key not in ("seconds", "part_rows"):
            assert got[key] == pytest.approx(value, rel=rtol, abs=atol, nan_ok=True), key


def same_weights(got, expected, atol=2e-5):
    assert got.keys() == expected.keys()
    for key, tensor in expected.items():
        torch.testing.assert_close(got[key], tensor, rtol=2e-4, atol=atol)


# --- what each process holds -----------------------------------------------------------------------------------------


def test_every_process_holds_its_rows_of_every_parameter_and_no_more(shards, model):
    shards.learner(Policy("first", 0, "tiny"), CONFIG, start(model, 0))
    whole = {name: tuple(p.shape) for name, p in LlamaForCausalLM.from_pretrained(model).named_parameters()}
    first, second = shards.ask("shares")
    assert {name: full for name, (_, full, _) in first.items()} == whole
    assert first["model.embed_tokens.weight"][0] == (16, WIDTH) and second["model.embed_tokens.weight"][0] == (
        15,
        WIDTH,
    )
    assert first["lm_head.weight"][0] == (16, WIDTH) and second["lm_head.weight"][0] == (15, WIDTH)
    for layer in ("model.layers.0.", "model.layers.1."):
        for one in (first, second):
            assert one[layer + "self_attn.q_proj.weight"][0] == (WIDTH // 2, WIDTH)
            assert one[layer + "self_attn.k_proj.weight"][0] == (WIDTH // 4, WIDTH)
            assert one[layer + "input_layernorm.weight"][0] == (WIDTH // 2,)
        assert first[layer + "mlp.gate_proj.weight"][0] == (13, WIDTH)
        assert second[layer + "mlp.gate_proj.weight"][0] == (12, WIDTH)
    total = 4 * sum(int(np.prod(shape)) for shape in whole.values())
    held = [sum(size for _, _, size in one.values()) for one in (first, second)]
    assert sum(held) == total and max(held) <= 0.52 * total
    assert [told["share"] for told in shards.ask("memory")] == held


def test_rows_are_those_of_torch_chunk():
    for length in (1, 2, 5, 16, 31):
        for size in (1, 2, 3, 8):
            chunks = [len(c) for c in torch.arange(length).chunk(size)]
            assert [b - a for a, b in (span(length, r, size) for r in range(size))] == chunks + [0] * (
                size - len(chunks)
            )


# --- the same learning -----------------------------------------------------------------------------------------------

KINDS = {
    "reinforce": {"loss": preset("reinforce", kl=0.1)},
    "grpo_twice": {"loss": preset("grpo", kl=0.1, entropy=0.01), "epochs": 2, "minibatch_rows": 3},
    "gspo": {"loss": preset("gspo")},
    "turn_ppo_all_rows": {"loss": preset("turn_ppo", kl=0.1), "part_rows": 0, "magnet_every": 1},
    "truncated": {"loss": preset("ppo", truncate=2.0), "compare": True},
    "packed": {"layout": "packed"},
    "shared": {"layout": "shared", "checkpointing": True},
    "sorted": {"layout": "sorted", "part_rows": 4},
    "optimistic": {"lookahead": "optimistic"},
    "skips": {"spike": 1e-9},
}


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_learn_what_one_learns(shards, model, kind):
    two, one = pair(shards, model, kind, replace(CONFIG, **KINDS[kind]))
    for update, rows in enumerate((5, 1)):  # one row: the other process repeats it for nothing
        given = batch(update, rows, picks=kind in ("reinforce", "sorted"))
        close_to(two.update(given), one.update(given))
    same_weights(two.weights(), one.weights())
    assert two.snapshot() == one.snapshot()


def test_bfloat16_products_differ_by_their_rounding_only(shards, model):
    two, one = pair(shards, model, "bf16", replace(CONFIG, bf16=True))
    close_to(two.update(batch(0, 5)), one.update(batch(0, 5)), rtol=0.1, atol=0.02)


def test_two_agents_are_updated_at_once(shards, model):
    config = replace(CONFIG, epochs=2)
    agents = {name: (Policy(name, 0, "tiny"), config, start(model, n)) for n, name in enumerate(("alice", "bob"))}
    two, one = shards.joint(agents), JointLearner(host(model), agents)
    for update in range(2):
        given = {"alice": batch(update, 5), "bob": batch(10 + update, 2, picks=True)}
        got, expected = two.update(given), one.update(given)
        for name in agents:
            close_to(got[name], expected[name])
    for given in ({"bob": batch(7, 3)}, {}):
        assert two.update(given).keys() == one.update(given).keys() == given.keys()
    for name in agents:
        same_weights(two.members[name].weights(), one.members[name].weights())
    with pytest.raises(ValueError, match="no agent zoe"):
        two.update({"zoe": batch(0, 1)})


def test_a_critic_reads_the_same_states_and_a_guard_the_same_divergence(shards, model):
    two, one = pair(shards, model, "critic", CONFIG)
    for rows in (5, 1):
        np.testing.assert_allclose(two.turn_states(batch(0, rows)), one.turn_states(batch(0, rows)), atol=2e-6)
    other = start(model, 9)
    assert two.divergence(batch(1, 5), other) == pytest.approx(one.divergence(batch(1, 5), other), rel=1e-4)
    assert two.divergence(batch(1, 5), other) > 1e-3


def test_an_extragradient_step_looks_ahead_and_comes_back(shards, model):
    two, one = pair(shards, model, "ahead", replace(CONFIG, lookahead="extragradient"))
    for learner in (two, one):
        learner.look_ahead(batch(0, 4))
        learner.update(batch(1, 4))
    same_weights(two.weights(), one.weights())
    assert two.config.lookahead == "extragradient"


# --- states ----------------------------------------------------------------------------------------------------------


def test_a_state_goes_from_two_processes_to_one_and_back(shards, model):
    two, one = pair(shards, model, "moved", replace(CONFIG, lookahead="optimistic"))
    two.update(batch(0, 5))
    one.load_state(*two.state())
    for learner in (two, one):
        learner.update(batch(1, 5))
    same_weights(two.weights(), one.weights())
    two.update(batch(5, 5))
    arrays, meta = one.state()
    two.load_state(arrays, meta)
    got, told = two.state()
    assert told == meta and got.keys() == arrays.keys()
    for key, array in arrays.items():
        np.testing.assert_array_equal(got[key], array)
    close_to(two.update(batch(2, 5)), one.update(batch(2, 5)))


def test_what_all_refuse_alike_is_told_as_it_is_and_the_processes_live_on(shards, model):
    learner, _ = pair(shards, model, "refusing", replace(CONFIG, patience=1, spike=1e-12))
    arrays, meta = learner.state()
    with pytest.raises(ValueError, match="arrays do not fit"):
        learner.load_state({}, meta)
    with pytest.raises(ValueError, match="there is one already"):
        pair(shards, model, "refusing", CONFIG)
    with pytest.raises(TrainingFailed, match="learner of refusing: 1 steps in a row were skipped"):
        learner.update(batch(0, 4))
    with pytest.raises(Failed, match="cannot be used in this one"):
        learner.acting()
    with pytest.raises(ValueError, match="fused_head"):
        pair(shards, model, "fused", replace(CONFIG, fused_head=True))
    assert learner.snapshot().version == 0
    got, _ = learner.state()
    assert all((got[key] == array).all() for key, array in arrays.items())


# --- failures --------------------------------------------------------------------------------------------------------


def gone(pids, seconds=10.0):
    """Whether these processes end in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_killed_process_is_named_within_seconds_and_takes_the_others_along(model):
    shards = started(model)
    try:
        learner = shards.learner(Policy("ada", 0, "tiny"), CONFIG, start(model, 0))
        pids, folder = shards.processes.pids, shards.processes._folder
        os.kill(pids[1], signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(TrainingFailed, match=r"learner of ada, sharded: process 1 of 2 was killed \(SIGKILL"):
            learner.update(batch(0, 4))
        assert time.monotonic() - began < 15.0
        assert gone(pids) and not folder.exists()
        with pytest.raises(TrainingFailed, match="process 1 of 2 was killed"):
            learner.weights()
    finally:
        shards.close()


@pytest.mark.slow
def test_an_interrupted_question_is_not_answered_by_the_next_one(model, monkeypatch):
    shards = started(model)
    try:
        learner = shards.learner(Policy("ada", 0, "tiny"), CONFIG, start(model, 0))

        def interrupt(*what):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr("debate.sharding.processes.wait", interrupt)
            learner.update(batch(0, 4))
        with pytest.raises(TrainingFailed, match="it was interrupted when it was asked to update"):
            learner.weights()
        assert gone(shards.processes.pids)
    finally:
        shards.close()


@pytest.mark.slow
def test_a_process_that_fails_alone_is_named_with_what_it_raised(model):
    shards = started(model)
    try:
        learner = shards.learner(Policy("ada", 0, "tiny"), CONFIG, start(model, 0))
        with pytest.raises(TrainingFailed, match=r"process \d of 2: IndexError: index out of range"):
            learner.update(batch(0, 2, wrong=(1,)))
        assert gone(shards.processes.pids)
    finally:
        shards.close()


@pytest.mark.slow
def test_a_process_that_hangs_is_named_after_the_time_out(model):
    shards = started(model, timeout=10.0)
    try:
        learner = shards.learner(Policy("ada", 0, "tiny"), CONFIG, start(model, 0))
        os.kill(shards.processes.pids[0], signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(TrainingFailed, match="process 0 of 2 does not answer"):
            learner.update(batch(0, 4))
        assert 9.0 < time.monotonic() - began < 60.0
        assert gone(shards.processes.pids)
    finally:
        shards.close()


OWNER = """
import sys
sys.path.insert(0, {here!r})
from test_sharding import CONFIG, Policy, batch, start, started
shards = started({model!r})
learner = shards.learner(Policy("ada", 0, "tiny"), CONFIG, start({model!r}, 0))
print(*shards.processes.pids, shards.processes._folder, flush=True)
while True:
    learner.update(batch(0, 4))
"""


@pytest.mark.slow
def test_nothing_is_left_of_a_run_that_is_killed(model):
    code = OWNER.format(here=str(Path(__file__).parent), model=str(model))
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        *pids, folder = owner.stdout.readline().split()
        assert len(pids) == 2 and all(alive(int(pid)) for pid in pids)
        time.sleep(0.5)  # in the middle of an update
        owner.kill()
        owner.wait()
        assert gone([int(pid) for pid in pids])
        assert not Path(folder).exists()
    finally:
        owner.kill()
        owner.stdout.close()


@pytest.mark.slow
def test_a_model_that_cannot_be_sharded_is_refused_before_anything_is_learned(model, tmp_path):
    from safetensors.torch import load_file, save_file

    other = saved(tmp_path / "other")
    tensors = load_file(other / "model.safetensors")
    tensors["model.norm.scale"] = tensors.pop("model.norm.weight")
    save_file(tensors, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"no file holds model.norm.weight"):
        started(other).learner(Policy("ada", 0, "tiny"), CONFIG, start(model, 0))
    (other / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no safetensors files"):
        started(other).learner(Policy("ada", 0, "tiny"), CONFIG, start(model, 0))


# --- more processes, tied embeddings ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_three_processes_some_without_a_row_and_tied_embeddings(tmp_path):
    model = saved(tmp_path / "model", width=4, tied=True)
    shards = started(model, size=3)
    try:
        two, one = pair(shards, model, "ada", replace(CONFIG, part_rows=1))
        told = shards.ask("shares")
        assert [one_["model.embed_tokens.weight"][0] for one_ in told] == [(11, 4), (11, 4), (9, 4)]
        assert [one_["model.layers.0.self_attn.k_proj.weight"][0] for one_ in told] == [(1, 4), (1, 4), (0, 4)]
        assert all("lm_head.weight" not in one_ for one_ in told)
        for update in range(2):
            close_to(two.update(batch(update, 5)), one.update(batch(update, 5)))
        same_weights(two.weights(), one.weights())
    finally:
        shards.close()


@pytest.mark.slow
def test_the_learner_actor_of_a_cluster_may_be_sharded(folder):
    """What Ray runs, without Ray: a group of agents whose base is divided over processes of the actor's own."""
    options = recipe(folder, "shard: 2,", "shard: 2,").agent("ada").options
    agents = {name: (Policy(name, 0, "tiny"), options) for name in ("ada", "ben")}
    actor, plain = GroupLearner(1), GroupLearner(1)
    try:
        states = actor.setup("vllm", str(folder / "model"), agents, joint=True)
        whole = {name: (policy, {**options, "shard": 1}) for name, (policy, options) in agents.items()}
        assert plain.setup("hf", str(folder / "model"), whole, joint=True).keys() == states.keys() == agents.keys()
        given = {"ada": batch(0, 4), "ben": batch(1, 3)}
        metrics, after = actor.update(given)
        expected, _ = plain.update(given)
        for name in agents:
            close_to(metrics[name], expected[name])
        np.testing.assert_allclose(
            actor.turn_states("ben", batch(2, 3)), plain.turn_states("ben", batch(2, 3)), atol=1e-5
        )
        actor.load(states, {})
        assert actor.states()["ada"][1]["updates"] == 0 and after["ada"][1]["updates"] == 1
    finally:
        actor._joint._shards.close()


# --- recipes ---------------------------------------------------------------------------------------------------------

RECIPE = """\
name: sharded
same_family: "a test"
trust: unblessed
agents:
  ada: {{kind: hf, model: {model}, learning_rate: 1e-3, lora_rank: 4, rows: 8, part_rows: 4, {ada}
         weights: {{margin: 1, brevity: 0.5, format: 0.1}}}}
  ben: {{kind: hf, model: {model}, learning_rate: 1e-3, lora_rank: 4, rows: 8, part_rows: 4, {ben}
         weights: {{margin: 1, brevity: 0.5, format: 0.1}}}}
arenas:
  debate:
    protocol: debate_simultaneous
    parameters: {{rounds: 2, words: 20, tokens: 6, judge_sees: [question, material, public]}}
    seats: {{A: ada, B: ben}}
    judge: {{kind: llm, model: {model}, swap: true}}
    data: {{path: questions.jsonl}}
training: {{updates: 2, groups: 1, group_size: 3, baseline: group, credit: {{level: turn, estimator: gae}}}}
league: {{snapshot_every: 1, self_play: 1.0, meta: nash, questions: 1}}
tournament: {{questions: 1, resamples: 10}}
evaluation: {{questions: 1}}
"""


def recipe(folder, ada, ben):
    return parse_recipe(parse_yaml(RECIPE.format(model=folder / "model", ada=ada, ben=ben), "sharded.yaml"), folder)


@pytest.mark.parametrize(
    ("ada", "ben", "message"),
    [
        ("shard: 0,", "", "shard: expected a whole number of at least 1"),
        (
            "shard: 2,",
            "",
            "ada and ben share a base model, which is divided in one way: expected the same shard, got 2 and 1",
        ),
        ("shard_gpus: [0],", "", "this is about a sharded learner"),
        ("shard: 2, shard_gpus: [0, 1],", "", "the learner runs on a CPU: expected device: cuda"),
        ("shard: 2, device: cuda, shard_gpus: [1, 1],", "", "expected 2 different numbers of GPUs"),
        ("shard: 2, device: cuda, shard_gpus: [one, 2],", "", "expected 2 different numbers of GPUs"),
        ("shard: 2, shard_timeout: 0,", "", "expected a number above 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path, ada, ben, message):
    with pytest.raises(UserError, match=r"sharded\.yaml:") as error:
        recipe(tmp_path, ada, ben)
    assert message in str(error.value)


def test_only_adapters_are_sharded():
    text = "kind: nano, shard: 2, weights: {win: 1}"
    page = Path("runs/quickstart.yaml").read_text(encoding="utf-8")
    with pytest.raises(UserError, match="nano is trained whole"):
        parse_recipe(parse_yaml(page.replace("kind: nano", text.partition(", weights")[0], 1), "q.yaml"), Path("runs"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there are GPUs")
def test_gpus_that_are_not_there_are_told_before_anything_starts(model):
    options = {"shard": 2, "shard_gpus": (4, 5), "device": "cuda", "dtype": "float32"}
    with pytest.raises(UserError, match="2 processes need the GPUs 4, 5; torch finds 0 here"):
        Shards(str(model), options, SPEC).learner(Policy("ada", 0, "tiny"), CONFIG, {})


def test_every_process_sees_its_own_gpu_among_those_of_the_run():
    spec = ShardSpec(2, "", "float32", "cuda", (), SPEC, 1.0)
    named = replace(spec, gpus=(2, 0))
    for given, plain, chosen in (
        ({}, ["0", "1"], ["2", "0"]),
        ({"CUDA_VISIBLE_DEVICES": "5,6,7"}, ["5", "6"], ["7", "5"]),
    ):
        assert [environment(spec, rank, given)["CUDA_VISIBLE_DEVICES"] for rank in (0, 1)] == plain
        assert [environment(named, rank, given)["CUDA_VISIBLE_DEVICES"] for rank in (0, 1)] == chosen
    assert "CUDA_VISIBLE_DEVICES" not in environment(replace(spec, device="cpu"), 0, {})
    assert environment(spec, 0, {"OMP_NUM_THREADS": "3"})["OMP_NUM_THREADS"] == "3"


def test_where_a_learner_runs_is_no_part_of_what_a_run_is():
    text = "agents: {{ada: {{kind: hf{0}}}}}\n"
    plain, two = text.format(""), text.format(", shard: 2, shard_gpus: [0, 1], shard_timeout: 5")
    assert recipe_hash(plain, 1) == recipe_hash(two, 1) and differing_keys(plain, two) == []
    assert recipe_hash(plain, 1) != recipe_hash(text.format(", shards: 2"), 1)


def test_the_adapter_to_start_from_needs_no_weights_of_the_base(model):
    """What makes learners beside vLLM, or on Ray, knows shapes only; its adapter is that of an unsharded run."""
    options = {"shard": 2, "device": "cpu", "dtype": "bfloat16", "lora_rank": 4, "lora_alpha": 8.0}
    sharded = trainer("vllm", str(model), options)
    base = sharded.host.base
    assert all(p.is_meta for p in base.parameters())
    whole = AdapterPolicies(
        LlamaForCausalLM.from_pretrained(model, dtype=torch.bfloat16).requires_grad_(False), AdapterSpec(4, 8.0)
    )
    got, expected = sharded.start({}), whole.first_state(0)
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[key], value) and got[key].dtype == value.dtype for key, value in expected.items())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tiny model with tied embeddings, its tokenizer, and questions."""
    path = tmp_path_factory.mktemp("train")
    save_tiny(path / "model")
    rows = [
        {"id": f"q{i}", "question": f"Is {i} even?", "options": ["yes", "no"], "label": i % 2, "material": "abc"}
        for i in range(40)
    ]
    (path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Stop(Exception):
    pass


class Interrupts:
    """Ends a run after its first update."""

    def start(self, stage, total):
        self.stage, self.done = stage, 0

    def advance(self, steps=1, note=""):
        self.done += steps
        if self.stage == "train" and self.done == 1:
            raise Stop

    def say(self, line):
        pass


def learned(out):
    return [row for row in RunFolder.open(out).read_log() if row.get("rewards")]


@pytest.mark.slow
def test_a_run_is_sharded_killed_and_goes_on_with_other_numbers_of_processes(folder, tmp_path, monkeypatch):
    asked, gather = [], Processes._gather
    monkeypatch.setattr(Processes, "_gather", lambda self, *what: asked.append(self) or gather(self, *what))
    one, two = recipe(folder, "", ""), recipe(folder, "shard: 2,", "shard: 2,")
    train(one, tmp_path / "one")
    with pytest.raises(Stop):
        train(two, tmp_path / "two", progress=Interrupts())
    assert len(learned(tmp_path / "two")) == 2
    train(one, tmp_path / "two", resume=True)  # from two processes to one
    with pytest.raises(Stop):
        train(one, tmp_path / "other", progress=Interrupts())

    class Kills(Interrupts):
        """Kills a process of the learner while the second update is played."""

        def say(self, line):
            if line.startswith("resumed"):
                os.kill(asked[-1].pids[0], signal.SIGKILL)

        def advance(self, steps=1, note=""):
            pass

    with pytest.raises(TrainingFailed, match="learner of ada, ben, sharded: process 0 of 2 was killed"):
        train(two, tmp_path / "other", resume=True, progress=Kills())
    train(two, tmp_path / "other", resume=True)  # from one process to two, and after a loss
    expected = learned(tmp_path / "one")
    assert [row["agent"] for row in expected] == ["ada", "ben"] * 2
    for out in ("two", "other"):
        got = learned(tmp_path / out)
        assert len(got) == len(expected)
        for row, other in zip(got, expected, strict=True):
            assert row["sampler_gap"] < 1e-4 and row["grad_norm"] > 0
            # The second update plays with weights that differ in their last bits: so may what is sampled.
            if row["update"] == 1:
                for key in ("loss", "kl", "entropy", "grad_norm", "tokens", "rows"):
                    assert row[key] == pytest.approx(other[key], rel=1e-3, abs=1e-6), key
        assert RunFolder.open(tmp_path / out).read_summary()["failures"] == {}


@pytest.mark.slow
def test_the_command_line_trains_sharded_and_says_what_went_wrong(folder, tmp_path):
    text = RECIPE.format(model=folder / "model", ada="", ben="")
    (folder / "small.yaml").write_text(text.replace("updates: 2", "updates: 1"))
    command = [sys.executable, "-m", "debate", "train", str(folder / "small.yaml"), "--out", str(tmp_path / "run")]
    ran = subprocess.run(
        [*command, "--set", "agents.ada.shard=2", "--set", "agents.ben.shard=2"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "run" / "report.html").exists()
    cuda = ["--set", "agents.ada.device=cuda", "--set", "agents.ben.device=cuda", "--set", "agents.ada.shard=3"]
    ran = subprocess.run([*command, *cuda, "--resume"], capture_output=True, text=True)
    assert ran.returncode == 2 and "which is divided in one way" in ran.stderr
