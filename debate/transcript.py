"""What is recorded of a debate: turns, the transcript, and the judged episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from judges.rewards import Rewards
from judges.types import Case, Cost, Quote, Statement, Verdict

VERSION = 1
StopReason = Literal["stop", "length", "choice", "budget", "error"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The weights an agent acts with.

    Attributes:
        name: the agent whose weights they are.
        version: number of the snapshot; grows with training.
        base: the model under the adapter ("nano", a hub id, a folder, "scripted", "human").
        adapter: path of the adapter relative to the run folder; "" where there is none.
    """

    name: str
    version: int
    base: str
    adapter: str = ""

    @property
    def id(self) -> str:
        """`name-vN`, unique in a run."""
        return f"{self.name}-v{self.version}"


@dataclass(frozen=True, slots=True)
class Match:
    """A planned pairing.

    Attributes:
        id: unique in the run; includes the repeat index, so that repeated play has its own key.
        arena: which of the recipe's games is played.
        question_id: the question.
        seats: seat → policy id.
        answers: seat → index of the option it must defend, where the plan fixes it (side swap); otherwise drawn.
        group: episodes with the same group share a question and are compared with each other.
    """

    id: str
    arena: str
    question_id: str
    seats: Mapping[str, str]
    answers: Mapping[str, int] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One speech, pick or decision of one seat; or what chance drew (seat and role "chance", no policy).

    Attributes:
        seat: who moved. role: its role. phase: the slot's phase. slot: running number of the slot in the match.
        policy: id of the policy that moved; "" where nobody was asked: chance, and words that were drafted before.
        public: the words others may read (subject to channel and visibility). private: words only the author keeps.
        quotes: what code verified of it.
        option: index of the choice picked; None for a speech.
        legal: whether the pick was legal; None where the slot has no rule.
        prompt_tokens: ids the policy read since its row's last token; None where the engine hides them.
        tokens: ids it wrote (of words drafted before: then), stop token included; None where the engine returns none.
        logprobs: their log-probabilities when sampled; of a pick, one number: its log-probability among the choices.
        choices: token ids of every choice of a pick, None where hidden or where the turn was a speech.
        probabilities: of the choices, for a decision; empty otherwise.
        fresh: whether this turn starts a new training row (the view could not be a continuation of the last one).
        stop_reason: "stop", "length", "choice", "budget" (nothing was left to speak with: it passed) or "error".
        cost: what the turn cost.
        cut: words that the budget cut off. forged: marks and control tokens made inert. excess: quotes over budget.
        where: id of the slot in the protocol: `protocol.slots[turn.where]`.
    """

    seat: str
    role: str
    phase: str
    slot: int
    policy: str
    public: str
    private: str = ""
    quotes: tuple[Quote, ...] = ()
    option: int | None = None
    legal: bool | None = None
    prompt_tokens: tuple[int, ...] | None = None
    tokens: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    choices: tuple[tuple[int, ...], ...] | None = None
    probabilities: tuple[float, ...] = ()
    fresh: bool = False
    stop_reason: StopReason = "stop"
    cost: Cost = Cost()
    cut: int = 0
    forged: int = 0
    excess: int = 0
    where: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an episode could not be finished: a kind to count by, the seat or judge, and the message."""

    kind: str
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """One played match, whole or up to its failure.

    Attributes:
        id: the match id. protocol: its name. question_id: the question. seed: the run's seed.
        seats: seat → policy id. answers: seat → option index it defended at the end (None: none).
        question, options: as shown publicly. asked, offered: what is decided instead, where the protocol has options or
            a question of its own; empty otherwise. released: public statements in the order of release.
        turns: everything that happened, private words included.
        error: the failure that ended it; None when it was played to the end.
    """

    id: str
    protocol: str
    question_id: str
    seed: int
    seats: Mapping[str, str]
    answers: Mapping[str, int | None]
    question: str
    options: tuple[str, ...]
    turns: tuple[Turn, ...]
    released: tuple[Statement, ...] = ()
    material: str = ""
    error: Failure | None = None
    version: int = VERSION
    asked: str = ""
    offered: tuple[str, ...] = ()

    def case(self) -> Case:
        """The public, anonymised projection that a judge sees."""
        return Case(self.asked or self.question, self.offered or self.options, self.released, self.material)


@dataclass(frozen=True, eq=False)
class Episode:
    """A match played and judged. `rewards` is None where the match or every verdict failed."""

    match: Match
    transcript: Transcript
    verdicts: tuple[Verdict, ...]
    rewards: Rewards | None

    @property
    def failure(self) -> Failure | None:
        """Why the episode may not be learned from; None when it may."""
        if self.transcript.error is not None:
            return self.transcript.error
        bad = next((v for v in self.verdicts if v.status == "error"), None)
        return None if bad is None else Failure("verdict", bad.judge, bad.rationale)
