"""Agents whose answers are programs: verified in the sandbox, in this process and on Ray's workers."""

from __future__ import annotations

import asyncio
import json

import pytest

from debate.cast import Cast
from debate.data import load_questions
from debate.engines.openai.fault_server import FaultServer, chat_answer
from debate.play import play
from debate.progress import Silent
from debate.reader import parse_yaml
from debate.recipe import build_arena, parse_recipe
from debate.scale.actors import Dressing
from debate.scale.cluster import ScaleSpec, connected, worker_claim
from debate.scale.pool import Pool
from debate.transcript import Match
from judges import probe

pytestmark = pytest.mark.skipif(probe().tier == "D", reason="this host offers no safe isolation")

RECIPE = """\
name: programs
agents:
  sol: {{kind: openai, model: small, url: "{url}"}}
arenas:
  code: {{protocol: self_critique, parameters: {{verifier: code}}, seats: {{solver: sol}}, data: {{path: q.jsonl}}}}
training: {{updates: 0, groups: 1, group_size: 2, baseline: group}}
league: {{questions: 1}}
tournament: {{questions: 1, resamples: 10}}
evaluation: {{questions: 1}}
"""


def programming(body):
    """An endpoint that subtracts at first, finds that wrong, and adds in the end."""
    answer, asked = chat_answer(body), body["messages"][-1]["content"]
    sign = "+" if "final answer" in asked else "-"
    said = "wrong" if "Pick one of" in asked else f"So:\n```python\ndef add(a, b):\n    return a {sign} b\n```"
    answer["choices"][0]["message"]["content"] = said
    return answer


@pytest.fixture
def setting(tmp_path):
    """The recipe, its questions and two matches; the endpoint answers as long as the test runs."""
    tests = "assert add(2, 1) == 3"
    rows = [{"id": f"q{i}", "question": f"Write add(a, b), version {i}.", "gold": tests} for i in range(40)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with FaultServer(lambda number, body: None, programming) as server:
        recipe = parse_recipe(parse_yaml(RECIPE.format(url=server.url), "programs.yaml"), tmp_path)
        questions = load_questions(recipe.main.test, recipe.seed)
        yield recipe, questions, [Match(f"m{q.id}", "code", q.id, {"solver": "sol-v0"}) for q in questions[:2]]


def played(recipe, questions, matches):
    return asyncio.run(play(build_arena(recipe.main, questions, []), matches, Cast(recipe, teach=False), recipe.seed))


def test_programs_are_verified_at_every_turn(setting):
    for episode in played(*setting):
        assert episode.failure is None
        told = dict(zip(episode.rewards.criteria, episode.rewards.values[0], strict=True))
        assert (told["first"], told["truth"], told["gained"], told["lost"], told["discernment"]) == (0, 1, 1, 0, 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning:ray.*", "ignore::DeprecationWarning:ray.*")
def test_programs_are_verified_on_rays_workers(setting, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    recipe, questions, matches = setting
    spec = ScaleSpec("local", 1)
    with connected(spec, 0) as ray:
        pool = Pool(ray, spec, worker_claim(recipe), recipe, {"code": questions}, Silent())
        there = pool.play("code", matches, Dressing(), recipe.seed)
    assert repr(there) == repr(played(recipe, questions, matches))
