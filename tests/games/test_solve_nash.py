"""Every Nash method: known answers, degenerate games, invariances, other libraries, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import Equilibrium, NormalFormGame, NotConverged, nash_conv, solve
from games.equilibria.replicator import project

VON_STENGEL = NormalFormGame.bimatrix([[3, 3], [2, 5], [0, 6]], [[3, 2], [2, 6], [3, 1]])
BIASED_RPS = NormalFormGame.zero_sum([[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]])
DILEMMA = NormalFormGame.bimatrix([[3, 0], [5, 1]], [[3, 5], [0, 1]])
BATTLE = NormalFormGame.bimatrix([[2, 0], [0, 1]], [[1, 0], [0, 2]])
TWO_PLAYER_METHODS = ["auto", "lemke_howson", "enumerate", "logit", "regret_matching", "replicator"]


def matches(found, expected, tolerance=1e-9):
    return all(np.abs(p - q).max() < tolerance for p, q in zip(found.profile, expected, strict=True))


def tie_game(rng, players=2, largest=4):
    """A game of few payoff levels, often with a duplicated strategy: ties are the rule."""
    shape = tuple(int(k) for k in rng.integers(1 if rng.random() < 0.2 else 2, largest + 1, players))
    levels = rng.choice([2, 3, 11])
    tensor = rng.integers(0, levels, (players, *shape)) / (10.0 if levels == 11 else 1.0)
    for i in range(players):
        if rng.random() < 0.5:
            again = [*range(tensor.shape[i + 1]), int(rng.integers(tensor.shape[i + 1]))]
            tensor = np.take(tensor, again, axis=i + 1)
    return tensor


# --- known answers ------------------------------------------------------------------------------------------


def test_biased_rock_paper_scissors():
    found = solve(BIASED_RPS)[0]
    assert found.method == "lp"
    assert matches(found, [np.array([1, 10, 5]) / 16] * 2)
    assert found.details["value"] == pytest.approx(0.0, abs=1e-12)
    assert found.payoffs == pytest.approx(np.zeros((2, 1)), abs=1e-12)


def test_three_equilibria_of_von_stengel_2007_example():
    found = solve(VON_STENGEL, method="enumerate")
    expected = [
        ([1, 0, 0], [1, 0]),
        ([4 / 5, 1 / 5, 0], [2 / 3, 1 / 3]),
        ([0, 1 / 3, 2 / 3], [1 / 3, 2 / 3]),
    ]
    assert len(found) == 3
    assert all(any(matches(one, answer) for one in found) for answer in expected)
    assert not any(one.degenerate for one in found)
    assert all(one.exact for one in found)
    assert {one.details["components"] for one in found} == {3}


@pytest.mark.parametrize("method", TWO_PLAYER_METHODS)
def test_every_method_solves_the_prisoners_dilemma(method):
    found = solve(DILEMMA, method=method)
    assert len(found) == 1
    assert matches(found[0], [[0, 1], [0, 1]])
    assert found[0].support == ((1,), (1,))
    assert found[0].payoffs.tolist() == [[1.0], [1.0]]
    assert not found[0].degenerate


@pytest.mark.parametrize("method", ["lp", *TWO_PLAYER_METHODS])
def test_every_method_finds_the_unique_mixture_of_biased_rps(method):
    assert matches(solve(BIASED_RPS, method=method)[0], [np.array([1, 10, 5]) / 16] * 2, 1e-8)


def test_battle_of_the_sexes_has_its_three():
    found = solve(BATTLE)
    for answer in (([1, 0], [1, 0]), ([0, 1], [0, 1]), ([2 / 3, 1 / 3], [1 / 3, 2 / 3])):
        assert any(matches(one, answer) for one in found)
    assert len(found) == 3


def test_all_labels_of_lemke_howson():
    found = solve(VON_STENGEL, method="lemke_howson", labels="all")
    # Paths from the artificial equilibrium end at an odd-index equilibrium: never at the middle one.
    assert {one.support for one in found} == {((0,), (0,)), ((1, 2), (0, 1))}
    assert len(solve(VON_STENGEL, method="lemke_howson", labels=3)) == 1


def test_lemke_howson_over_the_integers_agrees_with_floating_point():
    from games.equilibria.lemke_howson import _exact_end

    for seed in range(20):
        game = NormalFormGame.bimatrix(*np.random.default_rng(seed).integers(0, 9, (2, 4, 5)))
        exact = _exact_end(game, 0, 1_000, 1e-8)
        assert nash_conv(game, exact.profile) < 1e-12
        assert exact.details["arithmetic"] == "integer"


def test_twenty_by_twenty_games_are_all_solved():
    for seed in range(10):
        game = NormalFormGame.bimatrix(*np.random.default_rng(seed).random((2, 20, 20)))
        assert solve(game)[0].nash_conv < 1e-9


def test_a_component_of_a_degenerate_game():
    # Row 0 with any column, and column 1 with any row: two edges that meet at (row 0, column 1).
    game = NormalFormGame.bimatrix([[1, 1], [0, 1]], [[1, 1], [0, 1]])
    found = solve(game, method="enumerate")
    assert {one.details["component"] for one in found} == {0}
    assert all(one.degenerate for one in found)
    assert len(found) == 3
    x, y = solve(game, select="max_entropy")[0].profile
    assert np.allclose(x, [0.5, 0.5]) or np.allclose(y, [0.5, 0.5])


def test_all_zero_game():
    game = NormalFormGame.bimatrix(np.zeros((3, 3)), np.zeros((3, 3)))
    assert len(solve(game, method="enumerate")) == 9
    uniform = solve(game, select="max_entropy")[0]
    assert matches(uniform, [np.full(3, 1 / 3)] * 2)
    assert uniform.degenerate


def test_max_entropy_spreads_over_clones():
    pennies = np.array([[1.0, -1.0], [-1.0, 1.0]])
    cloned = pennies[np.ix_([0, 1, 1], [0, 1])]
    found = solve(NormalFormGame.zero_sum(cloned), select="max_entropy")[0]
    assert matches(found, [[0.5, 0.25, 0.25], [0.5, 0.5]])
    both = solve(NormalFormGame.zero_sum(cloned), method="enumerate", select="max_entropy")[0]
    assert matches(both, found.profile, 1e-7)


def test_max_welfare_selects_the_best_equilibrium():
    stag = NormalFormGame.bimatrix([[4, 0], [3, 3]], [[4, 3], [0, 3]])
    assert matches(solve(stag, select="max_welfare")[0], [[1, 0], [1, 0]])


def test_three_player_majority_and_one_player():
    payoff = np.zeros((3, 1, 2, 2, 2))
    for cell in np.ndindex(2, 2, 2):
        payoff[:, 0][(slice(None), *cell)] = [float(sum(cell) >= 2) + (a == 1) for a in cell]
    for method in ("auto", "logit", "regret_matching", "enumerate"):
        assert matches(solve(NormalFormGame(payoff), method=method)[0], [[0, 1]] * 3)
    alone = NormalFormGame([[[1.0, 3.0, 2.0]]])
    assert matches(solve(alone)[0], [[0, 1, 0]])


def test_three_player_equilibria_by_supports():
    """A three-player matching game whose only equilibrium is uniform, found among supports and by the logit branch."""
    payoff = np.zeros((3, 1, 2, 2, 2))
    for a, b, c in np.ndindex(2, 2, 2):
        payoff[:, 0, a, b, c] = [a == b, b == c, c != a]
    game = NormalFormGame(payoff)
    assert len(solve(game, method="enumerate")) == 1
    for method in ("enumerate", "logit", "auto"):
        assert matches(solve(game, method=method)[0], [[0.5, 0.5]] * 3)


# --- properties ---------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_nothing_unverified_comes_back_from_degenerate_games(seed):
    rng = np.random.default_rng(seed)
    game = NormalFormGame(tie_game(rng)[:, None])
    for method in ("auto", "lemke_howson", "enumerate", "logit"):
        try:
            answers = solve(game, method=method)
        except NotConverged:
            assert method == "logit"  # its branch may cross another one in a degenerate game; the others never fail
            continue
        assert answers
        for one in answers:
            assert isinstance(one, Equilibrium)
            assert nash_conv(game, one.profile) < 1e-7
            assert one.nash_conv == pytest.approx(nash_conv(game, one.profile), abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_a_thousand_games_with_ties_and_clones(block):
    """100 games a block; every method either verifies or says that it did not converge, and some methods never fail."""
    for seed in range(100 * block, 100 * (block + 1)):
        rng = np.random.default_rng(seed)
        players = 2 if seed % 3 else 3
        game = NormalFormGame(tie_game(rng, players, 4 if players == 2 else 3)[:, None])
        never_fail = ["auto", "lemke_howson", "enumerate"] if players == 2 else ["auto"]
        for method in [*never_fail, "logit", "regret_matching", "replicator"]:
            options = {"iterations": 500} if method in ("regret_matching", "replicator") else {}
            try:
                answers = solve(game, method=method, **options)
            except NotConverged:
                assert method not in never_fail
                continue
            assert answers and all(nash_conv(game, one.profile) < 1e-7 for one in answers)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(-50, 50))
def test_affine_changes_of_payoffs_keep_the_equilibria(seed, factor, shift):
    tensor = np.random.default_rng(seed).integers(-4, 5, (2, 3, 3)).astype(float)
    before = solve(NormalFormGame(tensor[:, None]), method="enumerate")
    tensor[0] = factor * tensor[0] + shift
    game = NormalFormGame(tensor[:, None])
    assert all(nash_conv(game, one.profile) < 1e-9 * max(1.0, factor) + 1e-12 for one in before)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_permuting_strategies_permutes_the_equilibria(seed):
    rng = np.random.default_rng(seed)
    tensor = rng.integers(0, 4, (2, 3, 4)).astype(float)
    rows, columns = rng.permutation(3), rng.permutation(4)
    before = solve(NormalFormGame(tensor[:, None]), method="enumerate")
    after = solve(NormalFormGame(tensor[:, None][:, :, rows][:, :, :, columns]), method="enumerate")
    assert len(before) == len(after)
    for one in before:
        moved = [one.profile[0][rows], one.profile[1][columns]]
        assert any(matches(other, moved) for other in after)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_cloning_a_row_keeps_the_equilibria_of_the_others(seed):
    tensor = np.random.default_rng(seed).integers(0, 5, (2, 3, 3)).astype(float)
    cloned = NormalFormGame(tensor[:, None][:, :, [0, 1, 2, 0]])
    plain = NormalFormGame(tensor[:, None])
    for one in solve(cloned, method="enumerate"):
        x, y = one.profile
        assert nash_conv(plain, [np.array([x[0] + x[3], x[1], x[2]]), y]) < 1e-9
    for one in solve(plain, method="enumerate"):
        assert nash_conv(cloned, [np.append(one.profile[0], 0.0), one.profile[1]]) < 1e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_lemke_howson_ends_are_among_the_extreme_equilibria(seed):
    game = NormalFormGame(tie_game(np.random.default_rng(seed))[:, None])
    extreme = solve(game, method="enumerate")
    for end in solve(game, method="lemke_howson", labels="all"):
        assert any(matches(end, one.profile) for one in extreme)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_a_maximal_nash_subset_consists_of_equilibria(seed):
    rng = np.random.default_rng(seed)
    game = NormalFormGame(tie_game(rng)[:, None])
    found = solve(game, method="enumerate")
    for number in {k for one in found for k in one.details["subsets"]}:
        members = [one.profile for one in found if number in one.details["subsets"]]
        weights = [rng.dirichlet(np.ones(len(members))) for _ in range(2)]
        mixed = [sum(w * m[i] for w, m in zip(weights[i], members, strict=True)) for i in range(2)]
        assert nash_conv(game, mixed) < 1e-9


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_payoffs_of_any_magnitude(seed):
    rng = np.random.default_rng(seed)
    for scale in (1e-9, 1e9):
        game = NormalFormGame.bimatrix(*(scale * rng.random((2, 4, 4))))
        for method in ("auto", "lemke_howson", "logit"):
            assert solve(game, method=method)[0].nash_conv <= 1e-7 * scale


def test_the_same_seed_gives_the_same_answer():
    game = NormalFormGame(np.random.default_rng(5).random((3, 1, 2, 3, 2)))
    one, two = (solve(game, method="enumerate", seed=7) for _ in range(2))
    assert [e.nash_conv for e in one] == [e.nash_conv for e in two]
    one, two = (solve(BIASED_RPS, method="replicator", seed=7) for _ in range(2))
    assert one[0].details == two[0].details
    assert all((p == q).all() for p, q in zip(one[0].profile, two[0].profile, strict=True))


# --- other libraries ----------------------------------------------------------------------------------------


def as_arrays(profile):
    return [np.array([float(p) for _, p in strategy]) for _, strategy in profile.mixed_strategies()]


@pytest.mark.parametrize("seed", range(25))
def test_enumeration_agrees_with_gambit_enummixed(seed):
    gambit = pytest.importorskip("pygambit")
    tensor = np.random.default_rng(seed).integers(0, 4, (2, 3, 4))
    theirs = gambit.nash.enummixed_solve(gambit.Game.from_arrays(*tensor), rational=True).equilibria
    ours = solve(NormalFormGame(tensor[:, None]), method="enumerate")
    assert len(ours) == len(theirs)
    for profile in theirs:
        assert any(matches(one, as_arrays(profile)) for one in ours)


@pytest.mark.parametrize("seed", range(10))
def test_gambit_lcp_solutions_are_found(seed):
    gambit = pytest.importorskip("pygambit")
    tensor = np.random.default_rng(seed).random((2, 5, 5))
    ours = solve(NormalFormGame(tensor[:, None]))
    for profile in gambit.nash.lcp_solve(gambit.Game.from_arrays(*tensor), rational=False).equilibria:
        assert any(matches(one, as_arrays(profile), 1e-6) for one in ours)


@pytest.mark.parametrize("seed", range(6))
def test_three_player_enumeration_finds_what_gambit_enumpoly_finds(seed):
    gambit = pytest.importorskip("pygambit")
    tensor = np.random.default_rng(seed).normal(size=(3, 2, 2, 2)).round(3)
    theirs = gambit.nash.enumpoly_solve(gambit.Game.from_arrays(*tensor)).equilibria
    ours = solve(NormalFormGame(tensor[:, None]), method="enumerate")
    for profile in theirs:
        assert any(matches(one, as_arrays(profile), 1e-4) for one in ours)


# --- dynamics -----------------------------------------------------------------------------------------------


def test_projected_replicator_dynamics_stay_off_the_boundary():
    found = solve(BIASED_RPS, method="replicator", floor=0.01)[0]
    assert found.details["floor"] == 0.01
    assert nash_conv(BIASED_RPS, found.profile) < 1e-8


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.floats(0, 0.15))
def test_projection_is_the_nearest_point(values, floor):
    row = np.array(values)
    point = project(row, floor)
    assert point.sum() == pytest.approx(1.0)
    assert point.min() >= floor - 1e-12
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = floor + (1 - floor * len(row)) * rng.dirichlet(np.ones(len(row)))
        assert np.linalg.norm(row - point) <= np.linalg.norm(row - other) + 1e-9


def test_regret_matching_without_polish_reaches_what_it_promises():
    found = solve(BIASED_RPS, method="regret_matching", polish=False, tol=1e-3)[0]
    assert not found.details["polished"]
    assert found.regrets.max() <= 1e-3


def test_too_few_iterations_are_not_convergence():
    with pytest.raises(NotConverged, match="regret"):
        solve(BIASED_RPS, method="regret_matching", polish=False, iterations=3)
    with pytest.raises(NotConverged, match="replicator"):
        solve(BIASED_RPS, method="replicator", polish=False, iterations=3)
    with pytest.raises(NotConverged, match="vertices"):
        solve(NormalFormGame.bimatrix(*np.random.default_rng(0).random((2, 6, 6))), method="enumerate", max_vertices=5)


# --- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"concept": "trembling"}, "concept"),
        ({"method": "guess"}, "method"),
        ({"method": "lp", "select": "max_fun"}, "select"),
        ({"method": "logit", "select": "max_entropy"}, "select"),
        ({"method": "lemke_howson", "labels": [99]}, "labels"),
        ({"method": "lemke_howson", "labels": "some"}, "labels"),
        ({"method": "lemke_howson", "steps": 3}, "steps"),
        ({"method": "replicator", "floor": 1.5}, "floor"),
        ({"concept": "ce", "select": "max_fun"}, "select"),
        ({"concept": "ce", "certify": True}, "certify"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        solve(BIASED_RPS, **arguments)


def test_methods_refuse_games_they_are_not_for():
    three = NormalFormGame(np.zeros((3, 1, 2, 2, 2)))
    with pytest.raises(ValueError, match="constant-sum"):
        solve(DILEMMA, method="lp")
    for method in ("lp", "lemke_howson"):
        with pytest.raises(ValueError, match="two players"):
            solve(three, method=method)
    with pytest.raises(ValueError, match="scalarise"):
        solve(NormalFormGame(np.zeros((2, 2, 2, 2))))
    with pytest.raises(ValueError, match="NormalFormGame"):
        solve([[1, 2], [3, 4]])
