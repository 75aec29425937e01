"""What a loaded protocol refers to: phases that exist, and texts that whoever is shown them may see."""

from __future__ import annotations

from collections.abc import Iterator

from debate.errors import did_you_mean
from debate.protocol.load_text import used_in
from debate.protocol.spec import Block, Condition, DebateProtocol, Drawn, Prompt, Slot
from debate.reader import Fields


def check_references(protocol: DebateProtocol, top: Fields) -> None:
    """Refuses a protocol whose parts do not fit together.

    Raises:
        UserError: a phase that does not exist, a choice among what the chooser may not see, a decision that nobody can
            take, or a protocol that calls itself finite and is not.
    """
    phases = {slot.phase for slot in protocol.slots}
    for phase, what in referred(protocol):
        if phase not in phases:
            raise top.error(
                "schedule",
                f"{what}: no slot has phase {phase!r}{did_you_mean(phase, phases)}; "
                f"there are {', '.join(sorted(phases))}",
            )
    for problem in unseen(protocol):
        raise top.error("schedule", problem)
    for slot in protocol.slots:
        if isinstance(slot.probabilities, str):
            _check_numbers(protocol, slot, top)
    _check_decision(protocol, top)
    if protocol.finite and any(slot.kind in ("speech", "question") for slot in protocol.slots):
        raise top.error(
            "finite", "declared true, but a slot holds free words; every slot must be a choice, a decision or a chance"
        )


def referred(protocol: DebateProtocol) -> Iterator[tuple[str, str]]:
    """(phase, by what) of every phase that something refers to."""
    for condition, what in conditions(protocol):
        for leaf in condition.leaves():
            if leaf.phase:
                yield leaf.phase, what
    for slot in protocol.slots:
        where = f"slot {slot.id} ({slot.phase})"
        if isinstance(slot.choices, Drawn):
            yield slot.choices.phase, f"{where}: choices {slot.choices.source}"
        if isinstance(slot.probabilities, str):
            yield slot.probabilities, f"{where}: probabilities from"
        if slot.recall:
            yield slot.recall, f"{where}: recall"
    if protocol.decision.voters:
        yield protocol.decision.voters, "decision.voters"
    for criterion in protocol.rewards:
        for phase in criterion.turns:
            yield phase, f"rewards.{criterion.name}.turns"


def conditions(protocol: DebateProtocol) -> Iterator[tuple[Condition, str]]:
    """(condition, where) of every `when` and `until`."""

    def inside(node: Slot | Block) -> Iterator[tuple[Condition, str]]:
        first = first_slot(node)
        where = f"slot {first.id} ({first.phase})"
        if node.when is not None:
            yield node.when, f"{where}: when"
        if isinstance(node, Block):
            if node.until is not None:
                yield node.until, f"the block from {where} on: until"
            for item in node.items:
                yield from inside(item)

    for node in protocol.schedule:
        yield from inside(node)


def needs_secret(protocol: DebateProtocol) -> bool:
    """Whether questions must have a secret."""
    told = any("secret" in role.sees for role in protocol.roles)
    return told or any(leaf.test == "says" for condition, _ in conditions(protocol) for leaf in condition.leaves())


def first_slot(node: Slot | Block) -> Slot:
    """The first slot of a block; a slot itself."""
    return node if isinstance(node, Slot) else first_slot(node.items[0])


def readable(protocol: DebateProtocol, seat: str, slot: Slot) -> bool:
    """Whether a seat may know everything that is done in a slot."""
    public = slot.visibility == "public" and protocol.role_of(seat).name in protocol.channel(slot.channel).readers
    return public or (slot.seats == (seat,) and slot.visibility != "ephemeral" and not slot.recall)


def unseen(protocol: DebateProtocol) -> Iterator[str]:
    """Texts that a slot shows to a seat which may not see them, in words."""
    for slot in protocol.slots:
        claims = any("claim" in used_in(prompt) for prompt in prompts(protocol, slot))
        if slot.recall and (isinstance(slot.choices, Drawn) or claims):
            yield f"slot {slot.id} ({slot.phase}): a copy that forgot cannot be shown what came later"
        if isinstance(slot.choices, Drawn) and not slot.aside:  # who picks a draft is shown the drafts
            yield from _hidden_from(protocol, slot, slot.choices.phase, f"the choices come from {slot.choices.phase!r}")
        if claims:
            for pick in protocol.slots:
                if isinstance(pick.choices, Drawn) and not pick.aside:
                    yield from _hidden_from(
                        protocol, slot, pick.phase, f"{{claim}} is what is picked in {pick.phase!r}"
                    )
    if "{claim" in protocol.decision.question:
        for pick in protocol.slots:
            hidden = pick.visibility != "public" or pick.channel not in protocol.decision.channels
            if isinstance(pick.choices, Drawn) and hidden and not pick.aside:
                yield f"decision.question: {{claim}} is what is picked in {pick.phase!r}, which the judge may not see"


def prompts(protocol: DebateProtocol, slot: Slot) -> list[Prompt]:
    """The instructions that the movers of a slot may be given: its own, and those of plan moves."""
    found = [slot.instruction]
    if slot.plan:
        found += [prompt for seat in slot.seats for prompt in protocol.role_of(seat).options.values()]
    return found


def _hidden_from(protocol: DebateProtocol, slot: Slot, phase: str, what: str) -> Iterator[str]:
    for seat in slot.seats:
        if any(s.phase == phase and not readable(protocol, seat, s) for s in protocol.slots):
            yield f"slot {slot.id} ({slot.phase}): {what}, which {seat!r} may not see"


def _check_numbers(protocol: DebateProtocol, slot: Slot, top: Fields) -> None:
    for source in protocol.slots:
        if source.phase != slot.probabilities:
            continue
        texts = source.choices if isinstance(source.choices, tuple) else ()
        try:
            fair = bool(texts) and all(0.0 <= float(text) <= 1.0 for text in texts)
        except ValueError:
            fair = False
        if not fair:
            raise top.error(
                "schedule",
                f"slot {slot.id} ({slot.phase}): probabilities come from {source.phase!r}, so its choices must be "
                f'numbers from 0 to 1 in quotes, such as ["0.1", "0.9"]',
            )


def _check_decision(protocol: DebateProtocol, top: Fields) -> None:
    by, voters = protocol.decision.by, protocol.decision.voters
    taken = [slot for slot in protocol.slots if slot.kind == "decision"]
    if voters:
        votes = [slot for slot in protocol.slots if slot.phase == voters]
        picks = () if protocol.decision.options else ("options",)
        wrong = next((s for s in votes if s.kind != "decision" and s.choices not in picks), None)
        if wrong is not None:
            raise top.error(
                "decision",
                f"voters: {voters!r} holds no votes: expected kind: decision, or a choice of what is decided",
            )
    elif by in ("seat", "jury", "vote") and not taken:
        who = {"seat": "a seat", "jury": "a jury", "vote": "a vote"}[by]
        raise top.error("decision", f"by: {who} decides, but the schedule has no slot of kind: decision")
