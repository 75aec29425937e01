"""The sparse-pixel debate on 8×8 digits (Irving, Christiano & Amodei 2018, §3.2)."""

from __future__ import annotations

import numpy as np
import pytest

from debate.theory.evidence import debate_value
from debate.theory.pixels import (
    SparseJudge,
    debate_accuracy,
    random_accuracy,
    uncommitted_accuracy,
)

datasets = pytest.importorskip("sklearn.datasets")


@pytest.fixture(scope="module")
def digits():
    images, labels = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = images[order] / 16, labels[order]
    return images[:1297], labels[:1297], images[1297:], labels[1297:]


@pytest.mark.parametrize("k", [4, 6])
def test_debate_gains_over_random_pixels_and_commitment_matters(digits, k):
    """Measured on 500 held-out digits: 4 pixels .376 → .894, 6 pixels .482 → .906; without commitment .444 and .620."""
    train, labels, images, truth = digits
    judge = SparseJudge.fit(train, labels, k, masks=50, seed=0)
    alone = random_accuracy(judge, images, truth, k, draws=20, seed=0)
    debated = debate_accuracy(judge, images, truth, k)
    free = uncommitted_accuracy(judge, images, truth, k)
    assert debated > alone + 0.3
    assert alone < free < debated - 0.2
    everything = random_accuracy(judge, images, truth, images.shape[1], 1, 0)
    assert debated <= everything + 0.02  # selection cannot make the judge much better than all pixels do


def test_the_value_between_two_claims_is_that_of_an_evidence_debate(digits):
    train, labels, images, truth = digits
    judge = SparseJudge.fit(train, labels, 4, masks=5, seed=1)
    evidence = judge.evidence(images[:20])
    wins = []
    for row, label in zip(evidence, truth[:20], strict=True):
        leads = [
            judge.prior[label] - judge.prior[lie] + debate_value(row[label] - row[lie], 2)
            for lie in range(10)
            if lie != label
        ]
        wins.append(min(leads) > 0)
    assert debate_accuracy(judge, images[:20], truth[:20], 4) == np.mean(wins)


def test_masks_hide_everything_else():
    """Pixels outside a view do not reach the judge: with one pixel a view, each table row counts its own views only."""
    images = np.array([[0.0, 0.9], [0.9, 0.0]])
    judge = SparseJudge.fit(images, [0, 1], 1, masks=10, seed=0, levels=2)
    counts = np.exp(judge.table)
    assert counts[0, 0, 0] > 0.5 and counts[0, 1, 1] > 0.5
    assert np.exp(judge.table).sum(axis=2) == pytest.approx(np.ones((2, 2)))


def test_sizes_are_checked(digits):
    judge = SparseJudge.fit(*digits[:2], 4, 1, 0)
    with pytest.raises(ValueError, match="even number"):
        debate_accuracy(judge, digits[2], digits[3], 5)
    with pytest.raises(ValueError, match=r"values in \[0, 1\]"):
        judge.evidence(digits[2] * 16)
