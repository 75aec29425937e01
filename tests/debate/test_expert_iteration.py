"""Expert iteration: which plays are kept, and that imitating them makes them likelier."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from debate.engines.tiny import tiny_model
from debate.learning.expert_iteration import LIKELIHOOD, best, imitate, imitation_batch
from debate.learning.learner import LearnerConfig, PolicyGradientLearner
from debate.learning.samples import Sample
from debate.learning.stored import current_logprobs
from debate.transcript import Policy, Turn

CHOICES = ((4, 5), (6,), (7, 8))


def sample(episode, group, reward, option=0, truth=0.0):
    speech = Turn("A", "debater", "s", 0, "a-v0", "", prompt_tokens=(1, 2), tokens=(3, 9), logprobs=(-1.0, -1.0))
    pick = replace(speech, prompt_tokens=(2,), tokens=CHOICES[option], choices=CHOICES, option=option, logprobs=(-1.0,))
    rewards = np.array([reward, truth])
    status = tuple("ok" if np.isfinite(r) else "abstain" for r in rewards)
    return Sample(episode, "p", "debater", "A", 0, group, "a-v0", (speech, pick), ("win", "truth"), rewards, status)


def ids(samples):
    return [s.episode_id for s in samples]


def test_the_best_fraction_of_each_group_is_kept():
    plays = [sample(f"g{i}", "g", i) for i in range(5)] + [sample(f"h{i}", "h", -i) for i in range(2)]
    assert ids(best(plays, {"win": 1.0}, 0.4)) == ["g3", "g4", "h0"]
    assert ids(best(plays, {"win": -1.0}, 0.2)) == ["g0", "h1"]
    assert ids(best(plays, {"win": 1.0}, 1.0, least=1.0)) == ["g1", "g2", "g3", "g4"]
    assert ids(best([*plays, sample("g9", "g", math.nan)], {"win": 1.0}, 0.2)) == ["g4", "h0"]
    assert ids(best([sample("a", "g", 1, truth=0), sample("b", "g", 0, truth=1)], {"win": 1, "truth": 2}, 0.5)) == ["b"]
    with pytest.raises(ValueError, match="fraction"):
        best(plays, {"win": 1.0}, 0.0)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.floats(0.05, 1.0))
def test_no_play_that_was_left_out_beats_one_that_was_kept(rewards, fraction):
    plays = [sample(f"e{i:02}", "g", r) for i, r in enumerate(rewards)]
    kept = best(plays, {"win": 1.0}, fraction)
    assert len(kept) == math.ceil(fraction * len(plays))
    left = [s for s in plays if s not in kept]
    assert all(s.rewards[0] <= min(k.rewards[0] for k in kept) for s in left)
    assert ids(best(plays[::-1], {"win": 1.0}, fraction)) == ids(kept)


def test_ties_favour_neither_the_first_nor_the_last():
    firsts = sum(
        ids(best([sample(f"{n}a", "g", 1), sample(f"{n}b", "g", 1)], {"win": 1.0}, 0.5)) == [f"{n}a"] for n in range(60)
    )
    assert 15 < firsts < 45


def test_imitation_is_maximum_likelihood_and_picks_are_scored_over_their_choices():
    plays = [sample("e0", "g", 1, option=0), sample("e1", "g", 1, option=0)]
    model = tiny_model(40, seed=1).requires_grad_(True)
    learner = PolicyGradientLearner(model, Policy("a", 0, "tiny"), LearnerConfig(lr=1e-2, loss=LIKELIHOOD))
    batch = imitation_batch(plays)
    before = current_logprobs(learner.model, batch)
    metrics = imitate(learner, plays)
    assert metrics["loss"] == pytest.approx(-before.mean(), rel=1e-5)
    for _ in range(14):
        imitate(learner, plays)
    after = current_logprobs(learner.model, batch)
    assert (after > before).all() and after[-1] > math.log(0.8)
    with pytest.raises(ValueError, match="no plays were kept"):
        imitate(learner, [])
