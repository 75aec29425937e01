"""Tokens, numbers and quoted names of Gambit's text formats, shared by `.nfg` and `.efg`."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from math import isfinite
from os import PathLike, fspath
from pathlib import Path
from typing import NamedTuple

_MAX_FLOAT, _MAX_EXPONENT = sys.float_info.max, sys.float_info.max_10_exp
_TOKEN = re.compile(r'\s+|(?P<string>"(?:\\"|[^"])*")|(?P<mark>[{},])|(?P<word>[^\s{},"]+)|(?P<open>")')
_NUMBER = re.compile(r"[+-]?(\d+/\d+|(\d+\.?\d*|\.\d+)([eE](?P<exponent>[+-]?\d{1,6}))?)\Z")
_INTEGER = re.compile(r"[+-]?\d{1,18}\Z")
_LONGEST = 4000  # characters of a number; and what a float can hold bounds its size


class Token(NamedTuple):
    """A quoted string ("string", quotes removed), a brace or comma ("mark"), a bare word ("word"), or the "end"."""

    kind: str
    text: str
    line: int

    def __str__(self) -> str:
        return {"string": f"the string {self.text!r}", "end": "the end of the file"}.get(self.kind, repr(self.text))


def load(source: str | PathLike[str], magic: str) -> tuple[str, str]:
    """Text and its name for messages, from a path or the text itself (it starts with `magic` or has several lines)."""
    if isinstance(source, str) and (source.lstrip().startswith(magic) or "\n" in source):
        return source, "text"
    try:
        return Path(source).read_text(encoding="utf-8-sig"), fspath(source)
    except UnicodeDecodeError as error:
        raise ValueError(f"{fspath(source)}: expected UTF-8 text ({error})") from None


class Reader:
    """Walks over the tokens of a text and says where it was disappointed."""

    def __init__(self, text: str, name: str) -> None:
        """Splits the text.

        Raises:
            ValueError: a quoted string that does not end.
        """
        self.name = name
        self.tokens: list[Token] = []
        self.place = 0
        line = 1
        for match in _TOKEN.finditer(text):
            kind, found = match.lastgroup, match.group()
            if kind == "open":
                raise ValueError(f'{name}, line {line}: expected a closing ", got the end of the file')
            if kind is not None:
                plain = found[1:-1].replace('\\"', '"') if kind == "string" else found
                self.tokens.append(Token(kind, plain, line))
            line += found.count("\n")
        self.tokens.append(Token("end", "", line))

    @property
    def next(self) -> Token:
        """The token to be read next."""
        return self.tokens[self.place]

    def error(self, expected: str, token: Token | None = None) -> ValueError:
        """What to raise where something else was expected."""
        got = token or self.next
        return ValueError(f"{self.name}, line {got.line}: expected {expected}, got {got}")

    def take(self, kind: str, expected: str, text: str | None = None) -> str:
        """Reads one token of that kind (and text)."""
        token = self.next
        if token.kind != kind or (text is not None and token.text != text):
            raise self.error(expected)
        self.place += kind != "end"
        return token.text

    def accept(self, kind: str, text: str | None = None) -> bool:
        """Reads the next token if it is of that kind (and text)."""
        fits = self.next.kind == kind and (text is None or self.next.text == text)
        self.place += fits
        return fits

    def at(self, kind: str, text: str | None = None) -> bool:
        """Whether the next token is of that kind (and text)."""
        return self.next.kind == kind and (text is None or self.next.text == text)

    def number(self, expected: str = "a number") -> Fraction:
        """Reads an integer, a decimal or a fraction, exactly."""
        token = self.next
        form = _NUMBER.match(token.text) if token.kind == "word" and len(token.text) <= _LONGEST else None
        if form is None or re.search(r"/0+\Z", token.text) or abs(int(form["exponent"] or 0)) > 2 * _MAX_EXPONENT:
            raise self.error(expected)
        value = Fraction(token.text)
        if abs(value) > _MAX_FLOAT:
            raise self.error(f"{expected} (as large as a float can hold)")
        self.place += 1
        return value

    def integer(self, expected: str, low: int, high: int | None = None) -> int:
        """Reads an integer of at least `low`, at most `high`."""
        token = self.next
        if token.kind != "word" or not _INTEGER.match(token.text):
            raise self.error(expected)
        value = int(token.text)
        if value < low or (high is not None and value > high):
            raise self.error(expected)
        self.place += 1
        return value

    def strings(self, expected: str) -> list[str]:
        """Reads { "a" "b" … }."""
        self.take("mark", f"{{ before {expected}", "{")
        found = []
        while not self.accept("mark", "}"):
            found.append(self.take("string", f"{expected}: quoted names and a closing brace"))
            self.accept("mark", ",")
        return found

    def numbers(self, count: int, expected: str) -> list[Fraction]:
        """Reads { 1, 2/3 .5 … }, `count` numbers with optional commas."""
        self.take("mark", f"{{ before {expected}", "{")
        return self.rest_of_numbers(count, expected)

    def rest_of_numbers(self, count: int, expected: str) -> list[Fraction]:
        """Reads 1, 2/3 .5 … } where the opening brace was read before."""
        line = self.next.line
        found = []
        while not self.accept("mark", "}"):
            found.append(self.number(f"{expected}: numbers and a closing brace"))
            self.accept("mark", ",")
        if len(found) != count:
            raise ValueError(f"{self.name}, line {line}: expected {count} {expected}, got {len(found)}")
        return found

    def header(self, magic: str, version: str) -> tuple[str, list[str]]:
        """Reads the first line up to the players: title and player names."""
        self.take("word", f"{magic} at the start", magic)
        self.take("word", f"format version {version}", version)
        if not (self.accept("word", "R") or self.accept("word", "D")):
            raise self.error("R or D (the number type)")
        title = self.take("string", "a quoted title")
        opening = self.next
        players = self.strings("player names")
        if not players:
            raise ValueError(f"{self.name}, line {opening.line}: expected at least one player name, got none")
        return title, players


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names made usable as identifiers: empty ones become their number (from 1), repeated ones get it appended."""
    filled = [name or str(k + 1) for k, name in enumerate(names)]
    seen = Counter(filled)
    result: list[str] = []
    used: set[str] = set()
    for k, name in enumerate(filled):
        fresh = name if seen[name] == 1 else f"{name} ({k + 1})"
        while fresh in used or (fresh != name and fresh in seen):
            fresh += "'"
        used.add(fresh)
        result.append(fresh)
    return tuple(result)


def quoted(name: str) -> str:
    """A name in quotes, in what both Gambit and OpenSpiel read: printable ASCII, single spaces, no escapes.

    Quotation marks become apostrophes, backslashes slashes, accents are dropped, other characters become "?".
    """
    plain = unicodedata.normalize("NFKD", name).replace('"', "'").replace("\\", "/")
    kept = "".join(c for c in plain if not unicodedata.combining(c))
    ascii_only = "".join(c if " " <= c <= "~" else " " if c.isspace() else "?" for c in kept)
    return '"' + " ".join(ascii_only.split()) + '"'


def labels(names: Sequence[str]) -> list[str]:
    """Names in quotes; those that `quoted` makes the same are told apart by a number."""
    return [f'"{name}"' for name in distinct([quoted(name)[1:-1] for name in names])]


def number(value: float) -> str:
    """The shortest decimal, without exponent, that reads back as the same float.

    Raises:
        ValueError: the value is not finite.
    """
    if not isfinite(value):
        raise ValueError(f"expected a finite number, got {value}")
    text = repr(float(value))
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def chances(values: Iterable[float]) -> list[str]:
    """Probabilities that add up to exactly 1: small fractions, else decimals, the largest takes the rounding."""
    given = [float(value) for value in values]
    simple = [Fraction(value).limit_denominator(100_000) for value in given]
    if sum(simple) == 1 and [float(p) for p in simple] == given:
        return [str(p) for p in simple]
    with localcontext() as context:
        context.prec = 400  # enough for every finite float: nothing is rounded
        decimals = [Decimal(repr(value)) for value in given]
        largest = max(range(len(given)), key=given.__getitem__)
        decimals[largest] += 1 - sum(decimals)
    return [format(p, "f") for p in decimals]
