"""The words judges speak: what they see (`Case`), what they answer (`Verdict`), what rules read (`Record`).

`Case` is the wall between debaters and judges: it has no place for labels, private reasoning, policy names or
the assignment of answers to seats. `Record` holds those and is never handed to a language model.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal, Protocol

Status = Literal["ok", "abstain", "error"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call cost: number of calls, tokens read, tokens written, US dollars."""

    calls: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.tokens + other.tokens,
            self.usd + other.usd,
        )


@dataclass(frozen=True, slots=True)
class Quote:
    """A passage a speaker claims to stand in the material.

    Attributes:
        text: the passage as claimed.
        span: [start, end) where it stands in the material (characters, or item numbers for itemised material).
        verified: whether code found it there; None where nothing could be checked.
    """

    text: str
    span: tuple[int, int] | None = None
    verified: bool | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """One public speech, anonymised to its seat."""

    seat: str
    role: str
    phase: str
    text: str
    quotes: tuple[Quote, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """All a judge ever sees.

    Attributes:
        question: the question text.
        options: the possible answers, in the order shown.
        statements: public speeches in the order they were released.
        material: what the protocol lets the judge read; empty where it reads nothing.
    """

    question: str
    options: tuple[str, ...] = ()
    statements: tuple[Statement, ...] = ()
    material: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's answer. A judge that could not judge has probabilities None: never 0, never 1.

    Attributes:
        judge: the judge's name.
        probabilities: one for each option of the case, summing to 1; None unless status is "ok".
        scores: further measurements by name (swap disagreement, forged marks, …).
        rationale: the judge's reasons, or why it could not judge.
        status: "ok", "abstain" (chose not to judge) or "error" (failed).
        cost: what the verdict cost.
    """

    judge: str
    probabilities: tuple[float, ...] | None
    scores: Mapping[str, float] = field(default_factory=dict)
    rationale: str = ""
    status: Status = "ok"
    cost: Cost = Cost()

    def __post_init__(self) -> None:
        """Holds the invariant between status and probabilities.

        Raises:
            ValueError: status "ok" without a distribution, or a distribution with another status.
        """
        if self.status not in ("ok", "abstain", "error"):
            raise ValueError(f"Verdict.status: expected ok, abstain or error, got {self.status!r}")
        if (self.probabilities is not None) != (self.status == "ok"):
            raise ValueError(
                f"Verdict of {self.judge}: probabilities {self.probabilities} do not go with status {self.status!r}"
            )
        p = self.probabilities
        if p is not None and not (all(isfinite(x) and x >= 0 for x in p) and abs(sum(p) - 1.0) < 1e-6):
            raise ValueError(f"Verdict of {self.judge}: expected probabilities that sum to 1, got {p}")

    @classmethod
    def failed(cls, judge: str, reason: str, status: Status = "error", cost: Cost = Cost()) -> Verdict:
        """The verdict of a judge that could not judge, with the reason."""
        return cls(judge, None, rationale=reason, status=status, cost=cost)

    @property
    def answer(self) -> int | None:
        """The single most probable option; None on a tie at the top or without a verdict."""
        if self.probabilities is None:
            return None
        best = max(self.probabilities)
        winners = [i for i, p in enumerate(self.probabilities) if p == best]
        return winners[0] if len(winners) == 1 else None


class Judge(Protocol):
    """Anything that judges: `name` identifies it, calling it with a case awaits a verdict."""

    @property
    def name(self) -> str:
        """The judge's name."""
        ...

    def __call__(self, case: Case) -> Awaitable[Verdict]:
        """Judges one case. Failures are returned as verdicts with status "error", never raised."""
        ...


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that a seat (or chance) did in a match, hidden ones included.

    Attributes:
        seat, role, phase, kind: as in the protocol; chance has both names "chance".
        text: the words, or the text of the pick.
        option: index of the pick; None for words.
        probabilities: of the choices, for a decision; empty otherwise.
        public: whether others could read it.
    """

    seat: str
    role: str
    phase: str
    kind: str
    text: str
    option: int | None = None
    probabilities: tuple[float, ...] = ()
    public: bool = True


@dataclass(frozen=True, slots=True)
class Record:
    """What reward rules and verifiers read beyond the case. Built by `debate`; never shown to a language model.

    Axis letters: S seats.

    Attributes:
        case: what the judges saw.
        verdicts: their answers, in the order of the panel.
        label: index of the true option; None where unknown.
        seats: S seat names.
        answers: [S] index of the option each seat defends; None where it defends none.
        measures: name → [S] numbers such as token counts; NaN where not known.
        gold: the reference answer as text, for verifiers of free answers; None where unknown.
        finals: [S] the final answer text each seat gave; None where it gave none.
        roles: [S] the role of each seat; empty where not known.
        acts: everything that happened, in order; empty where not known.
        options: the question's own options; None where they are the case's. They differ where the protocol has its
            judges decide about something else ("accept", "reject"); `label` and `answers` then are about that.
    """

    case: Case
    verdicts: tuple[Verdict, ...]
    label: int | None
    seats: tuple[str, ...]
    answers: tuple[int | None, ...]
    measures: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    gold: str | None = None
    finals: tuple[str | None, ...] = ()
    roles: tuple[str, ...] = ()
    acts: tuple[Act, ...] = ()
    options: tuple[str, ...] | None = None


# --- the interface of a language model -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message. `tokens` keeps the ids a policy sampled, so that its own words are never re-tokenised."""

    role: Literal["system", "user", "assistant"]
    text: str
    tokens: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample. The defaults are the policy itself: temperature 1 and no truncation."""

    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a language model: sample a continuation, or score given ones.

    Attributes:
        messages: the conversation so far; the model speaks next.
        sampling: how to sample; used when `choices` is None.
        choices: continuations to score by summed log-probability, end token included.
        seed: makes the sample reproducible whatever else is in the batch.
        policy: which policy (adapter) answers; "" is the bare base model.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    choices: tuple[str, ...] | None = None
    seed: int = 0
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """One scored continuation: its text, its token ids (None where the engine hides them), its log-probability."""

    text: str
    tokens: tuple[int, ...] | None
    logprob: float


@dataclass(frozen=True, slots=True)
class Completion:
    """What a language model answered. A failed call has `error` set and no text.

    Attributes:
        text: the sampled text ("" when scoring).
        tokens: sampled ids, stop token included; None where the engine returns none.
        logprobs: log-probability of each sampled id under the sampling policy.
        prompt_tokens: ids of the prompt the model read; None where the engine hides them.
        choices: scored continuations when the request named choices.
        stop_reason: "stop", "length" or "error".
        cost: what the call cost.
        error: why the call failed; None when it did not.
    """

    text: str = ""
    tokens: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    prompt_tokens: tuple[int, ...] | None = None
    choices: tuple[Choice, ...] | None = None
    stop_reason: Literal["stop", "length", "error"] = "stop"
    cost: Cost = Cost()
    error: str | None = None


class Completer(Protocol):
    """A language model behind one batched call. A failed request yields a `Completion` with `error`, in its place."""

    def __call__(self, requests: Sequence[Request]) -> Awaitable[Sequence[Completion]]:
        """Answers every request, in order."""
        ...


class Unsupported(RuntimeError):
    """The engine cannot do what was asked of it (score continuations, return token ids, …)."""


class Unavailable(RuntimeError):
    """The engine cannot be reached at all, whatever it is asked, and trying again did not help.

    This says nothing about the case or the match, so it is never turned into a verdict or a failed match: it stops the
    work, and what was not answered is asked again when the work goes on.
    """
