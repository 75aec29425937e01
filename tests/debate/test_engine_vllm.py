"""What surrounds vLLM, without vLLM: adapters on disk, versions in answers, deaths and restarts, processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from debate.engines.adapters import AdapterSpec, load_adapter
from debate.engines.chat_format import ChatFormat
from debate.engines.hf import completer_over
from debate.engines.openai.endpoint import Endpoint
from debate.engines.openai.fault_server import FaultServer, vllm_answer
from debate.engines.openai.limits import Retry
from debate.engines.shapes import Shapes
from debate.engines.tiny import tiny_model, tiny_tokenizer
from debate.engines.vllm.adapters import RANKS, AdapterFolder, Served, check_rank
from debate.engines.vllm.backend import BASE, Answer, Ask, Deliver, EngineDown, scored
from debate.engines.vllm.completer import VllmCompleter
from debate.engines.vllm.process import ServerProcess, free_port, healthy
from debate.engines.vllm.served import ServedVllm
from debate.engines.vllm.settings import VllmSettings
from debate.errors import EngineUnavailable, UserError
from judges.types import Message, Request, Sampling

SPEC = AdapterSpec(rank=8, alpha=16.0)
VIEW = (Message("system", "s"), Message("user", "Who?"))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def state(tokenizer: Any) -> dict[str, torch.Tensor]:
    engine = completer_over(tiny_model(len(tokenizer)), tokenizer, SPEC, Shapes(4, 16, fixed=True))
    return engine.policies.first_state(0)  # type: ignore[attr-defined]


def shaken(state: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    noise = torch.Generator().manual_seed(seed)
    return {k: v + 0.1 * torch.randn(v.shape, generator=noise) for k, v in state.items()}


# --- adapters -------------------------------------------------------------------------------------------------------


def test_adapters_are_written_as_peft_does_under_names_of_their_weights(state: Any, tmp_path: Path) -> None:
    folder = AdapterFolder(tmp_path, "tiny", SPEC)
    one, other = folder.write("ada-v1", state), folder.write("ada-v2", shaken(state, 1))
    assert one.name.startswith("ada-v1.") and one.name.split(".")[1] != other.name.split(".")[1]
    assert one.number != other.number
    read, spec = load_adapter(other.path)
    assert (spec.rank, spec.alpha) == (SPEC.rank, SPEC.alpha)
    assert all(torch.equal(read[k], v) for k, v in shaken(state, 1).items())
    assert other.size == sum(f.stat().st_size for f in other.path.glob("*.safetensors"))
    # The same policy id with other weights (another run on the same server) is another name.
    assert folder.write("ada-v1", shaken(state, 2)).name != one.name
    folder.forget(one)
    assert not one.path.exists() and other.path.exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_workers_that_share_a_folder_write_the_same_adapter_at_once(state: Any, tmp_path: Path) -> None:
    folders = [AdapterFolder(tmp_path, "tiny", SPEC) for _ in range(8)]
    for version in range(8):
        ready = threading.Barrier(len(folders))

        def write(folder: AdapterFolder, policy: str = f"ada-v{version}", ready: threading.Barrier = ready) -> Served:
            ready.wait()
            return folder.write(policy, state)

        with ThreadPoolExecutor(len(folders)) as pool:
            served = list(pool.map(write, folders))
        assert len({adapter.name for adapter in served}) == len({adapter.path for adapter in served}) == 1
        read, _ = load_adapter(served[0].path)
        assert all(torch.equal(read[key], value) for key, value in state.items())
    assert len(list(tmp_path.iterdir())) == 8, "what came second is cleaned up"


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "DoRA"),
        ("base_model.model.model.layers.0.self_attn.q_proj.bias", "trained biases"),
        ("base_model.model.lm_head.weight", "modules_to_save"),
        ("base_model.model.model.embed_tokens.lora_A.weight", "embeddings or the head"),
        ("base_model.model.lm_head.lora_B.weight", "embeddings or the head"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", r"shape \(4, 32\), not rank 8"),
    ],
)
def test_what_vllm_would_drop_in_silence_is_refused(state: Any, tmp_path: Path, key: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        AdapterFolder(tmp_path, "tiny", SPEC).write("ada-v1", {**state, key: torch.zeros(4, 32)})
    assert not list(tmp_path.iterdir())


def test_ranks_are_checked_before_anything_starts() -> None:
    for rank in RANKS:
        check_rank(rank)
    for rank in (2, 4, 12, 1024):
        with pytest.raises(UserError, match="rank 1, 8, 16"):
            check_rank(rank)


def test_settings_are_the_same_for_both_ways_of_starting() -> None:
    settings = VllmSettings(context=512, memory=0.4, gpus=2, rows=64, eager=True)
    flags = settings.flags()
    assert flags[flags.index("--max-model-len") + 1] == "512" and "--enforce-eager" in flags
    assert flags[flags.index("--lora-target-modules") + 1 :][:4] == ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert {f for f in flags if f.startswith("--")} == {f"--{n.replace('_', '-')}" for n in settings.arguments()}
    with pytest.raises(UserError, match="max_loras"):
        VllmSettings(max_loras=9, max_cpu_loras=8)
    with pytest.raises(UserError, match="memory"):
        VllmSettings(memory=1.0)


def test_an_agent_on_vllm_has_every_setting_of_the_same_learner_on_transformers() -> None:
    from debate.adapter_engine import AdapterEngine
    from debate.learning.configured import learner_config
    from debate.reader import parse_yaml
    from debate.recipe import parse_recipe

    text = """\
name: both
agents:
  one: &agent {kind: hf, model: smollm2-135m, weights: {win: 1}}
  two: {kind: vllm, model: smollm2-135m, weights: {win: 1}}
  three: {kind: vllm, model: smollm2-135m, weights: {win: 1}}
arenas:
  debate: {protocol: evidence_debate, seats: {A: one, B: two}, judge: naive_evidence, data: {adapter: evidence, n: 12}}
training: {updates: 1, groups: 1, group_size: 2, baseline: group}
"""
    recipe = parse_recipe(parse_yaml(text, "both.yaml"), Path())
    hf, vllm = recipe.agent("one").options, recipe.agent("two").options
    assert set(hf) - set(vllm) == {"bucket", "fixed"}, "the shapes of its own forward passes"
    assert learner_config(vllm).loss.truncate == 2.0 and learner_config(vllm).compare
    assert learner_config(hf).loss.truncate == 0.0 and not learner_config(hf).compare
    assert AdapterEngine().joins([recipe.agent("two"), recipe.agent("three")])


def test_prompt_log_probabilities_are_read_by_id_and_never_guessed() -> None:
    entries: list[Any] = [None, {"7": {"logprob": -0.5}}, {8: type("E", (), {"logprob": -2.0})()}]
    assert scored((6, 7, 8), entries, 1) == (-0.5, -2.0)
    with pytest.raises(ValueError, match="position 2"):
        scored((6, 7, 9), entries, 1)


# --- versions and deaths --------------------------------------------------------------------------------------------


class Scripted:
    """A backend that says what the test wants; it dies, forgets or confuses adapters on command."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.batches: list[list[Ask]] = []
        self.die_after: list[int] = []  # for each coming batch: answers before death
        self.wrong: list[str] = []  # for each coming batch: who answers instead
        self.restarts = 0
        self.dead = self.closed = False

    def load(self, adapter: Served) -> None:
        if self.dead:
            raise EngineDown("dead")
        assert adapter.path.is_dir()
        self.loaded.append(adapter.name)

    def unload(self, adapter: Served) -> None:
        self.loaded.remove(adapter.name)

    async def run(self, asks: Sequence[Ask], deliver: Deliver) -> None:
        self.batches.append(list(asks))
        most = self.die_after.pop(0) if self.die_after else len(asks)
        wrong = self.wrong.pop(0) if self.wrong else ""
        for i, ask in enumerate(asks[:most]):
            assert ask.adapter is None or ask.name in self.loaded
            name = wrong or ask.name
            if ask.sampling is None:
                deliver(i, Answer(name, (), tuple(-1.0 for _ in ask.prompt[ask.start :]), ask.prompt))
            else:
                letter = 97 - 33 + len(name) % 7
                deliver(i, Answer(name, (letter, ask.stops[0]), (-0.5, -0.25), ask.prompt, cached=len(ask.prompt) // 2))
        if most < len(asks):
            self.dead = True
            raise EngineDown("killed")

    def restart(self, adapters: Iterable[Served]) -> None:
        self.restarts += 1
        self.dead = False
        self.loaded = [adapter.name for adapter in adapters]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def backend() -> Scripted:
    return Scripted()


@pytest.fixture
def engine(backend: Scripted, tokenizer: Any, tmp_path: Path, state: Any) -> VllmCompleter:
    made = VllmCompleter(backend, AdapterFolder(tmp_path, "tiny", SPEC), ChatFormat(tokenizer), 256)
    made.publish("ada-v1", state)
    made.publish("ben-v1", shaken(state, 1))
    return made


def requests(count: int = 6) -> list[Request]:
    return [Request(VIEW, Sampling(8), seed=i, policy=("", "ada-v1", "ben-v1")[i % 3]) for i in range(count)]


def test_each_request_goes_to_its_own_adapter_as_our_own_ids(engine: VllmCompleter, backend: Scripted) -> None:
    answers = asyncio.run(engine(requests()))
    (batch,) = backend.batches
    assert [ask.name.split(".")[0] for ask in batch[:3]] == [BASE, "ada-v1", "ben-v1"]
    assert all(ask.prompt == tuple(engine.format.encode(VIEW)) for ask in batch)
    assert [ask.seed for ask in batch] == list(range(6))
    assert all(a.stop_reason == "stop" and a.logprobs == (-0.5, -0.25) and a.prompt_tokens for a in answers)
    assert engine.traffic.hit_rate == pytest.approx(0.5, abs=0.05) and engine.traffic.tokens == 12
    assert engine.traffic.synced == 2 and engine.traffic.sync_bytes > 0


def test_a_version_is_loaded_before_it_can_be_asked_for_and_retired_with_its_files(
    engine: VllmCompleter, backend: Scripted, state: Any, tmp_path: Path
) -> None:
    old = {path.name for path in tmp_path.iterdir()}
    backend.dead = True
    backend.restart = lambda adapters: (_ for _ in ()).throw(EngineUnavailable("gone"))  # type: ignore[assignment]
    with pytest.raises(EngineUnavailable):
        engine.publish("ada-v2", shaken(state, 5))
    assert "ada-v2" not in engine.ids()
    del backend.restart
    backend.dead = False
    engine.publish("ada-v2", shaken(state, 5))
    engine.publish("ada-v2", shaken(state, 5))
    with pytest.raises(UserError, match="already published with other weights"):
        engine.publish("ada-v2", shaken(state, 6))
    engine.retire("ada-v1")
    assert [name.split(".")[0] for name in backend.loaded] == ["ben-v1", "ada-v2"]
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"ben-v1", "ada-v2"} and len(old) == 2
    (gone,) = asyncio.run(engine([Request(VIEW, policy="ada-v1")]))
    assert gone.error is not None and "no policy 'ada-v1'" in gone.error
    with pytest.raises(UserError, match="cannot be retired"):
        engine.retire("")


def test_a_death_in_the_middle_loses_no_request_and_asks_none_twice(engine: VllmCompleter, backend: Scripted) -> None:
    whole = asyncio.run(engine(requests()))
    backend.batches.clear()
    backend.die_after = [2, 3]
    assert asyncio.run(engine(requests())) == whole
    assert [len(batch) for batch in backend.batches] == [6, 4, 1]
    assert backend.restarts == 2 and engine.traffic.restarts == 2
    assert len(backend.loaded) == 2, "adapters are loaded again after a restart"


def test_two_calls_that_notice_one_death_start_it_again_once(engine: VllmCompleter, backend: Scripted) -> None:
    both = asyncio.Barrier(2)
    run = backend.run

    async def dying(asks: Sequence[Ask], deliver: Deliver) -> None:
        if backend.restarts == 0:
            await both.wait()  # both are on their way when it dies
            raise EngineDown("killed")
        await run(asks, deliver)

    backend.run = dying  # type: ignore[method-assign]

    async def two() -> list[Any]:
        return await asyncio.gather(engine(requests(2)), engine(requests(3)))

    answers = asyncio.run(two())
    assert [len(batch) for batch in answers] == [2, 3] and backend.restarts == 1


def test_one_that_keeps_dying_stops_the_work(engine: VllmCompleter, backend: Scripted) -> None:
    backend.die_after = [0] * 9
    with pytest.raises(EngineUnavailable, match="died 3 times in a row"):
        asyncio.run(engine(requests()))


def test_an_answer_by_another_version_is_never_used(engine: VllmCompleter, backend: Scripted) -> None:
    backend.wrong = ["ada-v0.0123456789ab"]
    answers = asyncio.run(engine(requests(3)))
    assert all(a.error is None for a in answers) and engine.traffic.refused == 3
    assert len(backend.batches) == 2 and engine.traffic.restarts == 0
    backend.wrong = ["ada-v0.0123456789ab"] * 9
    with pytest.raises(EngineUnavailable, match=r"answered as 'ada-v0\.0123456789ab' where .*3 times"):
        asyncio.run(engine(requests(3)))


def test_choices_are_scored_once_each_with_their_end(engine: VllmCompleter, backend: Scripted) -> None:
    ask = Request(VIEW, choices=("A", "no way"), policy="ada-v1")
    one, two = asyncio.run(engine([ask, replace(ask, seed=9)]))
    assert one.choices is not None and one == two
    assert [c.logprob for c in one.choices] == [-2.0, -7.0]
    assert [c.tokens for c in one.choices] == [engine.format.continuation(text) for text in ("A", "no way")]
    assert len(backend.batches[0]) == 2, "equal calls are asked once"


def test_numbers_that_are_none_and_prompts_too_long_are_errors(
    engine: VllmCompleter, backend: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(asks: Sequence[Ask], deliver: Deliver) -> None:
        for i, ask in enumerate(asks):
            deliver(i, Answer(ask.name, (40,), (float("nan"),), ask.prompt))

    long = Request((Message("user", "x" * 400),))
    (answer,) = asyncio.run(engine([long]))
    assert answer.error is not None and "the context is 256" in answer.error
    monkeypatch.setattr(backend, "run", broken)
    (answer,) = asyncio.run(engine([Request(VIEW)]))
    assert answer.error is not None and "not finite" in answer.error


# --- a server over real sockets -------------------------------------------------------------------------------------


def over(server: FaultServer, tokenizer: Any, folder: Path, **changes: Any) -> VllmCompleter:
    retry = Retry(attempts=8, first=0.01, longest=0.02)
    backend = ServedVllm(Endpoint(server.url, retry=retry, timeout=1.0), patience=0.2, **changes)
    return VllmCompleter(backend, AdapterFolder(folder, "tiny", SPEC), ChatFormat(tokenizer), 256)


def test_a_server_is_asked_with_ids_and_adapters_are_loaded_by_path(tokenizer: Any, state: Any, tmp_path: Path) -> None:
    with FaultServer(answer=vllm_answer, models=({"id": BASE, "max_model_len": 77},)) as server:
        engine = over(server, tokenizer, tmp_path)
        assert engine.backend.context() == 77  # type: ignore[attr-defined]
        engine.publish("ada-v1", state)
        load = server.bodies[0]
        assert load["_path"] == "/v1/load_lora_adapter" and Path(load["lora_path"]).is_dir()
        answers = asyncio.run(engine([Request(VIEW, Sampling(8), policy=p) for p in ("", "ada-v1")]))
        assert answers[0].tokens != answers[1].tokens
        asked = {body["model"]: body for body in server.bodies[1:]}
        assert set(asked) == {BASE, load["lora_name"]}
        assert asked[BASE]["prompt"] == engine.format.encode(VIEW) and asked[BASE]["top_k"] == -1
        (scored,) = asyncio.run(engine([Request(VIEW, choices=("A",), policy="ada-v1")]))
        assert scored.choices is not None and scored.choices[0].logprob == -1.0
        engine.retire("ada-v1")
        assert server.bodies[-1]["_path"] == "/v1/unload_lora_adapter"


@pytest.mark.parametrize("fault", ["reset", "truncate", "garbage", ("status", 500, {}, "boom")], ids=str)
def test_a_server_with_faults_answers_everything_in_the_end(fault: Any, tokenizer: Any, tmp_path: Path) -> None:
    with FaultServer(lambda n, body: fault if n % 2 == 0 else None, vllm_answer) as server:
        answers = asyncio.run(over(server, tokenizer, tmp_path)([Request(VIEW, Sampling(4), seed=i) for i in range(8)]))
        assert len(answers) == 8 and all(a.error is None and a.tokens for a in answers)


def test_a_server_that_forgot_its_adapters_gets_them_again(tokenizer: Any, state: Any, tmp_path: Path) -> None:
    known: set[str] = set()

    def plan(n: int, body: dict[str, Any]) -> Any:
        if "lora_name" in body:
            known.add(body["lora_name"])
        elif body["model"] != BASE and body["model"] not in known:
            return ("status", 404, {}, f"The model `{body['model']}` does not exist.")
        return None

    with FaultServer(plan, vllm_answer) as server:
        engine = over(server, tokenizer, tmp_path)
        engine.publish("ada-v1", state)
        known.clear()
        (answer,) = asyncio.run(engine([Request(VIEW, Sampling(4), policy="ada-v1")]))
        assert answer.error is None and len(known) == 1


def test_a_server_that_cannot_load_adapters_is_told_apart(tokenizer: Any, state: Any, tmp_path: Path) -> None:
    with (
        FaultServer(lambda n, body: ("status", 404, {}, "Not Found")) as server,
        pytest.raises(UserError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"),
    ):
        over(server, tokenizer, tmp_path).publish("ada-v1", state)
    with pytest.raises(EngineUnavailable, match="did not come back"):
        over(server, tokenizer, tmp_path).publish("ada-v1", state)


# --- processes ------------------------------------------------------------------------------------------------------

SERVER = """
import subprocess, sys, time
sys.path[:0] = {path!r}
from debate.engines.openai.fault_server import FaultServer, vllm_answer
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", stubborn])
with FaultServer(lambda n, body: "slow", vllm_answer, slow={slow}, port={port}):
    open({pids!r}, "a").write(f"{{child.pid}}\\n")
    time.sleep(600)
"""


def a_server(folder: Path, slow: float = 0.0) -> tuple[ServerProcess, Path]:
    """A process that speaks as vLLM's server does and has a child that does not want to end."""
    port, pids = free_port(), folder / "pids"
    code = textwrap.dedent(SERVER).format(path=sys.path, port=port, pids=str(pids), slow=slow)
    (folder / "server.py").write_text(code)
    return ServerProcess([sys.executable, str(folder / "server.py")], port, folder / "log", patience=60.0), pids


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def until(condition: Any, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBATE_WATCH_GRACE", "0.5")


def test_a_server_stops_with_its_children(tmp_path: Path, quick_end: None) -> None:
    process, pids = a_server(tmp_path)
    process.start()
    assert healthy(process.url) and process.alive()
    child = int(pids.read_text())
    assert lives(child)
    process.stop()
    process.stop()
    assert not process.alive() and not healthy(process.url)
    assert until(lambda: not lives(child))


def test_a_server_stops_when_its_owner_is_killed(tmp_path: Path, quick_end: None) -> None:
    _, pids = a_server(tmp_path)
    owner = tmp_path / "owner.py"
    owner.write_text(
        textwrap.dedent(f"""
        import sys, time
        sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
        from pathlib import Path
        from test_engine_vllm import a_server
        process, _ = a_server(Path({str(tmp_path)!r}))
        process.start()
        print("up", flush=True)
        time.sleep(600)
        """)
    )
    with subprocess.Popen([sys.executable, str(owner)], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stdout.readline() == "up\n"
        child = int(pids.read_text())
        assert lives(child)
        os.kill(running.pid, signal.SIGKILL)
    assert until(lambda: not lives(child))


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    code = "import sys; print('ValueError: no such model', file=sys.stderr); sys.exit(3)"
    process = ServerProcess([sys.executable, "-c", code], free_port(), tmp_path / "log")
    with pytest.raises(EngineUnavailable, match=r"ended while starting: ValueError: no such model .*log\)"):
        process.start()


def test_a_server_killed_in_the_middle_of_a_wave_loses_no_match(
    tokenizer: Any, state: Any, tmp_path: Path, quick_end: None
) -> None:
    """Episodes played over a server that is killed while it answers are those of a server that is not."""
    from debate.agents.agent import Agent
    from debate.agents.language import LanguageSpeaker
    from debate.learning.samples import gather
    from debate.play import Arena, play
    from debate.protocol.load import load_protocol
    from debate.questions import Question
    from debate.transcript import Match, Policy
    from judges.judges.scripted import constant_judge
    from judges.rules import make_rule

    protocol = load_protocol("debate_simultaneous", {"rounds": 2, "words": 20, "tokens": 6})
    question = Question("q", "Is it?", ("yes", "no"), 0, "m")
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    arena = Arena("debate", protocol, {"q": question}, (constant_judge(),), rules)
    matches = [Match(f"m{i}", "debate", "q", {"A": "ada-v1", "B": "ben-v1"}) for i in range(6)]

    def played(folder: Path, kill: bool) -> Any:
        folder.mkdir()
        process, _ = a_server(folder, slow=0.2)
        process.start()
        endpoint = Endpoint(
            f"{process.url}/v1",
            retry=Retry(attempts=3, first=0.05, longest=0.1),
            concurrency=2,
            secret=process.key,
            down=lambda: not process.alive(),
        )
        backend = ServedVllm(endpoint, process=process)
        engine = VllmCompleter(backend, AdapterFolder(folder / "a", "tiny", SPEC), ChatFormat(tokenizer), 4096)
        try:
            engine.publish("ada-v1", state)
            engine.publish("ben-v1", shaken(state, 1))
            cast = {f"{n}-v1": Agent(Policy(n, 1, "tiny"), LanguageSpeaker(engine)) for n in ("ada", "ben")}

            async def killed() -> Any:
                task = asyncio.create_task(play(arena, matches, cast, seed=0))
                if kill:
                    await asyncio.sleep(0.7)
                    assert process._process is not None
                    for line in (
                        Path(f"/proc/{process._process.pid}/task/{process._process.pid}/children").read_text().split()
                    ):
                        os.kill(int(line), signal.SIGKILL)
                return await task

            return asyncio.run(killed()), engine.traffic
        finally:
            engine.close()

    (calm, _), (shaken_up, traffic) = played(tmp_path / "calm", False), played(tmp_path / "killed", True)
    assert traffic.restarts >= 1, "the server was not killed while it was needed, so nothing was tested"
    assert [e.transcript for e in shaken_up] == [e.transcript for e in calm]
    assert all(e.failure is None for e in shaken_up)
    samples, excluded = gather(shaken_up, "ada-v1")
    assert len(samples) == 6 and not excluded
