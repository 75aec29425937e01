"""Whether a condition of `when` or `until` holds, of the events so far."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from debate.protocol.events import Event, Setup
from debate.protocol.spec import Condition
from debate.questions import Question


def holds(condition: Condition, setup: Setup, events: Sequence[Event]) -> bool:
    """Whether a condition holds; one about a phase that was not played does not.

    Raises:
        ValueError: `says: secret` of a question that has none.
    """
    test = condition.test
    if test == "not":
        return not holds(condition.inner[0], setup, events)
    if test in ("all", "anyof"):
        combine = all if test == "all" else any
        return combine(holds(inner, setup, events) for inner in condition.inner)
    if test == "says":
        return says(setup.question, [e for e in events if e.role == condition.role and e.visibility == "public"])
    if test == "verified":
        return _verified(condition, setup, events)
    texts = [event.text.strip() for event in latest(events, condition.phase)]
    if test == "played":
        return bool(texts)
    if test == "agreed":
        return len(set(texts)) == 1
    wanted = condition.text.strip()
    return bool(texts) and (all if test == "is" else any)(text == wanted for text in texts)


def latest(events: Sequence[Event], phase: str) -> list[Event]:
    """The events of the slot in which a phase was played last."""
    last = next((event.slot for event in reversed(events) if event.phase == phase), None)
    return [event for event in events if event.slot == last and event.phase == phase]


def secret(question: Question) -> str:
    """The question's secret: its reference answer.

    Raises:
        ValueError: it has none.
    """
    if not question.gold or not question.gold.strip():
        raise ValueError(f"question {question.id!r} has no secret: the protocol needs its field 'gold'")
    return question.gold.strip()


def says(question: Question, events: Sequence[Event]) -> bool:
    """Whether one of the speeches holds the question's secret as a whole word, whatever its case."""
    pattern = re.compile(rf"(?<!\w){re.escape(_folded(secret(question)))}(?!\w)")
    return any(pattern.search(_folded(e.text)) for e in events if e.kind in ("speech", "question"))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _verified(condition: Condition, setup: Setup, events: Sequence[Event]) -> bool:
    protocol = setup.protocol
    answers = [event for event in events if event.role == condition.role and protocol.slots[event.where].final]
    if not answers:
        return False
    limit = protocol.budgets.verifier_calls
    if limit is not None and sum(event.seat == answers[-1].seat for event in answers) > limit:
        return False  # nothing is left to have this answer checked with
    return accepts(condition.verifier or protocol.decision.verifier, answers[-1].text, setup.question)


def accepts(verifier: str, answer: str, question: Question) -> bool:
    """Whether a verifier finds an answer right; an answer it cannot read, or a question without one, is not right."""
    import judges  # a verifier may start a worker process: loaded only where asked for

    gold = reference(question)
    if gold is None:
        return False
    verify = getattr(judges, f"verify_{verifier}")
    found = verify(answer, gold, question.options or None) if verifier == "choice" else verify(answer, gold)
    return found.correct is True


def reference(question: Question) -> str | None:
    """The right answer as text: the question's own, else its true option."""
    if question.gold is None and question.label is not None:
        return question.options[question.label]
    return question.gold
