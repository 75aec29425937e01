"""What calls cost: US dollars per million tokens, by model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debate.errors import UserError, did_you_mean

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; NaN where it is not known.

    Attributes:
        input: read. output: written. cached: read, but found in the server's cache; as `input` where it is NaN.
    """

    input: float = math.nan
    output: float = math.nan
    cached: float = math.nan

    def usd(self, prompt: int, tokens: int, cached: int = 0) -> float:
        """Dollars for a call that read `prompt` tokens, `cached` of them from the cache, and wrote `tokens`."""
        again = self.input if math.isnan(self.cached) else self.cached
        return ((prompt - cached) * self.input + cached * again + tokens * self.output) / MILLION


UNKNOWN = Price()


def read_price(given: Mapping[str, Any], where: str) -> Price:
    """A price from a mapping such as `{input: 0.15, output: 0.60}`.

    Args:
        given: the mapping.
        where: named in messages.

    Raises:
        UserError: a missing or unknown field, or a number that is no price.
    """
    known = ("input", "output", "cached")
    for key in given:
        if key not in known:
            hint = did_you_mean(str(key), known)
            raise UserError(f"{where}: unknown field {key!r}{hint}; expected {', '.join(known)}")
    values: dict[str, float] = {}
    for key in known:
        value = given.get(key, math.nan if key == "cached" else None)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or math.isinf(value):
            raise UserError(f"{where}: {key}: expected US dollars per million tokens, at least 0, got {value!r}")
        values[key] = float(value)
    return Price(**values)


def read_prices(path: Path, model: str) -> Price:
    """A model's price from a YAML file of `model: {input: …, output: …}`.

    Raises:
        UserError: no such file, not YAML of that shape, or a model that is not in it.
    """
    from debate.reader import read_yaml

    table = read_yaml(path).data
    if not isinstance(table, dict) or not isinstance(table.get(model), dict):
        names = [str(name) for name in table] if isinstance(table, dict) else []
        hint = did_you_mean(model, names)
        raise UserError(f"{path}: no price of {model!r}{hint}; it has {', '.join(names) or 'none'}")
    return read_price(table[model], f"{path}: {model}")
