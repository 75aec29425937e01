"""Correlated and coarse correlated equilibria, commitment, and elimination of dominated strategies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import NormalFormGame, eliminate_dominated, nash_conv, solve
from games.equilibria.entropy import max_entropy_point
from games.equilibrium import NotConverged

CHICKEN = NormalFormGame.bimatrix([[0, 7], [2, 6]], [[0, 2], [7, 6]])


def incentive(game, joint, concept):
    """Largest gain from deviating, written out from the definitions (Aumann 1987; Moulin & Vial 1978)."""
    worst = 0.0
    for i, payoff in enumerate(game.scalar()):
        u, p = np.moveaxis(payoff, i, 0), np.moveaxis(joint, i, 0)
        for other in range(len(u)):
            if concept == "cce":
                worst = max(worst, float(((u[other][None] - u) * p).sum()))
            else:
                worst = max([worst, *(float(((u[other] - u[told]) * p[told]).sum()) for told in range(len(u)))])
    return worst


def entropy(p):
    q = p[p > 0]
    return -float(q @ np.log(q))


def test_max_welfare_in_chicken():
    found = solve(CHICKEN, "ce", select="max_welfare")[0]
    assert np.allclose(found.joint, [[0, 0.25], [0.25, 0.5]], atol=1e-9)
    assert found.payoffs.sum() == pytest.approx(10.5)
    assert found.details["welfare"] == pytest.approx(10.5)
    assert np.allclose(solve(CHICKEN, "ce")[0].joint, found.joint)


@pytest.mark.parametrize("concept", ["ce", "cce"])
@pytest.mark.parametrize("select", ["max_welfare", "max_entropy", "max_gini"])
def test_matching_pennies_is_uniform(concept, select):
    game = NormalFormGame.zero_sum([[1, -1], [-1, 1]])
    joint = solve(game, concept, select=select)[0].joint
    assert np.allclose(joint.sum(axis=0), 0.5) and np.allclose(joint.sum(axis=1), 0.5)
    if concept == "ce":
        assert np.allclose(joint, 0.25)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_every_selection_verifies_and_maximises(seed, ties):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 4, rng.integers(2, 4)))
    size = (len(shape), 1, *shape)
    game = NormalFormGame(rng.integers(0, 3, size) if ties else rng.normal(size=size))
    for concept in ("ce", "cce"):
        answers = {
            select: solve(game, concept, select=select)[0] for select in ("max_welfare", "max_entropy", "max_gini")
        }
        for one in answers.values():
            assert incentive(game, one.joint, concept) < 1e-7
            assert one.joint.sum() == pytest.approx(1.0) and one.joint.min() >= 0
        assert all(answers["max_welfare"].details["welfare"] >= e.details["welfare"] - 1e-6 for e in answers.values())
        assert all(entropy(answers["max_entropy"].joint) >= entropy(e.joint) - 1e-6 for e in answers.values())
        assert all((answers["max_gini"].joint ** 2).sum() <= (e.joint**2).sum() + 1e-6 for e in answers.values())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_welfare_is_ordered_by_the_strength_of_the_concept(seed):
    game = NormalFormGame.bimatrix(*np.random.default_rng(seed).normal(size=(2, 3, 3)))
    nash = max(one.payoffs.sum() for one in solve(game, method="enumerate"))
    ce, cce = (solve(game, concept, select="max_welfare")[0].payoffs.sum() for concept in ("ce", "cce"))
    assert nash <= ce + 1e-8 and ce <= cce + 1e-8


def test_maximum_entropy_where_the_polytope_has_no_interior():
    # p_0 ≤ p_1 ≤ p_0 and p_3 ≤ 0.
    rows = np.array([[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 0, 1.0]])
    assert np.allclose(max_entropy_point(rows, np.zeros(3)), [1 / 3, 1 / 3, 1 / 3, 0])
    with pytest.raises(NotConverged, match="no distribution"):
        max_entropy_point(np.array([[1.0, 1.0]]), np.array([0.5]))


def test_maximum_entropy_of_a_bounded_coordinate():
    p = max_entropy_point(np.array([[1.0, 0, 0]]), np.array([0.1]))
    assert np.allclose(p, [0.1, 0.45, 0.45], atol=1e-9)


# --- commitment ---------------------------------------------------------------------------------------------


def test_stackelberg_of_conitzer_and_sandholm():
    game = NormalFormGame.bimatrix([[2, 4], [1, 3]], [[1, 0], [0, 1]])
    found = solve(game, "stackelberg")[0]
    assert np.allclose(found.profile[0], [0.5, 0.5])
    assert found.profile[1].tolist() == [0, 1]
    assert found.payoffs[0, 0] == pytest.approx(3.5)
    assert found.details["value"] == pytest.approx(3.5)
    assert found.regrets.tolist() == pytest.approx([0, 0], abs=1e-12)


def test_ties_of_the_follower_favour_the_leader():
    game = NormalFormGame.bimatrix([[0, 5]], [[1, 1]])
    assert solve(game, "stackelberg")[0].payoffs[0, 0] == 5
    swapped = NormalFormGame.bimatrix([[1], [1]], [[0], [5]])
    found = solve(swapped, "stackelberg", leader=1)[0]
    assert found.payoffs[1, 0] == 5
    assert found.profile[0].tolist() == [0, 1]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_commitment_is_worth_at_least_any_equilibrium(seed):
    game = NormalFormGame.bimatrix(*np.random.default_rng(seed).integers(0, 5, (2, 3, 3)))
    value = solve(game, "stackelberg")[0].details["value"]
    assert all(value >= one.payoffs[0, 0] - 1e-9 for one in solve(game, method="enumerate"))


def test_stackelberg_refuses_what_it_is_not_for():
    with pytest.raises(ValueError, match="two players"):
        solve(NormalFormGame(np.zeros((3, 1, 2, 2, 2))), "stackelberg")
    with pytest.raises(ValueError, match="leader"):
        solve(CHICKEN, "stackelberg", leader=2)


# --- dominance ----------------------------------------------------------------------------------------------


def test_the_dilemma_reduces_to_defection():
    reduction = eliminate_dominated(NormalFormGame.bimatrix([[3, 0], [5, 1]], [[3, 5], [0, 1]]))
    assert reduction.kept == ((1,), (1,))
    assert [row.tolist() for row in reduction.lift([[1.0], [1.0]])] == [[0, 1], [0, 1]]
    assert reduction.game.strategies == (("1",), ("1",))


def test_domination_by_a_mixture_only():
    game = NormalFormGame.bimatrix([[3, 0], [0, 3], [1, 1]], [[0, 1], [1, 0], [0, 0]])
    assert eliminate_dominated(game).kept == ((0, 1), (0, 1))
    assert eliminate_dominated(game, mixed=False).kept == ((0, 1, 2), (0, 1))


def test_weak_domination_and_clones():
    weak = NormalFormGame.bimatrix([[1, 1], [1, 0]], [[0, 0], [0, 0]])
    assert eliminate_dominated(weak).kept == ((0, 1), (0, 1))
    assert eliminate_dominated(weak, strict=False).kept == ((0,), (0, 1))
    clones = NormalFormGame.bimatrix([[1, 2], [1, 2]], [[0, 1], [0, 1]])
    assert eliminate_dominated(clones, strict=False).kept == ((0, 1), (1,))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_elimination_keeps_equilibria(seed):
    rng = np.random.default_rng(seed)
    game = NormalFormGame.bimatrix(*rng.integers(0, 6, (2, 4, 4)))
    strict = eliminate_dominated(game)
    before, after = solve(game, method="enumerate"), solve(strict.game, method="enumerate")
    assert len(before) == len(after)
    for one in after:
        assert nash_conv(game, strict.lift(one.profile)) < 1e-9
    weak = eliminate_dominated(game, strict=False)
    for one in solve(weak.game, method="enumerate"):
        assert nash_conv(game, weak.lift(one.profile)) < 1e-7
