"""The real vLLM on Ray's workers (`make test-vllm`): adapters travel to it, and a death takes nothing but time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm", reason="vLLM lives in an environment of its own: make test-vllm")
pytest.importorskip("ray", reason="make test-vllm installs it beside vLLM")

import torch

from debate.engines.adapters import AdapterPolicies, AdapterSpec
from debate.engines.hf import load_base
from debate.progress import Silent
from debate.reader import parse_yaml
from debate.recipe import parse_recipe
from debate.scale.cluster import ScaleSpec
from debate.session import open_session
from debate.train import join_population, update
from judges.types import Message, Request

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]  # the warnings are vLLM's and Ray's own

MODEL = "smollm2-135m"
VIEW = (Message("user", "Is seventeen a prime number?"),)
PICKS = ("yes", "no", "I do not know")
RECIPE = f"""\
name: vllm_on_ray
same_family: "a test"
trust: unblessed
agents:
  ada: &debater {{kind: vllm, model: {MODEL}, dtype: float32, lora_rank: 8, lora_alpha: 16, context: 512, eager: true,
                  learning_rate: 2e-3, truncate: 2.0, weights: {{margin: 1, brevity: 0.5, format: 0.5}}}}
  ben: *debater
arenas:
  debate:
    protocol: debate_simultaneous
    parameters: {{rounds: 1, words: 20, tokens: 12, judge_sees: [question, material, public]}}
    seats: {{A: ada, B: ben}}
    judge: {{kind: llm, engine: vllm, model: {MODEL}, dtype: float32, lora_rank: 8, lora_alpha: 16, context: 512,
             eager: true, swap: true}}
    data: {{path: questions.jsonl}}
training: {{updates: 2, groups: 1, group_size: 4, baseline: group}}
"""


def running(title: str) -> list[int]:
    """Processes below this one with such a title."""
    found, todo = [], [os.getpid()]
    while todo:
        pid = todo.pop()
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                todo += [int(child) for child in task.read_text().split()]
            except OSError:  # ended meanwhile
                continue
        with suppress(OSError):
            if title in Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace"):
                found.append(pid)
    return found


def gone(pids: Sequence[int], seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.1)
    return not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Telling(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_adapters_reach_vllm_on_a_worker_and_on_the_one_that_takes_its_place(tmp_path: Path) -> None:
    rows = [
        {"id": f"q{i}", "question": f"Is {i} even?", "options": ["yes", "no"], "label": i % 2, "material": "abc"}
        for i in range(40)
    ]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = parse_recipe(parse_yaml(RECIPE, "vllm.yaml"), tmp_path)
    own = AdapterPolicies(load_base(MODEL)[0], AdapterSpec(rank=8, alpha=16.0))
    told, killed = Telling(), []
    folders = set(Path(tempfile.gettempdir()).glob("debate-vllm-*"))
    with open_session(recipe, tmp_path / "run", progress=told, scale=ScaleSpec("local", 1)) as session:
        engine: Any = session.cast.engine("vllm", MODEL, recipe.agent("ada").options).completer

        def picked(*policies: str) -> list[list[float]]:
            answers = asyncio.run(engine([Request(VIEW, choices=PICKS, policy=policy) for policy in policies]))
            return [[choice.logprob for choice in answer.choices] for answer in answers]

        join_population(session, 0)  # keeps version 0
        before = picked("ada-v0", "ben-v0")
        assert before[0] == before[1], "a fresh adapter changes nothing"
        logged: list[dict[str, Any]] = []
        for step in range(2):
            if step == 1:  # the worker hangs and is then killed, with matches in flight
                killed += [*running("ray::RolloutWorker"), *running("VLLM::EngineCore")]
                os.kill(killed[0], signal.SIGSTOP)
                threading.Timer(2.0, os.kill, (killed[0], signal.SIGKILL)).start()
            logged = update(session, recipe.main)
            # What was sampled is what the version asked for would say, whichever worker said it.
            assert all(row["sampler_gap"] < 2e-3 and row["grad_norm"] > 0 and not row["excluded"] for row in logged)
            for name in session.cast.learners:
                session.cast.publish(name)
            session.commit(logged)
        assert all(row["engine_prompt_tokens"] > 0 and row["engine_refused"] == 0 for row in logged)
        assert len(killed) == 2 and gone(killed), "the killed worker's vLLM ends with it"
        assert "with 4 matches in flight, which are played again" in " | ".join(told.lines)
        # The new worker's vLLM speaks with the learners' weights; version 0 as it did.
        for name in ("ada", "ben"):
            own.publish(name, session.cast.learners[name].weights())
        now = picked("ada-v0", "ada-v2", "ben-v2")
        assert now[0] == pytest.approx(before[0], abs=1e-3)
        for name, scores in zip(("ada", "ben"), now[1:], strict=True):
            assert scores == pytest.approx(scored(own, name), abs=5e-3)
            assert max(abs(a - b) for a, b in zip(before[0], scores, strict=True)) > 1e-2
        here = [*running("ray::RolloutWorker"), *running("VLLM::EngineCore")]
    assert here and gone(here), "nothing is left when the run is over"
    assert len(set(Path(tempfile.gettempdir()).glob("debate-vllm-*")) - folders) == 1, "but what the killed one wrote"


def scored(own: AdapterPolicies, policy: str) -> list[float]:
    """What transformers says of the choices."""
    from debate.engines.vllm.build import chat_format
    from debate.models import resolve

    chat = chat_format(resolve(MODEL), MODEL)
    prompt, found = list(chat.encode(VIEW)), []
    for text in PICKS:
        said = list(chat.continuation(text))
        with own.use(policy) as model, torch.inference_mode():
            logp = model(torch.tensor([[*prompt, *said]])).logits.float().log_softmax(-1)[0]
        found.append(logp[torch.arange(len(said)) + len(prompt) - 1, torch.tensor(said)].sum().item())
    return found
