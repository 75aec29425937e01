"""A run audits its own judges: one that drifts is found, frozen and put in quarantine by the run itself."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest

from debate.cli import main
from debate.dry_run import estimate
from debate.judging_tools.auditing import audit_log, clean_checkpoint, remember
from debate.progress import Silent
from debate.recipe import read_recipe
from debate.run.folder import RunFolder
from debate.train import train
from debate.withdrawal import checkpoint_of
from judges import Certificate, identify
from judges.charter.gates import Gates
from judges.judges.evidence import NaiveEvidenceJudge
from judges.judges.scripted import ScriptedJudge
from judges.statistics.sequential import first_alarm

# Two items, one each: the judge sees everything, so adding up is always right.
RECIPE = """
name: drifting
seed: 0
agents:
  alice: {kind: nano, weights: {win: 1, validity: 0.25}}
  bob: {kind: nano, weights: {win: 1, validity: 0.25}}
arenas:
  debate:
    protocol: evidence_debate
    parameters: {k: 1}
    seats: {A: alice, B: bob}
    judge: {kind: llm, model: drifting, certificate: judge.json, audit: {every: 1, items: 16}}
    data: {adapter: evidence, n: 2, train: {split: train, limit: 20}, test: {split: test, limit: 24}}
training: {updates: 6, groups: 3, group_size: 2, baseline: group}
league: {snapshot_every: 0, questions: 2}
"""
DRIFT = 2  # updates after which the judge says the opposite


class Clock(Silent):
    """Counts updates, as the run reports them."""

    def __init__(self, done=0):
        self.done, self.stage, self.said = done, "", []

    def start(self, name, total):
        self.stage = name

    def advance(self, count=1, note=""):
        if self.stage == "train" and note:
            self.done += 1

    def say(self, text):
        self.said.append(text)


def drifting(clock, after=DRIFT):
    """Adds up, and says the opposite once so many updates are done."""
    adds = NaiveEvidenceJudge()

    def script(case):
        verdict = adds(case)
        try:
            verdict.send(None)
        except StopIteration as stop:
            p = stop.value.probabilities
        return p if clock.done < after else p[::-1]

    return ScriptedJudge(script, "drifting")


def certify(judge, path, **changes):
    """A certificate as `bless` would have written it for this judge, whatever it is worth."""
    gates, today, identity = Gates(), datetime.now(UTC).date(), identify(judge)
    kept = ("agreement", "attack_rate", "confidence", "panel_agreement", "audit_rate", "audit_floor")
    certificate = Certificate(
        format=2,
        judge=judge.name,
        identity=asdict(identity),
        identity_hash=identity.hash,
        labels="0" * 64,
        domains={"all": {"items": 200, "agreements": 180, "lower": 0.85, "constant": 0.5}},
        checks=({"name": "panel", "status": "pass"},),
        attacks=({"attack": "empty", "cases": 149, "flips": 0, "failed": 0, "upper": 0.0199, "confidence": 0.95},),
        baselines={"experts": 0.97, "constant": 0.5, "agreement": 0.9},
        abstention=0.5,
        terms={k: getattr(gates, k) for k in kept},
        checkpoints=(0, 100),
        issued=today.isoformat(),
        expires=(today + timedelta(days=5)).isoformat(),
        tentative=False,
        simulated=False,
    )
    replace(certificate, **changes).save(path)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "drifting").mkdir()
    (tmp_path / "drifting" / "config.json").write_text("{}")
    return tmp_path


@pytest.fixture
def run(place, monkeypatch):
    """Trains with a judge that drifts after so many updates; the clock counts on after a crash."""

    def start(out, after=DRIFT, settings=(), clock=None, resume=False, **changes):
        clock = clock or Clock()
        judge = drifting(clock, after)
        if not resume:
            audit_log(place / "judge.json").unlink(missing_ok=True)
            certify(judge, place / "judge.json", **changes)
        monkeypatch.setattr("debate.judging._judge", lambda spec, cast: judge)
        return train(read_recipe(place / "recipe.yaml", settings), place / out, progress=clock, resume=resume), clock

    return start


def test_a_judge_that_drifts_is_found_frozen_and_quarantined(place, run, monkeypatch):
    summary, clock = run("whole")
    # 1. Found when the bound first can: after 16 verdicts that agree come those that do not.
    needed = first_alarm([1] * 16 + [0] * 64, 0.75, 1 - 0.05 / 2, 50)
    assert needed == 33, "the 18th that disagrees: in the second audit after the drift"
    audits = [(row["update"], row["agreed"], row["items"]) for row in summary["judge_audits"]]
    assert audits == [(1, 16, 16), (2, 0, 16), (3, 0, 16)], "nothing is audited that has no certificate any more"
    assert [bool(row["reasons"]) for row in summary["judge_audits"]] == [False, False, True]
    assert any(text.startswith("audit after update 3, arena debate: judge 'drifting' agrees") for text in clock.said)
    # 2. Frozen at 0 from the next update on, the rest still learned; quarantined since the last clean audit.
    (gone,) = summary["withdrawn"]
    assert (gone["judge"], set(gone["criteria"]), gone["update"]) == ("drifting", {"win", "truth"}, 3)
    assert summary["updates"] == 6 and gone["first"] == 2, "0 of 16 is no proof yet, but not clean either"
    with RunFolder.open(place / "whole").store(read_only=True) as store:
        late = [e for e in store.episodes("train/") if checkpoint_of(e) >= 2]
        assert gone["quarantined_episodes"] == len(late) == 4 * 6
        assert store.count("audit/") == summary["judge_audits"][-1]["agreements"] == 48
    # 3. The certificate says so, for every later run; so does the report.
    with pytest.raises(ValueError, match="agreement with experts fell under"):
        Certificate.load(place / "judge.json")
    page = (place / "whole" / "report.html").read_text()
    assert "audit after update" in page and "0 of 16" in page

    # 4. Cut off between what the audit found and the certificate that is to say so, and gone on with: the same run.
    def cut(path, certificate, evidence, found):
        if found is not None:
            raise KeyboardInterrupt
        remember(path, certificate, evidence, found)

    monkeypatch.setattr("debate.drift.remember", cut)
    clock = Clock()
    with pytest.raises(KeyboardInterrupt):
        run("parts", clock=clock)
    assert Certificate.load(place / "judge.json"), "not revoked yet"
    monkeypatch.undo()
    monkeypatch.chdir(place)
    resumed, _ = run("parts", clock=Clock(done=clock.done), resume=True)
    for one in (summary, resumed):
        one.pop("wall_seconds")
        assert "it was revoked" in one["withdrawn"][0].pop("reasons")[0]  # it says when
    assert resumed == summary


def test_a_judge_that_does_not_drift_stands(place, run):
    settings = ["arenas.debate.judge.audit={every: 2, items: 24}", "training.updates=3"]
    summary, _ = run("run", after=99, settings=settings)
    audits = [(row["update"], row["checkpoint"], row["agreed"], row["items"]) for row in summary["judge_audits"]]
    assert audits == [(2, 2, 24, 24), (3, 2, 24, 24)], "and once more after the last update"
    assert summary["withdrawn"] == [] and clean_checkpoint(place / "judge.json") == 2
    # Out of this run's range is withdrawn here, but no reason to revoke the certificate for others.
    summary, _ = run("short", after=99, settings=settings, checkpoints=(0, 1))
    assert summary["judge_audits"] == [] and summary["withdrawn"][0]["update"] == 2
    assert Certificate.load(place / "judge.json").checkpoints == (0, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("certificate: judge.json, audit", "audit"), "give certificate: FILE too"),
        (("{every: 1, items: 16}", "{every: 0, items: 16}"), "arenas.debate.judge.audit.every"),
        (("{every: 1, items: 16}", "{every: 1}"), "field 'items' is missing"),
        (("{every: 1, items: 16}", "{every: 1, items: 16, of: 3}"), "arenas.debate.judge.audit.of: unknown field"),
        (("{every: 1, items: 16}", "{every: 1, items: 25}"), "the test data has 24"),
        (("protocol: evidence_debate\n    parameters: {k: 1}", "protocol: taboo"), "arenas.debate"),
    ],
)
def test_a_mistake_about_audits_is_told(place, capsys, change, message):
    text = RECIPE.replace(*change)
    assert text != RECIPE
    (place / "recipe.yaml").write_text(text)
    assert main(["train", "recipe.yaml", "--out", "run"]) == 2
    assert message in capsys.readouterr().err
    assert not (place / "run").exists()


def test_what_audits_cost_is_told_beforehand(place):
    lines = list(estimate(read_recipe(place / "recipe.yaml", ["arenas.debate.judge.audit={every: 4, items: 10}"])))
    assert any(line.startswith("audit debate") and " 20 matches" in line for line in lines)
