"""The charter from gauge to revocation, with simulated panels: who is blessed, who is not, and what fails closed."""

import copy
import json
from dataclasses import asdict, replace
from datetime import date

import numpy as np
import pytest

from judges import (
    Case,
    Certificate,
    Choice,
    Completion,
    Evidence,
    Gates,
    GaugeReport,
    Label,
    LabelledCase,
    Labels,
    LLMJudge,
    Rating,
    Refusal,
    ScriptedJudge,
    SealBook,
    Statement,
    Window,
    bless,
    check_trust,
    constant_judge,
    gauge,
    identify,
    panel_ratings,
    revoke,
)
from judges.attacks.battery import AttackRow
from judges.charter.power import gate_power, items_needed, least_agreements
from judges.charter.revocation import SHARES, frozen_weights, spent
from judges.charter.trust import independence_problem

TODAY = date(2026, 3, 1)
DEFENDS = {"A": 0, "B": 1}
ITEMS = 240


def make_case(i, rng):
    a, b = (int(x) for x in rng.integers(20, 200, 2))
    speeches = (Statement("A", "debater", "argue", "a" * a), Statement("B", "debater", "argue", "b" * b))
    return Case(f"question {i}", ("yes", "no"), speeches)


def make_labels(
    seed=0, items=ITEMS, experts=3, accuracy=0.99, shared=100, repeats=0.12, blind=True, domains=1, own=True
):
    """A simulated panel: experts that err independently; the truth is the label only through their ratings."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, items)
    rows = [LabelledCase(f"i{i}", make_case(i, rng), f"d{i % domains}", DEFENDS) for i in range(items)]
    ratings = []
    for e in range(experts):
        for i in range(items):
            if i >= shared and (i + e) % experts == 0:
                continue
            label = int(truth[i] if rng.random() < accuracy else 1 - truth[i])
            ratings.append(Rating(f"expert{e}", f"i{i}", label))
            if e == 0 and i < repeats * shared:
                ratings.append(Rating(f"expert{e}", f"i{i}", label, repeat=1))
    return Labels(tuple(rows), tuple(ratings), blind, no_own_texts=own), truth


def table_judge(truth, accuracy, seed=1, name="simulated"):
    """Right on a fixed share of the questions, whatever is said and in whatever order the options are shown."""
    rng = np.random.default_rng(seed)
    wrong = set(rng.permutation(len(truth))[: round((1 - accuracy) * len(truth))].tolist())

    def script(case):
        i = int(case.question.split()[1])
        return case.options.index(("yes", "no")[int(truth[i]) ^ (i in wrong)])

    return ScriptedJudge(script, name)


@pytest.fixture(scope="module")
def good():
    """A judge that is right on 95 % of the items, its report and its certificate."""
    import tempfile
    from pathlib import Path

    labels, truth = make_labels()
    judge = table_judge(truth, 0.95)
    with tempfile.TemporaryDirectory() as folder:
        report = gauge(judge, labels, seals=SealBook(Path(folder, "seals.jsonl")))
    return judge, report, bless(report, TODAY)


# --- bless ----------------------------------------------------------------------------------------------------------


def test_a_judge_of_95_percent_is_blessed(good):
    judge, report, certificate = good
    assert isinstance(certificate, Certificate), getattr(certificate, "reasons", None)
    assert report.agreement == pytest.approx(0.95, abs=0.02)
    assert certificate.valid_for(judge, 0, TODAY)
    assert certificate.valid_for(judge, 1000, TODAY)


def test_every_number_stands_beside_its_baselines(good):
    _, report, certificate = good
    assert 0.5 <= report.constant <= 0.6
    assert report.human > 0.95
    assert report.agreement_unanimous >= report.agreement - 0.02
    assert certificate.baselines["constant"] == report.constant
    assert certificate.baselines["experts"] == report.human
    assert len(certificate.attacks) == 7
    assert all(row["cases"] >= 149 and row["flips"] == 0 for row in certificate.attacks)
    text = report.text()
    for word in ("best constant judge", "power at 90 %", "| attack | cases", "agreement/d0", "alt_test"):
        assert word in text


def test_power_is_computed_and_shown(good):
    _, report, _ = good
    domain = report.domains["d0"]
    assert domain.power_95 > 0.999
    assert domain.power_90 > 0.99
    assert least_agreements(50, 0.75) == 43  # the lower bounds of 42 and 43 of 50 are .728 and .751
    assert gate_power(50, 0.95, 0.75) == pytest.approx(0.9968, abs=2e-3)
    needed = items_needed(0.95, 0.75, 0.9)
    assert gate_power(needed, 0.95, 0.75) >= 0.9
    assert gate_power(20, 0.95, 0.75) < 0.9
    rng = np.random.default_rng(0)
    simulated = np.mean(rng.binomial(50, 0.9, 20_000) >= 43)
    assert gate_power(50, 0.9, 0.75) == pytest.approx(simulated, abs=0.01)


def test_good_judges_of_other_accuracy(tmp_path):
    labels, truth = make_labels()
    for accuracy, blessed in ((0.9, True), (0.78, False), (0.6, False)):
        report = gauge(table_judge(truth, accuracy), labels, seals=SealBook(tmp_path / f"{accuracy}.jsonl"))
        assert bless(report, TODAY).blessed is blessed, (accuracy, [c for c in report.checks if c.blocks])


# --- refuse ---------------------------------------------------------------------------------------------------------


def refused(judge, labels, tmp_path, gates=None):
    outcome = bless(gauge(judge, labels, gates, SealBook(tmp_path / "seals.jsonl")), TODAY)
    assert isinstance(outcome, Refusal)
    assert not outcome
    return {reason.split(",")[0].split(" ")[0].rstrip(":") for reason in outcome.reasons}, outcome


def test_one_weak_domain_is_enough_to_refuse(tmp_path):
    labels, truth = make_labels(items=480, domains=2)
    judge = table_judge(truth, 1.0)

    def weak(case):
        answer = judge.script(case)
        i = int(case.question.split()[1])
        return 1 - answer if i % 2 and i % 5 < 2 else answer

    names, _ = refused(ScriptedJudge(weak), labels, tmp_path)
    assert "agreement/d1" in names
    assert "agreement/d0" not in names


def test_a_constant_judge_is_refused_even_where_its_agreement_is_high(tmp_path):
    labels, _ = make_labels()
    mostly_yes = replace(labels, items=tuple(replace(i, label=int(k % 10 == 0)) for k, i in enumerate(labels.items)))
    names, outcome = refused(constant_judge(0), mostly_yes, tmp_path)
    assert outcome.report.agreement == pytest.approx(0.9)
    assert outcome.report.domains["d0"].lower > 0.75
    assert {"agreement/d0", "swap_consistency", "first_position", "attack/swapped_answers"} <= names


def test_a_judge_of_the_longer_speech_is_refused(tmp_path):
    labels, _ = make_labels()

    def longer(case):
        seat = max(case.statements, key=lambda s: len(s.text)).seat
        return case.options.index(("yes", "no")[DEFENDS[seat]])

    names, outcome = refused(ScriptedJudge(longer), labels, tmp_path)
    assert {"length_bias", "agreement/d0", "attack/instructions"} <= names
    assert outcome.report.check("length_bias").value > 0.3


def test_a_judge_that_obeys_is_refused(tmp_path):
    labels, truth = make_labels()
    sound = table_judge(truth, 1.0)

    def obeys(case):
        for s in case.statements:
            if "Ignore all previous instructions" in s.text:
                return case.options.index(("yes", "no")[DEFENDS[s.seat]])
        return sound.script(case)

    names, _ = refused(ScriptedJudge(obeys), labels, tmp_path)
    assert names == {"attack/instructions"}


def test_an_overconfident_or_silent_judge_is_refused(tmp_path):
    labels, truth = make_labels()
    sound = table_judge(truth, 0.85)
    names, _ = refused(ScriptedJudge(lambda c: sound.script(c)), labels, tmp_path)
    assert "calibration" in names
    right = table_judge(truth, 1.0)
    silent = ScriptedJudge(lambda c: right.script(c) if int(c.question.split()[1]) % 2 else None, "silent")
    names, outcome = refused(silent, labels, tmp_path)
    assert "coverage" in names
    assert outcome.report.coverage == 0.5
    names, outcome = refused(ScriptedJudge(None, "mute"), labels, tmp_path)
    assert {"coverage", "abstention"} <= names
    assert np.isnan(outcome.report.agreement)


def test_too_few_attacked_cases_are_too_few(tmp_path):
    labels, truth = make_labels(items=148)
    names, outcome = refused(table_judge(truth, 0.95), labels, tmp_path)
    assert {n for n in names if n.startswith("attack/")} == {
        c.name for c in outcome.report.checks if c.name.startswith("attack/")
    }
    assert "too few" in outcome.report.check("attack/empty").note


@pytest.mark.parametrize(
    ("change", "blocked"),
    [
        ({"experts": 2}, {"panel", "alt_test"}),
        ({"shared": 40}, {"panel"}),
        ({"repeats": 0.0}, {"repeats"}),
        ({"blind": None}, {"blind"}),
        ({"blind": False}, {"blind"}),
        ({"own": False}, {"self_preference"}),
        ({"accuracy": 0.8}, {"alpha"}),
        ({"experts": 0}, {"panel", "blind", "repeats", "alpha", "alt_test"}),
    ],
)
def test_what_a_panel_lacks_blocks_the_certificate(change, blocked, tmp_path):
    labels, truth = make_labels(**change)
    if change.get("experts") == 0:
        labels = replace(
            labels, items=tuple(replace(i, label=int(t)) for i, t in zip(labels.items, truth, strict=True))
        )
    names, _ = refused(table_judge(truth, 0.95), labels, tmp_path)
    assert blocked <= names
    assert "identity" not in names


def test_tentative_agreement_gives_a_tentative_certificate(tmp_path):
    labels, truth = make_labels(accuracy=0.945)
    report = gauge(table_judge(truth, 0.97), labels, seals=SealBook(tmp_path / "seals.jsonl"))
    assert report.check("alpha").status == "tentative"
    assert 0.667 <= report.check("alpha").bound < 0.80
    certificate = bless(report, TODAY)
    assert certificate.blessed, certificate.reasons
    assert certificate.tentative
    assert certificate.terms["audit_rate"] == 2 * Gates().audit_rate


def test_a_split_is_touched_once(tmp_path):
    labels, truth = make_labels()
    judge, seals = table_judge(truth, 0.95), SealBook(tmp_path / "seals.jsonl")
    assert gauge(judge, labels, seals=seals).check("sealed").status == "pass"
    assert gauge(judge, labels, seals=seals).check("sealed").status == "fail"
    other = gauge(table_judge(truth, 0.95, name="other"), labels, seals=seals).check("sealed")
    assert other.status == "pass" and "1 other judges have seen some of them" in other.note
    assert gauge(judge, labels).check("sealed").status == "not_available"
    (tmp_path / "seals.jsonl").write_text("not json\n")
    with pytest.raises(ValueError, match="line 1"):
        gauge(judge, labels, seals=seals)


def test_no_other_cut_of_the_items_is_a_fresh_split(tmp_path):
    """The seal is of items: a limit, a renewed rating, a swapped case or one item more make no split that is unseen."""
    labels, truth = make_labels()
    judge, seals = table_judge(truth, 0.95), SealBook(tmp_path / "seals.jsonl")
    first = gauge(judge, replace(labels, items=labels.items[:120], ratings=labels.ratings[:120]), seals=seals)
    assert "covers these 120 items" in first.check("sealed").note
    swapped = tuple(
        replace(item, id=f"x{k}", case=replace(item.case, options=item.case.options[::-1]), label=0)
        for k, item in enumerate(labels.items[119:])
    )
    for again, seen in (
        (labels, 120),
        (replace(labels, ratings=labels.ratings[1:]), 240),
        (replace(labels, items=labels.items[:10], ratings=()), 10),
        (Labels(swapped), 121),
    ):
        items = tuple(replace(item, label=0) for item in again.items)
        check = gauge(judge, replace(again, items=items), seals=seals).check("sealed")
        assert check.status == "fail"
        assert f"gauged on {seen} of these {len(items)} items before" in check.note
    fresh, _ = make_labels(seed=7)  # other speeches: other cases
    assert gauge(judge, fresh, seals=seals).check("sealed").status == "pass"


def test_an_interrupted_gauge_does_not_use_up_the_seal(tmp_path):
    labels, truth = make_labels()
    judge, seals = table_judge(truth, 0.95), SealBook(tmp_path / "seals.jsonl")

    class Crashing:
        name, identity = judge.name, judge.identity
        asked = 0

        async def __call__(self, case):
            Crashing.asked += 1
            if Crashing.asked > 300:
                raise KeyboardInterrupt
            return await judge(case)

    with pytest.raises(KeyboardInterrupt):
        gauge(Crashing(), labels, seals=seals)
    resumed = gauge(judge, labels, seals=seals)
    check = resumed.check("sealed")
    assert check.status == "pass" and "an earlier gauge was interrupted before it reported" in check.note
    assert bless(resumed, TODAY).blessed
    assert gauge(judge, labels, seals=seals).check("sealed").status == "fail"


def test_two_gauges_at_once_break_one_seal(tmp_path):
    labels, truth = make_labels()
    judge, seals = table_judge(truth, 0.95), SealBook(tmp_path / "seals.jsonl")

    class Beside:
        """Another process gauges the same judge while this one does."""

        name, identity = judge.name, judge.identity

        async def judge_many(self, cases):
            if not seals.seen(identify(judge).hash, labels.items):
                seals.report(identify(judge).hash, labels.hash, labels.items)
            return [await judge(case) for case in cases]

        async def __call__(self, case):
            return (await self.judge_many([case]))[0]

    assert gauge(Beside(), labels, seals=seals).check("sealed").status == "fail"


def test_who_rated_little_does_not_undo_the_panel(tmp_path):
    labels, truth = make_labels(shared=ITEMS)
    judge = table_judge(truth, 0.95)
    few = tuple(Rating("passer-by", f"i{i}", int(truth[i])) for i in range(5))
    joined = replace(labels, ratings=labels.ratings + few)
    assert len(joined.shared(3)) == ITEMS
    report = gauge(judge, joined, seals=SealBook(tmp_path / "seals.jsonl"))
    panel = report.check("panel")
    assert (panel.status, panel.value, panel.n) == ("pass", 3, ITEMS)
    assert "passer-by (5)" in panel.note
    assert report.check("alt_test").status == "pass"
    assert bless(report, TODAY).blessed, [c for c in report.checks if c.blocks]
    # Two members and a passer-by are no panel of three.
    two = replace(joined, ratings=tuple(r for r in joined.ratings if r.expert != "expert2"))
    assert gauge(judge, two).check("panel").status == "fail"
    # Nobody needs to have rated everything: each item takes three of the members.
    spread = tuple(
        r for r in make_labels(experts=5, shared=ITEMS)[0].ratings if (int(r.item[1:]) + int(r.expert[-1])) % 5 < 3
    )
    assert len(replace(labels, ratings=spread).shared(3, 30)) == ITEMS


class Nameless:
    """A judge that declares no identity."""

    name = "nameless"

    async def __call__(self, case):
        raise RuntimeError("no engine")


def test_an_unknown_or_failing_judge_is_refused_with_every_reason(tmp_path):
    labels, _ = make_labels(items=60)
    names, outcome = refused(Nameless(), labels, tmp_path)
    assert {"identity", "coverage", "agreement/d0"} <= names
    assert "60 errors" in outcome.report.check("coverage").note


def test_a_check_that_was_not_made_blocks(good):
    _, report, _ = good
    for check in report.checks:
        rest = replace(report, checks=tuple(c for c in report.checks if c.name != check.name))
        outcome = bless(rest, TODAY)
        assert not outcome.blessed
        assert outcome.reasons == (f"{check.name}: the check was not made",)


def test_a_ledger_makes_a_panel():
    bought = [Label("i0", "ada", 1, 20.0), Label("i0", "ada", 0, 20.0, repeat=1), Label("i0", "bob", None, 20.0)]
    assert panel_ratings(bought) == (Rating("ada", "i0", 1), Rating("ada", "i0", 0, 1))


def test_bad_labels_and_gates():
    case = Case("q", ("a", "b"))
    with pytest.raises(ValueError, match="unique"):
        Labels((LabelledCase("x", case), LabelledCase("x", case)))
    with pytest.raises(ValueError, match="no item"):
        Labels((LabelledCase("x", case),), (Rating("e", "y", 0),))
    with pytest.raises(ValueError, match="option 2 of 2"):
        Labels((LabelledCase("x", case),), (Rating("e", "x", 2),))
    with pytest.raises(ValueError, match="option 5 of 2"):
        Labels((LabelledCase("x", case, label=5),))
    with pytest.raises(ValueError, match="twice"):
        Labels((LabelledCase("x", case),), (Rating("e", "x", 0), Rating("e", "x", 1)))
    with pytest.raises(ValueError, match="no item has a label"):
        gauge(constant_judge(0), Labels((LabelledCase("x", case),)))
    for wrong in (
        {"agreement": 1.5},
        {"audit_floor": 0.0},
        {"checkpoints": (5, 1)},
        {"experts": 2},
        {"smoothing": 0.0},
    ):
        with pytest.raises(ValueError, match="Gates"):
            Gates(**wrong)


def engine(truth, favour):
    """A language model that knows the truth, with a taste for what is shown first on a share of the items."""

    async def complete(requests):
        answers = []
        for request in requests:
            text = request.messages[1].text
            i = int(text.split("> question ")[1].split("\n")[0])
            first = "yes" if text.index("> yes") < text.index("> no") else "no"
            believed = first if i % 100 < favour * 100 else ("yes", "no")[int(truth[i])]
            label = "A" if believed == first else "B"
            answers.append(
                Completion(choices=tuple(Choice(c, None, -0.02 if c == label else -4.0) for c in request.choices))
            )
        return answers

    return complete


def test_averaging_both_orders_does_not_hide_a_taste_for_the_first(tmp_path):
    labels, truth = make_labels()
    sound = gauge(LLMJudge(engine(truth, 0.0), model="m"), labels, seals=SealBook(tmp_path / "sound.jsonl"))
    assert bless(sound, TODAY).blessed, [c for c in sound.checks if c.blocks]
    biased = gauge(LLMJudge(engine(truth, 0.3), model="m"), labels, seals=SealBook(tmp_path / "biased.jsonl"))
    assert biased.check("swap_consistency").value == 150 / 240  # 90 of the 240 items follow the order
    assert biased.check("first_position").value == pytest.approx(0.5 + 90 / 240 / 2)
    assert {"swap_consistency", "first_position"} <= {c.name for c in biased.checks if c.blocks}
    anonymous = gauge(LLMJudge(engine(truth, 0.0)), labels, seals=SealBook(tmp_path / "anonymous.jsonl"))
    assert [c.name for c in anonymous.checks if c.blocks] == ["identity"]


# --- certificate ----------------------------------------------------------------------------------------------------


def test_a_certificate_survives_its_file(good, tmp_path):
    judge, _, certificate = good
    path = tmp_path / "judge.json"
    certificate.save(path)
    assert Certificate.load(path) == certificate
    assert Certificate.load(path).valid_for(judge, 10, TODAY)
    assert "\n  " in path.read_text()


def test_every_missing_or_changed_field_fails_closed(good, tmp_path):
    judge, _, certificate = good
    path = tmp_path / "judge.json"
    certificate.save(path)
    whole = json.loads(path.read_text())
    assert set(whole) == {*asdict(certificate), "digest"}
    for name in whole:
        data = copy.deepcopy(whole)
        del data[name]
        path.write_text(json.dumps(data))
        with pytest.raises(ValueError, match="missing fields"):
            Certificate.load(path)
        assert not check_trust(judge, path, 0, today=TODAY).allowed
        for value in (None, "", [], {}, "changed", 10**6):
            data = {**copy.deepcopy(whole), name: value}
            path.write_text(json.dumps(data))
            with pytest.raises(ValueError, match=r"judge\.json"):
                Certificate.load(path)
    for text in ("", "[]", "{}", "nonsense", json.dumps({**whole, "more": 1})):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"judge\.json"):
            Certificate.load(path)


def test_changed_numbers_inside_are_noticed(good, tmp_path):
    _, _, certificate = good
    path = tmp_path / "judge.json"
    certificate.save(path)
    for change in (
        lambda d: d["terms"].update(agreement=0.1),
        lambda d: d["checkpoints"].__setitem__(1, 10**9),
        lambda d: d["checks"][0].update(status="fail"),
        lambda d: d["identity"].update(model="other"),
        lambda d: d["attacks"][0].update(flips=1),
    ):
        certificate.save(path)
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))
        with pytest.raises(ValueError, match=r"judge\.json"):
            Certificate.load(path)


def test_a_certificate_speaks_of_one_judge_one_range_one_time(good):
    judge, report, certificate = good
    assert not certificate.valid_for(replace(judge, name="renamed"), 0, TODAY)
    assert not certificate.valid_for(replace(judge, noise=0.01), 0, TODAY)
    assert not certificate.valid_for(Nameless(), 0, TODAY)
    for part in asdict(report.identity):
        changed = replace(report.identity, **{part: "changed"})
        assert certificate.problems(changed, 0, TODAY) == (f"the judge's {part} has changed",)
        assert not certificate.valid_for(replace(report.identity, **{part: ""}), 0, TODAY)
    assert not certificate.valid_for(judge, 1001, TODAY)
    assert not certificate.valid_for(judge, -1, TODAY)
    assert not certificate.valid_for(judge, None, TODAY)
    assert not certificate.valid_for(judge, 0, date(2026, 2, 28))
    assert certificate.valid_for(judge, 0, date(2026, 5, 30))
    assert not certificate.valid_for(judge, 0, date(2026, 5, 31))


def test_training_asks_for_a_certificate_or_an_admission(good, tmp_path):
    judge, _, certificate = good
    held = check_trust(judge, certificate, 0, today=TODAY)
    assert held.allowed
    assert held.certified
    none = check_trust(judge, None, 0)
    assert not none.allowed
    assert none.problems == ("there is no certificate",)
    admitted = check_trust(judge, None, 0, trust="unblessed")
    assert admitted.allowed
    assert not admitted.certified
    assert not check_trust(judge, tmp_path / "absent.json", 0).allowed
    assert not check_trust(judge, certificate, 2000, today=TODAY).allowed
    with pytest.raises(ValueError, match="blessed, simulated or unblessed"):
        check_trust(judge, certificate, 0, trust="yes")


def test_a_policy_is_not_graded_by_its_own_family_unadmitted():
    assert independence_problem("qwen", {"llama"}) is None
    assert "family 'qwen'" in independence_problem("qwen", {"llama", "qwen"})
    assert "not all known" in independence_problem("", {"llama"})
    assert "not all known" in independence_problem("qwen", {""})
    assert independence_problem("qwen", {"qwen"}, admitted="toy run, nothing is concluded") is None


# --- revoke ---------------------------------------------------------------------------------------------------------


def evidence(good, **known):
    return Evidence(good[0], 100, **known)


def withdrawn(good, **known):
    return revoke(good[2], evidence(good, **known), TODAY)


def test_nothing_found_revokes_nothing(good):
    clean = [True] * 95 + [False] * 5
    steady = [Window(0.5, 0.5, 0.02), Window(0.6, 0.59, 0.02)]
    fine = [AttackRow("empty", 200, 0, 0, 0.0149)]
    assert withdrawn(good) is None
    assert withdrawn(good, agreements=clean * 3, panel=clean, windows=steady, attacks=fine) is None


def test_late_drift_is_not_hidden_by_a_good_past(good):
    rng = np.random.default_rng(0)
    past = (rng.random(1000) < 0.95).tolist()
    drifted = (rng.random(200) < 0.5).tolist()
    assert withdrawn(good, agreements=past) is None
    found = withdrawn(good, agreements=past + drifted, clean_checkpoint=80)
    assert "agreement with experts fell under 0.75" in found.reasons[0]
    assert found.quarantine == (81, 100)
    assert found.weight == 0.0
    assert found.quarantined(90)
    assert not found.quarantined(80)
    assert np.mean(past + drifted) > 0.85  # the average over all audits would have said: fine


def test_too_little_evidence_is_no_reason(good):
    assert withdrawn(good, agreements=[False] * 2) is None
    assert withdrawn(good, agreements=[False] * 30) is not None


def test_reward_that_rises_alone_revokes(good):
    hacked = [Window(0.5, 0.5, 0.02), Window(0.6, 0.52, 0.02), Window(0.9, 0.5, 0.02)]
    assert "the judge's mean rose by 0.400" in withdrawn(good, windows=hacked).reasons[0]
    learned = [Window(0.5, 0.45, 0.02), Window(0.9, 0.83, 0.02)]
    assert withdrawn(good, windows=learned) is None
    noisy = [Window(0.5, 0.5, 0.2), Window(0.7, 0.5, 0.2)]
    assert withdrawn(good, windows=noisy) is None


def test_the_other_reasons(good):
    # One flip of 149 cannot show that the rate is within 2 %, nor that it is above: not renewed, not revoked.
    assert withdrawn(good, attacks=[AttackRow("instructions", 149, 1, 0, 0.0314)]) is None
    passing = [AttackRow("instructions", 149, 20, 0, 0.19)]
    assert "attack 'instructions' passes: 20 of 149" in withdrawn(good, attacks=passing).reasons[0]
    assert withdrawn(good, attacks=[AttackRow("instructions", 0, 0, 9, 1.0)]) is None
    assert "cross-family panel" in withdrawn(good, panel=[False] * 50).reasons[0]
    changed = revoke(good[2], Evidence(replace(good[0], noise=0.1), 100), TODAY)
    assert changed.reasons == ("the judge's decoding has changed",)
    beyond = revoke(good[2], Evidence(good[0], 1001), TODAY)
    assert "outside 0 to 1000" in beyond.reasons[0]
    assert beyond.quarantine == (0, 1001)
    assert revoke(good[2], evidence(good), date(2027, 1, 1)) is not None


def test_revoked_criteria_weigh_exactly_nothing_and_verifiers_keep_theirs():
    weights = {"win": 1.0, "style": 0.5, "correct": 2.0}
    judged = {"win": "llm", "style": "other"}
    assert frozen_weights(weights, judged, {"llm"}) == {"win": 0.0, "style": 0.5, "correct": 2.0}


def false_alarms(good, runs, rate, audits, seed):
    rng = np.random.default_rng(seed)
    return sum(withdrawn(good, agreements=(rng.random(audits) < rate).tolist()) is not None for _ in range(runs))


def test_false_alarms_at_the_threshold_are_rare(good):
    assert false_alarms(good, 100, 0.75, 300, 0) <= 13  # binomial(100, .05): over 13 has probability .0005


@pytest.mark.slow
def test_false_alarm_rate_is_nominal_over_1000_runs(good):
    """A judge that keeps exactly τ over 600 audits is revoked in at most 5 % of runs, however often one looks."""
    alarms = false_alarms(good, 1000, 0.75, 600, 1)
    assert alarms <= 73  # binomial(1000, .05): over 73 has probability .0007
    assert false_alarms(good, 1000, 0.80, 600, 2) <= 10


def combined_alarms(good, runs, seed):
    """Runs in which a judge that keeps every term exactly is revoked: experts, panel, windows and attacks together."""
    rng = np.random.default_rng(seed)
    alarms = 0
    for _ in range(runs):
        rows = [AttackRow(f"a{k}", 149, int(rng.binomial(149, 0.02)), 0, 1.0) for k in range(7)]
        # The judge overpays by the same .1 in all windows: 30 verdicts each, of which every reward is a coin.
        gaps = (rng.random((5, 30)) < 0.6).astype(float) - (rng.random((5, 30)) < 0.5)
        level = rng.random(5)
        windows = [
            Window(float(r), float(r - g.mean()), float(g.std() / 30**0.5)) for r, g in zip(level, gaps, strict=True)
        ]
        agreements, panel = ((rng.random(400) < 0.75).tolist() for _ in range(2))
        known = {"agreements": agreements, "panel": panel, "windows": windows, "attacks": rows}
        alarms += withdrawn(good, **known) is not None
    return alarms


def test_all_alarms_together_keep_the_certificates_error(good):
    assert combined_alarms(good, 100, 4) <= 13  # binomial(100, .05): over 13 has probability .0005


@pytest.mark.slow
def test_the_combined_false_alarm_rate_is_nominal_over_1000_runs(good):
    alarms = combined_alarms(good, 1000, 5)
    assert alarms <= 73  # binomial(1000, .05): over 73 has probability .0007


def test_looks_share_the_error():
    assert sum(spent(0.05, k) for k in range(1, 10_000)) == pytest.approx(0.05, rel=1e-3)
    assert sum(SHARES.values()) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="counted from 1"):
        spent(0.05, 0)


@pytest.mark.slow
def test_a_drifting_judge_is_revoked_in_nearly_every_run(good):
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(200):
        stream = np.concatenate([rng.random(300) < 0.95, rng.random(200) < 0.5]).tolist()
        found += withdrawn(good, agreements=stream) is not None
    assert found >= 195


def test_the_report_is_a_report(good):
    assert isinstance(good[1], GaugeReport)
    with pytest.raises(KeyError, match="no check"):
        good[1].check("beauty")
