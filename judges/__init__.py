"""From what was said to rewards that can be trusted: cases, verdicts, judges, verifiers, statistics, the charter.

Names are loaded on first use, so that `import judges` costs almost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "types": [
        "Case",
        "Choice",
        "Completer",
        "Completion",
        "Cost",
        "Judge",
        "Message",
        "Quote",
        "Record",
        "Request",
        "Sampling",
        "Statement",
        "Status",
        "Unsupported",
        "Verdict",
    ],
    "rewards": ["Reading", "RewardRule", "Rewards", "UNKNOWN", "measure_rewards"],
    "rules": ["RULES", "make_rule", "read_belief"],
    "judges.evidence": ["NaiveEvidenceJudge"],
    "judges.scripted": ["ScriptedJudge", "constant_judge"],
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'judges' has no attribute {name!r}")
    return getattr(import_module(f"judges.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
