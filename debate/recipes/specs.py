"""What a recipe says, as frozen values: agents, arenas, and each stage's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from debate.protocol.spec import DebateProtocol
from debate.recipes.league import LeagueSpec
from debate.recipes.learning import CreditSpec, ExploreSpec, PreferenceSpec, ProcessSpec, ScalariserSpec

AGENT_KINDS = ("nano", "hf", "vllm", "openai", "scripted", "human")
JUDGE_KINDS = ("naive_evidence", "llm", "learned", "constant")
MODEL_JUDGES = ("llm", "learned")  # whose word needs a certificate
BASELINES = ("group", "leave_one_out", "ema")


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One agent: what it speaks with and, where it learns, how.

    Attributes:
        name: in the recipe.
        kind: "nano", "hf", "vllm", "openai", "scripted" or "human".
        model: name, hub id or folder of an hf or vllm model; the endpoint's name of an openai one; "nano" for the
            embedded one.
        script: of a scripted agent.
        weights: criterion → weight; the agent's preferences, applied late. League and tournament weigh payoffs by them
            whatever the scalariser is.
        options: the rest of its settings (device, dtype, lora rank, …), by name.
        scalariser: how its reward vector becomes one number in training.
        preferences: set where its weights are drawn in training; `weights` is then their mean.
        explore: how it picks plans in training; None: as the policy does.
        family: of its model, where the recipe declares it.
        frozen: whether it plays without learning.
    """

    name: str
    kind: str
    model: str
    script: str
    weights: Mapping[str, float]
    options: Mapping[str, Any]
    scalariser: ScalariserSpec = field(default_factory=ScalariserSpec)
    preferences: PreferenceSpec | None = None
    explore: ExploreSpec | None = None
    family: str = ""
    frozen: bool = False

    @property
    def speaks(self) -> bool:
        """Whether a language model speaks for it."""
        return self.kind not in ("scripted", "human")

    @property
    def learns(self) -> bool:
        """Whether its weights are trained."""
        return self.kind in ("nano", "hf", "vllm") and not self.frozen


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """One judge: its kind and settings; `family` of its model, where the recipe declares it."""

    kind: str
    model: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    family: str = ""


@dataclass(frozen=True, slots=True)
class AuditSpec:
    """How a run audits a judge of its own: after every so many updates, on so many held-out questions."""

    every: int
    items: int


@dataclass(frozen=True, eq=False)
class ArenaSpec:
    """One game: protocol, seats, judges, and where its questions come from.

    Attributes:
        name: in the recipe.
        protocol: loaded.
        seats: seat → agent name.
        judges: the panel.
        train, test: data specifications (see `debate.data`); the two must not share questions.
    """

    name: str
    protocol: DebateProtocol
    seats: Mapping[str, str]
    judges: tuple[JudgeSpec, ...]
    train: Mapping[str, Any]
    test: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """Updates, each of `groups` groups of `group_size` episodes on one question; what rewards are held against.

    Attributes:
        updates, groups, group_size: how much is played.
        baseline: "group", "leave_one_out" (RLOO) or "ema" (SPIRAL).
        credit: who in an episode deserves its reward.
        process: criteria that are process rewards, each with its schedule.
    """

    updates: int
    groups: int
    group_size: int
    baseline: Literal["group", "leave_one_out", "ema"]
    credit: CreditSpec = field(default_factory=CreditSpec)
    process: Mapping[str, ProcessSpec] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TournamentSpec:
    """Every profile of snapshots on the same `questions`; `resamples` of the bootstrap over questions."""

    questions: int
    resamples: int


@dataclass(frozen=True, eq=False)
class ExactSpec:
    """The finite variant of the first arena on which NashConv is computed exactly."""

    protocol: DebateProtocol
    data: Mapping[str, Any]
    criterion: str


@dataclass(frozen=True, eq=False)
class Recipe:
    """A whole run. `text` is the recipe as it takes effect, overrides included; `protocols` its own files, as text."""

    name: str
    text: str
    folder: Path
    seed: int
    agents: tuple[AgentSpec, ...]
    arenas: tuple[ArenaSpec, ...]
    training: TrainingSpec
    league: LeagueSpec
    tournament: TournamentSpec
    evaluation: int
    exact: ExactSpec | None
    trust: str
    same_family: str
    logging: tuple[str, ...]
    protocols: Mapping[str, str] = field(default_factory=dict)

    def agent(self, name: str) -> AgentSpec:
        """The agent of that name."""
        return next(agent for agent in self.agents if agent.name == name)

    @property
    def main(self) -> ArenaSpec:
        """The arena that the league, the tournament and the headline numbers are about: the first."""
        return self.arenas[0]

    def learners(self, arena: ArenaSpec) -> dict[str, str]:
        """Seat → name of the agent that learns there."""
        roles = arena.protocol
        return {s: a for s, a in arena.seats.items() if roles.role_of(s).trained and self.agent(a).learns}
