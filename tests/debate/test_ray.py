"""Ray: the same results as without it, also when workers and learners die; clear words where it cannot be used."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from debate.cli import main
from debate.errors import UserError
from debate.progress import Silent
from debate.recipe import read_recipe
from debate.run.folder import RunFolder
from debate.scale.cluster import Claim, ScaleSpec, room, scale_of
from debate.train import train

QUICKSTART = Path(__file__).parents[2] / "runs" / "quickstart.yaml"
SMALL = [
    "training.updates=2",
    "training.groups=4",
    "training.group_size=4",
    "league.snapshot_every=1",
    "league.questions=2",
    "tournament.questions=2",
    "tournament.resamples=20",
    "evaluation.questions=4",
    "exact.data.limit=2",
    "agents.alice.rows=16",
    "agents.bob.rows=16",
    "agents.carol.rows=16",
]


def contents(out):
    """Everything a run holds, its times aside."""
    folder = RunFolder.open(out)
    with folder.store(read_only=True) as store:
        episodes = {
            e.match.id: (e.transcript, e.verdicts, None if e.rewards is None else e.rewards.values.tolist())
            for e in store.episodes()
        }
    summary = folder.read_summary()
    summary.pop("wall_seconds")
    log = [{k: v for k, v in row.items() if k != "seconds"} for row in folder.read_log()]
    return repr((sorted(episodes.items()), summary, log))


def actors_of(process, name):
    """Process ids of the actors of a class below a process; Ray gives them their class as title."""
    parents, titles = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                titles[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:  # ended meanwhile
                continue

    def below(one):
        while one in parents and one != process:
            one = parents[one]
        return one == process

    return sorted(one for one, title in titles.items() if title.startswith(f"ray::{name}") and below(one))


class Killing(Silent):
    """Kills actors of a class, by their own processes, when the first update is done; keeps what is said."""

    def __init__(self, names):
        self.names, self.lines = set(names), []

    def say(self, line):
        self.lines.append(line)

    def advance(self, steps=1, note=""):
        if note and self.names:  # only an update has a note
            for name in sorted(self.names):
                os.kill(actors_of(os.getpid(), name)[0], signal.SIGKILL)
            self.names = set()


def test_refusals(tmp_path, capsys):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]  # bound and not listening: nothing answers
        assert main(["train", str(QUICKSTART), "--out", str(tmp_path / "a"), "--ray", f"127.0.0.1:{port}"]) == 2
    assert "nothing answers there" in capsys.readouterr().err
    assert main(["train", str(QUICKSTART), "--out", str(tmp_path / "a"), "--ray", "somewhere"]) == 2
    assert "HOST:PORT" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    with pytest.raises(UserError, match="--ray-workers"):
        scale_of("", 2)


def test_actors_fit_on_nodes_or_what_is_missing_is_named():
    small = [Claim(3, 0)]
    assert room(small, Claim(1, 0), {"learner": Claim(1, 0)}, 0) == 2
    with pytest.raises(UserError, match=r"3 rollout worker.*learner of 1 CPU.*1 node\(s\) with 3 CPU"):
        room(small, Claim(1, 0), {"learner": Claim(1, 0)}, 3)
    with pytest.raises(UserError, match="1 GPU"):
        room(small, Claim(1, 1), {}, 1)
    # Two nodes of two GPUs are not one of four, and a sharded learner takes the node that it fits best.
    pair = [Claim(8, 4), Claim(8, 2)]
    sharded = {"learner of ada": Claim(2, 2)}
    assert room(pair, Claim(1, 1), sharded, 0) == 4
    assert room(pair, Claim(1, 4), sharded, 0) == 1
    with pytest.raises(UserError, match=r"learner of ada of 4 CPU and 4 GPU.*2 node\(s\)"):
        room([Claim(8, 2), Claim(8, 2)], Claim(1, 1), {"learner of ada": Claim(4, 4)}, 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning:ray.*", "ignore::DeprecationWarning:ray.*")
def test_lost_workers_and_learners_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    recipe = read_recipe(QUICKSTART, SMALL, 3)
    train(recipe, tmp_path / "plain")
    killing = Killing(["RolloutWorker", "GroupLearner"])
    train(recipe, tmp_path / "ray", progress=killing, scale=ScaleSpec("local", 2))
    told = " ".join(killing.lines)
    assert "worker" in told and "was lost" in told and "is restored" in told
    assert contents(tmp_path / "ray") == contents(tmp_path / "plain")
