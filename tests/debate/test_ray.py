"""Ray: clear words where it cannot be used. What it does is tested on a cluster (test_ray_cluster)."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from debate.cli import main
from debate.errors import UserError
from debate.scale.cluster import Claim, room, scale_of

QUICKSTART = Path(__file__).parents[2] / "runs" / "quickstart.yaml"


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
