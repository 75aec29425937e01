"""The report: one page that shows what came of a run."""

from __future__ import annotations

from typing import Any

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    if name != "write_report":
        raise AttributeError(f"module 'debate.report' has no attribute {name!r}")
    from debate.report.write import write_report

    return write_report
