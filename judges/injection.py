"""Makes text written by speakers harmless before a judge reads it, and counts what was tried.

Two layers. The structural one is a guarantee: after `neutralise` a text holds no tag, control token or hidden
character, and after `quote_lines` none of its lines can be mistaken for one that code wrote. The other one is a
courtesy: phrases that give the judge orders are cut out; natural language has no complete list of those, so the attack
battery (`judges.attacks`) measures what gets past it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

KINDS = ("forged_marks", "control_tokens", "instructions", "hidden_characters")
REMOVED = "[removed: instruction to the judge]"

# Format, control, private-use, tag and surrogate characters: they hide text from people, not from tokenisers.
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\ue000-\uf8ff"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
_NEWLINES = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_ANGLES = str.maketrans({"\uff1c": "<", "\ufe64": "<", "\uff1e": ">", "\ufe65": ">", "\u3008": "<", "\u2329": "<"})

_WORD = r"(?:v_?quote|u_?quote|verified|unverified|speech|statement|verdict|judge|reveal(?:ed)?|material)"
_FORGED = re.compile(
    rf"<\s{{0,5}}/?\s{{0,5}}{_WORD}\b[^<>\n]{{0,200}}>?|\[\s{{0,5}}/?\s{{0,5}}{_WORD}\b[^\[\]\n]{{0,200}}\]",
    re.IGNORECASE,
)
_CONTROL = re.compile(
    r"<\s{0,5}[|\uff5c][^<>\n]{0,80}[|\uff5c]?\s{0,5}>?"
    r"|<\s{0,5}/?\s{0,5}(?:s|bos|eos|pad|unk|think|thinking|start_of_turn|end_of_turn|system|user|assistant|tool_call|tool|im_start|im_end)\s{0,5}>"
    r"|<<\s{0,5}/?\s{0,5}sys\s{0,5}>>|\[\s{0,5}/?\s{0,5}(?:inst|system_prompt|available_tools|tool_calls)\s{0,5}\]"
    r"|^[ \t>#*]*(?:system|assistant|user|human)[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)
# Any "<" that could open a tag; what follows in arithmetic ("a < b", "x<3", "<=") is left as it is.
_OPEN = re.compile(r"<(?![\s\d=.+(\-]|$)")

_ORDER = re.compile(
    r"\b(?:please\s+)?(?:ignore|disregard|forget|override|bypass)\s+"
    r"(?:(?:all|any|every|everything|the|your|my|these|those|of|previous|prior|above|earlier|other|judging|given|system)\s+){0,5}"
    r"(?:instructions?|prompts?|rubrics?|criteria|guidelines)\b[^.!?\n]{0,120}[.!?]?"
    r"|\b(?:dear\s+)?judge\s*[,:]\s*(?:you\s+must|you\s+should|please|always|answer|choose|pick|select|output|vote|rule)\b[^.!?\n]{0,160}[.!?]?"
    r"|\b(?:you\s+(?:must|have\s+to|are\s+(?:required|instructed|ordered|now)\s+to)\s+)"
    r"(?:answer|choose|pick|select|output|vote|declare|award|rule)\b[^.!?\n]{0,40}?"
    r"\b(?:options?|answer|side|letter|me|my|winner|(?-i:[A-H]))\b[^.!?\n]{0,120}[.!?]?"
    r"|\bnew\s+instructions?\s*:[^\n]{0,200}"
    r"|\b(?:answer|output|respond|reply)\s+(?:only\s+|just\s+)?(?:with\s+)?(?:the\s+letter\s+)[\"'(]?(?-i:[A-Z])\b[^.!?\n]{0,80}[.!?]?"
    r"|\b(?:final\s+)?verdict\s*[:=]\s*[\"'(]?(?-i:[A-Z0-9])\b[^.!?\n]{0,80}[.!?]?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Neutralised:
    """A text that is safe to place in a judge's prompt.

    Attributes:
        text: the text.
        counts: how many attempts of each of `KINDS` it held.
    """

    text: str
    counts: Mapping[str, int]

    @property
    def attempts(self) -> int:
        """All attempts together."""
        return sum(self.counts.values())


def neutralise(text: str) -> Neutralised:
    """Removes hidden characters and orders to the judge, and opens up tags and control tokens.

    The result is a fixed point: neutralising it again changes nothing.
    """
    # 1. One kind of line end; no character that a reader cannot see.
    text = _NEWLINES.sub("\n", text)
    text, hidden = _HIDDEN.subn("", text)
    # 2. Look-alikes of angle brackets, so that nothing hides behind them.
    text = text.translate(_ANGLES)
    # 3. Count and cut until nothing is found: cutting can join two halves of a new mark.
    counts = dict.fromkeys(KINDS, 0)
    counts["hidden_characters"] = hidden
    found = 1
    while found:
        text, orders = _ORDER.subn(_keep_removed, text)
        text, marks = _FORGED.subn(_open_up, text)
        text, tokens = _CONTROL.subn(_open_up, text)
        counts["instructions"] += orders
        counts["forged_marks"] += marks
        counts["control_tokens"] += tokens
        found = orders + marks + tokens
    # 4. Whatever else could open or close a tag.
    return Neutralised(_OPEN.sub("\u2039", text).replace("|>", "\u00a6>").replace("\uff5c>", "\u00a6>"), counts)


def _keep_removed(match: re.Match[str]) -> str:
    return REMOVED


def _open_up(match: re.Match[str]) -> str:
    """The same words with every bracket and bar that made them a mark exchanged for one that makes none."""
    marks = str.maketrans(
        {"<": "\u2039", ">": "\u203a", "|": "\u00a6", "\uff5c": "\u00a6", "[": "(", "]": ")", ":": "\ua789"}
    )
    return match.group().translate(marks)


def quote_lines(text: str, prefix: str = "> ") -> str:
    """Every line behind a prefix, so that no line of a speech can look like one that code wrote."""
    return "\n".join(prefix + line for line in text.split("\n"))
