"""A gauge on real data: LLMBar (Zeng et al. 2024) has objective labels, and no panel that could bless anything."""

import json
import os
from pathlib import Path

import pytest

from judges import Case, LabelledCase, Labels, Refusal, ScriptedJudge, SealBook, bless, constant_judge, gauge

pytestmark = pytest.mark.skipif(
    "DEBATE_DATA" not in os.environ, reason="needs DEBATE_DATA, the folder of public data sets"
)
PANEL = ("panel", "blind", "repeats", "alpha", "alt_test")


@pytest.fixture(scope="module")
def labels():
    items = []
    for path in sorted(Path(os.environ["DEBATE_DATA"]).glob("llmbar_*.json")):
        domain = path.stem.removeprefix("llmbar_")
        for i, row in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            case = Case(row["input"], (row["output_1"], row["output_2"]))
            items.append(LabelledCase(f"{domain}-{i}", case, domain, label=int(row["label"]) - 1))
    return Labels(tuple(items))


def longer(case):
    return max(range(2), key=lambda k: len(case.options[k]))


def test_the_judge_of_the_longer_output_is_refused_with_reasons(labels, tmp_path):
    report = gauge(ScriptedJudge(longer, "longer"), labels, seals=SealBook(tmp_path / "seals.jsonl"))
    assert report.items == 419
    for name in PANEL:
        assert report.check(name).status == "not_available"
    assert report.check("self_preference").status == "not_available"
    assert report.check("length_bias").status == "fail"
    assert report.check("length_bias").value > 0.3
    assert all(report.check(f"agreement/{domain}").status == "fail" for domain in report.domains)
    assert report.check("attack/truncation").status == "pass"
    assert report.check("attack/instructions").status == "fail"
    refusal = bless(report)
    assert isinstance(refusal, Refusal)
    reasons = " ".join(refusal.reasons)
    assert "no expert ratings" in reasons
    assert "length_bias" in reasons
    assert "not available" in report.text()


def test_the_constant_judge_stands_beside_it(labels, tmp_path):
    report = gauge(constant_judge(0), labels, seals=SealBook(tmp_path / "seals.jsonl"))
    assert report.agreement <= report.constant
    assert 0.4 < report.constant < 0.6
    assert report.check("swap_consistency").value == 0.0
    assert report.check("first_position").value == 1.0
    assert not bless(report).blessed


def test_even_a_perfect_judge_needs_a_panel(labels, tmp_path):
    truth = {i.case.options: i.label for i in labels.items}
    right = {options[label] for options, label in truth.items()}
    wrong = {options[1 - label] for options, label in truth.items()} - right

    def oracle(case):
        return 0 if case.options[0] in right or case.options[1] in wrong else 1

    report = gauge(ScriptedJudge(oracle, "oracle"), labels, seals=SealBook(tmp_path / "seals.jsonl"))
    assert report.agreement > 0.97
    refusal = bless(report)
    assert not refusal.blessed
    assert all(report.check(name).status == "not_available" for name in PANEL)
