"""A real Ray cluster, its nodes processes of this machine: what dies at work costs time and changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from debate.cast import Cast
from debate.data import load_questions
from debate.engines.openai.fault_server import FaultServer, chat_answer
from debate.engines.tiny import save_tiny
from debate.errors import UserError
from debate.judging import build_judges
from debate.learning.batch import TokenBatch
from debate.learning.samples import gather
from debate.play import play
from debate.progress import Silent
from debate.reader import parse_yaml
from debate.recipe import build_arena, parse_recipe, read_recipe
from debate.run.checkpoint import Checkpoints
from debate.run.folder import RunFolder
from debate.scale.actors import Dressing
from debate.scale.cluster import Claim, ScaleSpec, connected, nodes, room
from debate.scale.learners import Group
from debate.scale.pool import Pool
from debate.scale.weights import as_arrays
from debate.train import train
from debate.transcript import Match, Policy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning:ray.*", "ignore::DeprecationWarning:ray.*"),
]

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
# How soon a cluster notices that a node is gone; Ray's own setting is half a minute.
NOTICE = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def cluster():
    """A head that only the driver lives on; tests add the nodes that work."""
    from ray.cluster_utils import Cluster

    made = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": NOTICE})
    yield made
    made.shutdown()


def contents(out):
    """Everything a run and its exploiters hold, times aside."""
    folder = RunFolder.open(out)
    with folder.store(read_only=True) as store:
        episodes = {
            e.match.id: (e.transcript, e.verdicts, None if e.rewards is None else e.rewards.values.tolist())
            for e in store.episodes()
        }
    summary = folder.read_summary() or {}
    summary.pop("wall_seconds", None)
    log = [{k: v for k, v in row.items() if k != "seconds"} for row in folder.read_log()]
    inner = sorted(path.parent for path in (Path(out) / "exploiters").glob("*/manifest.json"))
    return repr((sorted(episodes.items()), summary, log, [contents(path) for path in inner]))


def processes(title):
    """Process id → parent's, of processes with such a title; Ray gives actors theirs."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cmdline").read_bytes().decode(errors="replace").startswith(title):
                    found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # ended meanwhile
                continue
    return found


def on_node(node, name):
    """The actors of a class on a node."""
    raylet = node.all_processes["raylet"][0].process.pid
    return sorted(actor for actor, parent in processes(f"ray::{name}").items() if parent == raylet)


class Hearing(Silent):
    """Keeps what is said; calls a function once, when the first update is done."""

    def __init__(self, then):
        self.then, self.lines = then, []

    @property
    def told(self):
        return " | ".join(self.lines)

    def say(self, line):
        self.lines.append(line)

    def advance(self, steps=1, note=""):
        if note and self.then:  # only an update has a note
            self.then, then = None, self.then
            then()


def planned(recipe, policy):
    """A few questions of every arena, and a match on each of the first one's."""
    questions = {spec.name: load_questions(spec.test, 3)[:4] for spec in recipe.arenas}
    seats = {"A": policy, "B": "bob-v0"}
    return questions, [Match(f"m{i}", "debate", q.id, seats) for i, q in enumerate(questions["debate"])]


def signaled(number, actors):
    for actor in actors:
        os.kill(actor, number)


def frozen_then_killed(actors, seconds=1.0):
    """Stops actors at once and kills them a little later: what is asked of them meanwhile is in flight, and lost."""
    signaled(signal.SIGSTOP, actors)
    killing = threading.Timer(seconds, signaled, (signal.SIGKILL, actors))
    killing.start()
    return killing


def test_every_part_of_the_league_with_a_worker_and_a_learner_killed_at_work(cluster, tmp_path):
    """Extragradient, guard and exploiters are those of a run without Ray, whoever dies in the middle of what."""
    node = cluster.add_node(num_cpus=3)
    also = ["league.guard={questions: 2}", "league.exploiter=1", "agents.alice.lookahead=extragradient"]
    recipe = read_recipe(QUICKSTART, [*SMALL, *also, "agents.bob.frozen=true"], 3)
    train(recipe, tmp_path / "plain")

    def kill():
        frozen_then_killed([on_node(node, "RolloutWorker")[0], *on_node(node, "GroupLearner")])

    hearing = Hearing(kill)
    train(recipe, tmp_path / "ray", progress=hearing, scale=ScaleSpec(cluster.address, 2))
    assert "matches in flight, which are played again" in hearing.told
    assert "learner of alice, carol was lost" in hearing.told and "is done again" in hearing.told
    found = contents(tmp_path / "ray")
    assert found == contents(tmp_path / "plain")
    assert "alice.exploiter-v" in found and "'guard'" in found


MIXED = """\
name: mixed
agents:
  alice: {{kind: nano, rows: 16, learning_rate: 1e-3, weights: {{win: 1, validity: 0.25}}}}
  guest: {{kind: openai, model: small, url: "{url}", max_tokens: 16}}
arenas:
  debate:
    protocol: evidence_debate
    parameters: {{k: 2}}
    seats: {{A: alice, B: guest}}
    judge: naive_evidence
    data: {{adapter: evidence, n: 12, train: {{split: train, limit: 64}}, test: {{split: test, limit: 16}}}}
training: {{updates: 2, groups: 4, group_size: 4, baseline: group}}
league: {{snapshot_every: 1, self_play: 0.5, meta: nash, questions: 1}}
tournament: {{questions: 1, resamples: 20}}
evaluation: {{questions: 1}}
"""


def picking(body):
    """An endpoint that picks a choice by the request's seed."""
    answer, offered = chat_answer(body), body["messages"][-1]["content"].rpartition("Pick one of: ")[2].split(", ")
    answer["choices"][0]["message"]["content"] = offered[body["seed"] % len(offered)]
    return answer


def asked(bodies):
    return Counter(json.dumps([body["messages"], body["seed"]]) for body in bodies)


def test_a_node_is_killed_with_matches_in_flight_and_another_one_is_added(cluster, tmp_path, monkeypatch):
    # Where the learner is, is told by a pretended GPU; the other worker has no place but the small node.
    monkeypatch.setattr("debate.scale.learners.learner_claim", lambda options: Claim(1, 1))
    cluster.add_node(num_cpus=1)
    full = cluster.add_node(num_cpus=2, num_gpus=1)
    seen, wave, over = {}, threading.Lock(), threading.Event()

    class Adding(Hearing):
        def say(self, line):
            super().say(line)
            if "in flight" in line and "added" not in seen:
                seen["added"] = cluster.add_node(num_cpus=2, num_gpus=1)

        def advance(self, steps=1, note=""):
            if note and "added" in seen:
                seen["used"] = [len(on_node(seen["added"], name)) for name in ("RolloutWorker", "GroupLearner")]
            super().advance(steps, note)

    def plan(number, body):
        """The first answer after the first update waits until every match waits for one; then the node is gone.

        Its actors are stopped before and killed after: without their raylet they live on for a moment, in which an
        answer could still come through.
        """
        if hearing is None or hearing.then:
            return
        with wave:
            if not over.is_set():
                deadline = time.monotonic() + 60
                while server.flying < 16 and time.monotonic() < deadline:  # four groups of four matches
                    time.sleep(0.05)
                found = [on_node(full, name) for name in ("RolloutWorker", "GroupLearner")]
                seen["flying"], seen["lost"] = server.flying, [len(actors) for actors in found]
                signaled(signal.SIGSTOP, [*found[0], *found[1]])
                cluster.remove_node(full, allow_graceful=False)
                signaled(signal.SIGKILL, [*found[0], *found[1]])
                over.set()

    hearing = None
    with FaultServer(plan, picking) as server:
        recipe = parse_recipe(parse_yaml(MIXED.format(url=server.url), "mixed.yaml"), tmp_path)
        train(recipe, tmp_path / "plain")
        once = asked(server.bodies)
        server.bodies.clear()
        hearing = Adding(lambda: None)
        train(recipe, tmp_path / "ray", progress=hearing, scale=ScaleSpec(cluster.address, 2))
        again = asked(server.bodies)
    assert seen["flying"] == 16 and seen["lost"] == [1, 1] and seen["used"] == [1, 1]
    assert "matches in flight, which are played again" in hearing.told and "learner of alice was lost" in hearing.told
    assert contents(tmp_path / "ray") == contents(tmp_path / "plain")
    # An answer that had come is kept by the driver: only what was on its way is asked for again.
    assert set(again) == set(once)
    assert 0 < sum(again.values()) - sum(once.values()) <= seen["flying"]


HF = """\
name: tiny_hf
same_family: "a test"
trust: unblessed
agents:
  ada: &debater {{kind: hf, model: {model}, learning_rate: 1e-3, lora_rank: 4, rows: 8, fixed: {fixed}, part_rows: 4,
                  learner: {learner},
                  weights: {{margin: 1, brevity: 0.5, format: 0.1}}}}
  ben: *debater
arenas:
  debate:
    protocol: debate_simultaneous
    parameters: {{rounds: 2, words: 20, tokens: 6, judge_sees: [question, material, public]}}
    seats: {{A: ada, B: ben}}
    judge: {{kind: llm, model: {model}, swap: true}}
    data: {{path: questions.jsonl}}
training: {{updates: 2, groups: 1, group_size: 4, baseline: group}}
league: {{snapshot_every: 2, self_play: 0.5, meta: nash, questions: 1}}
tournament: {{questions: 1, resamples: 10}}
evaluation: {{questions: 1}}
"""


def tiny_hf(folder, fixed, learner):
    """A recipe of transformers agents on a tiny model, which is made here, as are its questions."""
    save_tiny(folder / "model")
    rows = [
        {"id": f"q{i}", "question": f"Is {i} even?", "options": ["yes", "no"], "label": i % 2, "material": "abc"}
        for i in range(40)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = parse_yaml(HF.format(model=folder / "model", fixed=fixed, learner=learner), "tiny_hf.yaml")
    return parse_recipe(document, folder)


def answers_kept(out):
    with RunFolder.open(out).store(read_only=True) as store:
        return store.completions_cost()


@pytest.mark.parametrize(("workers", "fixed", "learner"), [(1, "false", "separate"), (2, "true", "joint")])
def test_transformers_agents_are_bitwise_those_of_a_run_without_ray(cluster, tmp_path, workers, fixed, learner):
    """With one worker batches are the same; with several, where their shapes do not depend on what else is asked."""
    recipe = tiny_hf(tmp_path, fixed, learner)
    train(recipe, tmp_path / "plain")
    node = cluster.add_node(num_cpus=3)
    hearing = Hearing(lambda: frozen_then_killed(on_node(node, "RolloutWorker")[:1]))
    train(recipe, tmp_path / "ray", progress=hearing, scale=ScaleSpec(cluster.address, workers))
    assert "matches in flight, which are played again" in hearing.told
    assert contents(tmp_path / "ray") == contents(tmp_path / "plain")
    assert answers_kept(tmp_path / "ray") == answers_kept(tmp_path / "plain")


def test_a_sharded_learner_is_killed_at_work_and_its_processes_end_with_it(cluster, tmp_path):
    recipe = tiny_hf(tmp_path, "false", "joint, shard: 2")
    train(recipe, tmp_path / "plain")
    node, ranks = cluster.add_node(num_cpus=3), {}
    title = "\0".join([sys.executable, "-m", "debate.sharding.rank"])

    def kill():
        (learner,) = on_node(node, "GroupLearner")
        ranks.update({pid: parent for pid, parent in processes(title).items() if parent == learner})
        frozen_then_killed([learner])

    hearing = Hearing(kill)
    train(recipe, tmp_path / "ray", progress=hearing, scale=ScaleSpec(cluster.address, 1))
    assert len(ranks) == 2 and not set(ranks) & set(processes(title))
    assert "learner of ada, ben was lost" in hearing.told and "is done again" in hearing.told
    assert contents(tmp_path / "ray") == contents(tmp_path / "plain")


def test_actors_land_where_gpus_are_said_to_be_and_only_the_weights_asked_for_speak(cluster, tmp_path, monkeypatch):
    """Ray believes what it is told about GPUs, so placement can be seen without any."""
    import debate.engines.nano as nano

    start = tmp_path / "start.safetensors"
    shutil.copy(Path(nano.__file__).with_name("nano.safetensors"), start)
    monkeypatch.setattr("debate.scale.learners.learner_claim", lambda options: Claim(1, 1))
    recipe = read_recipe(QUICKSTART, [*SMALL, f"agents.alice.start={start}"], 3)
    questions, matches = planned(recipe, "alice-v1")
    plain, with_gpus = cluster.add_node(num_cpus=4), cluster.add_node(num_cpus=2, num_gpus=2)
    hearing = Hearing(None)
    scale = ScaleSpec(cluster.address, 1)
    with connected(scale, 0) as ray:

        def played(by=None, wanted=None):
            if by is None:
                return repr(pool.play("debate", matches, Dressing(), 3))
            return repr(ray.get(by.play.remote("debate", matches, wanted or {}, Dressing(), 3)))

        # 1. A worker and a learner with a GPU each are on the node that has two; a third one has no place.
        pool = Pool(ray, scale, Claim(1, 1), recipe, questions, hearing)
        group = Group(ray, pool, "nano", "", joint=False)
        learner = group.add("alice", Policy("alice", 0, "nano"), recipe.agent("alice").options)
        weights = learner.weights()
        pool.start()
        assert [len(on_node(with_gpus, name)) for name in ("RolloutWorker", "GroupLearner")] == [1, 1]
        assert not on_node(plain, "RolloutWorker") + on_node(plain, "GroupLearner")
        with pytest.raises(UserError, match=r"2 rollout worker\(s\) of 1 CPU and 1 GPU each.*do not fit into 3 node"):
            room(nodes(ray), Claim(1, 1), {str(group): group.claim}, 2)
        # 2. A worker that holds other weights under a name is found out; what it would have said is never seen.
        pool.publish("alice-v1", {name: 1.5 * tensor for name, tensor in weights.items()})
        expected = played()
        traitor = pool._ready[0].handle
        with pytest.raises(ray.exceptions.RayTaskError, match="a version never changes"):
            ray.get(traitor.publish.remote("alice-v1", as_arrays(weights)))
        ray.get(traitor.forget.remote("alice-v1"))
        ray.get(traitor.publish.remote("alice-v1", as_arrays(weights)))
        assert played(traitor) != expected
        assert played() == expected
        assert pool.counted.refused == pool.counted.again == len(matches)
        assert "refused what worker 1 has" in hearing.told and "worker 1 was lost" in hearing.told
        # 3. So is one that starts with other weights than the rest, since a file changed meanwhile.
        tampered = {name: tensor + 1.0 for name, tensor in load_file(start).items()}
        save_file(tampered, start)
        (worker,) = on_node(with_gpus, "RolloutWorker")
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(UserError, match="worker 3 starts alice-v0 with other weights than the other workers"):
            played()


def test_a_learner_killed_between_look_ahead_and_update_steps_from_where_it_was(cluster):
    recipe = read_recipe(QUICKSTART, [*SMALL, "agents.alice.lookahead=extragradient"], 3)
    questions, matches = planned(recipe, "alice-v0")
    cast = Cast(recipe)
    arena = build_arena(recipe.main, questions["debate"], build_judges(recipe.main, recipe, cast))
    samples, _ = gather(asyncio.run(play(arena, matches, cast, 3)), "alice-v0")
    batch = TokenBatch.from_samples(samples, np.linspace(-1.0, 1.0, len(samples)))
    here = cast.learners["alice"]
    node = cluster.add_node(num_cpus=2)
    scale, hearing = ScaleSpec(cluster.address, 1), Hearing(None)
    with connected(scale, 0) as ray:
        pool = Pool(ray, scale, Claim(1, 0), recipe, questions, hearing)
        there = Group(ray, pool, "nano", "", joint=False).add("alice", here.snapshot(), recipe.agent("alice").options)
        for learner in (here, there):
            learner.look_ahead(batch)
            if learner is there:
                frozen_then_killed(on_node(node, "GroupLearner"), 0.5)
            learner.update(batch)
        assert "update is done again" in hearing.told
        (arrays, meta), (expected, said) = there.state(), here.state()
    assert meta == said and meta["updates"] == 1
    assert set(arrays) == set(expected) and all(np.array_equal(arrays[key], expected[key]) for key in expected)


def test_a_killed_driver_leaves_no_actor_and_the_run_goes_on(cluster, tmp_path):
    node = cluster.add_node(num_cpus=2)
    longer = [*SMALL, "training.updates=5"]
    settings = [part for setting in longer for part in ("--set", setting)]
    command = [sys.executable, "-m", "debate", "train", str(QUICKSTART), "--seed", "3", *settings]
    out = tmp_path / "ray"
    spread = [*command, "--out", str(out), "--ray", cluster.address, "--ray-workers", "1"]
    driver = subprocess.Popen(spread, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 300
    while Checkpoints(out / "checkpoints").latest().checkpoint is None:
        assert driver.poll() is None and time.monotonic() < deadline, driver.stdout.read()
        time.sleep(0.05)
    held = on_node(node, "RolloutWorker") + on_node(node, "GroupLearner")
    assert len(held) == 2
    driver.kill()
    driver.communicate()
    assert (RunFolder.open(out).read_summary() or {}) == {}
    while on_node(node, "RolloutWorker") + on_node(node, "GroupLearner"):
        assert time.monotonic() < deadline, "actors of a killed driver are still there"
        time.sleep(0.1)
    done = subprocess.run([*spread, "--resume"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "resumed after update" in done.stdout
    train(read_recipe(QUICKSTART, longer, 3), tmp_path / "plain")
    assert contents(out) == contents(tmp_path / "plain")
