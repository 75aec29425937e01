"""HTML in which everything is escaped unless it was made here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

UNKNOWN = "not applicable"


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *content: Any, **attributes: str) -> Markup:
    """An element. Content that is not `Markup` is escaped; `class_` stands for the attribute `class`."""
    opening = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{opening}>{join(content)}</{name}>")


def void(name: str, /, **attributes: str) -> Markup:
    """An element that never has content, such as an image."""
    return Markup(tag(name, **attributes).removesuffix(f"</{name}>"))


def join(content: Iterable[Any], between: str = "") -> Markup:
    """Pieces side by side, each escaped unless it is `Markup`."""
    return Markup(between.join(piece if isinstance(piece, Markup) else escape(str(piece)) for piece in content))


def table(header: Sequence[Any], rows: Iterable[Sequence[Any]], class_: str = "") -> Markup:
    """A table; numbers are written by `number` and stand right."""
    head = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in header)))
    body = tag("tbody", *(tag("tr", *map(_cell, row)) for row in rows))
    return tag("div", tag("table", head, body, class_=class_), class_="scroll")


def _cell(value: Any) -> Markup:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return tag("td", number(value), class_="number" if value is not None else "unknown")
    return tag("td", value)


def number(value: Any) -> str:
    """A number to read: three significant digits after the point, thousands parted; "not applicable" where unknown."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-3 or size >= 1e9:
        return f"{value:.2e}"
    return f"{value:,.3f}" if size < 1000 else f"{value:,.0f}"


def percent(value: Any) -> str:
    """A share as a percentage; "not applicable" where unknown."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return f"{100 * value:.1f}\u202f%" if known else UNKNOWN


def duration(seconds: Any) -> str:
    """Seconds as people say them; "not applicable" where unknown."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
