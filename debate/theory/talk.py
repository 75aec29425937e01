"""Cheap talk against hard evidence: when words cost nothing and nothing can be checked, opposed debaters say nothing.

V. Crawford and J. Sobel, "Strategic information transmission" (1982), for a sender and a receiver; here two senders
with opposed, state-independent interests: A is paid the judge's probability p that the state is 1, B is paid −p.

Why the judge stays at its prior: in either state the senders play the same zero-sum game p[a, b], so in equilibrium
both states have its value, E[p | 1] = E[p | 0]; but for Bayesian p, E[p | 1] − E[p | 0] = Var(p) / (π (1 − π)), so
p is constant. The same argument bounds how far a profile that does tell something is from equilibrium
(`least_nash_conv`).

Letters: A messages of the first sender, B of the second; axis 0 of a sender's strategy is the state.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.normal_form import NormalFormGame

Array = NDArray[np.float64]


def posterior(prior: float, first: ArrayLike, second: ArrayLike) -> Array:
    """[A, B] P(state 1 | both messages); the prior for pairs that are never said.

    Args:
        prior: P(state 1).
        first: [2, A] the first sender's message distribution in each state.
        second: [2, B] the second's.
    """
    f, s = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    said = f[:, :, None] * s[:, None, :] * np.array([1 - prior, prior])[:, None, None]
    total = said.sum(axis=0)
    return np.where(total > 0, said[1] / np.where(total > 0, total, 1.0), prior)


def told(prior: float, first: ArrayLike, second: ArrayLike) -> float:
    """E[p | state 1] − E[p | state 0] of the Bayesian judge: 0 exactly when the messages tell it nothing."""
    p = posterior(prior, first, second)
    f, s = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return float(f[1] @ p @ s[1] - f[0] @ p @ s[0])


def senders_nash_conv(prior: float, first: ArrayLike, second: ArrayLike) -> float:
    """What both senders together could gain by deviating, the judge's beliefs held fixed; in units of p."""
    p = posterior(prior, first, second)
    f, s = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    gaps = [(p @ s[y]).max() - (f[y] @ p).min() for y in (0, 1)]
    return float((1 - prior) * gaps[0] + prior * gaps[1])


def least_nash_conv(prior: float, first: ArrayLike, second: ArrayLike) -> float:
    """A lower bound of `senders_nash_conv`: min(π, 1 − π) · (E[p | 1] − E[p | 0]).

    With v the value of the matrix p, in state y one sender could gain at least v − u_y and the other u_y − v, so their
    gaps add up to |u_1 − v| + |u_0 − v| ≥ u_1 − u_0.
    """
    return min(prior, 1 - prior) * told(prior, first, second)


# --- hard evidence ---------------------------------------------------------------------------------------------------

PROVER = ("show witness", "stay silent")
VERIFIER = ("accept a witness only", "accept always", "accept silence only", "accept never")


def witness_game(prior: float) -> NormalFormGame:
    """A prover who wants "accept" and a verifier who wants to be right; only state 1 has a witness, unforgeable.

    Strategies of the prover say what it does in state 1 (in state 0 there is no witness to show); those of the verifier
    what it accepts. Payoffs: the prover's is the probability of acceptance, the verifier's that it is right.
    """
    accepts = np.array([[True, False], [True, True], [False, True], [False, False]])  # rule, (witness, silence)
    payoffs = np.zeros((2, 1, 2, 4))
    for i in range(2):
        in_one, in_zero = accepts[:, i], accepts[:, 1]
        payoffs[0, 0, i] = prior * in_one + (1 - prior) * in_zero
        payoffs[1, 0, i] = prior * in_one + (1 - prior) * ~in_zero
    return NormalFormGame(payoffs, ("prover", "verifier"), ("utility",), (PROVER, VERIFIER))


def forgery_game(prior: float) -> NormalFormGame:
    """The same where state 0 can show something that looks like a witness: words that cannot be verified.

    Strategies of the prover: what it does in state 1, then in state 0.
    """
    accepts = np.array([[True, False], [True, True], [False, True], [False, False]])
    plans = [(a, b) for a in range(2) for b in range(2)]  # 0 claims a witness, 1 is silent
    payoffs = np.zeros((2, 1, 4, 4))
    for i, (one, zero) in enumerate(plans):
        payoffs[0, 0, i] = prior * accepts[:, one] + (1 - prior) * accepts[:, zero]
        payoffs[1, 0, i] = prior * accepts[:, one] + (1 - prior) * ~accepts[:, zero]
    names = [f"{('claim', 'silent')[one]} in 1, {('claim', 'silent')[zero]} in 0" for one, zero in plans]
    return NormalFormGame(payoffs, ("prover", "verifier"), ("utility",), (names, VERIFIER))
