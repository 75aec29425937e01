"""The sections of the report, from what the run folder holds. What is not known is said to be so, never filled in."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from debate.errors import UserError
from debate.report.curves import Rows, league
from debate.report.figures import Bar, bars, wilson
from debate.report.markup import UNKNOWN, Markup, duration, join, number, percent, table, tag, void

Summary = Mapping[str, Any]
_VIEW_BOX = re.compile(r'viewBox="0 0 (\d[\d.]*) (\d[\d.]*)"')

# --- headline ----------------------------------------------------------------------------------------------------


def headline(summary: Summary) -> Markup:
    """The numbers on top."""
    accuracy, conv, exact = (part(summary, name) for name in ("judge_accuracy", "nash_conv", "exact_nash_conv"))
    count = accuracy.get("n")
    failures = part(summary, "failures")
    failed = sum(v for v in failures.values() if isinstance(v, int))
    interval = conv.get("interval")
    cards = [
        card(
            "Judge accuracy",
            change(accuracy, percent),
            f"on {count:,} held-out questions; optimal play: {percent(accuracy.get('optimal'))}" if count else "",
        ),
        card(
            "NashConv among snapshots",
            change(conv, number),
            f"95 % interval of the last: {number(interval[0])} to {number(interval[1])}" if interval else "",
        ),
        card(
            "Exact NashConv, finite variant",
            change(exact, number),
            f"on {exact['questions']:,} questions" if isinstance(exact.get("questions"), int) else "",
        ),
        card("Episodes", number(summary.get("episodes")), failed_words(failures, failed)),
        card("Tokens sampled by agents", number(summary.get("sampled_tokens")), ""),
        card("Time", duration(summary.get("wall_seconds")), f"seed {summary['seed']}" if "seed" in summary else ""),
    ]
    admitted = [tag("p", f"Admitted: {text}.", class_="note") for text in summary.get("admitted") or []]
    stopped = [tag("p", f"Training stopped {summary['stopped']}.", class_="note")] if summary.get("stopped") else []
    return join([tag("div", *cards, class_="cards"), *stopped, *withdrawn(summary), *admitted])


def withdrawn(summary: Summary) -> list[Markup]:
    """Judges that lost their certificate while the run trained: what weighs 0, and which rewards are in quarantine."""
    return [
        tag(
            "p",
            f"Arena {one['arena']}: judge {one['judge']} lost its certificate after update {one['update']} "
            f"({'; '.join(one['reasons'])}). {', '.join(one['criteria'])} weigh 0 since; its rewards from policy "
            f"checkpoint {one['first']} on are in quarantine ({one['quarantined_episodes']:,} training episodes).",
            class_="note",
        )
        for one in summary.get("withdrawn") or []
    ]


def failed_words(failures: Mapping[str, Any], failed: int) -> str:
    """How many failed, in words."""
    return "none failed" if not failures else f"{failed:,} failed; none became a reward"


def card(name: str, value: str, note: str) -> Markup:
    """One number with its name and a note."""
    unknown = value == UNKNOWN
    shown = tag("div", value, class_="value unknown" if unknown else "value")
    return tag("div", tag("div", name, class_="name"), shown, tag("div", note, class_="note"), class_="card")


def change(values: Mapping[str, Any], form: Any) -> str:
    """Both ends with an arrow between, or what is known of them."""
    before, after = values.get("before"), values.get("after")
    if before is None and after is None:
        return UNKNOWN
    return f"{form(before) if before is not None else '?'} → {form(after) if after is not None else '?'}"


# --- judge accuracy ----------------------------------------------------------------------------------------------

ACCURACIES = {
    "constant": "the best constant judge, who reads nothing",
    "naive": "judge alone, without a debate",
    "consultancy_before": "consultancy, before training",
    "consultancy": "consultancy, after training",
    "random_legal": "debate, random legal moves",
    "before": "debate, before training",
    "after": "debate, after training",
    "optimal": "debate, optimal play",
    "expert": "judge alone, who reads the material",
    "human": "human judge",
}
COUNTS = ("n", "human_n")


def judge_accuracy(summary: Summary) -> Markup:
    """How often the judge is right, with intervals, against everything it should be held against."""
    values = part(summary, "judge_accuracy")
    audited = audits(summary.get("judge_audits") or [])
    if not values:
        words = f"Judge accuracy: {UNKNOWN} (no held-out evaluation was made)."
        return join([tag("p", words, class_="soft"), *audited])
    extra = {
        k: k.replace("_", " ") for k, v in values.items() if k not in ACCURACIES and k not in COUNTS and is_number(v)
    }
    names = {**ACCURACIES, **extra}
    count = values.get("n")
    rows = []
    for key, name in names.items():
        value = values.get(key)
        if is_number(value):
            asked = values.get("human_n") if key == "human" else count
            interval = wilson(float(value), asked) if isinstance(asked, int) and asked > 0 else None
            rows.append(Bar(name, float(value), interval, strong=key in ("before", "after")))
    missing = [name for key, name in names.items() if not is_number(values.get(key))]
    caption = "Share of held-out questions on which the judge's answer is the true one, an undecided judge counting ½. "
    if count:
        caption += f"Lines: 95 % Wilson intervals for {count:,} questions. "
    if missing:
        caption += f"{UNKNOWN.capitalize()} or not measured in this run: {', '.join(missing)}."
    shown = [tag("figure", bars("accuracy", rows, "Judge accuracy"), tag("figcaption", caption))] if rows else []
    certified = [certificate(one) for one in summary.get("judge_certificates") or []]
    found = [*certified, *audited, attacks(part(summary, "judge_attacks"))]
    return join([*(shown or [tag("p", caption, class_="soft")]), *found])


def certificate(found: Mapping[str, Any]) -> Markup:
    """What the certificate says of its judge, beside the constant judge and the experts."""
    panel = "a SIMULATED panel" if found.get("simulated") else "the experts"
    return tag(
        "p",
        f"Certificate of {found['judge']}: agreement {percent(found.get('agreement'))} on its sealed split, beside "
        f"{percent(found.get('constant'))} of the best constant judge and {percent(found.get('experts'))} of {panel} "
        f"among themselves; it abstains under a confidence of {number(found.get('abstention'))}; "
        f"valid until {found.get('expires')}.",
    )


def audits(found: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """What the run's own audits of its judges found, where it made any."""
    if not found:
        return []
    rows = [
        (
            row["update"],
            row["arena"],
            row["judge"],
            f"{row['agreed']} of {row['items']}",
            "; ".join(row["reasons"]) or "stands",
        )
        for row in found
    ]
    header = ["audit after update", "arena", "judge", "agrees with the label", "its certificate"]
    words = "Held-out questions, debated by the policies of that moment; all audits so far are the evidence together."
    return [table(header, rows), tag("p", words, class_="soft")]


def attacks(found: Mapping[str, Any]) -> Markup:
    """What attacks do to the judge: the summary's `judge_attacks`, attack → number, where they were made."""
    if not found:
        return tag(
            "p", "The judge was not attacked in this run: how robust these numbers are is not known.", class_="soft"
        )
    return table(["attack on the judge", "verdicts that moved to the attacker"], found.items())


# --- the game ------------------------------------------------------------------------------------------------------

CAPTIONS = {
    "heatmap": "Payoff of every profile of snapshots, and how sure the data are of it.",
    "response_graph": "Which single deviations pay.",
    "simplex": "Replicator dynamics over mixtures of the strategies that are played most.",
    "logit_path": "Logit equilibria as players grow more rational.",
    "payoff_polytope": "Payoffs that correlated play can reach.",
    "pareto": "Objectives against each other.",
    "preferences": "Equilibria as the weights on the objectives change.",
    "convergence": "NashConv as the league grew.",
    "ratings": "Each strategy's payoff against uniform and equilibrium opponents.",
    "judge_noise": "What judge errors could do to the equilibrium.",
}


def game(summary: Summary, rows: Rows, folder: Path) -> Markup:
    """NashConv, the meta-equilibrium, and the figures of the analysis."""
    conv, exact = part(summary, "nash_conv"), part(summary, "exact_nash_conv")
    interval = conv.get("interval")
    span = f"{number(interval[0])} to {number(interval[1])}" if interval else UNKNOWN
    measured = [
        ("among snapshots (empirical game)", conv.get("before"), conv.get("after"), span),
        ("exact, on the finite variant", exact.get("before"), exact.get("after"), "exact" if exact else UNKNOWN),
    ]
    content = [
        tag(
            "p",
            "NashConv is the sum over players of what each could gain by its best deviation; 0 is an equilibrium. "
            "Among snapshots only the snapshots themselves are deviations; the exact value counts every strategy.",
        ),
        table(["NashConv", "first versions", "last versions", "95 % interval of the last"], measured),
        equilibrium(part(summary, "meta_equilibrium")),
        Markup() if (folder / "convergence.svg").is_file() else league(rows),
        pictures(folder),
    ]
    return join(content)


def equilibrium(found: Mapping[str, Any]) -> Markup:
    """The mixture of each player, and in how many resamples each strategy is part of it."""
    if not found:
        return tag("p", f"Equilibrium over the snapshots: {UNKNOWN}.", class_="soft")
    profile, inclusion = part(found, "profile"), part(found, "support_inclusion")
    payoffs, intervals = found.get("payoffs"), found.get("payoff_intervals")
    content: list[Markup] = []
    for i, (seat, mixture) in enumerate(profile.items()):
        shares = part(inclusion, seat)
        rows = [(name, percent(p), percent(shares.get(name))) for name, p in mixture.items()]
        words = seat
        if isinstance(payoffs, list) and i < len(payoffs):
            words += f": expected utility {number(payoffs[i])}"
            if intervals:
                words += f" (95 % interval {number(intervals[0][i])} to {number(intervals[1][i])})"
        content.append(
            tag("div", tag("h3", words), table(["snapshot", "probability", "in support of resamples"], rows))
        )
    method = f"Nash equilibrium over the snapshots, method {found.get('method', UNKNOWN)}, "
    note = tag("p", f"{method}its own regret {number(found.get('nash_conv'))}.", class_="soft")
    return join([tag("div", *content, class_="gallery"), note])


def pictures(folder: Path) -> Markup:
    """The analysis' SVG files, inside the page as images (an image runs no script), and what was left out, and why."""
    files = sorted(
        folder.glob("*.svg"), key=lambda p: (list(CAPTIONS).index(p.stem) if p.stem in CAPTIONS else 99, p.stem)
    )
    figures = []
    for path in files:
        data = base64.b64encode(path.read_bytes()).decode()
        caption = CAPTIONS.get(path.stem, path.stem.replace("_", " "))
        picture = void("img", src=f"data:image/svg+xml;base64,{data}", alt=caption)
        framed = tag("div", picture, class_="picture")
        figures.append(tag("figure", framed, tag("figcaption", caption), class_="wide" if is_wide(path) else "narrow"))
    content = [tag("div", *figures, class_="gallery")] if figures else []
    left_out = left_out_of(folder / "manifest.json")
    if left_out:
        rows = sorted(left_out.items())
        content.append(
            tag("details", tag("summary", "Left out of the analysis, and why"), table(["part", "reason"], rows))
        )
    return join(content)


def is_wide(path: Path) -> bool:
    """Whether a drawing is so much wider than high that it needs the page's whole width."""
    with path.open(encoding="utf-8", errors="replace") as file:
        box = _VIEW_BOX.search(file.read(2000))
    return box is not None and float(box[1]) > 1.4 * float(box[2])


def left_out_of(path: Path) -> dict[str, Any]:
    """What the analysis says it left out; nothing where there is no analysis."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")).get("left_out", {}))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged, expected the manifest of an analysis ({error})") from None


# --- rewards and failures ------------------------------------------------------------------------------------------


def rewards(summary: Summary) -> Markup:
    """Seat, criterion, first and last update's mean."""
    rows = [
        (seat, criterion, *ends)
        for seat, criteria in part(summary, "rewards").items()
        for criterion, ends in criteria.items()
    ]
    if not rows:
        return Markup()
    return table(["seat", "criterion", "mean in the first update", "mean in the last update"], rows)


def failures(summary: Summary) -> Markup:
    """Failures by kind."""
    found = summary.get("failures")
    if not isinstance(found, dict):
        return tag("p", f"Failures: {UNKNOWN}.", class_="soft")
    if not found:
        return tag("p", "No episode failed.")
    words = "A failed episode is kept, counted here, and left out of learning and of payoffs."
    return join([tag("p", words), table(["kind", "episodes"], sorted(found.items()))])


# --- how it was made -----------------------------------------------------------------------------------------------


def how_it_was_made(manifest: Mapping[str, Any]) -> Markup:
    """Recipe, seed, hashes, and every session that worked on the run."""
    facts: list[tuple[Any, Any]] = [
        ("seed", str(manifest["seed"])),
        ("recipe hash", tag("code", manifest["recipe_hash"])),
    ]
    facts += [(f"model {name}", tag("code", value)) for name, value in manifest["models"].items()]
    facts += [(f"data {name}", tag("code", value)) for name, value in manifest["data"].items()]
    content = [table(["what", "value"], facts)]
    for index, session in enumerate(manifest["sessions"], 1):
        rows = [(key.replace("_", " "), _fact(key, value)) for key, value in session.items()]
        name = tag("summary", f"Session {index}, started {session['started']}")
        content.append(tag("details", name, table(["what", "value"], rows)))
    content.append(tag("details", tag("summary", "Recipe, as it took effect"), tag("pre", manifest["recipe"])))
    return join(content)


def _fact(key: str, value: Any) -> Any:
    if key == "command" and isinstance(value, Sequence):
        return tag("code", " ".join(map(str, value)))
    if isinstance(value, dict):
        return ", ".join(f"{name} {version}" for name, version in value.items()) or "none"
    return UNKNOWN if value is None else str(value)


def part(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping inside a mapping; an empty one where it is missing or null."""
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a number, not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)
