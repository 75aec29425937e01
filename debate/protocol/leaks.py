"""The leak property, for any protocol: played with marked words, no seat is shown a word that it may not know.

Every speech says a word of its own and every hidden part of the question is a word of its own, so that whatever reaches
a seat's view, its messages or the judge's case can be traced back. Who may know what is worked out here from the
protocol's slots and channels, not from the kernel's views.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from debate.protocol.kernel import (
    Event,
    Move,
    Setup,
    State,
    choices,
    probabilities,
    released,
    step,
    to_move,
    view,
)
from debate.protocol.spec import CHANCE, DebateProtocol, Slot
from debate.questions import Question
from debate.seeds import derive, draw, unit
from debate.views import Style, conversation
from judges.types import Message

STYLES: tuple[Style, Style] = ("chat", "compact")
QUESTION = Question(
    "leaks", "zqquestion", ("zqyes", "zqno"), 0, "zqmaterial", ("zqitema", "zqitemb", "zqitemc", "zqitemd"), "zqsecret"
)


def find_leaks(protocol: DebateProtocol, matches: int = 3, question: Question = QUESTION) -> list[str]:
    """What reaches whom in randomly played matches although it may not; empty where nothing does.

    Also what is lost: words that a seat may know and is not told, and views that do not only grow at their end.
    """
    found: dict[str, None] = {}
    for seed in range(matches):
        states = list(play_marked(protocol, question, seed))
        for state in states:
            for problem in _problems(state):
                found[problem] = None
        for before, after in pairwise(states):
            for problem in _growth(before, after):
                found[problem] = None
        for problem in _rows(states):
            found[problem] = None
    return list(found)


def play_marked(protocol: DebateProtocol, question: Question, seed: int) -> Iterator[State]:
    """Every position of a match in which picks are random and each speech is a word of its own."""
    given: dict[str, int | None] = dict.fromkeys(protocol.seats)
    for role in protocol.roles:
        for index, seat in enumerate(role.seats):
            if role.answers in ("by_seat", "random"):
                given[seat] = (index if role.answers == "by_seat" else derive(seed, seat)) % len(question.options)
    state = State(Setup(protocol, question, given, derive(seed, "rules")))
    yield state
    while (slot := state.current) is not None:
        moves = {}
        for seat in slot.seats:
            fate = derive(seed, state.slot, seat)
            if seat == CHANCE:
                weights = probabilities(state)
                moves[seat] = Move(option=draw(weights, fate), probabilities=weights)
            elif slot.kind in ("speech", "question"):
                word = mark(state.slot, seat)
                passes = unit(derive(fate, "pass")) < 0.05
                moves[seat] = Move("" if passes else f"{word}\n{word}b" if slot.parts else word, passed=passes)
            else:
                moves[seat] = Move(option=fate % len(choices(state)))
        state = step(state, moves)
        yield state


def mark(slot: int, seat: str) -> str:
    """The word that a seat says in a slot."""
    return f"zq{slot}x{''.join(c for c in seat if c.isalnum())}z"


def _word(event: Event) -> str:
    """The word by which a speech is known: where it was drafted before, that of the draft."""
    return event.text.partition("\n")[0] or mark(event.slot, event.seat)


def allowed(state: State, seat: str, event: Event) -> bool:
    """Whether a seat may know of an event, by the protocol's slot and channel alone."""
    protocol = state.setup.protocol
    slot = protocol.slots[event.where]
    if event.slot >= state.slot:
        return False  # its slot is not over
    if event.seat == seat and not slot.recall:
        return slot.visibility != "ephemeral"
    return slot.visibility == "public" and protocol.role_of(seat).name in protocol.channel(slot.channel).readers


def _problems(state: State) -> Iterator[str]:
    protocol, slot = state.setup.protocol, state.current
    for seat in protocol.seats:
        own = {(e.slot, e.seat) for e in state.events if allowed(state, seat, e)}
        if slot is not None and slot.recall and seat in slot.seats:
            own = _remembered(state, seat, own)
        if slot is not None and seat in slot.seats:
            own |= _worked_on(state, slot, seat)
        seen = {(e.slot, e.seat) for e in view(state, seat)}
        for number, author in sorted(seen - own):
            yield f"{seat} is shown the move of {author} in slot {number}, which it may not see"
        for number, author in sorted(own - seen):
            yield f"{seat} is not shown the move of {author} in slot {number}, which it may see"
        if seat in to_move(state):
            for style in STYLES:
                yield from _in_messages(state, seat, own, conversation(state, seat, style))
    for event in state.events:
        if protocol.slots[event.where].says and not event.passed and not _drafted(state, event):
            yield f"{event.seat} says in slot {event.slot} what was not drafted, or not picked, for it"
    shown = "\n".join(statement.text for statement in released(state))
    for event in state.events:
        word = _word(event)
        if (
            event.kind in ("speech", "question")
            and word in shown
            and not any(_for_judge(state, holding) for holding in _holding(state, word))
        ):
            yield f"the judge is shown the speech of {event.seat} in slot {event.slot}, which is not public"


def _drafted(state: State, said: Event) -> bool:
    """Whether the words of a speech are its seat's own draft for it; where drafts were picked, the one picked."""
    slots = state.setup.protocol.slots
    last = max((e.slot for e in state.events if e.slot < said.slot and not slots[e.where].aside), default=-1)
    steps = [(e, slots[e.where].step) for e in state.events if last < e.slot < said.slot]
    own = {e.text for e, step in steps if e.seat == said.seat and step and step.part in ("draft", "refine")}
    picked = [e.text for e, step in steps if step and step.part == "pick" and step.of == said.seat]
    return said.text in own and picked in ([], [said.text])


def _for_judge(state: State, event: Event) -> bool:
    slot = state.setup.protocol.slots[event.where]
    return slot.visibility == "public" and slot.channel in state.setup.protocol.decision.channels


def _holding(state: State, word: str) -> list[Event]:
    """The events in whose text a word stands: the speech, and picks of it."""
    return [event for event in state.events if word in event.text]


def _remembered(state: State, seat: str, own: set[tuple[int, str]]) -> set[tuple[int, str]]:
    """What a memory-isolated copy may know: what the seat knew at the end of the phase, and the query."""
    slot = state.current
    assert slot is not None
    end = max((e.slot for e in state.events if e.phase == slot.recall), default=-1)
    query = [(n, s) for n, s in sorted(own) if n == state.slot - 1 and n > end and s != seat]
    order = [(e.slot, e.seat) for e in state.events]
    return {pair for pair in own if pair[0] <= end} | set(sorted(query, key=order.index)[-1:])


def _worked_on(state: State, slot: Slot, seat: str) -> set[tuple[int, str]]:
    """The drafts and critiques that the mover of a step may know, by the steps alone.

    Since the last speech was over: to pick, the drafts of the seat whose speech it is, each as it was written last; to
    criticise, the last text of that seat; to write again, the last text of its own and what was said of it since.
    """
    if slot.step is None or slot.step.part in ("draft", "say"):
        return set()
    author = slot.step.of or seat
    texts: list[tuple[int, str] | None] = []  # of each draft, the last version; None where there is none yet
    said: set[tuple[int, str]] = set()
    for event in state.events:
        step, pair = state.setup.protocol.slots[event.where].step, (event.slot, event.seat)
        if step is None or step.part == "say":
            texts, said = [], set()  # another speech's drafts are forgotten
        elif step.part == "draft" and event.seat == author:
            texts.append(None)
        if step is None or event.passed:
            continue
        if step.part in ("draft", "refine") and event.seat == author:
            texts[-1], said = pair, set()
        elif step.part == "critique" and (step.of or event.seat) == author:
            said.add(pair)
    known = [pair for pair in texts if pair is not None]
    if slot.step.part == "pick" or not known:
        return set(known)
    return {known[-1]} | (said if slot.step.part == "refine" else set())


def _in_messages(state: State, seat: str, own: set[tuple[int, str]], messages: Sequence[Message]) -> Iterator[str]:
    text = "\n".join(message.text for message in messages)
    role = state.setup.protocol.role_of(seat)
    question = state.setup.question
    for event in state.events:
        if event.kind in ("speech", "question") and not event.passed:
            word, may = _word(event), (event.slot, event.seat) in own
            picked = any((e.slot, e.seat) in own for e in _holding(state, word))  # a pick tells what was picked
            if word in text and not may and not picked:
                yield f"{seat} reads the words of {event.seat} in slot {event.slot}, which it may not see"
            if word not in text and may:
                yield f"{seat} does not read the words of {event.seat} in slot {event.slot}, which it may see"
    for sight, word in (("material", question.material), ("secret", question.gold or "")):
        seen = role.sees & ({sight, "truth", "label"} if sight == "secret" else {sight})
        if word and word in text and not seen:
            yield f"{seat} reads the question's {sight}, which its role does not see"


def _growth(before: State, after: State) -> Iterator[str]:
    for seat in before.setup.protocol.seats:
        copies = [s for s in (before.current, after.current) if s is not None and s.copies and seat in s.seats]
        old, new = view(before, seat), view(after, seat)
        if not copies and new[: len(old)] != old:
            yield f"the view of {seat} changes before its end in slot {before.slot}"


def _rows(states: Sequence[State]) -> Iterator[str]:
    """That each conversation a seat moves in begins with the one before it."""
    last: dict[tuple[str, Style], tuple[Message, ...]] = {}
    for state in states:
        slot = state.current
        if slot is None or slot.copies or slot.kind == CHANCE:
            continue
        moved = {e.seat for e in states[-1].events if e.slot == state.slot and not e.passed}
        for seat in moved:
            for style in STYLES:
                messages = conversation(state, seat, style)
                before = last.get((seat, style), ())
                if messages[: len(before)] != before:
                    yield f"the conversation of {seat} changes before its end in slot {state.slot} ({style})"
                last[seat, style] = messages
