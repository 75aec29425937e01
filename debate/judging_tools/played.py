"""The debates of a run as labelled cases, with the verdicts they were given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from debate.run.folder import RunFolder
from debate.run_questions import arena_questions, recipe_of
from debate.transcript import Episode
from debate.withdrawal import checkpoint_of
from judges.charter.labels import LabelledCase
from judges.types import Verdict


@dataclass(frozen=True, slots=True)
class Played:
    """One played and judged match.

    Attributes:
        item: the case, the label of its question, and which option each seat defended.
        verdicts: judge → its verdict.
        checkpoint: the newest policy version that took part.
    """

    item: LabelledCase
    verdicts: dict[str, Verdict]
    checkpoint: int


def played_cases(folder: Path, prefix: str = "") -> list[Played]:
    """The matches of a run that were played to their end and had options to choose from, in the order of their ids.

    Args:
        folder: the run's.
        prefix: of the match ids, such as "train/".

    Raises:
        UserError: no run, or its data is not to be found.
    """
    run = RunFolder.open(folder)
    labels = _labels(run)
    found = []
    with run.store(read_only=True) as store:
        for episode in store.episodes(prefix):
            one = played_case(episode, labels.get((episode.match.arena, episode.transcript.question_id)))
            if one is not None:
                found.append(one)
    return found


def played_case(episode: Episode, label: int | None) -> Played | None:
    """One match as a labelled case; None where it was not played to its end, or had no options to choose from."""
    transcript = episode.transcript
    if transcript.error is not None or len(transcript.options) < 2:
        return None
    defends = {seat: option for seat, option in transcript.answers.items() if option is not None}
    item = LabelledCase(episode.match.id, transcript.case(), episode.match.arena, defends, label)
    return Played(item, {v.judge: v for v in episode.verdicts}, checkpoint_of(episode))


def _labels(run: RunFolder) -> dict[tuple[str, str], int | None]:
    """(arena, question) → label, from the data that the run's recipe names, or its own copy."""
    recipe = recipe_of(run)
    labels: dict[tuple[str, str], int | None] = {}
    if recipe is None:
        return labels
    for arena in recipe.arenas:
        for question in arena_questions(run.path, arena, recipe):
            labels[arena.name, question.id] = question.label
    return labels
