"""What a protocol is, after loading: frozen and checked. Its schedule is a small tree of slots and blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Visibility = Literal["public", "private", "ephemeral"]
Kind = Literal["speech", "question", "choice", "decision", "chance"]
Assignment = Literal["by_seat", "random", "none", "opposes"]
Utility = Literal["zero_sum", "constant_sum", "general_sum"]
Decider = Literal["judge", "seat", "jury", "vote", "verifier", "nobody"]
Ties = Literal["draw", "first", "random"]
Part = Literal["draft", "critique", "refine", "pick", "say"]
Test = Literal["is", "any", "agreed", "says", "verified", "played", "not", "all", "anyof"]

VISIBILITIES = ("public", "private", "ephemeral")
KINDS = ("speech", "question", "choice", "decision", "chance")
ASSIGNMENTS = ("by_seat", "random", "none", "opposes")
UTILITIES = ("zero_sum", "constant_sum", "general_sum")
DECIDERS = ("judge", "seat", "jury", "vote", "verifier", "nobody")
TIES = ("draw", "first", "random")
SIGHTS = ("question", "options", "material", "items", "answer", "label", "truth", "secret")
CHANCE = "chance"  # the seat and role of chance events


@dataclass(frozen=True, slots=True)
class Prompt:
    """One text in two styles: for chat models, and compact, for the embedded model."""

    chat: str = ""
    compact: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """A kind of participant.

    Attributes:
        name: of the role.
        seats: its places in a match.
        sees: parts of the question it is given (see `SIGHTS`).
        answers: how the answer it must defend is set: `by_seat` (seat k defends option k), `random`, `none`, `opposes`
            (an option other than the one the role `opposes` holds now).
        trained: whether learners update agents in this role.
        prompt: what it is told at the start, with its placeholders filled in.
        opposes: the role whose answer it opposes.
        options: name → instruction of its plan moves, in order.
        alias: what others, judges included, read in the place of its seats' and its own name; "" = these names.
    """

    name: str
    seats: tuple[str, ...]
    sees: frozenset[str]
    answers: Assignment
    trained: bool
    prompt: Prompt
    opposes: str = ""
    options: Mapping[str, Prompt] = field(default_factory=dict)
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """Where words travel: the roles that read and write it."""

    name: str
    readers: frozenset[str]
    writers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Condition:
    """What `when` and `until` ask of the events so far.

    Attributes:
        test: `is` (all texts of the latest slot of the phase equal `text`), `any` (one of them does), `agreed` (they
            are equal), `says` (a seat of the role has uttered the question's secret), `verified` (a verifier accepts
            the role's latest final answer), `played` (the phase was played), `not`, `all`, `anyof`.
        phase, text, role: what the test is about.
        verifier: name of the verifier, for `verified`.
        inner: the conditions that are combined.
    """

    test: Test
    phase: str = ""
    text: str = ""
    role: str = ""
    verifier: str = ""
    inner: tuple[Condition, ...] = ()

    def leaves(self) -> tuple[Condition, ...]:
        """The uncombined conditions it is made of."""
        return tuple(leaf for c in self.inner for leaf in c.leaves()) if self.inner else (self,)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Choices that come out of play: the texts of a phase (`from`), or the parts of its last speech (`parts_of`)."""

    source: Literal["from", "parts_of"]
    phase: str


@dataclass(frozen=True, slots=True)
class Step:
    """What a slot does for a speech that is drafted before it is said (`debate.protocol.wrappers`).

    Attributes:
        part: `draft`, `critique`, `refine` and `pick` happen in private and are forgotten; then the seat is made to
            `say` what they led to.
        phase: of the speech.
        of: the seat whose speech it is; "" = whoever moves works on its own.
    """

    part: Part
    phase: str
    of: str = ""


@dataclass(frozen=True, slots=True)
class Slot:
    """One step of the schedule. Several seats in one slot move at once, blind to each other.

    Attributes:
        seats: who moves; `("chance",)` for a chance slot.
        phase: its name.
        kind: `speech`, `question`, `choice` (pick one of `choices`), `decision` (pick an option of what is decided) or
            `chance` (drawn by the match's seed).
        channel: where the words go.
        visibility: `public` (all readers of the channel), `private` (author only, for good), `ephemeral` (author, this
            slot only).
        instruction: what the mover is told now.
        choices: "items", "options", a tuple of texts, or `Drawn` out of play.
        reveal: a pick shows an item of hidden evidence; picking one that is no longer hidden is illegal.
        tokens: most tokens of a speech; 0 = no limit of its own.
        words: most words the mover is told to use; 0 = no limit.
        accept: words from which on the kernel cuts; 0 = half as many again as `words`.
        quotes: most quotes that are verified; None = no limit of its own.
        parts: a speech's lines are its parts, at most so many; 0 = it is one piece.
        final: the words are the seat's final answer.
        binds: the pick becomes the answer the seat defends.
        when: the slot is played only if this holds when it is reached.
        recall: the seat moves as a memory-isolated copy that knows what it knew at the end of this phase; "" = itself.
        probabilities: of a chance slot's choices; or the phase whose latest pick is the probability of the first one.
        plan: of the two slots that a plan move makes: "pick" (of the option) or "speak" (by the option picked).
        think: private reasoning, counted against the budget of think tokens.
        step: its part in a speech that is drafted first; None = the slot stands for itself.
        level: how deep in recursion; set where the slot is reached.
        id: place in the pre-order of the schedule; set by the protocol.
    """

    seats: tuple[str, ...]
    phase: str
    kind: Kind
    channel: str = "public"
    visibility: Visibility = "public"
    instruction: Prompt = Prompt()
    choices: str | tuple[str, ...] | Drawn = ()
    reveal: bool = False
    tokens: int = 0
    words: int = 0
    accept: int = 0
    quotes: int | None = None
    parts: int = 0
    final: bool = False
    binds: bool = False
    when: Condition | None = None
    recall: str = ""
    probabilities: tuple[float, ...] | str = ()
    plan: Literal["", "pick", "speak"] = ""
    think: bool = False
    step: Step | None = None
    level: int = 0
    id: int = -1

    @property
    def aside(self) -> bool:
        """Whether nothing of it is said: it only leads to what is. Budgets, measures and rewards pass over it."""
        return self.step is not None and self.step.part != "say"

    @property
    def says(self) -> bool:
        """Whether its words were drafted before, so that nobody is asked for them."""
        return self.step is not None and self.step.part == "say"

    @property
    def criticises(self) -> bool:
        """Whether somebody's draft is criticised in it."""
        return self.step is not None and self.step.part == "critique"

    @property
    def on_own(self) -> bool:
        """Whether it is its movers' own speech that a step is for."""
        return self.step is not None and (not self.step.of or self.seats == (self.step.of,))

    @property
    def copies(self) -> bool:
        """Whether the seat moves as a copy of itself, whose conversation ends with the slot."""
        return self.aside or bool(self.recall)

    @property
    def speech(self) -> str:
        """The phase of the speech that a slot is about: its own, but for drafts, critiques and picks."""
        return self.phase if self.step is None else self.step.phase

    @property
    def most_words(self) -> int:
        """Words from which on a speech is cut; 0 = never."""
        return self.accept or self.words * 3 // 2


@dataclass(frozen=True, slots=True)
class Block:
    """Slots that are played together.

    Attributes:
        items: slots and blocks, in order.
        repeat: how often they are played, at most.
        until: looked at after each slot of the block; once it holds, the block is left.
        when: the block is played only if this holds when it is reached.
        scope: whether a pass is one for `{from: …}` (written as repeat or recurse).
        recurse: each pass is one level deeper.
    """

    items: tuple[Slot | Block, ...]
    repeat: int = 1
    until: Condition | None = None
    when: Condition | None = None
    scope: bool = False
    recurse: bool = False

    @property
    def said(self) -> Slot | None:
        """The slot that says what the block's other slots prepare; None for a block that prepares no speech."""
        last = self.items[-1] if self.items else None
        return last if isinstance(last, Slot) and last.says else None


@dataclass(frozen=True, slots=True)
class Budgets:
    """Most that a seat may use in one match; None = no limit."""

    tokens: int | None = None
    think_tokens: int | None = None
    words: int | None = None
    quotes: int | None = None
    verifier_calls: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decides what.

    Attributes:
        by: `judge` (the recipe's), `seat` (the decision slot), `jury` (mean of the jurors' decisions), `vote` (majority
            of the seats' decisions), `verifier` (of final answers) or `nobody`.
        sees_material: whether judges read the question's material.
        channels: whose public statements judges read.
        options, question: what is decided in the place of the question and its options; empty = these.
        about: the role whose claim `options` are about: the first option is right where that role is.
        ties: what an equal vote is: `draw` (equal probabilities), `first` or `random` (of the tied options).
        voters: the phase whose picks are the votes; "" = that of the last decision slot.
        verifier: how final answers are verified.
    """

    by: Decider
    sees_material: bool = False
    channels: tuple[str, ...] = ("public",)
    options: tuple[str, ...] = ()
    question: str = ""
    about: str = ""
    ties: Ties = "draw"
    voters: str = ""
    verifier: str = "exact"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One coordinate of the reward: its rule, the rule's parameters, its declared utility, and who is paid.

    `roles` are the roles it is paid to; empty = all. `turns` are the phases whose turns earn it; empty = every turn of
    the match.
    """

    name: str
    rule: str
    params: Mapping[str, Any] = field(default_factory=dict)
    utility: Utility = "general_sum"
    roles: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DebateProtocol:
    """A protocol, ready to be played. `slots` are all slots of the schedule in pre-order: `slots[s.id] == s`."""

    name: str
    title: str
    summary: str
    source: str
    roles: tuple[Role, ...]
    channels: tuple[Channel, ...]
    schedule: tuple[Slot | Block, ...]
    decision: Decision
    rewards: tuple[Criterion, ...]
    finite: bool
    parameters: Mapping[str, Any] = field(default_factory=dict)
    budgets: Budgets = Budgets()
    slots: tuple[Slot, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Numbers the slots."""
        found: list[Slot] = []

        def number(node: Slot | Block) -> Slot | Block:
            if isinstance(node, Block):
                return replace(node, items=tuple(number(child) for child in node.items))
            found.append(replace(node, id=len(found)))
            return found[-1]

        object.__setattr__(self, "schedule", tuple(number(node) for node in self.schedule))
        object.__setattr__(self, "slots", tuple(found))

    @property
    def seats(self) -> tuple[str, ...]:
        """Every seat, in the order of the roles."""
        return tuple(seat for role in self.roles for seat in role.seats)

    def role_of(self, seat: str) -> Role:
        """The role a seat belongs to.

        Raises:
            KeyError: no such seat.
        """
        for role in self.roles:
            if seat in role.seats:
                return role
        raise KeyError(f"protocol {self.name} has no seat {seat!r}; it has {', '.join(self.seats)}")

    def channel(self, name: str) -> Channel:
        """The channel of that name."""
        return next(channel for channel in self.channels if channel.name == name)

    @property
    def criteria(self) -> tuple[str, ...]:
        """Names of the reward's coordinates."""
        return tuple(criterion.name for criterion in self.rewards)

    def longest(self) -> tuple[Slot, ...]:
        """The slots of the longest match that can be: every repeat in full, every condition passed."""
        return tuple(_unrolled(self.schedule))

    def with_slots(self, change: Callable[[Slot], Slot]) -> DebateProtocol:
        """The protocol with every slot changed by a function."""
        return replace(self, schedule=tuple(_changed(node, change) for node in self.schedule))


def _unrolled(nodes: Iterable[Slot | Block]) -> Iterable[Slot]:
    for node in nodes:
        if isinstance(node, Slot):
            yield node
        else:
            yield from list(_unrolled(node.items)) * node.repeat


def _changed(node: Slot | Block, change: Callable[[Slot], Slot]) -> Slot | Block:
    if isinstance(node, Slot):
        return change(node)
    return replace(node, items=tuple(_changed(child, change) for child in node.items))
