"""Experiment (a): does self-play converge? Tabular agents, sampled payoffs, exact NashConv against sampled moves.

Conditions name an update rule of `games.learning.policy_gradient` (mirror self-play is `naive`), or `league`: epochs
of policy-space response oracles whose best responses are trained by the same policy gradient against the Nash
meta-strategy of the population, and whose result is that meta-strategy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from debate.errors import UserError
from debate.experiments.runner import Job
from debate.seeds import derive, generator
from games.empirical.psro import psro
from games.extensive.tree import ExtensiveGame
from games.learning.field import field_of
from games.learning.policy_gradient import Learners, Settings
from games.learning.sampled import Sampler, mixture, one_shot
from games.normal_form import Array, NormalFormGame

# LEARNERS.md's matrix at half scale: Nash (1/4, 1/2, 1/4), so that a uniform reference is not its equilibrium.
BIASED_RPS = [[0.0, -0.5, 1.0], [0.5, 0.0, -0.5], [-1.0, 0.5, 0.0]]


def play(job: Job) -> list[Mapping[str, float]]:
    """Rows of (moves, nash_conv) along one run."""
    s = dict(job.settings)
    game = make_game(str(s.pop("game")))
    budget, points = int(s.pop("moves")), int(s.pop("points"))
    rule = str(s.pop("rule"))
    if rule == "league":
        return _league(game, s, budget, points, job.seed)
    s.pop("epoch", None)
    s.pop("evaluation", None)
    learners = Learners(game, Settings(rule, **s), range(game.num_players), first_policy(game, job.seed))
    rng = generator(job.seed, "dynamics")
    field = field_of(game)
    rows: list[Mapping[str, float]] = [{"moves": 0.0, "nash_conv": field.nash_conv(learners.policy)}]
    for k in range(1, points + 1):
        while learners.tokens < budget * k / points:
            learners.update(rng)
        # Runs differ a little in the moves of an update; the row stands for the budget it has reached.
        rows.append({"moves": budget * k / points, "nash_conv": field.nash_conv(learners.policy)})
    return rows


def make_game(name: str) -> ExtensiveGame:
    """The games of the experiment: biased_rps, kuhn_poker, evidence_debate (four weights, one reveal a side).

    Raises:
        UserError: another name.
    """
    if name == "biased_rps":
        return one_shot(NormalFormGame.zero_sum(BIASED_RPS))
    if name == "kuhn_poker":
        from games.interop import from_openspiel

        return from_openspiel(name)  # type: ignore[no-any-return]
    if name == "evidence_debate":
        return _evidence()
    raise UserError(f"dynamics: no game {name!r}; expected biased_rps, kuhn_poker or evidence_debate")


def first_policy(game: ExtensiveGame, seed: int) -> Array:
    """[Q] where a run starts: near uniform, another point for each seed."""
    rng = generator(seed, "first policy")
    logits = 0.5 * rng.standard_normal(game.num_sequences)
    weights = np.exp(logits)
    totals = np.add.reduceat(weights, game.offsets[:-1])
    return np.asarray(weights / totals[game.sequence_infoset])


class _Oracle:
    """Approximate best responses by policy gradient; payoffs estimated from sampled episodes. Counts every move."""

    def __init__(self, game: ExtensiveGame, settings: Mapping[str, Any], seed: int) -> None:
        self.game, self.seed = game, seed
        self.epoch, self.evaluation = int(settings["epoch"]), int(settings["evaluation"])
        own = {key: value for key, value in settings.items() if key not in ("epoch", "evaluation")}
        self.settings = Settings("naive", **own)
        self.policies: list[Array] = []
        self.moves = 0
        self.sampler = Sampler(game)

    @property
    def players(self) -> tuple[str, ...]:
        return self.game.players

    def initial(self, player: int) -> int:
        self.policies.append(first_policy(self.game, derive(self.seed, "league", player)))
        return len(self.policies) - 1

    def best_response(self, player: int, opponents: Sequence[tuple[float, tuple[Any, ...]]]) -> int:
        number = len(self.policies)
        rng = generator(self.seed, "best response", number)
        learners = Learners(self.game, self.settings, [player], self.policies[player])
        weights = np.array([weight for weight, _ in opponents])
        profiles = np.array([[0 if k is None else k for k in profile] for _, profile in opponents])
        others = np.stack(self.policies)
        while learners.tokens < self.epoch:
            drawn = rng.choice(len(weights), size=self.settings.episodes, p=weights / weights.sum())
            learners.update(rng, others, profiles[drawn])
        self.moves += learners.tokens
        self.policies.append(learners.policy)
        return number

    def payoffs(self, profile: tuple[int, ...]) -> list[float]:
        rng = generator(self.seed, "cell", *profile)
        cast = np.tile(np.array(profile), (self.evaluation, 1))
        played = self.sampler.play(np.stack(self.policies), cast, rng)
        self.moves += played.tokens
        return [float(x) for x in played.returns[:, :, 0].mean(axis=0)]


def _league(
    game: ExtensiveGame, settings: Mapping[str, Any], budget: int, points: int, seed: int
) -> list[Mapping[str, float]]:
    """Epochs of PSRO until the moves are used up; rows at the same budgets as the other rules."""
    field, oracle = field_of(game), _Oracle(game, settings, seed)
    reached: list[tuple[int, float]] = []

    def solver(meta: NormalFormGame) -> tuple[Array, ...]:
        from games.empirical.meta_solvers import nash

        joint = nash(meta)
        axes = range(joint.ndim)
        profile = tuple(np.asarray(joint.sum(axis=tuple(j for j in axes if j != i))) for i in axes)
        weights = np.zeros((game.num_players, len(oracle.policies)))
        for i, p in enumerate(profile):
            for k, name in enumerate(meta.strategies[i]):
                weights[i, int(name)] += p[k]
        value = field.nash_conv(mixture(game, np.stack(oracle.policies), weights))
        reached.append((oracle.moves, value))
        if oracle.moves >= budget:
            raise _Spent
        return profile

    with suppress(_Spent):
        psro(oracle, solver, epochs=10_000, tolerance=-np.inf)
    rows: list[Mapping[str, float]] = []
    for k in range(points + 1):
        known = [value for moves, value in reached if moves <= budget * k / points]
        rows.append({"moves": budget * k / points, "nash_conv": known[-1] if known else reached[0][1]})
    return rows


class _Spent(Exception):
    """The budget of moves is used up."""


def _evidence() -> ExtensiveGame:
    """The evidence debate over 16 questions of four weights, one reveal a side, zero-sum in `win`."""
    from debate.bridge import as_game
    from debate.data import load_questions
    from debate.play import Arena
    from debate.protocol.load import load_protocol
    from judges.judges.evidence import NaiveEvidenceJudge
    from judges.rules import make_rule

    protocol = load_protocol("evidence_debate", {"k": 1})
    questions = {q.id: q for q in load_questions({"adapter": "evidence", "n": 4, "split": "test", "limit": 16}, 0)}
    arena = Arena("dynamics", protocol, questions, (NaiveEvidenceJudge(),), {"win": make_rule("win")})
    return as_game(arena, ["win"]).game
