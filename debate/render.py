"""An episode as plain text: for the terminal and for golden playthroughs."""

from __future__ import annotations

from collections.abc import Iterator

from debate.transcript import Episode, Turn


def render(episode: Episode) -> Iterator[str]:
    """Line by line: question, every turn in order, verdicts, rewards, failure. Private words are marked as such."""
    transcript = episode.transcript
    yield f"protocol  {transcript.protocol}"
    yield f"question  {transcript.question}"
    if transcript.options:
        yield f"options   {' | '.join(transcript.options)}"
    for seat, policy in transcript.seats.items():
        answer = transcript.answers.get(seat)
        defends = "" if answer is None else f", defends {transcript.options[answer]!r}"
        yield f"seat      {seat}: {policy}{defends}"
    for turn in transcript.turns:
        yield from _turn(turn)
    for verdict in episode.verdicts:
        shares = "none" if verdict.probabilities is None else " ".join(f"{p:.3f}" for p in verdict.probabilities)
        reason = f" — {verdict.rationale}" if verdict.rationale else ""
        yield f"verdict   {verdict.judge}: {verdict.status}, {shares}{reason}"
    if episode.rewards is not None:
        for seat, row, status in zip(
            episode.rewards.seats, episode.rewards.values, episode.rewards.status, strict=True
        ):
            parts = [
                f"{name} {value:+.3f}" if state == "ok" else f"{name} ({state})"
                for name, value, state in zip(episode.rewards.criteria, row, status, strict=True)
            ]
            yield f"rewards   {seat}: {', '.join(parts)}"
    if episode.failure is not None:
        yield f"failed    {episode.failure.kind} at {episode.failure.where}: {episode.failure.message}"


def printable(text: str) -> str:
    r"""The text with every control character but line ends replaced: no speech can steer a terminal.

    >>> printable("a\x1b[2Jb")
    'a�[2Jb'
    """
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _turn(turn: Turn) -> Iterator[str]:
    private = not turn.public and bool(turn.private)
    marks = [" (private)"] if private else []
    if turn.legal is False:
        marks.append(" (illegal)")
    first, *rest = printable(turn.public or turn.private).splitlines() or [""]
    yield f"{turn.slot:>3} {turn.phase:<10} {turn.seat}: {first}{''.join(marks)}"
    for line in rest:
        yield f"{'':>15} {line}"
    for quote in turn.quotes:
        if turn.option is None:
            state = {True: "verified", False: "not found", None: "not checked"}[quote.verified]
            yield f"{'':>15} quote {quote.text!r}: {state}"
