"""Tournaments on a real Ray of this machine: the table of a run without it, whoever dies, and budgets that hold."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections import Counter
from hashlib import blake2b
from pathlib import Path

import pytest

from debate.cli import main
from debate.engines.openai.fault_server import FaultServer, chat_answer
from debate.progress import Silent
from debate.reader import parse_yaml
from debate.recipe import read_recipe
from debate.run.folder import RunFolder
from debate.scale.cluster import ScaleSpec
from debate.session import open_session
from debate.tournament import tournament
from debate.tournaments.budget import LOST
from debate.tournaments.command import run_tournament
from debate.train import train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning:ray.*", "ignore::DeprecationWarning:ray.*"),
]
RAY = ScaleSpec("local", 2)
IDLE = b"ray::RolloutWorker\0"


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def workers(title=b"ray::RolloutWorker"):
    """Process ids of this process's rollout workers; Ray gives actors a title, and adds the method that is running."""
    parents, found = {}, []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if (entry / "cmdline").read_bytes().startswith(title):
                    found.append(int(entry.name))
            except OSError:  # ended meanwhile
                continue

    def ours(process):
        while process in parents:
            if process == os.getpid():
                return True
            process = parents[process]
        return False

    return sorted(filter(ours, found))


def episodes_of(out):
    """Match id → everything a store holds of it, as text."""
    with RunFolder.open(out).store(read_only=True) as store:
        return {
            e.match.id: repr((e.transcript, e.verdicts, None if e.rewards is None else e.rewards.values.tolist()))
            for e in store.episodes()
        }


def contents(out):
    """Everything a tournament holds but times and what was spent; and what was spent."""
    summary = RunFolder.open(out).read_summary()
    summary.pop("wall_seconds")
    summary["tournament"].pop("budgets")
    spent = summary["tournament"].pop("spent")
    spent.pop("seconds")
    return repr((sorted(episodes_of(out).items()), summary)), spent


class Killing(Silent):
    """Stops an idle worker when the first round is over and kills it a second later; keeps what is said."""

    def __init__(self):
        self.told, self.killed = "", []

    def say(self, line):
        self.told += f" | {line}"

    def advance(self, steps=1, note=""):
        if not self.killed:
            self.killed = workers(IDLE)[:1]
            os.kill(self.killed[0], signal.SIGSTOP)
            threading.Timer(1.0, os.kill, (self.killed[0], signal.SIGKILL)).start()


CUP = """\
name: cup
agents:
  one: {kind: nano}
  two: {kind: nano}
  greedy: {kind: scripted, script: greedy_evidence}
arenas:
  debate:
    protocol: evidence_debate
    parameters: {k: 2}
    judge: naive_evidence
    data: {adapter: evidence, n: 8, limit: 12}
  alone:
    protocol: evidence_consultancy
    parameters: {k: 1}
tournament: {format: swiss, rounds: 2, questions: 3, resamples: 20, baseline: alone}
"""


def test_the_table_and_the_store_are_those_without_ray_with_a_worker_killed_at_work(tmp_path):
    document = parse_yaml(CUP, "cup.yaml")
    run_tournament(document, tmp_path, tmp_path / "plain")
    killing = Killing()
    found = run_tournament(document, tmp_path, tmp_path / "ray", progress=killing, scale=RAY)
    assert "matches in flight, which are played again" in killing.told
    (there, spent), (here, once) = contents(tmp_path / "ray"), contents(tmp_path / "plain")
    assert there == here and "'alone'" in here
    # What the dead worker was doing was spent, at least in part; reading the store again is free.
    assert found.stopped is None and once["calls"] <= spent["calls"] <= 2 * once["calls"]
    run_tournament(document, tmp_path, tmp_path / "ray", resume=True)
    assert contents(tmp_path / "ray")[0] == here


PAID = """\
name: paid
trust: unblessed
same_family: "a test"
agents:
  ada: &debater {{kind: openai, model: talker, url: "{url}", max_tokens: 16, concurrency: 4}}
  ben: *debater
arenas:
  debate:
    protocol: debate_simultaneous
    parameters: {{rounds: 2, words: 20, tokens: 6}}
    judge: {{kind: llm, engine: openai, url: "{url}", model: judge, read: votes, samples: 1, max_tokens: 8}}
    data: {{path: questions.jsonl}}
tournament: {{format: round_robin, questions: 4, resamples: 20, matched: 2}}
"""
SAMPLED = 4  # tokens of every answer of the server


def answer(body):
    """A debater says something of its own; the judge votes by what it reads."""
    found = chat_answer(body)
    told = blake2b(json.dumps([body["messages"], body["seed"]]).encode(), digest_size=2).hexdigest()
    vote = json.dumps({"reason": told, "answer": "AB"[int(told, 16) % 2]})
    found["choices"][0]["message"]["content"] = vote if body["model"] == "judge" else f"word {told}"
    return found


def asked(bodies):
    return Counter(json.dumps([body["messages"], body["seed"], body["model"]]) for body in bodies)


def test_budgets_hold_over_sessions_with_and_without_ray_and_a_worker_that_dies_with_calls_in_flight(tmp_path):
    rows = [
        {
            "id": f"q{i}",
            "question": f"Is {i} even?",
            "options": ["yes", "no"],
            "label": i % 2,
            "material": f"It is {i}.",
        }
        for i in range(4)
    ]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    seen, lock = {}, threading.Lock()

    def plan(number, body):
        """Once, when both workers have calls in flight, one of them is gone."""
        if not seen.get("armed"):
            return None
        with lock:
            if "flying" not in seen:
                deadline = time.monotonic() + 120
                while server.flying < 8 and time.monotonic() < deadline:  # two workers, four calls each
                    time.sleep(0.02)
                seen["flying"] = server.flying
                os.kill(workers()[0], signal.SIGKILL)
        return None

    with FaultServer(plan, answer) as server:
        document = parse_yaml(PAID.format(url=server.url), "paid.yaml")

        def session(out, scale=None, **budgets):
            return run_tournament(document, tmp_path, tmp_path / out, True, budgets, scale=scale)

        session("plain")
        once = asked(server.bodies)
        total = sum(once.values())
        half, more = total // 2, 3 * total // 4
        assert set(once.values()) == {1} and total > 40
        server.bodies.clear()
        # 1. On Ray: calls. 2. Without: tokens. Neither is exceeded, and what is reported is what was paid.
        for scale, name, limit in ((RAY, "calls", half), (None, "tokens", SAMPLED * more)):
            outcome = session("ray", scale, **{name: limit, "calls" if name == "tokens" else "tokens": 1e6})
            assert outcome.stopped.name == name and not outcome.summary["failures"]
            spent = contents(tmp_path / "ray")[1]
            assert spent["calls"] == len(server.bodies) and spent["tokens"] == SAMPLED * len(server.bodies)
            assert spent[name] <= limit
            seen[name] = len(server.bodies)
        assert 0 < seen["calls"] < seen["tokens"] <= more
        assert set(asked(server.bodies).values()) == {1}
        # 3. On Ray to the end, with a worker killed: what was on its way is asked, and counted, again.
        seen["armed"] = True
        outcome = session("ray", RAY, calls=2 * total, tokens=1e6)
    assert outcome.stopped is None and seen["flying"] == 8
    (there, spent), (here, _) = contents(tmp_path / "ray"), contents(tmp_path / "plain")
    assert there == here
    again = asked(server.bodies)
    assert set(again) == set(once)
    assert 0 < sum(again.values()) - total <= seen["flying"]
    # Whether a call in flight was made is not known: all that the dead worker had reserved counts, at its longest.
    with RunFolder.open(tmp_path / "ray").store(read_only=True) as store:
        ((_, lost),) = store.events(LOST)
        paid = store.completions_cost()
    assert lost["calls"] >= sum(again.values()) - total and lost["tokens"] >= SAMPLED * lost["calls"]
    assert spent["calls"] == paid.calls + lost["calls"] >= sum(again.values())


class Interrupted(Silent):
    """Ends the run when its tournament begins."""

    def start(self, stage, total):
        if stage == "tournament":
            raise KeyboardInterrupt


def test_the_tournament_of_a_training_run_is_played_on_ray(tmp_path):
    """The snapshots are published to the workers; the game is the one played without Ray."""
    settings = ["training.updates=1", "training.groups=2", "training.group_size=2", "league.snapshot_every=1"]
    settings += ["league.questions=1", "tournament.questions=2", "tournament.resamples=10", "evaluation.questions=1"]
    settings += ["exact.data.limit=1", *(f"agents.{name}.rows=4" for name in ("alice", "bob", "carol"))]
    recipe = read_recipe(Path(__file__).parents[2] / "runs" / "quickstart.yaml", settings, 3)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "plain", progress=Interrupted())
    shutil.copytree(tmp_path / "plain", tmp_path / "ray")
    before = episodes_of(tmp_path / "ray")
    with open_session(recipe, tmp_path / "plain", resume=True) as session:
        tournament(session)
    assert main(["tournament", str(tmp_path / "ray"), "--ray", "local", "--ray-workers", "1"]) == 0
    found = episodes_of(tmp_path / "ray")
    assert found == episodes_of(tmp_path / "plain") and len(found) > len(before)
    assert RunFolder.open(tmp_path / "ray").read_summary()["meta_equilibrium"]
