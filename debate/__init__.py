"""Debate protocols, agents, learners, league, tournaments.

The checks for what you write yourself, loaded on first use: `check_protocol` (a protocol), `check_agent` (a speaker),
`check_judge` (a judge).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "check_agent": "debate.agents.conformance",
    "check_judge": "judges.judges.conformance",
    "check_protocol": "debate.protocol.check",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'debate' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
