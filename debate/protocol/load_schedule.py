"""The schedule of a protocol file: slots, blocks, recursion, conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from debate.protocol.load_text import INSTRUCTION_PLACEHOLDERS, check_sights, read_prompt
from debate.protocol.spec import (
    CHANCE,
    KINDS,
    VISIBILITIES,
    Block,
    Channel,
    Condition,
    Drawn,
    Prompt,
    Role,
    Slot,
)
from debate.protocol.wrappers import read_wrapped
from debate.reader import Document, Fields, Path_
from judges.criteria import VERIFIERS

THINK = Prompt("Before you speak, think about what to say. Nobody else reads this.")
PICK = Prompt("Before you speak, choose how.")
TESTS = ("phase", "agreed", "says", "verified", "played", "not", "all", "anyof")


@dataclass(frozen=True)
class _Names:
    """What a schedule may refer to."""

    roles: tuple[Role, ...]
    channels: Mapping[str, Channel]

    def role_of(self, seat: str) -> Role:
        return next(role for role in self.roles if seat in role.seats)


def read_schedule(top: Fields, roles: tuple[Role, ...], channels: tuple[Channel, ...]) -> tuple[Slot | Block, ...]:
    """The tree of slots and blocks under `schedule`.

    Raises:
        UserError: with file, line, field and what was expected.
    """
    top.take("schedule", list)
    nodes = _nodes(top.document, ("schedule",), _Names(roles, {c.name: c for c in channels}))
    if not nodes:
        raise top.error("schedule", "expected at least one slot")
    return nodes


def _nodes(document: Document, path: Path_, names: _Names) -> tuple[Slot | Block, ...]:
    listed: Any = document.data
    for part in path:
        listed = listed[part]
    found: list[Slot | Block] = []
    for i in range(len(listed)):
        fields = Fields(document, (*path, i))
        if "recurse" in fields:
            inner = fields.child("recurse")
            assert inner is not None
            repeat = inner.positive("depth", least=0)
            inner.take("into", list)
            items = _nodes(document, (*inner.path, "into"), names)
            inner.done()
            block = Block(items, repeat, scope=True, recurse=True)
        elif "slots" in fields:
            repeat = fields.positive("repeat", 1, least=0)
            fields.take("slots", list)
            items = _nodes(document, (*path, i, "slots"), names)
            block = Block(items, repeat, scope="repeat" in fields)
        else:
            items = _written(fields, names)
            block = Block(items, fields.positive("repeat", 1, least=0), scope="repeat" in fields)
        if not block.items:
            raise fields.error("", "expected at least one slot")
        block = replace(block, when=_condition(fields, "when", names), until=_condition(fields, "until", names))
        fields.done()
        if block.until is not None and not block.scope:
            raise fields.error("until", "only what is repeated can be left early: expected a repeat or recurse")
        if block.repeat:  # what is played zero times is not there at all
            found.append(_plain(block))
    return tuple(found)


def _plain(block: Block) -> Slot | Block:
    """A block of one slot that is played once is that slot; so is one of the steps towards one speech."""
    only = block.items[0]
    if len(block.items) > 1 or block.repeat > 1 or block.recurse or (only.when and block.when):
        return block
    if isinstance(only, Block) and (block.scope or not only.said):
        return block
    return replace(only, when=only.when or block.when)


def _written(fields: Fields, names: _Names) -> tuple[Slot | Block, ...]:
    """A written slot: itself, and the steps that come before its words.

    These are the pick of a plan move, private thought, and then drafts, critiques and picks of drafts.
    """
    *before, slot = _slots(fields, names)
    return (*before, read_wrapped(fields, slot, names.roles))


def _slots(fields: Fields, names: _Names) -> tuple[Slot, ...]:
    slot = _slot(fields, names)
    before: list[Slot] = []
    options = fields.ignore("options")
    if options is not None:
        picked = _options(fields, slot, names)
        shown = fields.take("show_option", bool, False)
        visibility = slot.visibility if shown else "private"
        before.append(Slot(slot.seats, "option", "choice", slot.channel, visibility, PICK, picked, plan="pick"))
        slot = replace(slot, plan="speak")
    elif "show_option" in fields:
        raise fields.error("show_option", "there is no option to show: expected options: true or a list of names")
    think = fields.positive("think_tokens", 0, least=0)
    if think:
        before.append(Slot(slot.seats, "think", "speech", slot.channel, "private", THINK, tokens=think, think=True))
    if before and slot.kind not in ("speech", "question"):
        raise fields.error("", f"a {slot.kind} holds no words: options and think_tokens belong to a speech")
    if before and slot.recall:
        raise fields.error("recall", "a copy cannot plan or think first: expected no options and no think_tokens")
    return (*before, slot)


def _options(fields: Fields, slot: Slot, names: _Names) -> tuple[str, ...]:
    roles = {names.role_of(seat).name: names.role_of(seat) for seat in slot.seats}
    known = [list(role.options) for role in roles.values()]
    if any(other != known[0] for other in known):
        raise fields.error("options", f"the roles {', '.join(roles)} move at once but have different plan moves")
    if fields.data["options"] is True:
        picked: tuple[str, ...] = tuple(known[0])
    else:
        picked = fields.strings("options", among=known[0])
    if len(picked) < 2 or len(set(picked)) != len(picked):
        raise fields.error("options", f"expected at least two plan moves of {', '.join(roles)}, got {list(picked)}")
    return picked


def _slot(fields: Fields, names: _Names) -> Slot:
    kind = fields.take("kind", str, "speech", KINDS)
    channel = fields.take("channel", str, "public", names.channels)
    phase = fields.take("phase", str, kind)
    if kind == "chance":
        return _chance(fields, channel, phase)
    by_role = {role.name: role.seats for role in names.roles}
    named = fields.strings("roles", among=[*by_role, *(seat for role in names.roles for seat in role.seats)])
    seats = tuple(dict.fromkeys(seat for name in named for seat in by_role.get(name, (name,))))
    if not seats:
        raise fields.error("roles", "expected at least one role or seat")
    for seat in seats:
        role = names.role_of(seat).name
        if role not in names.channels[channel].writers:
            writers = ", ".join(sorted(names.channels[channel].writers)) or "nobody"
            raise fields.error("channel", f"role {role!r} may not write to {channel!r}: its writers are {writers}")
    choices = _choices(fields) if kind == "choice" else ()
    reveal = fields.take("reveal", bool, False)
    if reveal and choices != "items":
        raise fields.error("reveal", "only a choice among items reveals one: expected kind: choice and choices: items")
    binds = fields.take("binds", str, "", ["", "answer"])
    if binds and choices != "options":
        raise fields.error("binds", "only a choice among the options can be bound: expected choices: options")
    instruction = read_prompt(fields, "instruction", known=INSTRUCTION_PLACEHOLDERS)
    for seat in seats:
        role_ = names.role_of(seat)
        check_sights(instruction, role_.sees, fields, "instruction", f"role {role_.name!r}")
    words, accept = _words(fields)
    slot = Slot(
        seats=seats,
        phase=phase,
        kind=kind,
        channel=channel,
        visibility=fields.take("visibility", str, "public", VISIBILITIES),
        instruction=instruction,
        choices=choices,
        reveal=reveal,
        tokens=fields.positive("tokens", 0, least=0),
        words=words,
        accept=accept,
        quotes=fields.positive("quotes", None, least=0),
        parts=fields.positive("parts", 0, least=0),
        final=fields.take("final", bool, False),
        binds=bool(binds),
        recall=fields.take("recall", str, ""),
    )
    if kind not in ("speech", "question"):
        for key in ("words", "quotes", "parts"):
            if key in fields:
                raise fields.error(key, f"a {kind} holds no words: only a speech or a question has {key}")
    return slot


def _words(fields: Fields) -> tuple[int, int]:
    """The word limit that is told, and from where on words are cut (0: by the default tolerance)."""
    if isinstance(fields.data.get("words"), dict):
        inner = fields.child("words")
        assert inner is not None
        limit, accept = inner.positive("limit"), inner.positive("accept")
        inner.done()
        if accept < limit:
            raise inner.error("accept", f"expected at least the limit, {limit}, got {accept}")
        return limit, accept
    return fields.positive("words", 0, least=0), 0


def _choices(fields: Fields) -> str | tuple[str, ...] | Drawn:
    given = fields.ignore("choices")
    if given is None:
        raise fields.error(
            "",
            "field 'choices' is missing: expected items, options, a list of texts, {from: PHASE} or {parts_of: PHASE}",
        )
    if given in ("items", "options"):
        return str(given)
    if isinstance(given, dict):
        inner = fields.child("choices")
        assert inner is not None
        source = "parts_of" if "parts_of" in inner else "from"
        drawn = Drawn(source, inner.take(source, str))  # type: ignore[arg-type]
        inner.done()
        return drawn
    return _texts(fields)


def _texts(fields: Fields) -> tuple[str, ...]:
    texts = fields.strings("choices")
    if len(texts) < 2 or len(set(texts)) != len(texts):
        raise fields.error("choices", f"expected at least two distinct texts, got {list(texts)}")
    return texts


def _chance(fields: Fields, channel: str, phase: str) -> Slot:
    choices = _texts(fields)
    weights: tuple[float, ...] | str
    given = fields.ignore("probabilities")
    if given is None:
        weights = (1.0 / len(choices),) * len(choices)
    elif isinstance(given, dict):
        inner = fields.child("probabilities")
        assert inner is not None
        weights = inner.take("from", str)
        inner.done()
        if len(choices) != 2:
            raise fields.error("choices", "expected two: the number picked is the probability of the first")
    else:
        weights = tuple(fields.take("probabilities", list))
        fair = all(isinstance(w, int | float) and not isinstance(w, bool) and 0 <= w <= 1 for w in weights)
        if not fair or len(weights) != len(choices) or abs(sum(weights) - 1.0) > 1e-9:
            raise fields.error(
                "probabilities", f"expected {len(choices)} numbers of at least 0 that sum to 1, got {list(weights)}"
            )
        weights = tuple(float(w) for w in weights)
    return Slot((CHANCE,), phase, "chance", channel, choices=choices, probabilities=weights)


# --- conditions ------------------------------------------------------------------------------------------------


def _condition(fields: Fields, key: str, names: _Names) -> Condition | None:
    child = fields.child(key, optional=True)
    return None if child is None else _read_condition(child, names)


def _read_condition(fields: Fields, names: _Names) -> Condition:
    kinds = [test for test in TESTS if test in fields]
    if len(kinds) != 1:
        raise fields.error("", f"expected one of {', '.join(TESTS)}, got {', '.join(map(str, fields.data)) or 'none'}")
    roles = [role.name for role in names.roles]
    test = kinds[0]
    if test == "phase":
        how = "any" if "any" in fields else "is"
        found = Condition(how, fields.take("phase", str), fields.take(how, str))  # type: ignore[arg-type]
    elif test in ("agreed", "played"):
        found = Condition(test, fields.take(test, str))  # type: ignore[arg-type]
    elif test == "says":
        fields.take("says", str, among=["secret"])
        found = Condition("says", role=fields.take("role", str, among=roles))
    elif test == "verified":
        found = Condition(
            "verified",
            role=fields.take("verified", str, among=roles),
            verifier=fields.take("verifier", str, "", ["", *VERIFIERS]),
        )
    elif test == "not":
        inner = fields.child("not")
        assert inner is not None
        found = Condition("not", inner=(_read_condition(inner, names),))
    else:
        listed = fields.take(test, list)
        if not listed:
            raise fields.error(test, "expected at least one condition")
        inside = tuple(
            _read_condition(Fields(fields.document, (*fields.path, test, i)), names) for i in range(len(listed))
        )
        found = Condition(test, inner=inside)  # type: ignore[arg-type]
    fields.done()
    return found
