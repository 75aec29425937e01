"""A tournament in one process, four others that read its store from before its first match until after its last."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from debate.agents.agent import Agent
from debate.agents.scripted import SCRIPTS, ScriptedSpeaker
from debate.data import load_questions
from debate.play import Arena
from debate.progress import Silent
from debate.protocol.load import load_protocol
from debate.run.codec import encode_episode
from debate.run.store import Store
from debate.tournaments.budget import Meter
from debate.tournaments.pairing import Field
from debate.tournaments.play import play_tournament
from debate.tournaments.results import Results
from debate.tournaments.spec import Plan
from debate.transcript import Policy
from judges.judges.evidence import NaiveEvidenceJudge
from judges.rules import make_rule

ROOT = Path(__file__).parents[2]
QUESTIONS, MATCHES, WAVE = 40, 240, 3  # three pairs, two seatings; eighty commits, all read in one page
READERS = 4


def play_all(path: Path) -> None:
    """Says that the store is there, waits for a word, and plays a round robin of three scripts."""
    protocol = load_protocol("evidence_debate", {"k": 2})
    questions = tuple(load_questions({"adapter": "evidence", "n": 6, "limit": QUESTIONS}, 0))
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    arena = Arena("debate", protocol, {q.id: q for q in questions}, (NaiveEvidenceJudge(),), rules)
    scripts = {"greedy-v0": "greedy_evidence", "random-v0": "random_legal", "third-v0": "random_legal"}
    cast = {n: Agent(Policy(n[:-3], 0, "scripted"), ScriptedSpeaker(SCRIPTS[s])) for n, s in scripts.items()}
    field = Field("debate", protocol, tuple(scripts), ("A", "B"), {}, questions, 0)
    plan = Plan("round_robin", (), QUESTIONS, 1, 1, 1, 1, 0.0, "win", False, False, 1)
    with Store(path) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        play_tournament(field, plan, arena, cast, store, Results(field, "win"), Meter(), Silent(), WAVE)


def read_on(path: Path) -> None:
    """Reads until the tournament is over and everything was read: what was seen stays as it was, and only grows."""
    print("ready", flush=True)
    seen: dict[str, str] = {}
    rounds = growing = 0
    last = False
    with Store(path, read_only=True) as kept:  # one connection for all the time beside one for each round
        while True:
            with Store(path, read_only=True) as fresh:
                for store in (kept, fresh):
                    count, ids = len(store), list(store.ids())
                    assert count >= len(seen) and len(ids) >= count, (count, len(ids), len(seen))
                    assert seen.keys() <= set(ids), "a match that was seen is gone"
                    assert len(ids) % WAVE == 0, "half a commit was seen"
                    for match_id in ids:
                        episode = store.get(match_id)
                        assert episode is not None and episode.failure is None and len(episode.verdicts) == 1
                        assert episode.rewards is not None and len(episode.transcript.turns) == 4
                        digest = hashlib.sha256(encode_episode(episode).encode()).hexdigest()
                        assert seen.setdefault(match_id, digest) == digest, "a stored match changed"
                    growing += 0 < len(ids) < MATCHES
            rounds += 1
            if last:
                break
            last = (path.parent / "over").exists()  # one more round then, to read what came last
    print(rounds, growing, len(seen), whole(seen))


def whole(seen: dict[str, str]) -> str:
    """One hash of everything read."""
    return hashlib.sha256("".join(sorted(seen.values())).encode()).hexdigest()


def child(call: str, path: Path) -> subprocess.Popen[str]:
    """A Python process that calls a function of this module with the store's path."""
    code = f"import sys, pathlib; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    code += f"from test_tournament_readers import *\n{call}(pathlib.Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_four_readers_beside_a_tournament_see_whole_matches_that_only_grow(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    player = child("play_all", path)
    readers: list[subprocess.Popen[str]] = []
    try:
        assert player.stdout is not None and player.stdin is not None
        assert player.stdout.readline() == "ready\n"
        readers = [child("read_on", path) for _ in range(READERS)]
        for reader in readers:
            assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
        player.stdin.write("go\n")
        player.stdin.flush()
        player.communicate(timeout=300)
        assert player.returncode == 0
        (tmp_path / "over").touch()
        told = [reader.communicate(timeout=300)[0].split() for reader in readers]
    finally:
        for process in (player, *readers):
            process.kill()
            process.wait()
    assert [reader.returncode for reader in readers] == [0] * READERS
    with Store(path, read_only=True) as store:
        content = {e.match.id: hashlib.sha256(encode_episode(e).encode()).hexdigest() for e in store.episodes()}
        assert store.check() == []
    assert len(content) == MATCHES
    for rounds, growing, count, digest in told:
        assert int(rounds) >= 2 and int(growing) >= 1, "it read while the tournament was played"
        assert (int(count), digest) == (MATCHES, whole(content))
