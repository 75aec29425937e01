"""Transformers agents with LoRA through `debate train`, on a tiny random model: LLM judge, stop and resume, recipes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from debate.engines.tiny import save_tiny
from debate.reader import parse_yaml
from debate.recipe import parse_recipe
from debate.run.folder import RunFolder
from debate.train import train

RECIPE = """\
name: tiny_hf
same_family: "a test"
trust: unblessed
agents:
  ada: &debater {{kind: hf, model: {model}, learning_rate: 1e-3, lora_rank: 4, rows: 8, part_rows: 4,
                  weights: {{margin: 1, brevity: 0.5, format: 0.1}}}}
  ben: *debater
arenas:
  debate:
    protocol: debate_simultaneous
    parameters: {{rounds: 2, words: 20, tokens: 6, judge_sees: [question, material, public]}}
    seats: {{A: ada, B: ben}}
    judge: {{kind: llm, model: {model}, swap: true}}
    data: {{path: questions.jsonl}}
training: {{updates: 2, groups: 1, group_size: 3, baseline: group}}
league: {{snapshot_every: 1, self_play: 0.5, meta: nash, questions: 1}}
tournament: {{questions: 1, resamples: 10}}
evaluation: {{questions: 1}}
logging: [tensorboard]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made(tmp_path_factory.mktemp("hf"), context=2048)


def made(path, context):
    """A folder with a tiny model and questions."""
    save_tiny(path / "model", context)
    rows = [
        {"id": f"q{i}", "question": f"Is {i} even?", "options": ["yes", "no"], "label": i % 2, "material": "abc"}
        for i in range(40)
    ]
    (path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def recipe(folder):
    return parse_recipe(parse_yaml(RECIPE.format(model=folder / "model"), "tiny_hf.yaml"), folder)


def contents(out):
    run = RunFolder.open(out)
    with run.store(read_only=True) as store:
        episodes = {e.match.id: (e.transcript, e.verdicts) for e in store.episodes()}
    summary = run.read_summary()
    summary.pop("wall_seconds")
    return episodes, summary


def test_two_lora_agents_learn_under_a_judge_on_the_bare_base_and_resume(folder, tmp_path):
    summary = train(recipe(folder), tmp_path / "straight")
    assert summary["failures"] == {} and summary["judge_accuracy"]["n"] == 1
    assert summary["nash_conv"]["after"] >= 0
    rows = list(RunFolder.open(tmp_path / "straight").read_log())
    learned = [row for row in rows if row.get("rewards")]
    # Sampler and trainer agree: what was recorded while sampling is what training recomputes.
    assert learned and all(row["sampler_gap"] < 1e-4 for row in learned)
    assert all(row["grad_norm"] > 0 for row in learned)
    assert list((tmp_path / "straight").rglob("events.out.tfevents*"))

    class Stop(Exception):
        pass

    class Interrupts:
        def start(self, stage, total):
            self.stage, self.done = stage, 0

        def advance(self, steps=1, note=""):
            self.done += steps
            if self.stage == "train" and self.done == 1:
                raise Stop

        def say(self, line):
            pass

    with pytest.raises(Stop):
        train(recipe(folder), tmp_path / "stopped", progress=Interrupts())
    train(recipe(folder), tmp_path / "stopped", resume=True)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "straight")


def test_verdicts_that_fail_become_no_reward_and_no_payoff(tmp_path):
    """The judge's context is too short for its prompts: the run goes on, and says what it could not know."""
    folder = made(tmp_path, context=960)
    summary = train(recipe(folder), tmp_path / "run")
    assert summary["failures"]["verdict"] > 0
    assert summary["nash_conv"] is None and "no known reward" in summary["left_out"]["equilibrium"]
    rows = [row for row in RunFolder.open(tmp_path / "run").read_log() if "mixture" in row]
    assert all(row["nash_conv"] is None and row["unknown_cells"] > 0 for row in rows)
    assert all(sum(p) == pytest.approx(1.0) for row in rows for p in row["mixture"].values())


def test_completions_are_kept_and_never_paid_for_twice(folder, tmp_path):
    """A run that is cut off in the middle of its matches asks only for what it does not hold yet."""
    from debate import session

    train(recipe(folder), tmp_path / "whole")
    calls, asked = [], []

    class Counting:
        def __init__(self, inner, store, name):
            from debate.run.cache import CachingCompleter

            self.inner = inner
            self._cached = CachingCompleter(self, store, name)
            self._asked = False

        async def __call__(self, requests):
            if self._asked:
                calls.append(len(requests))
                return await self.inner(requests)
            asked.append(len(requests))
            self._asked = True
            try:
                return await self._cached(requests)
            finally:
                self._asked = False

    original = session._cache
    session._cache = lambda store: lambda completer, name: Counting(completer, store, name)
    try:
        run = RunFolder.open(tmp_path / "whole")
        run.report_path.unlink()
        with run.store() as store, store.batch():
            pass
        import sqlite3

        with sqlite3.connect(run.store_path) as database:
            for (table,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
                if table in ("transcripts", "verdicts", "rewards", "matches"):
                    database.execute(f"delete from {table} where rowid > 4")
        database.close()
        train(recipe(folder), tmp_path / "whole", resume=True)
    finally:
        session._cache = original
    assert sum(asked) > 0, "nothing was replayed, so nothing was tested"
    assert sum(calls) == 0


def test_a_model_that_is_not_there_is_told_before_a_folder_is_made(folder, tmp_path):
    from debate.errors import UserError

    text = RECIPE.format(model="nowhere/at-all").replace("nowhere/at-all", "smollm2-135")
    broken = parse_recipe(parse_yaml(text, "tiny_hf.yaml"), folder)
    with pytest.raises(UserError, match='did you mean "smollm2-135m"'):
        train(broken, tmp_path / "none")
    assert not Path(tmp_path / "none").exists()
