"""The real vLLM with SmolLM2-135M on a CPU (`make test-vllm`): what is trained is what speaks, in both modes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm", reason="vLLM lives in an environment of its own: make test-vllm")

import torch

from debate.engines.adapters import AdapterPolicies, AdapterSpec
from debate.engines.hf import load_base
from debate.engines.openai.completer import ChatCompleter, ChatSettings
from debate.engines.openai.endpoint import Endpoint
from debate.engines.vllm.build import vllm_completer
from debate.engines.vllm.completer import VllmCompleter
from debate.engines.vllm.settings import VllmSettings
from debate.models import resolve
from debate.reader import parse_yaml
from debate.recipe import parse_recipe
from debate.session import open_session
from debate.train import join_population, update
from judges.types import Completion, Message, Request, Sampling

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]  # the warnings are vLLM's own

MODEL = "smollm2-135m"
SPEC = AdapterSpec(rank=8, alpha=16.0)
VIEW = (
    Message("system", "You take part in a debate about arithmetic."),
    Message("user", "Is seventeen a prime number? " + "Think about what divides it. " * 30),
)
PICKS = ("yes", "no", "I do not know")


@pytest.fixture(scope="module")
def base() -> AdapterPolicies:
    try:
        resolve(MODEL)
    except ValueError as error:
        pytest.fail(f"{error}")
    return AdapterPolicies(load_base(MODEL)[0], SPEC)


def shaken(state: Mapping[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    noise = torch.Generator().manual_seed(seed)
    return {k: v + 0.05 * torch.randn(v.shape, generator=noise) for k, v in state.items()}


def own_logprobs(host: AdapterPolicies, policy: str, prompt: Sequence[int], said: Sequence[int]) -> torch.Tensor:
    """[T] what transformers says of the ids, in one forward."""
    with host.use(policy) as model, torch.inference_mode():
        logp = model(torch.tensor([[*prompt, *said]])).logits.float().log_softmax(-1)[0]
    return logp[torch.arange(len(said)) + len(prompt) - 1, torch.tensor(said)]


def check_spoken(host: AdapterPolicies, policy: str, answer: Completion) -> None:
    assert answer.error is None and answer.tokens and answer.logprobs and answer.prompt_tokens
    own = own_logprobs(host, policy, answer.prompt_tokens, answer.tokens)
    assert (own - torch.tensor(answer.logprobs)).abs().max() < 2e-3


def greedy(policy: str) -> Request:
    return Request(VIEW, Sampling(12, temperature=0.0), policy=policy)


# --- in process: a recipe trains ------------------------------------------------------------------------------------

RECIPE = f"""\
name: vllm
same_family: "a test"
trust: unblessed
agents:
  ada: &debater {{kind: vllm, model: {MODEL}, dtype: float32, lora_rank: 8, lora_alpha: 16, context: 1024, eager: true,
                  learning_rate: 2e-3, truncate: 2.0, weights: {{margin: 1, brevity: 0.5, format: 0.5}}}}
  ben: *debater
arenas:
  debate:
    protocol: debate_simultaneous
    parameters: {{rounds: 2, words: 20, tokens: 12, judge_sees: [question, material, public]}}
    seats: {{A: ada, B: ben}}
    judge: {{kind: llm, engine: vllm, model: {MODEL}, dtype: float32, lora_rank: 8, lora_alpha: 16, context: 1024,
             eager: true, swap: true}}
    data: {{path: questions.jsonl}}
training: {{updates: 2, groups: 1, group_size: 4, baseline: group}}
"""


def test_two_agents_train_and_their_new_weights_are_the_ones_that_speak(tmp_path: Path, base: AdapterPolicies) -> None:
    rows = [
        {"id": f"q{i}", "question": f"Is {i} even?", "options": ["yes", "no"], "label": i % 2, "material": "abc " * 150}
        for i in range(40)
    ]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = parse_recipe(parse_yaml(RECIPE, "vllm.yaml"), tmp_path)
    with open_session(recipe, tmp_path / "run") as session:
        engine: VllmCompleter = session.cast.engine("vllm", MODEL, recipe.agent("ada").options).completer
        judge = session.arenas["debate"].judges[0]
        assert getattr(judge.completer, "inner", judge.completer) is engine, "agents and judge share one engine"
        join_population(session, 0)  # keeps version 0
        first = asyncio.run(engine([greedy("ada-v0"), greedy("ben-v0"), greedy("")]))
        assert first[0].tokens == first[1].tokens == first[2].tokens, "a fresh adapter changes nothing"
        picks = [Request(VIEW, choices=PICKS, policy=p) for p in ("ada-v0", "ben-v0")]
        before = asyncio.run(engine(picks))
        logged: list[dict[str, Any]] = []
        for _ in range(2):
            logged = update(session, recipe.main)
            for name in session.cast.learners:
                session.cast.publish(name)
            session.commit(logged)
        # 1. Sampler and trainer agree, and the correction was measured.
        assert all(row["sampler_gap"] < 2e-3 for row in logged)
        assert all(abs(row["importance"] - 1.0) < 1e-2 and row["truncated"] == 0.0 for row in logged)
        assert all(row["grad_norm"] > 0 and not row["excluded"] for row in logged)
        # 2. Only the live versions and the kept ones are served; each was loaded once.
        assert set(engine.ids()) == {"", "ada-v0", "ben-v0", "ada-v2", "ben-v2"}
        # Version 0 changes nothing: the bare base speaks for it. Versions 1 and 2 of both agents were loaded.
        assert engine.traffic.synced == 4 and engine.traffic.refused == 0
        merged = sum(p.numel() * p.element_size() for n, p in base.base.named_parameters() if "lora_" not in n)
        assert engine.traffic.sync_bytes / 4 < 0.05 * merged
        # 3. The prefix cache held what later turns read again.
        assert engine.traffic.hit_rate > 0.2
        # 4. The new versions speak with the learners' weights, which differ; the old ones as before.
        for name in ("ada", "ben"):
            base.publish(f"{name}-new", session.cast.learners[name].weights())
        speech = [Request(VIEW, Sampling(16), seed=3, policy=f"{name}-v2") for name in ("ada", "ben")]
        for name, answer in zip(("ada", "ben"), asyncio.run(engine(speech)), strict=True):
            check_spoken(base, f"{name}-new", answer)
        after = asyncio.run(engine([*picks, *(Request(VIEW, choices=PICKS, policy=f"{n}-v2") for n in ("ada", "ben"))]))
        for old, again in zip(before, after[:2], strict=True):
            assert [c.logprob for c in old.choices] == pytest.approx([c.logprob for c in again.choices], abs=1e-3)
        for name, old, new in zip(("ada", "ben"), before, after[2:], strict=True):
            scores = [c.logprob for c in new.choices]
            own = [own_logprobs(base, f"{name}-new", new.prompt_tokens, c.tokens).sum().item() for c in new.choices]
            assert scores == pytest.approx(own, abs=5e-3)
            assert max(abs(a.logprob - b) for a, b in zip(old.choices, scores, strict=True)) > 1e-2
        # 5. Nothing was trained on that another version had said.
        for row in logged:
            assert row["engine_refused"] == 0.0
    assert not list(Path("/tmp").glob("debate-vllm-*/ada-v2*")), "adapters of a closed run are removed"


# --- served ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmCompleter]:
    folder = tmp_path_factory.mktemp("served")
    settings = VllmSettings(dtype="float32", context=1024, eager=True, max_loras=4)
    engine = vllm_completer(MODEL, folder, settings, SPEC, mode="server")
    yield engine
    engine.close()


def wave(count: int, tokens: int = 24) -> list[Request]:
    return [Request(VIEW, Sampling(tokens), seed=i, policy=("ada-v1", "ben-v1")[i % 2]) for i in range(count)]


def server_pids(engine: VllmCompleter) -> list[int]:
    """The server and all below it, its watcher left out."""
    watcher = engine.backend._process._process.pid  # type: ignore[attr-defined]
    found, todo = [], [watcher]
    while todo:
        pid = todo.pop()
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            below = [int(child) for child in task.read_text().split()]
            found += below
            todo += below
    return found


def test_a_server_serves_versions_side_by_side(served: VllmCompleter, base: AdapterPolicies) -> None:
    first = base.first_state(0)
    for seed, name in enumerate(("ada-v1", "ben-v1")):
        served.publish(name, shaken(first, seed))
        base.publish(name, shaken(first, seed))
    answers = asyncio.run(served(wave(4)))
    for request, answer in zip(wave(4), answers, strict=True):
        check_spoken(base, request.policy, answer)
    (scored,) = asyncio.run(served([Request(VIEW, choices=PICKS, policy="ben-v1")]))
    own = [own_logprobs(base, "ben-v1", scored.prompt_tokens, c.tokens).sum().item() for c in scored.choices]
    assert [c.logprob for c in scored.choices] == pytest.approx(own, abs=5e-3)
    assert served.traffic.cached_tokens > 0


def test_any_client_of_the_protocol_can_talk_to_it(served: VllmCompleter) -> None:
    """Our own chat client against vLLM's own server: an adapter by name, ids and log-probabilities where asked for."""
    process = served.backend._process  # type: ignore[attr-defined]
    adapter = served._served["ada-v1"]
    assert adapter is not None
    endpoint = Endpoint(f"{process.url}/v1", secret=process.key)
    settings = ChatSettings(adapter.name, logprobs=True, extra={"return_token_ids": True})
    (answer,) = asyncio.run(ChatCompleter(endpoint, settings)([Request(VIEW, Sampling(8), seed=1)]))
    assert answer.error is None and answer.text and answer.cost.tokens == len(answer.tokens or ()) <= 8
    assert answer.logprobs is not None and len(answer.logprobs) == len(answer.tokens or ())
    assert answer.prompt_tokens == tuple(served.format.encode(VIEW))
    with pytest.raises(Exception, match="401"):
        asyncio.run(ChatCompleter(Endpoint(f"{process.url}/v1", secret="wrong"), settings)([Request(VIEW)]))


def test_a_server_killed_in_the_middle_of_a_wave_answers_all_of_it(
    served: VllmCompleter, base: AdapterPolicies
) -> None:
    before = served.traffic.restarts

    async def interrupted() -> list[Completion]:
        task = asyncio.create_task(served(wave(16, tokens=64)))
        await asyncio.sleep(1.5)
        assert not task.done(), "the wave was over before the server was killed"
        for pid in server_pids(served):
            os.kill(pid, signal.SIGKILL)
        return await task

    answers = asyncio.run(interrupted())
    assert served.traffic.restarts == before + 1
    for request, answer in zip(wave(16, tokens=64), answers, strict=True):
        check_spoken(base, request.policy, answer)
