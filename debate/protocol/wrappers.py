"""Best-of-N and critique-and-refine around a slot: one written slot becomes the steps that lead to its words.

    {roles: debater, phase: argument, best_of: {n: 4, by: ranker}}
    {roles: debater, phase: argument, refine: {critics: 2, times: 1}}

Each step is a slot in which somebody moves as a copy of itself, in private; the last slot is the written one, in which
the seat says what came of it (`debate.protocol.drafting`). So opponents, judges and the seat's own later self know what
was said and nothing else, and the seat reads before each draft just what it would have read before its words.

Best-of-N debaters and critique-and-refinement: Khan et al. (2024), Debating with more persuasive LLMs leads to more
truthful answers; Madaan et al. (2023), Self-Refine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from debate.protocol.load_text import INSTRUCTION_PLACEHOLDERS, check_sights, read_prompt
from debate.protocol.spec import Block, Drawn, Part, Prompt, Role, Slot, Step
from debate.reader import Fields

PICK = Prompt("Above are drafts of what is said next. Which one is best?")
CRITIQUE = Prompt("Above is a draft of what is said next. Say what is wrong with it, or that nothing is.")
REVISION = Prompt("Above are your draft and what is wrong with it. Write it again, better: only this version counts.")


@dataclass(frozen=True, slots=True)
class BestOf:
    """Several drafts, of which one is said.

    Attributes:
        n: how many drafts, blind to each other; 1 = the slot stands for itself.
        by: the role or seat that picks; by default each seat picks among its own.
        instruction: what whoever picks is told.
    """

    n: int
    by: str = ""
    instruction: Prompt = PICK


@dataclass(frozen=True, slots=True)
class Refine:
    """A draft that is criticised and written again before it is said.

    Attributes:
        critics: critiques in each round, blind to each other: so many by each seat of `by`.
        times: how many rounds of critiques and rewriting; 0 = the slot stands for itself.
        by: the roles or seats that criticise; by default each seat criticises itself.
        tokens: most tokens of a critique; by default the slot's.
        words: most words that a critic is told to use; by default the slot's.
        instruction: what critics are told.
        revision: what the seat is told, behind the slot's own instruction, when it writes again.
    """

    critics: int = 1
    times: int = 1
    by: tuple[str, ...] = ()
    tokens: int | None = None
    words: int | None = None
    instruction: Prompt = CRITIQUE
    revision: Prompt = REVISION


def read_wrapped(fields: Fields, slot: Slot, roles: Sequence[Role]) -> Slot | Block:
    """The slot with the steps that `best_of` and `refine` put before its words; where they put none, the slot itself.

    Raises:
        UserError: with file, line, field and what was expected.
    """
    by_seat = {seat: role for role in roles for seat in role.seats}
    seats = {seat: (seat,) for seat in by_seat} | {role.name: role.seats for role in roles}
    for key in ("best_of", "refine"):
        if key in fields and slot.kind not in ("speech", "question"):
            raise fields.error(key, f"a {slot.kind} holds no words: expected kind: speech or question")
        if key in fields and slot.recall:
            raise fields.error(key, "a copy that forgot cannot draft first: expected no recall")
    best, refine = BestOf(1), Refine(times=0)
    inner = fields.child("best_of", optional=True)
    if inner is not None:
        by = inner.take("by", str, "", ["", *seats])
        if by and len(seats[by]) != 1:
            raise inner.error("by", f"one seat picks: expected one of {', '.join(seats[by])}, got the role {by!r}")
        pickers = seats[by] if by else slot.seats
        best = BestOf(inner.positive("n"), by, _told(inner, "instruction", PICK, pickers, by_seat))
        inner.done()
    inner = fields.child("refine", optional=True)
    if inner is not None:
        named = inner.strings("by", [], seats)
        critics = tuple(dict.fromkeys(seat for name in named for seat in seats[name]))
        refine = Refine(
            inner.positive("critics", 1),
            inner.positive("times", 1, least=0),
            critics,
            inner.positive("tokens", None),
            inner.positive("words", None),
            _told(inner, "instruction", CRITIQUE, critics or slot.seats, by_seat),
            _told(inner, "revision", REVISION, slot.seats, by_seat),
        )
        inner.done()
    return wrap(slot, best, refine, seats)


def _told(fields: Fields, key: str, default: Prompt, seats: Sequence[str], roles: Mapping[str, Role]) -> Prompt:
    """What the movers of a step are told; the default where the file does not say."""
    if key not in fields:
        return default
    prompt = read_prompt(fields, key, INSTRUCTION_PLACEHOLDERS)
    for seat in seats:
        check_sights(prompt, roles[seat].sees, fields, key, f"role {roles[seat].name!r}")
    return prompt


def wrap(slot: Slot, best: BestOf, refine: Refine, seats: Mapping[str, tuple[str, ...]]) -> Slot | Block:
    """The steps that lead to a slot's words, and the slot in which they are said; without any step, the slot itself.

    1. A draft, which is `times` times criticised and written again.
    2. The same `n` times, each without knowing of the others; then of each seat's drafts one is picked.
    3. All seats at once say what came of it.

    Args:
        slot: a speech or question.
        best: how many drafts, and who picks.
        refine: how often a draft is written again, and who criticises it.
        seats: role or seat → its seats.
    """
    if best.n == 1 and not refine.times:
        return slot
    drafted = replace(slot, visibility="ephemeral", final=False)
    steps: list[Slot | Block] = [_step(drafted, "draft", "draft")]
    if refine.times:
        steps += _times(refine.times, [*_critiques(slot, refine), _again(drafted, refine)])
    if best.n > 1:
        steps = _times(best.n, steps)
        source = Drawn("from", f"{slot.phase} {'revision' if refine.times else 'draft'}")
        for seat in slot.seats:
            mover = seats[best.by] if best.by else (seat,)
            pick = Slot(mover, "", "choice", slot.channel, "ephemeral", best.instruction, source)
            steps.append(_step(pick, "pick", "pick", slot.phase, seat))
    return Block((*steps, replace(slot, step=Step("say", slot.phase))), scope=True)


def _again(drafted: Slot, refine: Refine) -> Slot:
    """The slot in which a draft is written again."""
    own, more = drafted.instruction, refine.revision
    told = Prompt(*("\n".join(filter(None, pair)) for pair in ((own.chat, more.chat), (own.compact, more.compact))))
    return _step(replace(drafted, instruction=told), "refine", "revision")


def _critiques(slot: Slot, refine: Refine) -> list[Slot | Block]:
    """The slots in which a draft is criticised: each seat's own by itself, or each seat's in turn by others."""
    words, accept = (slot.words, slot.accept) if refine.words is None else (refine.words, 0)
    tokens = slot.tokens if refine.tokens is None else refine.tokens
    found: list[Slot | Block] = []
    for author in slot.seats if refine.by else ("",):
        plain = Slot(refine.by or slot.seats, "", "speech", slot.channel, "ephemeral", refine.instruction)
        limited = replace(plain, tokens=tokens, words=words, accept=accept)
        found += _times(refine.critics, [_step(limited, "critique", "critique", slot.phase, author)])
    return found


def _step(slot: Slot, part: Part, name: str, phase: str = "", of: str = "") -> Slot:
    phase = phase or slot.phase
    return replace(slot, phase=f"{phase} {name}", step=Step(part, phase, of))


def _times(number: int, items: Sequence[Slot | Block]) -> list[Slot | Block]:
    return list(items) if number == 1 else [Block(tuple(items), number, scope=True)]


def phases_of(slots: Sequence[Slot], speeches: Sequence[str]) -> tuple[str, ...]:
    """Phases of speeches, and those of the steps that lead to them."""
    return tuple(dict.fromkeys([*speeches, *(slot.phase for slot in slots if slot.speech in speeches)]))
