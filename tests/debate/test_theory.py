"""The games with known answers: each model against its published value, and against an independent computation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import games
from debate.bridge import as_game
from debate.play import Arena
from debate.protocol.load import parse_protocol
from debate.questions import Question
from debate.reader import Document
from debate.theory import doubly_efficient, evidence, goodhart, obfuscation, parity, qbf, talk
from games.extensive.backward_induction import backward_induction
from judges.rules import make_rule
from judges.types import Case

# --- 1. evidence debate (Irving, Christiano & Amodei 2018, §3.2)


def test_evidence_debate_of_twelve_weights_and_two_reveals():
    odds = evidence.evidence_odds(12, 2)
    assert odds.optimal == pytest.approx(0.841, abs=5e-4)
    assert odds.random == pytest.approx(0.698, abs=5e-4)
    assert odds.tie == pytest.approx(0.195, abs=5e-4)
    assert odds.consultancy == pytest.approx(0.5, abs=1e-3)


def test_odds_are_those_of_every_question_written_out():
    values = [-2, -1, 1, 2]
    right, shares, ties = [], [], []
    for draw in itertools.product(values, repeat=4):
        total = sum(draw)
        if total == 0:
            continue
        ordered = sorted(draw)
        sums = [sum(pair) for pair in itertools.combinations(draw, 2)]
        shown = ordered[0] + ordered[-1]
        ties.append(shown == 0)
        right.append(0.5 if shown == 0 else float(np.sign(shown) == np.sign(total)))
        shares.append(np.mean([0.5 if s == 0 else float(np.sign(s) == np.sign(total)) for s in sums]))
    odds = evidence.evidence_odds(4, 1, (1, 2))
    assert odds.questions == math.comb(7, 4)
    assert (odds.optimal, odds.random, odds.tie) == pytest.approx((np.mean(right), np.mean(shares), np.mean(ties)))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=4, max_size=5), st.integers(1, 2))
def test_value_of_the_evidence_debate_is_that_of_its_tree(weights, k):
    def best(left, turn):
        if turn == 2 * k:
            return 0
        after = [left[i] + best(left[:i] + left[i + 1 :], turn + 1) for i in range(len(left))]
        return max(after) if turn % 2 == 0 else min(after)

    assert evidence.debate_value(weights, k) == best(tuple(weights), 0)


def test_evidence_needs_enough_weights():
    with pytest.raises(ValueError, match="at least 4 weights"):
        evidence.debate_value([1, 2, 3], 2)
    with pytest.raises(ValueError, match="too many"):
        evidence.evidence_odds(40, 2)


# --- 2. parity


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.data())
def test_positions_that_do_not_depend_on_hidden_bits_say_nothing(n, data):
    """Fixed, random, or adaptive on what was revealed: the posterior stays ½."""
    reveals = data.draw(st.integers(0, n - 1))
    table = {}

    def rule(bits, seen):
        if seen not in table:
            shown = {i for i, _ in seen}
            weights = [0.0 if i in shown else data.draw(st.integers(0, 3)) for i in range(n)]
            weights = weights if sum(weights) else [float(i not in shown) for i in range(n)]
            table[seen] = [w / sum(weights) for w in weights]
        return table[seen]

    assert all(p == pytest.approx(0.5) for p in parity.posteriors(n, reveals, rule).values())
    assert parity.accuracy(n, reveals, rule) == pytest.approx(0.5)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 4), st.integers(0, 2**31), st.booleans())
def test_a_judge_that_ignores_the_choice_stays_at_half_whatever_the_rule(n, seed, sharp):
    rng = np.random.default_rng(seed)
    table = {}

    def rule(bits, seen):
        if (bits, seen) not in table:
            weights = rng.random(n) ** (20 if sharp else 1)
            weights[[i for i, _ in seen]] = 0
            table[bits, seen] = (weights / weights.sum()).tolist()
        return table[bits, seen]

    assert parity.accuracy(n, n - 1, rule, reads_choice=False) == pytest.approx(0.5)


def test_a_persuader_who_chooses_the_position_gives_three_quarters_away():
    assert parity.accuracy(2, 1, parity.persuader) == pytest.approx(0.75)
    assert parity.accuracy(2, 1, parity.persuader, reads_choice=False) == pytest.approx(0.5)
    game = parity.persuasion_game()
    trusting = {(0, 0): 1, (1, 0): 1, (0, 1): 0, (1, 1): 0}  # a shown 0 means parity 1
    assert games.is_nash(game, parity.as_profile(parity.persuader, trusting))
    # A helper tells the parity outright, but a persuader would not keep to that.
    assert parity.accuracy(2, 1, parity.helper) == pytest.approx(1.0)
    told = parity.as_profile(parity.helper, {(0, 0): 0, (0, 1): 0, (1, 0): 1, (1, 1): 1})
    assert games.nash_conv(game, told) == pytest.approx(0.5)


def test_rules_must_be_distributions_over_hidden_bits():
    with pytest.raises(ValueError, match="distribution over the hidden positions"):
        parity.accuracy(2, 2, lambda bits, seen: (1.0, 0.0))


# --- 3. debate = QBF


def compiled(prefix, tables):
    protocol = parse_protocol(Document("qbf", qbf.protocol(prefix), {}), {})
    questions = {}
    for number, table in enumerate(tables):
        text = "".join(map(str, table.astype(int)))
        questions[str(number)] = Question(str(number), text, ("true", "false"))
    rules = {"win": make_rule("win")}
    return as_game(Arena("qbf", protocol, questions, (qbf.FormulaJudge(),), rules), ["win"]).game


@pytest.mark.parametrize("n", [1, 2, 3])
def test_minimax_of_the_compiled_protocol_is_the_truth_of_the_formula(n):
    """Every truth table of up to 3 variables under every prefix: 2,120 games."""
    tables = qbf.all_tables(n)
    for prefix in qbf.prefixes(n):
        game = compiled(prefix, tables)
        values = backward_induction(game).values[list(game.children(0)), 0]
        assert (values == np.where(qbf.truth(tables, prefix), 1.0, -1.0)).all()


def test_the_linear_program_agrees_on_the_compiled_protocol():
    tables = qbf.all_tables(3)[[0b00010111, 0b01101001, 0b11111110]]
    for prefix in ("EAE", "AEA"):
        game = compiled(prefix, tables)
        assert games.sequence_form_lp(game).value == pytest.approx(
            np.where(qbf.truth(tables, prefix), 1.0, -1.0).mean()
        )


def test_four_variables_by_recursion():
    tables = qbf.all_tables(4)
    count = 0
    for prefix in qbf.prefixes(4):
        assert ((qbf.minimax(tables, prefix) > 0) == qbf.truth(tables, prefix)).all()
        count += len(tables)
    assert count == 1_048_576


def test_truth_is_python_s_any_and_all():
    rng = np.random.default_rng(0)
    for prefix in qbf.prefixes(3):
        table = rng.random(8) < 0.5
        pick = {"E": any, "A": all}
        expected = pick[prefix[0]](
            pick[prefix[1]](pick[prefix[2]](table[4 * a + 2 * b + c] for c in (0, 1)) for b in (0, 1)) for a in (0, 1)
        )
        assert qbf.truth(table[None], prefix)[0] == expected


def test_debates_cut_short_are_wrong_on_some_formulas():
    assert qbf.wrong_when_cut(3, 2) == (512, 2048)
    assert qbf.wrong_when_cut(3, 3) == (0, 2048)


def test_formula_judge_refuses_what_does_not_fit():
    verdict = qbf.FormulaJudge().judge(Case("0110", ("true", "false"), ()))
    assert verdict.status == "error" and "do not fit" in verdict.rationale
    with pytest.raises(ValueError, match="prefix 'EX'"):
        qbf.truth(np.zeros((1, 4)), "EX")
    with pytest.raises(ValueError, match="0 to 4"):
        qbf.all_tables(5)


# --- 4. cheap talk and hard evidence (Crawford & Sobel 1982)

mixtures = st.lists(st.integers(0, 6), min_size=6, max_size=6).filter(lambda w: sum(w[:3]) and sum(w[3:]))


@settings(max_examples=60, deadline=None)
@given(mixtures, mixtures, st.floats(0.05, 0.95))
def test_what_tells_the_judge_something_is_no_equilibrium(first, second, prior):
    """The senders' NashConv is at least min(π, 1 − π)(E[p | 1] − E[p | 0]), and that gap is Var(p) / π(1 − π)."""
    f, s = (np.array(w, dtype=float).reshape(2, 3) for w in (first, second))
    f, s = f / f.sum(1, keepdims=True), s / s.sum(1, keepdims=True)
    p = talk.posterior(prior, f, s)
    mass = (1 - prior) * np.outer(f[0], s[0]) + prior * np.outer(f[1], s[1])
    assert (mass * p).sum() == pytest.approx(prior)
    gap = talk.told(prior, f, s)
    assert gap * prior * (1 - prior) == pytest.approx((mass * (p - prior) ** 2).sum(), abs=1e-12)
    assert talk.senders_nash_conv(prior, f, s) >= talk.least_nash_conv(prior, f, s) - 1e-12


def test_babbling_is_an_equilibrium_and_leaves_the_prior():
    f = np.tile([0.2, 0.8], (2, 1))
    assert talk.posterior(0.3, f, f) == pytest.approx(np.full((2, 2), 0.3))
    assert talk.senders_nash_conv(0.3, f, f) == pytest.approx(0.0)
    honest = np.eye(2)
    assert talk.told(0.3, honest, honest) == 1.0
    assert talk.senders_nash_conv(0.3, honest, honest) > 0.3


def verifier_accuracies(game, **how):
    return [found.payoffs[1, 0] for found in games.solve(game, **how)]


def test_a_verifiable_witness_and_a_verifier_that_leads_give_accuracy_one():
    game = talk.witness_game(0.5)
    assert verifier_accuracies(game, concept="stackelberg", leader=1) == [pytest.approx(1.0)]
    # Moves at the same time: full disclosure is an equilibrium, and so is babbling at the prior.
    both = verifier_accuracies(game, method="enumerate")
    assert min(both) == pytest.approx(0.5) and max(both) == pytest.approx(1.0)
    silent = [[0.0, 1.0], [0.0, 0.0, 0.0, 1.0]]
    assert games.is_nash(game, [np.array(p) for p in silent])


def test_claims_that_cannot_be_verified_leave_the_prior():
    for prior in (0.5, 0.3):
        game = talk.forgery_game(prior)
        assert verifier_accuracies(game, method="enumerate") == pytest.approx(
            [max(prior, 1 - prior)] * len(verifier_accuracies(game, method="enumerate"))
        )
        assert verifier_accuracies(game, concept="stackelberg", leader=1) == [pytest.approx(max(prior, 1 - prior))]


# --- 5. obfuscated arguments (Barnes & Christiano 2020)


@given(st.integers(1, 6), st.integers(0, 5), st.integers(0, 400))
def test_detection_is_the_product_over_misses(branching, depth, inspections):
    assert obfuscation.detection(branching, depth, inspections) == pytest.approx(
        obfuscation.detection_by_misses(branching, depth, inspections)
    )


@pytest.mark.parametrize("branching, depth, inspections", [(2, 3, 3), (3, 4, 27), (2, 10, 100), (5, 2, 25), (3, 0, 1)])
def test_detection_by_simulation(branching, depth, inspections):
    trees = 5000
    p = obfuscation.detection(branching, depth, inspections)
    found = obfuscation.simulate(branching, depth, inspections, trees, seed=1)
    assert found == pytest.approx(p, abs=5 * math.sqrt(max(p * (1 - p), 1e-12) / trees))


def test_inspections_needed_grow_exponentially():
    assert [obfuscation.inspections_for(3, d, 2 / 3) for d in (1, 2, 3, 4)] == [2, 6, 18, 54]
    with pytest.raises(ValueError, match="branching >= 1"):
        obfuscation.detection(0, 1, 1)
    with pytest.raises(ValueError, match="probability"):
        obfuscation.inspections_for(2, 2, 1.5)


# --- 6. doubly efficient debate (Brown-Cohen, Irving & Piliouras 2023, theorem 6.2)

RUNS = 4000
SLACK = 4 * math.sqrt(0.24 / RUNS)  # four standard errors of a share near .6
YES = [
    doubly_efficient.RandomBit(60, 2 / 3),
    doubly_efficient.ParityWalk(60, 0.78, 0.585),
    doubly_efficient.Majority(60, 0.548, 21),
]
NO = [
    doubly_efficient.RandomBit(60, 1 / 3),
    doubly_efficient.ParityWalk(60, 0.4, 0.284),
    doubly_efficient.Majority(60, 0.452, 21),
]


@pytest.mark.parametrize("machine", YES, ids=lambda m: type(m).__name__)
def test_honest_alice_beats_any_bob_where_the_machine_accepts(machine):
    assert doubly_efficient.acceptance(machine, 100_000, 0) == pytest.approx(2 / 3, abs=0.01)
    for bob in [*doubly_efficient.CHEATING_BOBS.values(), doubly_efficient.honest_bob]:
        outcome = doubly_efficient.play(machine, doubly_efficient.honest_alice, bob, RUNS, 1)
        assert outcome.alice >= 0.6 - SLACK


@pytest.mark.parametrize("machine", NO, ids=lambda m: type(m).__name__)
def test_honest_bob_beats_any_alice_where_the_machine_rejects(machine):
    assert doubly_efficient.acceptance(machine, 100_000, 0) == pytest.approx(1 / 3, abs=0.01)
    for alice in [*doubly_efficient.CHEATING_ALICES.values(), doubly_efficient.honest_alice]:
        outcome = doubly_efficient.play(machine, alice, doubly_efficient.honest_bob, RUNS, 1)
        assert 1 - outcome.alice >= 0.6 - SLACK


def test_without_challenges_a_cheating_alice_wins():
    """The bound above is Bob's doing: nobody challenges, and boldness wins everything."""
    never = doubly_efficient.CHEATING_BOBS["never"]
    assert doubly_efficient.play(NO[0], doubly_efficient.CHEATING_ALICES["bold"], never, 200, 0).alice == 1.0


@pytest.mark.parametrize("machine", [*YES, *NO], ids=lambda m: f"{type(m).__name__}-{m.steps}")
def test_machines_are_as_lipschitz_as_they_say(machine):
    e, runs = 0.03, 60_000
    low, high = (doubly_efficient.acceptance(machine, runs, 0, shift) for shift in (-e, e))
    assert abs(high - low) <= 2 * e * machine.lipschitz + 4 * math.sqrt(0.5 / runs)


def test_costs_scale_as_in_the_theorem():
    """Prover O(K² T log T) in all, verifier O(K²): flat in T at fixed K."""
    steps = [10, 100, 1000, 10_000]
    budgets = [doubly_efficient.budget(t, 2.0) for t in steps]
    assert len({b.verifier for b in budgets}) == 1
    per = [
        t * b.prover / (4 * t * math.log(2 * t / doubly_efficient.FAILURE)) for t, b in zip(steps, budgets, strict=True)
    ]
    assert max(per) / min(per) < 1.001
    one, three = (doubly_efficient.budget(100, k) for k in (1.0, 3.0))
    assert three.prover / one.prover == pytest.approx(9, rel=1e-4)
    assert three.verifier / one.verifier == pytest.approx(9, rel=1e-4)


def test_debates_are_reproducible():
    first, second = (
        doubly_efficient.play(NO[1], doubly_efficient.honest_alice, doubly_efficient.honest_bob, 100, 3)
        for _ in range(2)
    )
    assert first == second


# --- 7. Goodhart

tables = st.integers(0, 2**31).map(np.random.default_rng)


@settings(max_examples=30, deadline=None)
@given(tables, st.integers(2, 12), st.floats(-2, 2))
def test_the_slope_of_the_value_is_its_covariance_with_the_proxy(rng, size, beta):
    base = rng.dirichlet(np.ones(size))
    u, v = rng.normal(size=(2, size))
    h = 1e-5
    slope = (
        goodhart.mean(goodhart.tilted(base, u, beta + h), v) - goodhart.mean(goodhart.tilted(base, u, beta - h), v)
    ) / (2 * h)
    assert slope == pytest.approx(goodhart.covariance(goodhart.tilted(base, u, beta), u, v), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(tables, st.integers(2, 12), st.integers(1, 50))
def test_best_of_n_stays_within_its_bound(rng, size, n):
    base, u = rng.dirichlet(np.ones(size)), rng.integers(0, 6, size).astype(float)
    chosen = goodhart.best_of_n(base, u, n)
    assert chosen.sum() == pytest.approx(1.0)
    assert goodhart.divergence(chosen, base) <= goodhart.best_of_n_bound(n) + 1e-9


def test_best_of_n_bound_is_reached_without_ties():
    base = np.full(20_000, 1 / 20_000)
    chosen = goodhart.best_of_n(base, np.arange(20_000.0), 8)
    assert goodhart.divergence(chosen, base) == pytest.approx(goodhart.best_of_n_bound(8), rel=1e-3)
    drawn = np.random.default_rng(0).integers(5, size=(200_000, 3)).max(axis=1)
    assert np.bincount(drawn) / 200_000 == pytest.approx(
        goodhart.best_of_n(np.full(5, 0.2), np.arange(5.0), 3), abs=0.01
    )


def test_policies_are_checked():
    assert goodhart.divergence([0.5, 0.5], [1.0, 0.0]) == math.inf
    with pytest.raises(ValueError, match="distribution"):
        goodhart.tilted([0.5, 0.6], [0, 1], 1.0)
    with pytest.raises(ValueError, match="n >= 1"):
        goodhart.best_of_n([1.0], [0.0], 0)
