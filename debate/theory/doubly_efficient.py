"""Doubly efficient debate of a stochastic computation: cheap for the honest side, cheaper still for the verifier.

J. Brown-Cohen, G. Irving and G. Piliouras, "Scalable AI safety via doubly-efficient debate" (2023), §6 and theorem 6.2.
A machine of T steps asks a random oracle (a human judgement) one question a step; the answer is 1 with a probability
that only sampling reveals. At every step Alice states that probability, Bob may challenge it, and common coins that
neither side controls turn the stated probability into the step's bit. A challenge ends the debate: the verifier, Vera,
samples that one question and decides whether Alice's number was right. Unchallenged, the machine's last word counts.

A machine is K-Lipschitz when oracles that differ by at most e in every probability differ by at most K e in its
acceptance. Then with the tolerances of `budget` honest Alice wins with probability at least 3/5 against any Bob when
the machine accepts with probability at least 2/3, and honest Bob against any Alice when it is at most 1/3. The provers'
cost is O(K² T log T), Vera's O(K²): it does not depend on T.

Letters: R runs, T steps. Costs are numbers of oracle samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
FAILURE = 0.005  # probability that one side's sampling misses its tolerance anywhere


class Machine(Protocol):
    """A stochastic oracle machine, R runs at once."""

    @property
    def steps(self) -> int:
        """T."""
        ...

    @property
    def lipschitz(self) -> float:
        """K."""
        ...

    def start(self, runs: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """[R, …] the first states; the machine's own coins are drawn here."""
        ...

    def probability(self, step: int, states: NDArray[np.int64]) -> Array:
        """[R] probability that the oracle answers 1 to the question asked now."""
        ...

    def advance(self, step: int, states: NDArray[np.int64], bits: Bools) -> NDArray[np.int64]:
        """The states after the answers."""
        ...

    def accepts(self, states: NDArray[np.int64]) -> Bools:
        """[R] the last word."""
        ...


@dataclass(frozen=True, slots=True)
class RandomBit:
    """Asks T questions with answer probability `p` each and outputs the answer to a random one: K = 1."""

    steps: int
    p: float
    lipschitz: float = 1.0

    def start(self, runs: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """States are (step that counts, its answer)."""
        return np.stack([rng.integers(self.steps, size=runs), np.zeros(runs, dtype=np.int64)], axis=1)

    def probability(self, step: int, states: NDArray[np.int64]) -> Array:
        """The same for every question."""
        return np.full(len(states), self.p)

    def advance(self, step: int, states: NDArray[np.int64], bits: Bools) -> NDArray[np.int64]:
        """Remembers the answer that counts."""
        return np.stack([states[:, 0], np.where(states[:, 0] == step, bits, states[:, 1])], axis=1)

    def accepts(self, states: NDArray[np.int64]) -> Bools:
        """The remembered answer."""
        return np.asarray(states[:, 1] == 1)


@dataclass(frozen=True, slots=True)
class ParityWalk:
    """What is asked depends on the parity of all earlier answers; outputs the answer to a random question.

    With answer probabilities p₀ and p₁ after an even and an odd number of ones, the parity forgets an error by the
    factor ρ = |1 − p₀ − p₁| a step, so K = 1 + |p₁ − p₀| / (1 − ρ).
    """

    steps: int
    even: float
    odd: float

    @property
    def lipschitz(self) -> float:
        """K."""
        return 1.0 + abs(self.odd - self.even) / (1.0 - abs(1.0 - self.odd - self.even))

    def start(self, runs: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """States are (step that counts, its answer, parity)."""
        zeros = np.zeros(runs, dtype=np.int64)
        return np.stack([rng.integers(self.steps, size=runs), zeros, zeros], axis=1)

    def probability(self, step: int, states: NDArray[np.int64]) -> Array:
        """By parity."""
        return np.where(states[:, 2] == 1, self.odd, self.even)

    def advance(self, step: int, states: NDArray[np.int64], bits: Bools) -> NDArray[np.int64]:
        """Remembers the answer that counts, and the parity."""
        kept = np.where(states[:, 0] == step, bits, states[:, 1])
        return np.stack([states[:, 0], kept, states[:, 2] ^ bits], axis=1)

    def accepts(self, states: NDArray[np.int64]) -> Bools:
        """The remembered answer."""
        return np.asarray(states[:, 1] == 1)


@dataclass(frozen=True, slots=True)
class Majority:
    """Asks T questions with answer probability `p` each; outputs the majority of `votes` random ones (odd).

    K = m·C(m − 1, (m − 1)/2) / 2^(m − 1) for m votes: the slope of the binomial tail at its steepest, p = ½.
    """

    steps: int
    p: float
    votes: int

    @property
    def lipschitz(self) -> float:
        """K."""
        half = (self.votes - 1) // 2
        return float(self.votes * math.comb(self.votes - 1, half) / 2 ** (self.votes - 1))

    def start(self, runs: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """States are (ones counted, the steps that count)."""
        keys = rng.random((runs, self.steps))
        chosen = np.argpartition(keys, self.votes - 1, axis=1)[:, : self.votes]
        return np.concatenate([np.zeros((runs, 1), dtype=np.int64), chosen], axis=1)

    def probability(self, step: int, states: NDArray[np.int64]) -> Array:
        """The same for every question."""
        return np.full(len(states), self.p)

    def advance(self, step: int, states: NDArray[np.int64], bits: Bools) -> NDArray[np.int64]:
        """Counts the answer where it is one of those that count."""
        counts = states[:, 0] + (bits & (states[:, 1:] == step).any(axis=1))
        return np.concatenate([counts[:, None], states[:, 1:]], axis=1)

    def accepts(self, states: NDArray[np.int64]) -> Bools:
        """More than half."""
        return np.asarray(2 * states[:, 0] > self.votes)


@dataclass(frozen=True, slots=True)
class Budget:
    """Tolerance and samples that make the theorem's constants come out.

    Attributes:
        tolerance: e = 1/(100 K): every honest estimate is within e of the truth, except with probability `FAILURE`.
        prover: samples of Alice, and of Bob, a step: log(2T/δ) / (2 e²), so that all T estimates hold together.
        verifier: samples of Vera, once: log(2/δ) / (2 e²).

    Vera rejects a number more than 2e from her own mean, so honest Alice survives any challenge; Bob challenges at a
    distance above 4e from his, where the truth is more than 3e away and Vera rejects. What stays unchallenged is within
    5e of the truth and moves the acceptance by at most 5 K e = .05; with the failures, 1/3 becomes at most .4.
    """

    tolerance: float
    prover: int
    verifier: int


def budget(steps: int, lipschitz: float) -> Budget:
    """The budget of a machine; prover total: `steps` · prover = O(K² T log T), verifier = O(K²)."""
    e = 0.01 / lipschitz
    return Budget(
        e,
        math.ceil(math.log(2 * steps / FAILURE) / (2 * e * e)),
        math.ceil(math.log(2 / FAILURE) / (2 * e * e)),
    )


Claim = Callable[[int, Array, Budget, np.random.Generator], Array]
"""Alice: (step, [R] true probabilities, budget, rng) → [R] stated probabilities. Honest ones only sample the truth."""
Challenge = Callable[[int, Array, Array, Budget, np.random.Generator], Bools]
"""Bob: (step, [R] true probabilities, [R] stated ones, budget, rng) → [R] whether he challenges."""


def honest_alice(step: int, truth: Array, spent: Budget, rng: np.random.Generator) -> Array:
    """The mean of her samples."""
    return rng.binomial(spent.prover, truth) / spent.prover


def honest_bob(step: int, truth: Array, stated: Array, spent: Budget, rng: np.random.Generator) -> Bools:
    """Challenges what is more than 4e from the mean of his own samples."""
    return np.asarray(np.abs(rng.binomial(spent.prover, truth) / spent.prover - stated) > 4 * spent.tolerance)


def _sly(step: int, truth: Array, spent: Budget, rng: np.random.Generator) -> Array:
    return np.minimum(1.0, truth + 2.9 * spent.tolerance)


def _greedy(step: int, truth: Array, spent: Budget, rng: np.random.Generator) -> Array:
    return np.minimum(1.0, truth + 5 * spent.tolerance)


def _bold(step: int, truth: Array, spent: Budget, rng: np.random.Generator) -> Array:
    return np.ones_like(truth)


def _rare(step: int, truth: Array, spent: Budget, rng: np.random.Generator) -> Array:
    return np.where(rng.random(len(truth)) < 0.01, 1.0, truth)


CHEATING_ALICES: dict[str, Claim] = {"sly": _sly, "greedy": _greedy, "bold": _bold, "rare": _rare}
"""They know the true probabilities and push them up: less than is challenged, just more, all the way, now and then."""


def _never(step: int, truth: Array, stated: Array, spent: Budget, rng: np.random.Generator) -> Bools:
    return np.zeros(len(truth), dtype=np.bool_)


def _first(step: int, truth: Array, stated: Array, spent: Budget, rng: np.random.Generator) -> Bools:
    return np.ones(len(truth), dtype=np.bool_)


def _erratic(step: int, truth: Array, stated: Array, spent: Budget, rng: np.random.Generator) -> Bools:
    return np.asarray(rng.random(len(truth)) < 0.05)


def _hunter(step: int, truth: Array, stated: Array, spent: Budget, rng: np.random.Generator) -> Bools:
    return np.asarray(np.abs(truth - stated) > 0.75 * spent.tolerance)


CHEATING_BOBS: dict[str, Challenge] = {"never": _never, "first": _first, "erratic": _erratic, "hunter": _hunter}
"""They challenge nothing, the first step, at random, or the steps at which Alice's sampling was unlucky."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What R debates came to.

    Attributes:
        alice: share that Alice won.
        challenged: share that ended in a challenge.
        prover: most samples an honest prover spends in one debate.
        verifier: samples Vera spent in a debate that was challenged.
    """

    alice: float
    challenged: float
    prover: int
    verifier: int


def play(machine: Machine, alice: Claim, bob: Challenge, runs: int, seed: int) -> Outcome:
    """Plays R debates of one machine.

    1. Alice states the probability of this step's answer; Bob accepts or challenges.
    2. Challenged: Vera samples this one question; Bob wins if her mean is more than 2e from Alice's number.
    3. Accepted: common coins turn the stated probability into the bit, and the machine moves on.
    4. After T steps Alice wins where the machine accepts.
    """
    rng = np.random.default_rng(seed)
    spent = budget(machine.steps, machine.lipschitz)
    states = machine.start(runs, rng)
    live = np.ones(runs, dtype=np.bool_)
    won = np.zeros(runs, dtype=np.bool_)
    for step in range(machine.steps):
        truth = machine.probability(step, states)
        stated = alice(step, truth, spent, rng)
        asked = live & bob(step, truth, stated, spent, rng)
        if asked.any():
            mean = rng.binomial(spent.verifier, truth[asked]) / spent.verifier
            won[asked] = np.abs(mean - stated[asked]) <= 2 * spent.tolerance
            live &= ~asked
        states = machine.advance(step, states, rng.random(runs) < stated)
    won[live] = machine.accepts(states)[live]
    return Outcome(float(won.mean()), float(1.0 - live.mean()), spent.prover * machine.steps, spent.verifier)


def acceptance(machine: Machine, runs: int, seed: int, shift: float = 0.0) -> float:
    """Share of runs that accept when every oracle probability is shifted by `shift`: the machine without a debate."""
    rng = np.random.default_rng(seed)
    states = machine.start(runs, rng)
    for step in range(machine.steps):
        p = np.clip(machine.probability(step, states) + shift, 0.0, 1.0)
        states = machine.advance(step, states, rng.random(runs) < p)
    return float(machine.accepts(states).mean())
