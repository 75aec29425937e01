"""What a verifier answers. A verifier that could not read an answer says so; it does not call the answer wrong."""

from __future__ import annotations

from dataclasses import dataclass

from judges.types import Status

MAX_CHARACTERS = 100_000  # longer texts are not parsed: a bound on the work one answer can cause


@dataclass(frozen=True, slots=True)
class Verification:
    """One checked answer.

    Attributes:
        status: "ok" (checked), "abstain" (the answer could not be read) or "error" (the check itself failed: an
            unreadable reference answer, a crashed or timed-out worker).
        correct: whether the answer is right; None unless status is "ok".
        reason: why, in words.
        answer: what was read as the answer, in canonical form; None where nothing was read.
    """

    status: Status
    correct: bool | None
    reason: str
    answer: str | None = None

    def __post_init__(self) -> None:
        """Holds the invariant between status and correct.

        Raises:
            ValueError: a truth value with another status than "ok", or "ok" without one.
        """
        if self.status not in ("ok", "abstain", "error"):
            raise ValueError(f"Verification.status: expected ok, abstain or error, got {self.status!r}")
        if (self.correct is not None) != (self.status == "ok"):
            raise ValueError(f"Verification: correct={self.correct} does not go with status {self.status!r}")

    @classmethod
    def of(cls, correct: bool, answer: str, reason: str = "") -> Verification:
        """A checked answer."""
        return cls("ok", correct, reason or ("equal" if correct else "different"), answer)

    @classmethod
    def abstain(cls, reason: str) -> Verification:
        """An answer that could not be read."""
        return cls("abstain", None, reason)

    @classmethod
    def error(cls, reason: str) -> Verification:
        """A check that failed."""
        return cls("error", None, reason)
