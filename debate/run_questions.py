"""The questions that a run was played on: its own copy where it was imported, otherwise the data that it names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from debate.questions import Question, read_questions
from debate.run.folder import RunFolder

if TYPE_CHECKING:
    from debate.recipe import ArenaSpec, Recipe


def recipe_of(run: RunFolder) -> Recipe | None:
    """The recipe of a run; None where it has none (imported transcripts without one).

    Raises:
        UserError: a recipe that is not valid any more.
    """
    from debate.reader import parse_yaml
    from debate.recipe import parse_recipe

    document = parse_yaml(run.manifest["recipe"], str(run.path / "manifest.json"))
    return parse_recipe(document, Path()) if "arenas" in document.data else None


def own_copy(folder: Path, arena: str) -> Path:
    """Where an imported run keeps an arena's questions."""
    return folder / "questions" / f"{arena}.jsonl"


def arena_questions(folder: Path, spec: ArenaSpec, recipe: Recipe) -> list[Question]:
    """Every question of an arena, those of training included; one id once.

    Raises:
        UserError: the data is not to be found.
    """
    from debate.data import load_questions

    kept = own_copy(folder, spec.name)
    if kept.is_file():
        return read_questions(kept)
    splits = [spec.test, *([spec.train] if recipe.training.updates else [])]
    found = {q.id: q for split in splits for q in load_questions(split, recipe.seed)}
    return list(found.values())
