"""The judge's commands on LLMBar (Zeng et al. 2024): real cases with objective labels and no panel."""

from __future__ import annotations

import os

import pytest

from debate.cli import main
from debate.errors import UserError
from debate.judging_tools.cases import read_cases

pytestmark = pytest.mark.skipif(
    not os.environ.get("DEBATE_DATA"), reason="needs DEBATE_DATA, the folder of public data sets with llmbar_*.json"
)
PANEL = ("panel", "blind", "repeats", "alpha", "alt_test")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def gauge(capsys, name, *more):
    code = main(["gauge", name, "--labels", "llmbar", "--seals", "seals.jsonl", "--certificate", "no.json", *more])
    said = capsys.readouterr().out
    report, _, reasons = said.partition("REFUSED:")
    assert code == 1
    assert "of the best constant judge" in report
    for check in PANEL:
        assert f"| {check} | not available |" in report
        assert f"- {check}, asked" in reasons
    assert "no expert ratings" in reasons
    assert "bound ≥ 0.75 and above a constant judge" in reasons
    return report, reasons


def test_all_of_it_is_read():
    items = read_cases("llmbar")
    assert len(items) == 419
    assert len({item.id for item in items}) == 419
    domains = [item.domain for item in items]
    counts = {name: domains.count(name) for name in sorted(set(domains))}
    assert counts == {
        "adversarial_gptinst": 92,
        "adversarial_gptout": 47,
        "adversarial_manual": 46,
        "adversarial_neighbor": 134,
        "natural": 100,
    }
    assert all(item.label in (0, 1) and not item.case.statements for item in items)
    assert {item.domain for item in read_cases("llmbar", 10)} == set(domains)


def test_the_biased_judge_is_refused_for_its_bias(capsys):
    report, reasons = gauge(capsys, "longer_output")
    assert "419 items, 100.0% judged" in report
    assert "agreement 27.0%, beside 50.8% of the best constant judge" in report
    for name in ("length_bias", "attack/instructions", "attack/forged_quotes", "calibration", "self_preference"):
        assert f"- {name}" in reasons
    assert "| swap_consistency | pass |" in report


def test_the_judge_that_reads_nothing_is_refused(capsys):
    _, reasons = gauge(capsys, "constant")
    assert "swap_consistency" in reasons


@pytest.mark.slow
def test_a_small_language_model_is_refused(capsys):
    """Ten items, two from each domain: with both orders and seven attacks that is 160 prompts."""
    pytest.importorskip("torch")
    from debate.models import resolve

    try:
        resolve("smollm2-135m")
    except UserError as error:
        pytest.skip(f"smollm2-135m cannot be had here: {error}")
    limits = ["--limit", "10", "--dtype", "bfloat16", "--no-own-texts"]
    report, reasons = gauge(capsys, "smollm2-135m", *limits)
    assert "10 items, 100.0% judged" in report
    assert "- swap_consistency" in reasons  # it answers by the letter
    assert "- first_position" in reasons
    assert "| identity | pass |" in report
