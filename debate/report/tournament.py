"""The standings of a tournament of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from debate.report.figures import Bar, bars
from debate.report.markup import UNKNOWN, Markup, duration, join, number, percent, table, tag
from debate.report.sections import card, failed_words
from debate.tournaments.show import repeated

JUDGE = {
    "constant": "constant judge",
    "naive": "judge alone, without a debate",
    "accuracy": "judge of the tournament's debates",
    "expert": "judge alone, who reads the material",
}


def tournament(summary: Mapping[str, Any]) -> Markup:
    """The table, and what the judge was worth; nothing where the run is no tournament of its own."""
    found = summary.get("tournament")
    if not isinstance(found, Mapping) or "entrants" not in found:
        return Markup()
    content = []
    if found.get("stopped"):
        content.append(tag("p", tag("strong", "Not finished: "), f"{found['stopped']}.", class_="note"))
    criterion = found["criterion"]
    rows = [
        (
            name,
            row["matches"],
            row["failed"],
            percent(row["score"]),
            spanned(row["elo"], 0),
            spanned(row["bradley_terry"], 2),
            spanned(row["rewards"][criterion], 3),
            f"{percent(row['believed_honest']['value'])} / {percent(row['believed_dishonest']['value'])}",
            spanned(row["asd"], 2),
            row["tokens"],
        )
        for name, row in found["entrants"].items()
    ]
    header = ["entrant", "matches", "failed", "score", "Elo", "Bradley–Terry", criterion, "believed when right / wrong"]
    content.append(table([*header, "ASD", "tokens"], rows))
    words = (
        f"Format: {str(found['format']).replace('_', ' ')}. Score: share of matches won by {criterion}, a tie counting "
        "½. Brackets: 95 % intervals, clustered by question; those of ratings hold for all entrants together. ASD, "
        "agent score difference: mean log-probability of the own answer when it is true, less the same when it is "
        "false (Pallavi Sudhir, Kaunismaa and Panickssery 2025)."
    )
    if found.get("prior"):
        words += f" Somebody won or lost everything, so ratings count {found['prior']:g} imagined wins of everyone."
    if found.get("nash_conv_at_most") is not None:
        words += f" NashConv of the best profile is at most {number(found['nash_conv_at_most'])} (95 %)."
    content.append(tag("p", words, class_="soft"))
    content.append(judge(found.get("judge") or {}))
    return join(content)


def headline(summary: Mapping[str, Any]) -> Markup:
    """The numbers on top of a tournament's report."""
    found = summary["tournament"]
    judged = found.get("judge") or {}
    accuracy, difference = judged.get("accuracy"), judged.get("asd")
    first = next(iter(found["entrants"]), UNKNOWN)
    failed = failed_words(found["failures"], sum(found["failures"].values()))
    cards = [
        card("First", first, f"of {len(found['entrants'])} entrants, by {found['criterion']}"),
        card("Judge accuracy", spanned(accuracy, 3), f"constant judge {spanned(judged.get('constant'), 3)}"),
        card("Agent score difference", spanned(difference, 2), "above 0: the truth is easier to argue for"),
        card("Matches", number(found["matches"]), failed),
        card("Tokens sampled by agents", number(summary.get("sampled_tokens")), ""),
        card("Time", duration(summary.get("wall_seconds")), f"seed {summary['seed']}"),
    ]
    admitted = [tag("p", f"Admitted: {text}.", class_="note") for text in summary.get("admitted") or []]
    return join([tag("div", *cards, class_="cards"), *admitted])


def judge(found: Mapping[str, Any]) -> Markup:
    """Judge accuracy beside the constant judge and the judge without a debate."""
    accuracy = found.get("accuracy")
    if not accuracy or accuracy["value"] is None:
        return tag("p", f"Judge accuracy: {UNKNOWN} (no question's answer is known).", class_="soft")
    shown = []
    for key, name in JUDGE.items():
        value = found.get(key)
        if value and value["value"] is not None:
            low = value["low"]
            interval = None if low is None else (max(0.0, low), min(1.0, value["high"]))
            shown.append(Bar(name, value["value"], interval, strong=key == "accuracy"))
    caption = "Share of verdicts that are the true answer, an undecided judge counting ½. Lines: 95 % intervals."
    facts: list[tuple[str, Any]] = [
        (f"accuracy where {side} is the honest side", spanned(value, 3))
        for side, value in (found.get("by_honest_side") or {}).items()
    ]
    facts.append(("agent score difference", spanned(found.get("asd"), 2)))
    facts.append(
        ("gap between naive and expert recovered, baselines asked once", spanned(found.get("gap_recovered"), 3))
    )
    equal = found.get("matched") or {}
    facts.append(("the same at equal tokens", spanned(equal.get("gap_recovered"), 3)))
    facts.append(("tokens a match, read and written, debaters and judge", found.get("tokens_a_match")))
    figure = tag("figure", bars("accuracy", shown, "Judge accuracy"), tag("figcaption", caption))
    return join([figure, table(["of the judge", "value"], facts), matched(equal)])


def matched(found: Mapping[str, Any]) -> Markup:
    """The baselines, each repeated up to a debate's tokens; nothing where there are none."""
    alone, arenas = found.get("alone") or {}, found.get("arenas") or {}
    debate = found.get("debate_tokens")
    if not arenas and not (alone and debate):
        return Markup()
    rows = [
        (
            JUDGE.get(name, name),
            repeated(row, debate or 0.0, name in arenas),
            spanned(row["once"], 3),
            spanned(row["accuracy"], 3),
            spanned(row.get("gap_recovered") if name in arenas else None, 3),
        )
        for name, row in (*alone.items(), *arenas.items())
    ]
    words = (
        f"A match samples {debate:,.0f} tokens on average, verdicts included; each baseline is repeated until it has "
        "sampled as many, and answers with the mean of its beliefs. The gap recovered over a baseline is what the "
        "debates add to it, as a share of what the expert adds, both at equal tokens. Brackets: 95 % intervals, of the "
        "gaps by a bootstrap over questions."
        if debate
        else "No speech was counted in tokens, so no baseline is repeated."
    )
    header = ["baseline", "repeated", "accuracy once", "accuracy at equal tokens", "gap recovered over it"]
    return join([table(header, rows), tag("p", words, class_="soft")])


def spanned(estimate: Mapping[str, Any] | None, digits: int) -> str:
    """A value with its interval."""
    if not estimate or estimate["value"] is None:
        return UNKNOWN
    value = f"{estimate['value']:,.{digits}f}"
    if estimate["low"] is None:
        return value
    return f"{value} [{estimate['low']:,.{digits}f}, {estimate['high']:,.{digits}f}]"
