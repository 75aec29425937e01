"""From a recipe's judge to judges that can be asked."""

from __future__ import annotations

from typing import Any

from debate.cast import Cast
from debate.recipe import ArenaSpec, JudgeSpec, Recipe
from judges.types import Judge


def build_judges(arena: ArenaSpec, recipe: Recipe, cast: Cast) -> list[Judge]:
    """The judges of an arena, in the recipe's order."""
    return [_judge(spec, cast) for spec in arena.judges]


def _judge(spec: JudgeSpec, cast: Cast) -> Any:
    if spec.kind == "naive_evidence":
        from judges.judges.evidence import NaiveEvidenceJudge

        return NaiveEvidenceJudge()
    if spec.kind == "constant":
        from judges.judges.scripted import constant_judge

        return constant_judge()
    from judges.judges.llm import LLMJudge

    options = {"max_tokens": 1, "temperature": 1.0, **spec.options}
    speaker: Any = cast.speaker("hf", spec.model, options)
    return LLMJudge(speaker.completer, spec.options["rubric"], swap=spec.options["swap"])
