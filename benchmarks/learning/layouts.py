"""One agent's update in every layout: rows of one length, ragged rows, and groups with a long shared prompt."""

from __future__ import annotations

from typing import Any

from benchmarks.learning._setup import SHAPES, alternate, config, host_of, samples_of_agent
from debate.learning.adapter_learner import AdapterLearner
from debate.learning.batch import TokenBatch
from debate.learning.layout import Kind, lay_out
from debate.transcript import Policy

WAYS: tuple[tuple[Kind, int], ...] = (
    ("padded", 0), ("sorted", 0), ("packed", 0), ("shared", 0), ("shared", 1024), ("auto", 0),
)  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "even rows": {"opening": 8},
    "ragged rows": {"opening": 8, "ragged": True},
    "shared prompt": {"opening": 160, "turns": 2, "ragged": True},
}


def run(model: str, device: str, repeats: int) -> list[dict[str, Any]]:
    out = []
    host = host_of(model, device)
    learners = {way: AdapterLearner(host, Policy(f"agent{n}", 0, model), config(*way), 0) for n, way in enumerate(WAYS)}
    for case, settings in CASES.items():
        count = 8 if device != "cpu" or model in SHAPES else 4
        batch = TokenBatch.from_samples(*samples_of_agent("agent", count, 0, **settings))
        seconds = alternate(
            [lambda one=learner, b=batch: one.update(b) and None for learner in learners.values()], repeats
        )
        for (kind, width), spent in zip(WAYS, seconds, strict=True):
            laid = lay_out(batch, kind, width)
            out.append(
                {
                    "case": case,
                    "layout": f"{kind} {width or ''}".strip(),
                    "memory": "x".join(map(str, laid.ids.shape)),
                    "tokens": laid.tokens,
                    "seconds": spent,
                    "padded / this": seconds[0] / spent,
                }
            )
    return out
