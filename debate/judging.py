"""From a recipe's judge to judges that can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from debate.cast import Cast
from debate.errors import UserError
from debate.recipe import ArenaSpec, JudgeSpec, Recipe
from judges.types import Judge


def build_judges(arena: ArenaSpec, recipe: Recipe, cast: Cast) -> list[Judge]:
    """The judges of an arena, in the recipe's order."""
    return [_judge(spec, cast) for spec in arena.judges]


def check_judges(arena: ArenaSpec, judges: Sequence[Judge], recipe: Recipe, update: int) -> list[str]:
    """Whether an arena's language-model judges may pay rewards after `update` updates.

    Returns:
        What every report must say: the problems of judges that pay because the recipe admits them as unblessed.

    Raises:
        UserError: a judge without a valid certificate, and no admission.
    """
    from judges.charter.trust import check_trust

    admitted = []
    for spec, judge in zip(arena.judges, judges, strict=True):
        if spec.kind != "llm":  # what code decides needs no certificate
            continue
        given = spec.options["certificate"]
        certificate = recipe.folder / given if given else None
        held = check_trust(judge, certificate, update, recipe.trust)  # type: ignore[arg-type]
        problems = "; ".join(held.problems)
        if not held.allowed:
            raise UserError(
                f"arena {arena.name}: judge {spec.model!r} may not pay rewards after update {update}: {problems}. "
                "Get it a certificate (debate gauge), or admit that it has none with trust: unblessed"
            )
        if not held.certified:
            admitted.append(f"arena {arena.name}: judge {spec.model!r} is unblessed: {problems}")
    return admitted


def _judge(spec: JudgeSpec, cast: Cast) -> Any:
    if spec.kind == "naive_evidence":
        from judges.judges.evidence import NaiveEvidenceJudge

        return NaiveEvidenceJudge()
    if spec.kind == "constant":
        from judges.judges.scripted import constant_judge

        return constant_judge()
    from debate.judging_tools.named import model_identity
    from judges.judges.llm import LLMJudge

    options = {"max_tokens": 1, "temperature": 1.0, **spec.options}
    speaker: Any = cast.speaker("hf", spec.model, options)
    return LLMJudge(
        speaker.completer,
        spec.options["rubric"],
        swap=spec.options["swap"],
        name=spec.model,
        model=model_identity(spec.model, spec.options["dtype"]),
    )
