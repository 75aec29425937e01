"""The grammar of protocol files as a JSON Schema, for editors: completion, hints and marks while a file is written.

Kinds, sights, rules and the like are those of `spec` and `judges.rules`, and the hints are the docstrings of `spec`, so
nothing is said twice. What a schema cannot say (names that must exist, who may see what) the loader and
`check_protocol` say. `debate protocols schema > protocol.schema.json` writes it.
"""

from __future__ import annotations

import re
from typing import Any

from debate.protocol.load_schedule import TESTS
from debate.protocol.spec import (
    ASSIGNMENTS,
    DECIDERS,
    KINDS,
    SIGHTS,
    TIES,
    UTILITIES,
    VISIBILITIES,
    Block,
    Budgets,
    Channel,
    Criterion,
    DebateProtocol,
    Decision,
    Role,
    Slot,
)
from debate.protocol.wrappers import BestOf, Refine
from judges.criteria import VERIFIERS
from judges.rules import RULES

Schema = dict[str, Any]
PARAMETER: Schema = {"type": "string", "pattern": r"^\$\w+$", "description": "a parameter of the protocol"}
TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}


def protocol_schema() -> Schema:
    """The schema (draft 2020-12). `$name` may stand for any value that is no text."""
    named, told = {"type": "object", "minProperties": 1}, {"$ref": "#/$defs/prompt"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "debate protocol",
        "description": _first_line(DebateProtocol),
        **_object(
            {
                "name": TEXT,
                "title": TEXT,
                "summary": TEXT,
                "source": TEXT,
                "parameters": {"type": "object", "description": "name → default; $name stands for it elsewhere"},
                "roles": {**named, "additionalProperties": {"$ref": "#/$defs/role"}},
                "channels": {"type": "object", "additionalProperties": {"$ref": "#/$defs/channel"}},
                "schedule": _items("item"),
                "decision": {"$ref": "#/$defs/decision"},
                "rewards": {**named, "additionalProperties": {"$ref": "#/$defs/criterion"}},
                "budgets": {"$ref": "#/$defs/budgets"},
                "finite": _or(FLAG),
            },
            ["name", "roles", "schedule", "decision", "rewards"],
        ),
        "$defs": {
            "prompt": {"anyOf": [TEXT, _object({"chat": TEXT, "compact": TEXT})]},
            "texts": {"anyOf": [{"type": "string"}, {"type": "array", "items": TEXT}]},
            "role": _role(),
            "channel": _object({"readers": _texts(), "writers": _texts()}, of=Channel),
            "item": {
                "if": {"required": ["recurse"]},
                "then": {"$ref": "#/$defs/recursion"},
                "else": {
                    "if": {"required": ["slots"]},
                    "then": {"$ref": "#/$defs/block"},
                    "else": {"$ref": "#/$defs/slot"},
                },
            },
            "recursion": _object(
                {
                    "recurse": _object({"into": _items("item"), "depth": _number()}, ["into", "depth"]),
                    "when": _condition(),
                    "until": _condition(),
                },
                ["recurse"],
                of=Block,
            ),
            "block": _object(
                {"slots": _items("item"), "repeat": _number(), "when": _condition(), "until": _condition()},
                ["slots"],
                of=Block,
            ),
            "slot": _slot(),
            "best_of": _object({"n": _number(1), "by": TEXT, "instruction": told}, ["n"], of=BestOf),
            "refine": _object(
                {
                    "critics": _number(1),
                    "times": _number(),
                    "by": _texts(),
                    "tokens": _number(1),
                    "words": _number(1),
                    "instruction": told,
                    "revision": told,
                },
                of=Refine,
            ),
            "condition": _conditions(),
            "decision": _decision(),
            "criterion": {
                **_object(
                    {"rule": {"enum": sorted(RULES)}, "utility": _enum(UTILITIES), "roles": _texts()}, of=Criterion
                ),
                "additionalProperties": True,  # the rule's own parameters
            },
            "budgets": _object({key: _number() for key in Budgets.__dataclass_fields__}, of=Budgets),
        },
    }


def _role() -> Schema:
    return _object(
        {
            "count": _number(1),
            "seats": _texts(),
            "sees": _texts(SIGHTS),
            "reads": _texts(),
            "answers": _enum(ASSIGNMENTS),
            "opposes": TEXT,
            "alias": TEXT,
            "trained": _or(FLAG),
            "prompt": {"$ref": "#/$defs/prompt"},
            "options": {"type": "object", "additionalProperties": {"$ref": "#/$defs/prompt"}},
        },
        of=Role,
    )


def _slot() -> Schema:
    drawn = [_object({"from": TEXT}, ["from"]), _object({"parts_of": TEXT}, ["parts_of"])]
    fields = {
        "roles": _texts(),
        "phase": TEXT,
        "kind": _enum(KINDS),
        "channel": TEXT,
        "visibility": _enum(VISIBILITIES),
        "instruction": {"$ref": "#/$defs/prompt"},
        "choices": {"anyOf": [{"$ref": "#/$defs/texts"}, *drawn]},
        "probabilities": {
            "anyOf": [{"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}}, drawn[0], PARAMETER]
        },
        "reveal": _or(FLAG),
        "tokens": _number(),
        "think_tokens": _number(),
        "words": {"anyOf": [_number(), _object({"limit": _number(1), "accept": _number(1)}, ["limit", "accept"])]},
        "quotes": _number(),
        "parts": _number(),
        "final": _or(FLAG),
        "binds": {"const": "answer"},
        "options": {"anyOf": [{"const": True}, _texts()]},
        "show_option": _or(FLAG),
        "best_of": {"$ref": "#/$defs/best_of"},
        "refine": {"$ref": "#/$defs/refine"},
        "recall": TEXT,
        "repeat": _number(),
        "when": _condition(),
        "until": _condition(),
    }
    no_words = dict.fromkeys(("words", "quotes", "parts", "options", "think_tokens", "best_of", "refine"), False)
    chance = {
        name: False
        for name in (
            "roles",
            "visibility",
            "instruction",
            "reveal",
            "final",
            "binds",
            "recall",
            "tokens",
            "show_option",
        )
    }
    return {
        **_object(fields, of=Slot),
        "allOf": [
            _when_kind("chance", {"required": ["choices"], "properties": chance | no_words}),
            {
                "if": {"not": {"properties": {"kind": {"const": "chance"}}, "required": ["kind"]}},
                "then": {"required": ["roles"], "properties": {"probabilities": False}},
            },
            _when_kind("choice", {"required": ["choices"], "properties": no_words}),
            _when_kind("decision", {"properties": {**no_words, "choices": False}}),
            {"if": {"required": ["until"]}, "then": {"required": ["repeat"]}},
            {"if": {"required": ["recall"]}, "then": {"properties": {"best_of": False, "refine": False}}},
        ],
    }


def _conditions() -> Schema:
    """One of the tests, each with what belongs to it."""
    inner = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/condition"}}
    shapes = {
        "phase": {"phase": TEXT, "is": TEXT, "any": TEXT},
        "agreed": {"agreed": TEXT},
        "says": {"says": {"const": "secret"}, "role": TEXT},
        "verified": {"verified": TEXT, "verifier": _enum(VERIFIERS)},
        "played": {"played": TEXT},
        "not": {"not": {"$ref": "#/$defs/condition"}},
        "all": {"all": inner},
        "anyof": {"anyof": inner},
    }
    needs = {"says": ["says", "role"]}
    found: list[Schema] = []
    for test in TESTS:
        shape = _object(shapes[test], needs.get(test, [test]))
        if test == "phase":
            shape["oneOf"] = [{"required": ["is"]}, {"required": ["any"]}]
        found.append(shape)
    return {"oneOf": found, "description": "played or left if it holds"}


def _decision() -> Schema:
    return _object(
        {
            "by": _enum(DECIDERS),
            "sees": _texts(),
            "options": _texts(),
            "question": TEXT,
            "about": TEXT,
            "ties": _enum(TIES),
            "voters": TEXT,
            "verifier": _enum(VERIFIERS),
        },
        ["by"],
        of=Decision,
    )


# --- parts -----------------------------------------------------------------------------------------------------


def _object(properties: dict[str, Schema], required: list[str] | None = None, of: type | None = None) -> Schema:
    hints = _hints(of) if of is not None else {}
    described = {
        name: ({**schema, "description": hints[name]} if name in hints else schema)
        for name, schema in properties.items()
    }
    found: Schema = {"type": "object", "properties": described, "additionalProperties": False}
    if of is not None:
        found["description"] = _first_line(of)
    if required:
        found["required"] = required
    return found


def _items(definition: str) -> Schema:
    return {"type": "array", "minItems": 1, "items": {"$ref": f"#/$defs/{definition}"}}


def _condition() -> Schema:
    return {"$ref": "#/$defs/condition"}


def _or(schema: Schema) -> Schema:
    return {"anyOf": [schema, PARAMETER]}


def _number(least: int = 0) -> Schema:
    return _or({"type": "integer", "minimum": least})


def _enum(names: tuple[str, ...]) -> Schema:
    return _or({"enum": list(names)})


def _texts(among: tuple[str, ...] = ()) -> Schema:
    """One text or a list of texts."""
    text: Schema = {"enum": list(among)} if among else TEXT
    return {"anyOf": [text, {"type": "array", "items": text}, PARAMETER]}


def _first_line(of: type) -> str:
    return (of.__doc__ or "").strip().partition("\n")[0]


def _hints(of: type) -> dict[str, str]:
    """Field → what the docstring's `Attributes` say of it."""
    _, _, listed = (of.__doc__ or "").partition("Attributes:")
    found = {}
    for line in re.split(r"\n\s{8}(?=\w[\w, ]*: )", listed):
        names, colon, text = line.strip().partition(": ")
        if colon:
            for name in names.split(", "):
                found[name] = " ".join(text.split())
    return found


def _when_kind(kind: str, then: Schema) -> Schema:
    return {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": then}
