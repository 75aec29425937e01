"""Credit below the episode, plan guides, preferences and the process alarm: what each promises, without a model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from debate.errors import UserError
from debate.learning.baselines import GroupBaseline, codes, moments
from debate.learning.credit import CreditConfig, assign_credit
from debate.learning.gae import turn_gae
from debate.learning.plans import PlanGuide, anchor_at, place_of, read_priors
from debate.learning.process_alarm import process_alarm, process_alarms, rise
from debate.learning.puct import PlanMemory
from debate.learning.samples import Sample
from debate.learning.scalarisers import (
    ChebyshevESR,
    Constraint,
    Drawn,
    Lagrangian,
    Lexicographic,
    Linear,
    weight_vector,
    without,
)
from debate.learning.turn_credit import plan_turns, turn_columns
from debate.preference import base_id, draw, grid, preference_of, preferring
from debate.recipes.learning import ExploreSpec
from debate.transcript import Turn

numbers = st.floats(-2, 2, allow_nan=False)


def turn(slot, plan=False, option=None):
    return Turn("A", "debater", "option" if plan else "say", slot, "ann-v1", "", option=option)


def sample(n, turns, rewards, group="g"):
    rewards = np.array(rewards, dtype=float)
    status = tuple("ok" if np.isfinite(r) else "abstain" for r in rewards)
    names = ("win", "truth")[: len(rewards)]
    return Sample(f"e{n}", "p", "debater", "A", 0, group, "ann-v1", tuple(turns), names, rewards, status)


# --- turns and plans ----------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=6), st.lists(numbers, min_size=3, max_size=3))
def test_turn_columns_are_gae_of_each_criterion_scaled_within_the_place(rewards, values):
    samples = [sample(n, [turn(0), turn(1), turn(2)], r) for n, r in enumerate(rewards)]
    matrix = np.array(rewards)
    v = np.tile(np.array(values)[:, None], (len(samples), 2))
    found = turn_columns(samples, matrix, v, gamma=1.0, lam=0.9)
    arriving = np.zeros((3, 2))
    raw = []
    for r in matrix:
        arriving[-1] = r
        raw.append(turn_gae(arriving, np.vstack([v[:3], np.zeros((1, 2))]), 1.0, 0.9))
    flat = np.vstack(raw)
    expected = (flat - flat.mean(axis=0)) / (flat.std(axis=0, ddof=1) + 1e-4)
    np.testing.assert_allclose(found.advantages, expected, atol=1e-9)
    np.testing.assert_array_equal(found.returns, np.repeat(matrix, 3, axis=0))
    assert not found.plans.any()


def test_a_plan_is_credited_with_its_segment_and_words_with_theirs():
    turns = [turn(0, True, 1), turn(1), turn(2, True, 0), turn(3)]
    assert plan_turns(turns).tolist() == [True, False, True, False]
    samples = [sample(n, turns, [r]) for n, r in enumerate([1.0, -1.0])]
    v = np.array([0.2, 0.3, 0.4, 0.5])  # V_high, V_low, V_high, V_low
    found = turn_columns(samples, np.array([[1.0], [-1.0]]), np.tile(v[:, None], (2, 1)), 1.0, 0.9, 0.8, epsilon=0.0)
    # By hand, with r the final reward: low = (V_high' − V_low, r − V_low), high = (δ + .8 δ', δ').
    raw = np.array([[0.4 - 0.2 + 0.8 * (r - 0.4), 0.4 - 0.3, r - 0.4, r - 0.5] for r in (1.0, -1.0)])
    high, low = raw[:, [0, 2]].reshape(-1), raw[:, [1, 3]].reshape(-1)
    got = found.advantages.reshape(2, 4)
    np.testing.assert_allclose(got[:, [0, 2]].reshape(-1), (high - high.mean()) / high.std(ddof=1))
    np.testing.assert_allclose(got[:, [1, 3]].reshape(-1), (low - low.mean()) / low.std(ddof=1))


def test_an_unknown_reward_is_unknown_at_every_turn_and_a_plan_nobody_follows_is_a_turn():
    turns = [turn(0), turn(1, True, 0), turn(2), turn(3, True, 1)]
    assert plan_turns(turns).tolist() == [False, True, False, False]
    rewards = np.array([[1.0, np.nan], [0.0, 1.0], [0.5, 0.0]])
    samples = [sample(n, turns, r) for n, r in enumerate(rewards)]
    found = turn_columns(samples, rewards, np.zeros((12, 2)), 1.0, 0.9, 0.9)
    assert np.isnan(found.advantages[:4, 1]).all() and np.isfinite(found.advantages[4:]).all()


def test_anchor_grouping_has_nothing_to_say_after_the_first_divergence():
    """GiGPO (2505.10978) compares steps that share an anchor state; where text never repeats there is only one."""
    rng = np.random.default_rng(0)
    episodes = []  # 8 episodes of one question; the state before a turn is everything said so far
    for n in range(8):
        said: tuple[int, ...] = ()
        states = []
        for t in range(4):
            states.append(said)
            said = (*said, 7 if t == 0 and n < 6 else 1000 * n + t)  # six say the same first, then nobody repeats
        episodes.append((states, float(rng.normal())))
    anchors = codes([state for states, _ in episodes for state in states])
    returns = np.repeat([value for _, value in episodes], 4)[:, None]
    count, mean, _ = moments(returns, anchors)
    step_term = np.where(count > 1, returns - mean, 0.0).reshape(8, 4)
    assert (step_term[:, 0] != 0).all()  # everybody was in the opening state
    assert (step_term[:6, 1] != 0).all() and (step_term[6:, 1] == 0).all()  # six still are in one
    assert (step_term[:, 2:] == 0).all()  # and from there on the term is zero at every turn


# --- plans ---------------------------------------------------------------------------------------------------------


def test_visits_are_a_distribution_that_spreads_and_finds_the_rare_best_plan_in_every_run():
    """Sixteen plans, a decoy worth .6 with prior .5, the best worth 1 with prior .004; batches of eight matches."""
    prior = np.array([0.5, 0.004, *[(1 - 0.504) / 14] * 14])
    worth = np.array([0.6, 1.0, *np.linspace(0.1, 0.4, 14)])
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        memory = PlanMemory(16)
        for _ in range(40):
            shares = memory.visits(prior, 16)
            assert shares.min() >= 0 and shares.sum() == pytest.approx(1.0)
            for plan in rng.choice(16, 8, p=shares):
                memory.record(int(plan), worth[plan])
        found += int(np.argmax(memory.visits(prior, 64)) == 1)
    assert found == 20


def test_plan_moves_are_weighed_by_target_over_share_so_the_sampler_does_not_matter():
    guide = PlanGuide(ExploreSpec("puct", temperature=0.5))
    turns = [turn(0, True, 0)] * 3 + [turn(0, True, 1)]
    samples = [sample(n, [t, turn(1)], [0.0]) for n, t in enumerate(turns)]
    names = {place_of(turns[0]): ("high", "low", "any")}
    guide.absorb(samples, [0.2, 0.2, float("nan"), 1.0], names)
    memory = guide.memories["debater/0"]
    assert memory.counts.tolist() == [2, 1, 0]  # what is not known is not remembered
    weights = guide.advantages(samples, names)
    target = memory.target(np.full(3, 1 / 3), 0.5)
    first = [float(w[0]) for w in weights]
    assert first == pytest.approx([target[0] / 0.75] * 3 + [target[1] / 0.25])
    assert all(np.isnan(w[1]) for w in weights)
    again = PlanGuide(ExploreSpec("puct"))
    again.load(json.loads(json.dumps(guide.state())))
    assert again.state() == guide.state()


def test_an_anchor_pulls_plans_and_is_read_from_a_file(tmp_path):
    path = tmp_path / "anchor.json"
    path.write_text(json.dumps({"debater/0": {"low": 0.9, "high": 0.1}, "A": {"high": 0.5, "low": 0.5}}))
    guide = PlanGuide(ExploreSpec("pikl", prior=path, lam=100.0))
    chances = guide.distribution("debater/0", "A", ("high", "low"), (0.5, 0.5))
    assert chances == pytest.approx([0.1, 0.9], abs=0.01)  # the order is the protocol's, not the file's
    assert anchor_at(read_priors(path), "debater/4", "A", ("high", "low")).tolist() == [0.5, 0.5]
    for text, message in (
        ("[", "not JSON"),
        ("{}", "expected"),
        ('{"a": {"x": 0.5}}', "sum to 0.5"),
        ('{"a": {"x": -1, "y": 2}}', "probability"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            read_priors(path)
    with pytest.raises(UserError, match="no such file"):
        read_priors(tmp_path / "none")
    with pytest.raises(UserError, match="no state"):
        anchor_at({"B": {"x": 1.0}}, "debater/0", "A", ("x",))
    with pytest.raises(UserError, match="offers low, mid"):
        anchor_at({"*": {"high": 0.5, "low": 0.5}}, "debater/0", "A", ("low", "mid"))


# --- preferences ---------------------------------------------------------------------------------------------------


@given(st.integers(2, 5), st.floats(0.1, 5), st.integers(0, 1000))
def test_drawn_weights_are_a_distribution_that_survives_its_id(count, concentration, seed):
    names = [f"c{i}" for i in range(count)]
    weights = draw(names, concentration, seed, "group")
    assert sum(weights.values()) == pytest.approx(1.0) and min(weights.values()) >= 0
    policy = preferring("ann-v3", weights)
    assert base_id(policy) == "ann-v3" and preference_of(policy) == pytest.approx(weights)
    assert draw(names, concentration, seed, "group") == weights


def test_the_grid_covers_the_simplex():
    points = grid(["a", "b", "c"], 3)
    assert len(points) == 10 and all(sum(p.values()) == pytest.approx(1.0) for p in points)
    assert len({tuple(p.items()) for p in points}) == 10
    with pytest.raises(UserError, match="NAME=NUMBER"):
        preference_of("ann-v3@nonsense")


def test_every_sample_is_scalarised_by_the_weights_it_was_told():
    samples = [sample(n, [turn(0)], r) for n, r in enumerate([[1, 0], [0, 1], [0, 0], [1, 1]])]
    rows = [{"win": 1.0, "truth": 0.0}, {"win": 0.0, "truth": 1.0}] * 2
    drawn = Drawn(np.stack([weight_vector(row, ("win", "truth")) for row in rows]))
    mixed = assign_credit(samples, drawn, GroupBaseline(), CreditConfig(batch="none")).advantages
    win, truth = (
        assign_credit(samples, {name: 1.0}, GroupBaseline(), CreditConfig(batch="none")).advantages
        for name in ("win", "truth")
    )
    np.testing.assert_array_equal(mixed, [win[0], truth[1], win[2], truth[3]])


# --- criteria that pay nothing any more ----------------------------------------------------------------------------


def test_a_frozen_criterion_leaves_every_scalariser():
    both = {"win": 1.0, "truth": 2.0}
    assert without(Linear(both), {"truth"}) == Linear({"win": 1.0})
    assert without(ChebyshevESR(both, both), {"win"}).weights == {"truth": 2.0}
    assert without(Lexicographic(("truth", "win"), {"truth": 1.0}), {"truth"}) == Lexicographic(("win",))
    whole = Lagrangian({"win": 1.0}, (Constraint("truth", "floor", 1.0), Constraint("win", "ceiling", 0.0)), 1.0)
    part = without(whole, {"truth"})
    part.step(np.array([[2.0, 0.0]]), ("win", "truth"))
    whole.adopt(part)
    assert whole.multipliers == [0.0, 2.0]  # the frozen constraint's stayed where it was
    assert without(whole, ()) is whole


# --- the alarm -----------------------------------------------------------------------------------------------------


def test_the_alarm_goes_off_where_process_rises_and_the_outcome_is_flat_and_only_there():
    flat = 0.05 * (-1.0) ** np.arange(10)
    up = np.linspace(0, 1, 10) + flat
    assert "hacked" in process_alarm(up, flat)
    assert process_alarm(up, up) is None and process_alarm(flat, flat) is None
    assert process_alarm(up[:9], flat[:9]) is None  # too little is known
    assert np.isnan(rise([1.0, np.nan, np.nan, 2.0])) and rise([0, 0, 1, 1]) == np.inf
    rows = [{"rewards": {"win": float(f), "format": float(u), "truth": None}} for u, f in zip(up, flat, strict=True)]
    (message,) = process_alarms(rows, {"win": 1.0}, ["format"])
    assert message.startswith("process reward format rose")
    assert process_alarms(rows, {"truth": 1.0}, ["format"]) == []  # an outcome that is not known is no flat one


def test_the_alarm_is_rarely_false():
    rng = np.random.default_rng(1)
    false = sum(process_alarm(*rng.normal(size=(2, 10))) is not None for _ in range(2000))
    assert false < 40  # measured: about 1 % of windows in which nothing happens
