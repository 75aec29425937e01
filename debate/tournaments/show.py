"""The standings as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

UNKNOWN = "–"


def lines(table: Mapping[str, Any]) -> Iterator[str]:
    """The standings of a summary, line by line."""
    header = ["entrant", "matches", "failed", "score", "Elo [95 %]", f"{table['criterion']} [95 %]"]
    header += ["believed when right / wrong", "ASD [95 %]", "tokens"]
    rows = []
    for name, row in table["entrants"].items():
        believed = f"{share(row['believed_honest'])} / {share(row['believed_dishonest'])}"
        rows.append(
            [
                name,
                f"{row['matches']:,}",
                f"{row['failed']:,}",
                f"{row['score']:.3f}",
                spanned(row["elo"], 0),
                spanned(row["rewards"][table["criterion"]], 3),
                believed,
                spanned(row["asd"], 2),
                f"{row['tokens']:,}",
            ]
        )
    yield from aligned([header, *rows])
    if table["prior"]:
        yield f"Somebody won or lost everything: ratings with {table['prior']:g} imagined wins of all over all."
    yield from judge_lines(table["judge"])
    failed = sum(table["failures"].values())
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(table["failures"].items()))
    yield f"{table['matches']:,} matches, {failed:,} failed{f' ({kinds})' if kinds else ''}"
    if table["nash_conv_at_most"] is not None:
        yield f"NashConv of the best profile: at most {table['nash_conv_at_most']:.3f} (95 %)"


def judge_lines(judge: Mapping[str, Any]) -> Iterator[str]:
    """What the judge was worth; nothing where no label is known."""
    if judge["accuracy"]["value"] is None:
        return
    constant = f"constant judge {share(judge['constant'])}"
    alone = [f"{name} {share(judge[name])}" for name in ("naive", "expert") if name in judge]
    yield f"judge accuracy {spanned(judge['accuracy'], 3)}; {', '.join([constant, *alone])}"
    sides = [f"{name} {spanned(value, 3)}" for name, value in judge["by_honest_side"].items()]
    if sides:
        yield f"  where the honest side is {'; '.join(sides)}"
    if judge["asd"]["value"] is not None:
        yield f"  agent score difference {spanned(judge['asd'], 2)}"
    if judge["gap_recovered"] is not None and judge["gap_recovered"]["value"] is not None:
        yield f"  gap between naive and expert recovered: {spanned(judge['gap_recovered'], 3)}; baselines asked once"
    yield from matched_lines(judge.get("matched"))


def matched_lines(matched: Mapping[str, Any] | None) -> Iterator[str]:
    """The baselines at a debate's tokens."""
    if not matched:
        return
    debate = matched["debate_tokens"]
    if debate:
        yield f"at equal cost, {debate:,.0f} tokens sampled in a match:"
    for name, row in (*matched["alone"].items(), *matched["arenas"].items()):
        played = name in matched["arenas"]
        what = f"{name} ({repeated(row, debate, played)})"
        recovered = row.get("gap_recovered")
        share = "" if not recovered or recovered["value"] is None else f"; gap recovered {spanned(recovered, 3)}"
        if debate or played:
            yield f"  {what}: judge accuracy {spanned(row['accuracy'], 3)}{share}"
    if matched["gap_recovered"] is not None and matched["gap_recovered"]["value"] is not None:
        yield f"  gap between naive and expert recovered: {spanned(matched['gap_recovered'], 3)}"


def repeated(row: Mapping[str, Any], debate: float, played: bool) -> str:
    """How often a baseline was repeated, and at what cost."""
    unit = "match" if played else "verdict"
    count = f"{row['repeats']} {unit}{'' if row['repeats'] == 1 else 'es' if played else 's'} a question"
    if not debate:
        return count
    if not row["tokens"]:
        return f"{count}, samples nothing"
    cut = f", of {row['wanted']} for as many" if row["wanted"] > row["repeats"] else ""
    return f"{count}, {row['tokens']:,.0f} tokens{cut}"


def spanned(estimate: Mapping[str, Any] | None, digits: int) -> str:
    """`0.683 [0.641, 0.728]`."""
    if estimate is None or estimate["value"] is None:
        return UNKNOWN
    value = f"{estimate['value']:.{digits}f}"
    if estimate["low"] is None:
        return value
    return f"{value} [{estimate['low']:.{digits}f}, {estimate['high']:.{digits}f}]"


def share(estimate: Mapping[str, Any]) -> str:
    """Three digits, or a dash."""
    return UNKNOWN if estimate["value"] is None else f"{estimate['value']:.3f}"


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with their columns under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
