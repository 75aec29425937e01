"""Templates in protocol files: what may stand in them, and who may see it."""

from __future__ import annotations

import string
from collections.abc import Collection, Sequence

from debate.errors import did_you_mean
from debate.protocol.spec import Prompt
from debate.reader import Fields

PLACEHOLDERS = (
    "question",
    "options",
    "material",
    "items",
    "answer",
    "answer_index",
    "other_answer",
    "secret",
    "truth",
    "seat",
)
INSTRUCTION_PLACEHOLDERS = (*PLACEHOLDERS, "level", "claim")
# placeholder → the part of the question that a role must see to be shown it
SHOWS = {
    "question": "question",
    "options": "options",
    "material": "material",
    "items": "items",
    "answer": "answer",
    "answer_index": "answer",
    "other_answer": "answer",
    "secret": "secret",
    "truth": "truth",
}


def read_prompt(fields: Fields, key: str, known: Sequence[str] = PLACEHOLDERS) -> Prompt:
    """A text, or a mapping {chat, compact} of two, with its placeholders checked; "" where it is missing.

    Raises:
        UserError: no text, no template, or an unknown placeholder.
    """
    if isinstance(fields.data.get(key), dict):
        styles = fields.child(key)
        assert styles is not None
        prompt = Prompt(styles.take("chat", str, ""), styles.take("compact", str, ""))
        styles.done()
    else:
        prompt = Prompt(chat=fields.take(key, str, ""))
    for text in (prompt.chat, prompt.compact):
        placeholders(text, known, fields, key)
    return prompt


def placeholders(text: str, known: Sequence[str], fields: Fields, key: str) -> set[str]:
    """The placeholders of a template.

    Raises:
        UserError: it is no template, or uses an unknown placeholder.
    """
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise fields.error(key, f"not a template: {error}; write {{{{ for a brace") from None
    names = {name for _, name, _, _ in parts if name is not None}
    for name in sorted(names):
        if name not in known:
            raise fields.error(
                key, f"unknown placeholder {{{name}}}{did_you_mean(name, known)}; expected {', '.join(known)}"
            )
    for _, used, layout, conversion in parts:
        if used is not None and (layout or conversion):
            raise fields.error(key, f"{{{used}}} stands alone: no format such as {layout or conversion!r} can follow")
    return names


def check_sights(prompt: Prompt, sees: Collection[str], fields: Fields, key: str, role: str = "the role") -> None:
    """That a text shows nothing its reader may not see.

    Raises:
        UserError: it does.
    """
    for used in sorted(used_in(prompt)):
        sight = SHOWS.get(used)
        if sight is not None and sight not in sees and not (sight == "truth" and "label" in sees):
            raise fields.error(key, f"{{{used}}} is shown, but {role} does not see {sight!r}; it sees {sorted(sees)}")


def used_in(prompt: Prompt) -> set[str]:
    """The placeholders of both styles of a prompt."""
    return {
        name
        for text in (prompt.chat, prompt.compact)
        for _, name, _, _ in string.Formatter().parse(text)
        if name is not None
    }
