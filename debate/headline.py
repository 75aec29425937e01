"""The summary of a run in a few lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def headline(summary: Mapping[str, Any]) -> Iterator[str]:
    """Line by line; what does not apply is left out."""
    judged = summary.get("judge_accuracy")
    if judged:
        parts = [f"before {_share(judged['before'])}", f"after {_share(judged['after'])}"]
        parts += [
            f"{name.replace('_', ' ')} {_share(judged[name])}"
            for name in ("constant", "optimal", "random_legal", "consultancy", "naive", "expert", "human")
            if judged.get(name) is not None
        ]
        parts += [] if judged.get("constant") is not None else ["constant not known"]
        yield f"judge accuracy ({judged['n']} held-out questions): {', '.join(parts)}"
    game = summary.get("nash_conv")
    if game:
        interval = game.get("interval")
        span = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
        yield f"NashConv in the empirical game: first snapshots {game['before']:.3f}, last {game['after']:.3f}{span}"
    exact = summary.get("exact_nash_conv")
    if exact:
        yield f"exact NashConv in the finite variant: before {exact['before']:.3f}, after {exact['after']:.3f}"
    meta = summary.get("meta_equilibrium")
    if meta:
        for seat, mixture in meta["profile"].items():
            played = ", ".join(f"{name} {p:.2f}" for name, p in mixture.items() if p > 0.005)
            yield f"meta-equilibrium, seat {seat}: {played}"
    for front in summary.get("fronts") or ():
        best = sum(point["dominated"] is False for point in front["points"])
        yield (
            f"preferences of {front['agent']} in seat {front['seat']}: {best} of {len(front['points'])} weights lead "
            "to rewards that no other dominates"
        )
    for one in summary.get("withdrawn") or ():
        yield (
            f"judge {one['judge']} ({one['arena']}) lost its certificate after update {one['update']}: "
            f"{', '.join(one['criteria'])} weigh 0, rewards of {one['quarantined_episodes']:,} training episodes are "
            "in quarantine"
        )
    if summary.get("stopped"):
        yield f"training stopped {summary['stopped']}"
    failed = sum(summary.get("failures", {}).values())
    tokens = f"{summary['sampled_tokens']:,} sampled tokens"
    yield f"{summary['episodes']:,} episodes, {tokens}, {failed} failed, {summary['wall_seconds']:.0f} s"


def _share(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"
