"""From a protocol's YAML to a `DebateProtocol`: parameters filled in, repeats unrolled, every reference checked."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from debate.errors import UserError, did_you_mean
from debate.protocol.spec import (
    ASSIGNMENTS,
    KINDS,
    SIGHTS,
    UTILITIES,
    VISIBILITIES,
    Channel,
    Criterion,
    DebateProtocol,
    Decision,
    Prompt,
    Role,
    Slot,
)
from debate.reader import Document, Fields, read_yaml
from judges.rules import RULES, make_rule

CATALOGUE = Path(__file__).parent.parent / "catalogue"
PLACEHOLDERS = ("question", "options", "material", "items", "answer", "answer_index", "other_answer", "seat")
DECIDERS = ("judge", "seat", "verifier", "nobody")


def shipped() -> list[str]:
    """Names of the protocols that come with the package."""
    return sorted(path.stem for path in CATALOGUE.glob("*.yaml"))


def find_protocol(name: str, beside: Path | None = None) -> Path:
    """The file of a shipped protocol, or of a path ending in .yaml (relative to the folder `beside`, if given).

    Raises:
        UserError: no such protocol.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name) if beside is None else beside / name
        if not path.is_file():
            raise UserError(f"protocol file {path} does not exist")
        return path
    path = CATALOGUE / f"{name}.yaml"
    if not path.is_file():
        raise UserError(
            f"no protocol {name!r}{did_you_mean(name, shipped())}; "
            f"shipped: {', '.join(shipped())}; a file's name ends in .yaml"
        )
    return path


def load_protocol(name: str, parameters: Mapping[str, Any] | None = None, beside: Path | None = None) -> DebateProtocol:
    """A protocol by name or file, its parameters overridden by the given ones.

    Raises:
        UserError: with file, line, field and what was expected.
    """
    if name.startswith("openspiel:"):
        from debate.text_games.protocol import game_protocol

        return game_protocol(name, parameters)
    return parse_protocol(read_yaml(find_protocol(name, beside)), parameters or {})


def parse_protocol(document: Document, parameters: Mapping[str, Any]) -> DebateProtocol:
    """A protocol from its YAML document."""
    top = Fields(document)
    values = dict(top.take("parameters", dict, {}))
    for key in parameters:
        if key not in values:
            raise UserError(
                f"{document.name}: no parameter {key!r}{did_you_mean(key, values)}; "
                f"it has {', '.join(values) or 'none'}"
            )
    values.update(parameters)
    top = Fields(_fill(document, values))
    top.ignore("parameters")
    roles = _roles(top)
    seats = [seat for role in roles for seat in role.seats]
    doubled = {seat for seat in seats if seats.count(seat) > 1}
    if doubled:
        raise top.error("roles", f"seat {sorted(doubled)[0]!r} is given twice")
    channels = _channels(top, roles)
    schedule = _schedule(top, roles, channels)
    protocol = DebateProtocol(
        name=top.take("name", str),
        title=top.take("title", str, ""),
        summary=top.take("summary", str, "").strip(),
        source=top.take("source", str, ""),
        roles=roles,
        channels=channels,
        schedule=schedule,
        decision=_decision(top, channels, schedule),
        rewards=_rewards(top),
        finite=top.take("finite", bool, False),
        parameters=values,
    )
    top.done()
    if protocol.finite and any(slot.kind in ("speech", "question") for slot in schedule):
        raise top.error(
            "finite", "declared true, but a slot holds free words; every slot must be a choice or a decision"
        )
    return protocol


def _fill(document: Document, values: Mapping[str, Any]) -> Document:
    """The document with every `$name` replaced by the parameter's value."""

    def fill(node: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(node, dict):
            return {key: fill(child, (*path, key)) for key, child in node.items()}
        if isinstance(node, list):
            return [fill(child, (*path, i)) for i, child in enumerate(node)]
        if isinstance(node, str) and node.startswith("$"):
            if node[1:] not in values:
                raise UserError(f"{document.where(path)}: no parameter {node[1:]!r}{did_you_mean(node[1:], values)}")
            return values[node[1:]]
        return node

    return Document(document.name, fill(document.data, ()), document.lines)


def _prompt(fields: Fields, key: str) -> Prompt:
    value = fields.data.get(key)
    if isinstance(value, dict):
        inner = fields.child(key)
        assert inner is not None
        prompt = Prompt(inner.take("chat", str, ""), inner.take("compact", str, ""))
        inner.done()
    else:
        prompt = Prompt(chat=fields.take(key, str, ""))
    for text in (prompt.chat, prompt.compact):
        try:
            names = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
        except ValueError as error:
            raise fields.error(key, f"not a template: {error}; write {{{{ for a brace") from None
        for name in names:
            if name not in PLACEHOLDERS:
                raise fields.error(
                    key,
                    f"unknown placeholder {{{name}}}{did_you_mean(name, PLACEHOLDERS)}; "
                    f"expected {', '.join(PLACEHOLDERS)}",
                )
    return prompt


def _roles(top: Fields) -> tuple[Role, ...]:
    roles = []
    for name, fields in top.children("roles"):
        count = fields.positive("count", 1)
        default = [name] if count == 1 else [f"{name}_{i + 1}" for i in range(count)]
        seats = fields.strings("seats", default)
        sees = frozenset(fields.strings("sees", ["question", "options"], SIGHTS))
        answers = fields.take("answers", str, "none", ASSIGNMENTS)
        if answers != "none" and "answer" not in sees:
            raise fields.error(
                "sees", f"the role defends an assigned answer, so it must see it: expected {sorted(sees | {'answer'})}"
            )
        prompt = _prompt(fields, "prompt")
        needs = {"question", "options", "material", "items", "answer"}
        for text in (prompt.chat, prompt.compact):
            for _, used, _, _ in string.Formatter().parse(text):
                sight = {"answer_index": "answer", "other_answer": "answer"}.get(used or "", used)
                if sight in needs and sight not in sees:
                    raise fields.error(
                        "prompt", f"{{{used}}} is shown, but the role does not see {sight!r}; it sees {sorted(sees)}"
                    )
        roles.append(Role(name, seats, sees, answers, fields.take("trained", bool, True), prompt))
        fields.ignore("reads")  # checked against the channels, which are read next
        fields.done()
    if not roles:
        raise top.error("roles", "expected at least one role")
    return tuple(roles)


def _channels(top: Fields, roles: tuple[Role, ...]) -> tuple[Channel, ...]:
    names = [role.name for role in roles]
    everyone = frozenset(names)
    channels = [Channel("public", everyone | {"judge"}, everyone)]
    for name, fields in top.children("channels", optional=True):
        if name == "public":
            raise fields.error("", "the public channel always exists and cannot be redefined")
        known = [*names, "judge"]
        channels.append(
            Channel(
                name,
                frozenset(fields.strings("readers", names, known)),
                frozenset(fields.strings("writers", names, names)),
            )
        )
        fields.done()
    known_channels = {channel.name: channel for channel in channels}
    for name, fields in top.children("roles"):
        for i, channel in enumerate(fields.strings("reads", [], known_channels)):
            if name not in known_channels[channel].readers:
                readers = ", ".join(sorted(known_channels[channel].readers)) or "nobody"
                raise UserError(
                    f"{top.document.where(('roles', name, 'reads', i))}: "
                    f"role {name!r} may not read channel {channel!r}: its readers are {readers}"
                )
    return tuple(channels)


def _schedule(top: Fields, roles: tuple[Role, ...], channels: tuple[Channel, ...]) -> tuple[Slot, ...]:
    top.take("schedule", list)
    slots = _slots(top.document, ("schedule",), roles, {c.name: c for c in channels})
    if not slots:
        raise top.error("schedule", "expected at least one slot")
    return tuple(slots)


def _slots(
    document: Document, path: tuple[str | int, ...], roles: tuple[Role, ...], channels: Mapping[str, Channel]
) -> list[Slot]:
    node: Any = document.data
    for part in path:
        node = node[part]
    slots: list[Slot] = []
    for i in range(len(node)):
        fields = Fields(document, (*path, i))
        if "slots" in fields:
            repeat = fields.positive("repeat", 1, least=0)
            fields.take("slots", list)
            fields.done()
            slots += _slots(document, (*path, i, "slots"), roles, channels) * repeat
        else:
            slots += [_slot(fields, roles, channels)] * fields.positive("repeat", 1, least=0)
            fields.done()
    return slots


def _slot(fields: Fields, roles: tuple[Role, ...], channels: Mapping[str, Channel]) -> Slot:
    by_role = {role.name: role.seats for role in roles}
    role_of = {seat: role.name for role in roles for seat in role.seats}
    named = fields.strings("roles", among=[*by_role, *role_of])
    seats = tuple(dict.fromkeys(seat for name in named for seat in by_role.get(name, (name,))))
    kind = fields.take("kind", str, "speech", KINDS)
    channel = fields.take("channel", str, "public", channels)
    for seat in seats:
        if role_of[seat] not in channels[channel].writers:
            writers = ", ".join(sorted(channels[channel].writers)) or "nobody"
            raise fields.error(
                "channel", f"role {role_of[seat]!r} may not write to {channel!r}: its writers are {writers}"
            )
    choices: str | tuple[str, ...] = ()
    if kind == "choice":
        given = fields.ignore("choices")
        if given is None:
            raise fields.error("", "field 'choices' is missing: expected items, options, or a list of texts")
        choices = given if given in ("items", "options") else fields.strings("choices")
        if isinstance(choices, tuple) and (len(choices) < 2 or len(set(choices)) != len(choices)):
            raise fields.error("choices", f"expected at least two distinct texts, got {list(choices)}")
    reveal = fields.take("reveal", bool, False)
    if reveal and choices != "items":
        raise fields.error("reveal", "only a choice among items reveals one: expected kind: choice and choices: items")
    return Slot(
        seats=seats,
        phase=fields.take("phase", str, kind),
        kind=kind,
        channel=channel,
        visibility=fields.take("visibility", str, "public", VISIBILITIES),
        instruction=_prompt(fields, "instruction"),
        choices=choices,
        reveal=reveal,
        tokens=fields.positive("tokens", 0, least=0),
        words=fields.positive("words", 0, least=0),
        final=fields.take("final", bool, False),
    )


def _decision(top: Fields, channels: tuple[Channel, ...], schedule: tuple[Slot, ...]) -> Decision:
    fields = top.child("decision")
    assert fields is not None
    by = fields.take("by", str, among=DECIDERS)
    known = {c.name: c for c in channels}
    sees = fields.strings("sees", ["question"], ["question", "material", *known])
    for i, name in enumerate(sees):
        if name in known and "judge" not in known[name].readers:
            readers = ", ".join(sorted(known[name].readers)) or "nobody"
            raise UserError(
                f"{top.document.where(('decision', 'sees', i))}: "
                f"the judge may not read channel {name!r}: its readers are {readers}"
            )
    if by == "seat" and not any(slot.kind == "decision" for slot in schedule):
        raise fields.error("by", "a seat decides, but the schedule has no slot of kind: decision")
    fields.done()
    return Decision(by, "material" in sees)


def _rewards(top: Fields) -> tuple[Criterion, ...]:
    criteria = []
    for name, fields in top.children("rewards"):
        rule = fields.take("rule", str, name, RULES)
        params = {key: fields.ignore(key) for key in fields.data if key not in ("rule", "utility")}
        utility = fields.take("utility", str, "general_sum", UTILITIES)
        try:
            make_rule(rule, **params)
        except ValueError as error:
            raise fields.error("", str(error)) from None
        criteria.append(Criterion(name, rule, params, utility))
    if not criteria:
        raise top.error("rewards", "expected at least one criterion")
    return tuple(criteria)
