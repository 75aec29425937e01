"""What the report says of special ways of learning: fronts of told preferences, alarms, the guard, exploiters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from debate.report.curves import Rows
from debate.report.figures import panels
from debate.report.markup import Markup, join, number, table, tag
from debate.report.sections import is_number


def preferences(summary: Mapping[str, Any]) -> Markup:
    """A table, and with two criteria a picture, of every front."""
    content = []
    for index, front in enumerate(summary.get("fronts") or ()):
        names = front["criteria"]
        rows = []
        for point in front["points"]:
            weights = ", ".join(f"{n} {w:.2f}" for n, w in point["weights"].items())
            dominated = {True: "yes", False: "no", None: "not known"}[point["dominated"]]
            rows.append((weights, *(number(point["rewards"].get(n)) for n in names), dominated))
        about = (
            f"Agent {front['agent']} in seat {front['seat']} of arena {front['arena']}, told each of these weights on "
            f"{front['questions']:,} held-out questions. A point is dominated if another is at least as good "
            "everywhere and better somewhere."
        )
        drawn = [tag("p", about)]
        known = [p["rewards"] for p in front["points"] if all(is_number(p["rewards"].get(n)) for n in names)]
        if len(names) == 2 and len(known) > 1:
            curve = ([r[names[0]] for r in known], [r[names[1]] for r in known])
            figure = panels(
                f"front{index}", {f"mean {names[1]}": {front["agent"]: curve}}, about, f"mean {names[0]}", columns=1
            )
            caption = f"From all weight on {names[0]} to all weight on {names[1]}."
            drawn.append(tag("figure", figure, tag("figcaption", caption)))
        drawn.append(table(["told weights", *(f"mean {n}" for n in names), "dominated"], rows))
        content.append(join(drawn))
    return join(content) if content else Markup()


def alarms(rows: Rows) -> Markup:
    """Every alarm that the log holds, in order."""
    found = [(str(row["update"]), row["agent"], text) for row in rows for text in row.get("alarms") or ()]
    if not found:
        return Markup()
    return table(["update", "agent", "alarm"], found)


def guard(rows: Rows) -> Markup:
    """What the battery said of every snapshot: the outcome, each task before and after, and how far the agent went."""
    found = [
        (
            str(row["update"]),
            row["guard"],
            row["outcome"].replace("_", " ") + (f" to {row['rolled_back_to']}" if "rolled_back_to" in row else ""),
            "; ".join(f"{task} {t['before']:.3f} → {t['after']:.3f}" for task, t in row["tasks"].items()),
            f"{min(t['holm'] for t in row['tasks'].values()):.3g}",
            number(row.get("kl_old_prompts")),
            number(row.get("kl_new_prompts")),
        )
        for row in rows
        if row.get("guard")
    ]
    if not found:
        return Markup()
    return table(["update", "agent", "outcome", "tasks", "Holm p", "KL, old prompts", "KL, new prompts"], found)


def exploiters(summary: Mapping[str, Any]) -> Markup:
    """What each seat's exploiter gained over the meta-strategy: a lower bound on NashConv."""
    found = summary.get("exploiters") or {}
    rows = []
    for seat, row in found.items():
        if isinstance(row, Mapping):
            interval = row.get("interval")
            words = f"{number(interval[0])} … {number(interval[1])}" if interval else "–"
            rows.append((seat, str(row["updates"]), number(row["gain"]), words))
    if not rows:
        return Markup()
    bound = tag("p", f"Lower bound on NashConv of the meta-strategy: {number(found.get('nash_conv_bound'))}.")
    return join([table(["seat", "updates", "gain", "95 % interval"], rows), bound])
