"""From a protocol's YAML to a `DebateProtocol`: parameters filled in, every reference checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from debate.errors import UserError, did_you_mean
from debate.protocol.load_schedule import read_schedule
from debate.protocol.load_text import INSTRUCTION_PLACEHOLDERS, check_sights, placeholders, read_prompt
from debate.protocol.references import check_references
from debate.protocol.spec import (
    ASSIGNMENTS,
    CHANCE,
    DECIDERS,
    SIGHTS,
    TIES,
    UTILITIES,
    Budgets,
    Channel,
    Criterion,
    DebateProtocol,
    Decision,
    Role,
)
from debate.protocol.wrappers import phases_of
from debate.reader import Document, Fields, parse_yaml, read_yaml
from judges.criteria import VERIFIERS
from judges.rules import RULES, make_rule

CATALOGUE = Path(__file__).parent.parent / "catalogue"
ENDINGS = (".yaml", ".yml")  # of files; other names are those of shipped protocols


def shipped() -> list[str]:
    """Names of the protocols that come with the package."""
    return sorted(path.stem for path in CATALOGUE.glob("*.yaml"))


def find_protocol(name: str, beside: Path | None = None) -> Path:
    """The file of a shipped protocol, or of a path ending in .yaml (relative to the folder `beside`, if given).

    Raises:
        UserError: no such protocol.
    """
    if name.endswith(ENDINGS):
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


@dataclass(frozen=True, slots=True)
class Protocols:
    """Where the protocols that a recipe names come from: files beside it, or, in a run's folder, what the run kept.

    Attributes:
        folder: of the recipe.
        kept: name in the recipe → text, instead of the file.
    """

    folder: Path = Path()
    kept: Mapping[str, str] = field(default_factory=dict)

    def load(self, name: str, parameters: Mapping[str, Any]) -> DebateProtocol:
        """A protocol that the recipe names.

        Raises:
            UserError: as in `load_protocol`.
        """
        if name in self.kept:
            return parse_protocol(parse_yaml(self.kept[name], name), parameters)
        return load_protocol(name, parameters, self.folder)

    def text(self, name: str) -> str | None:
        """The text of a protocol that has a file of its own; None of one that is shipped."""
        if name in self.kept or not name.endswith(ENDINGS):
            return self.kept.get(name)
        return find_protocol(name, self.folder).read_text(encoding="utf-8")


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
    if CHANCE in [*seats, *(role.name for role in roles)]:
        raise top.error("roles", "'chance' is what draws in chance slots, so no role or seat can have that name")
    doubled = {seat for seat in seats if seats.count(seat) > 1}
    if doubled:
        raise top.error("roles", f"seat {sorted(doubled)[0]!r} is given twice")
    for role in roles:
        if role.alias in [CHANCE, *seats]:
            raise top.error("roles", f"alias {role.alias!r} of role {role.name!r} is the name of a seat")
    channels = _channels(top, roles)
    rewards = _rewards(top, roles)
    protocol = DebateProtocol(
        name=top.take("name", str),
        title=top.take("title", str, ""),
        summary=top.take("summary", str, "").strip(),
        source=top.take("source", str, ""),
        roles=roles,
        channels=channels,
        schedule=read_schedule(top, roles, channels),
        decision=_decision(top, roles, channels),
        rewards=rewards,
        finite=top.take("finite", bool, False),
        parameters=values,
        budgets=_budgets(top),
    )
    top.done()
    tied = (replace(c, turns=phases_of(protocol.slots, c.turns)) if c.turns else c for c in rewards)
    protocol = replace(protocol, rewards=tuple(tied))
    check_references(protocol, top)
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
        opposes = fields.take("opposes", str, "")
        if (answers == "opposes") != bool(opposes):
            raise fields.error("answers", "answers: opposes and opposes: ROLE go together")
        prompt = read_prompt(fields, "prompt")
        check_sights(prompt, sees, fields, "prompt")
        options = {}
        plans = fields.child("options", optional=True)
        for option in plans.data if plans else ():
            assert plans is not None
            options[option] = read_prompt(plans, option, INSTRUCTION_PLACEHOLDERS)
            check_sights(options[option], sees, plans, option)
        trained = fields.take("trained", bool, True)
        alias = fields.take("alias", str, "")
        roles.append(Role(name, seats, sees, answers, trained, prompt, opposes, options, alias))
        fields.ignore("reads")  # checked against the channels, which are read next
        fields.done()
    if not roles:
        raise top.error("roles", "expected at least one role")
    names = [role.name for role in roles]
    for role in roles:
        against = next((other for other in roles if other.name == role.opposes), None)
        if role.opposes and (against is None or against is role or against.answers == "opposes"):
            others = [n for n in names if n != role.name]
            raise UserError(
                f"{top.document.where(('roles', role.name, 'opposes'))}: {role.opposes!r} is no role whose answer can "
                f"be opposed{did_you_mean(role.opposes, others)}; expected another role, which opposes none itself"
            )
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


def _decision(top: Fields, roles: tuple[Role, ...], channels: tuple[Channel, ...]) -> Decision:
    fields = top.child("decision")
    assert fields is not None
    by = fields.take("by", str, among=DECIDERS)
    known = {c.name: c for c in channels}
    sees = fields.strings("sees", ["question", "public"], ["question", "material", *known])
    for i, name in enumerate(sees):
        if name in known and "judge" not in known[name].readers:
            readers = ", ".join(sorted(known[name].readers)) or "nobody"
            raise UserError(
                f"{top.document.where(('decision', 'sees', i))}: "
                f"the judge may not read channel {name!r}: its readers are {readers}"
            )
    read = [name for name in sees if name in known]
    if by != "judge" and "public" not in read:
        read.insert(0, "public")  # no judge is kept from it: it is what anyone may read afterwards
    options = fields.strings("options", [])
    if options and (len(options) < 2 or len(set(options)) != len(options)):
        raise fields.error("options", f"expected at least two distinct texts, got {list(options)}")
    about = fields.take("about", str, "", ["", *(role.name for role in roles)])
    if about and len(options) != 2:
        raise fields.error("about", "expected exactly two options: the first is right where that role is")
    question = fields.take("question", str, "")
    placeholders(question, ("question", "claim"), fields, "question")
    ties = fields.take("ties", str, "draw", TIES)
    voters = fields.take("voters", str, "")
    for key in ("ties", "voters"):
        if key in fields and by not in ("vote", "jury"):
            raise fields.error(key, f"only a vote or a jury has {key}; this is decided by {by}")
    verifier = fields.take("verifier", str, "exact", VERIFIERS)
    fields.done()
    return Decision(by, "material" in sees, tuple(read), options, question, about, ties, voters, verifier)


def _budgets(top: Fields) -> Budgets:
    fields = top.child("budgets", optional=True)
    if fields is None:
        return Budgets()
    limits = {
        key: fields.positive(key, None, least=0)
        for key in ("tokens", "think_tokens", "words", "quotes", "verifier_calls")
    }
    fields.done()
    return Budgets(**limits)


def _rewards(top: Fields, roles: tuple[Role, ...]) -> tuple[Criterion, ...]:
    criteria = []
    for name, fields in top.children("rewards"):
        rule = fields.take("rule", str, name, RULES)
        params = {key: fields.ignore(key) for key in fields.data if key not in ("rule", "utility", "roles", "turns")}
        utility = fields.take("utility", str, "general_sum", UTILITIES)
        paid = fields.strings("roles", [], [role.name for role in roles])
        turns = fields.strings("turns", [])
        try:
            make_rule(rule, **params)
        except ValueError as error:
            raise fields.error("", str(error)) from None
        criteria.append(Criterion(name, rule, params, utility, paid, turns))
    if not criteria:
        raise top.error("rewards", "expected at least one criterion")
    return tuple(criteria)
