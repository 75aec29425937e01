"""Ray: clear words where it cannot be used. What it does is tested on a cluster (test_ray_cluster)."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from debate.cli import main
from debate.errors import UserError
from debate.recipe import read_recipe
from debate.scale.cluster import Claim, learner_claim, room, scale_of, worker_claim
from debate.scale.desk import Desk

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


def test_claims_are_what_engines_and_learners_run_on(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    recipe = read_recipe(QUICKSTART, [], 0)
    assert worker_claim(recipe) == Claim(2, 0)
    assert learner_claim({"device": "cpu"}) == Claim(2, 0) and learner_claim({"device": "cuda"}) == Claim(2, 1)
    assert learner_claim({"device": "cuda", "shard": 4}) == Claim(8, 4)
    assert learner_claim({"device": "cpu", "shard": 2}) == Claim(4, 0)
    on_gpu = replace(recipe.agent("bob"), options={"device": "cuda", "gpus": 2})
    assert worker_claim(replace(recipe, agents=(recipe.agent("alice"), on_gpu))) == Claim(2, 2)


def test_a_desk_gives_every_answer_to_who_asked():
    async def scene():
        desk = Desk()
        asking = [asyncio.create_task(desk.ask("completions", [key])) for key in "abc"]
        await asyncio.sleep(0)
        first = await desk.take()
        late = asyncio.create_task(desk.ask("put_completions", {"d": 1}))
        ((number, method, what),) = await desk.take()
        assert (method, what) == ("put_completions", {"d": 1})
        await desk.answer({number: 1})
        await desk.answer({number: what for number, _, what in reversed(first)})
        return [await one for one in asking], await late

    assert asyncio.run(scene()) == ([["a"], ["b"], ["c"]], 1)
