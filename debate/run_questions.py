"""What a run was made from: its recipe, and its questions (its own copy where it was imported, else its data)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from debate.questions import Question, read_questions
from debate.reader import Document, parse_yaml
from debate.run.folder import RunFolder

if TYPE_CHECKING:
    from debate.recipe import ArenaSpec, Recipe


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run was made from, as its manifest keeps it.

    Attributes:
        document: the recipe, as it took effect.
        folder: where the recipe stood, to which the paths in it are relative.
        protocols: name in the recipe → text of each protocol that is not a shipped one.
    """

    document: Document
    folder: Path
    protocols: Mapping[str, str]

    @classmethod
    def of(cls, run: RunFolder) -> Origin:
        """That of a run."""
        document = parse_yaml(run.manifest["recipe"], str(run.path / "manifest.json"))
        return cls(document, Path(run.manifest.get("folder", "")), run.manifest.get("protocols", {}))

    def recipe(self) -> Recipe:
        """The recipe.

        Raises:
            UserError: it is not valid any more.
        """
        from debate.recipe import parse_recipe

        return parse_recipe(self.document, self.folder, self.protocols)


def recipe_of(run: RunFolder) -> Recipe | None:
    """The recipe of a run; None where it has none (imported transcripts without one).

    Raises:
        UserError: a recipe that is not valid any more.
    """
    origin = Origin.of(run)
    return origin.recipe() if "arenas" in origin.document.data else None


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
