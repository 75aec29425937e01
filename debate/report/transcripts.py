"""Transcripts in the report: which are shown, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from debate.report.markup import Markup, join, number, percent, table, tag
from debate.run.store import Store
from debate.transcript import Episode, Turn
from judges.types import Verdict

ALL_UP_TO = 40  # a run of so many matches is shown whole
PER_STAGE = 4
FAILED = 4
LONG = 20_000  # characters of one turn that are shown


def choose(store: Store) -> tuple[list[str], int]:
    """Ids of the matches to show, and how many there are: all of a small run; else some of each stage, evenly spaced.

    A stage is the first part of a match id ("train", "eval", "tournament", …). The first failures are always shown.
    """
    sizes = Counter(map(stage_of, store.ids()))
    total = sizes.total()
    if total <= ALL_UP_TO:
        return list(store.ids()), total
    wanted = {stage: {round(k * (n - 1) / (PER_STAGE - 1)) for k in range(PER_STAGE)} for stage, n in sizes.items()}
    chosen, seen = [], Counter[str]()
    for match_id in store.ids():
        stage = stage_of(match_id)
        if seen[stage] in wanted[stage]:
            chosen.append(match_id)
        seen[stage] += 1
    return sorted({*chosen, *store.failed(FAILED)}), total


def stage_of(match_id: str) -> str:
    """The part of a match id before its first slash; "match" where it has none."""
    stage, slash, _ = match_id.partition("/")
    return stage if slash else "match"


def show_transcripts(store: Store) -> Markup:
    """The section's content."""
    ids, total = choose(store)
    if not total:
        return tag("p", "No match was played.", class_="soft")
    shown = "All" if len(ids) == total else f"{len(ids)} of"
    words = f"{shown} {total:,} matches: " + (
        "every one that is stored."
        if len(ids) == total
        else "some of each stage, evenly spaced, and the first failures."
    )
    episodes = (episode for match_id in ids if (episode := store.get(match_id)) is not None)
    return join([tag("p", words, class_="soft"), *map(show_episode, episodes)])


def show_episode(episode: Episode) -> Markup:
    """One match in a `<details>` element: question, turns, verdicts, rewards."""
    transcript = episode.transcript
    options = tag("ol", *(tag("li", option) for option in transcript.options), class_="options")
    seats = [
        (seat, policy, _defends(transcript.answers.get(seat), transcript.options))
        for seat, policy in transcript.seats.items()
    ]
    parts = [
        tag("p", tag("strong", transcript.question)),
        options if transcript.options else Markup(),
        tag("p", "Shown to the judge: ", _cut(transcript.material, LONG), class_="soft")
        if transcript.material
        else Markup(),
        table(["seat", "policy", "defends"], seats),
        join(map(_turn, transcript.turns)),
        _verdicts(episode.verdicts, transcript.options),
        _rewards(episode),
    ]
    if transcript.error is not None:
        message = f"{transcript.error.kind} at {transcript.error.where}: {transcript.error.message}"
        parts.append(tag("p", tag("span", "failed", class_="mark bad"), " ", message))
    head = [tag("code", transcript.id), tag("span", f"  {transcript.protocol}", class_="soft"), _outcome(episode)]
    return tag("details", tag("summary", *head), *parts)


def _defends(answer: int | None, options: tuple[str, ...]) -> str:
    return "no answer" if answer is None else options[answer] if answer < len(options) else f"option {answer}"


def _outcome(episode: Episode) -> Markup:
    if episode.failure is not None:
        return tag("span", "failed", class_="mark bad")
    answers = {verdict.answer for verdict in episode.verdicts if verdict.status == "ok"}
    if len(answers) != 1:
        return tag("span", "no single verdict", class_="mark quiet")
    answer = answers.pop()
    words = "undecided" if answer is None else f"verdict: {_defends(answer, episode.transcript.options)}"
    return tag("span", words if len(words) < 60 else words[:57] + "…", class_="mark quiet")


def _turn(turn: Turn) -> Markup:
    marks = []
    if turn.legal is False:
        marks.append(tag("span", "illegal", class_="mark bad"))
    if turn.stop_reason == "length":
        marks.append(tag("span", "cut off at the limit", class_="mark bad"))
    if turn.stop_reason == "error":
        marks.append(tag("span", "error", class_="mark bad"))
    if turn.option is None:  # a pick is its own quote
        states = {True: ("verified", "quiet"), False: ("not found", "bad"), None: ("not checked", "quiet")}
        for quote in turn.quotes:
            state, kind = states[quote.verified]
            marks.append(tag("span", f"quote {state}: {_cut(quote.text, 80)}", class_=f"mark {kind}"))
    words = [tag("div", _cut(turn.public, LONG), *marks, class_="words")]
    if turn.private:
        private = tag("div", "private: ", _cut(turn.private, LONG), class_="words soft")
        words = [private, *words] if turn.public else [private, *marks]
    who = tag("div", f"{turn.seat} · {turn.phase}", class_="who")
    return tag("div", who, tag("div", *words), class_="turn")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}… ({len(text) - length:,} more characters)"


def _verdicts(verdicts: Iterable[Verdict], options: tuple[str, ...]) -> Markup:
    rows = []
    for verdict in verdicts:
        belief: str | Markup = verdict.status
        if verdict.probabilities is not None:
            names = options or tuple(f"option {k}" for k in range(len(verdict.probabilities)))
            shares = zip(names, verdict.probabilities, strict=False)
            belief = join((tag("div", f"{_cut(name, 60)}: {percent(p)}") for name, p in shares))
        scores = ", ".join(f"{name} {number(value)}" for name, value in verdict.scores.items())
        rows.append((verdict.judge, belief, scores or "–", _cut(verdict.rationale, LONG) or "–"))
    return table(["judge", "belief", "scores", "reason"], rows) if rows else Markup()


def _rewards(episode: Episode) -> Markup:
    rewards = episode.rewards
    if rewards is None:
        return tag("p", "No rewards: a failure is never a number.", class_="soft")
    rows = [
        (seat, *(value if state == "ok" else f"({state})" for value, state in zip(values, status, strict=True)))
        for seat, values, status in zip(rewards.seats, rewards.values.tolist(), rewards.status, strict=True)
    ]
    return table(["reward of", *rewards.criteria], rows)
