"""From a recipe's judge to judges that can be asked, and whether they may pay rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from debate.cast import Cast
from debate.errors import UserError
from debate.questions import Question
from debate.recipe import ArenaSpec, JudgeSpec, Recipe
from debate.recipes.specs import MODEL_JUDGES
from debate.withdrawal import Withdrawal, first_quarantined, read_raw
from judges.types import Judge, Sampling


def build_judges(arena: ArenaSpec, recipe: Recipe, cast: Cast) -> list[Judge]:
    """The judges of an arena, in the recipe's order; a certified one abstains where its certificate says so."""
    return [_held_to_certificate(_judge(spec, cast), certificate_of(spec, recipe)) for spec in arena.judges]


def certificate_of(spec: JudgeSpec, recipe: Recipe) -> Path | None:
    """The file of a judge's certificate; None where the recipe names none."""
    given = spec.options.get("certificate")
    return recipe.folder / given if given else None


def check_judges(
    arena: ArenaSpec, judges: Sequence[Judge], recipe: Recipe, update: int
) -> tuple[list[str], list[Withdrawal]]:
    """Whether an arena's language-model judges may pay rewards after `update` updates.

    Returns:
        What every report must say of judges that pay because the recipe admits them; and the judges that may not pay
        any more, although rewards were paid under them.

    Raises:
        UserError: a judge that may not pay, before anything was learned from it.
    """
    from judges.charter.trust import check_trust

    admitted, withdrawn = [], []
    for spec, judge in zip(arena.judges, judges, strict=True):
        if spec.kind not in MODEL_JUDGES:  # what code decides needs no certificate
            continue
        certificate = certificate_of(spec, recipe)
        held = check_trust(judge, certificate, update, recipe.trust)  # type: ignore[arg-type]
        problems = "; ".join(held.problems)
        if not held.allowed and update == 0:
            raise UserError(
                f"arena {arena.name}: judge {spec.model!r} may not pay rewards: {problems}. "
                "Get it a certificate (debate gauge), or admit what is wrong with it: trust: simulated for a "
                "simulated panel, trust: unblessed for any judge"
            )
        if not held.allowed:
            first = 0 if certificate is None else first_quarantined(certificate, judge, update)
            criteria = judged_criteria(arena)
            withdrawn.append(Withdrawal(arena.name, judge.name, criteria, held.problems, first, update))
        elif not held.certified:
            word = "unblessed" if recipe.trust == "unblessed" else "blessed by a simulation"
            admitted.append(f"arena {arena.name}: judge {spec.model!r} is {word}: {problems}")
    return admitted, withdrawn


def check_audits(recipe: Recipe, held_out: Mapping[str, Sequence[Question]]) -> None:
    """Whether a run's audits (`debate.drift`) find as many held-out questions as they ask for.

    Raises:
        UserError: too few of an arena's questions have a known answer.
    """
    for arena in recipe.arenas:
        labelled = sum(question.label is not None for question in held_out[arena.name])
        for judge in arena.judges:
            plan = judge.options.get("audit")
            if plan is not None and plan.items > labelled:
                raise UserError(
                    f"arena {arena.name}: an audit asks {plan.items} held-out questions whose answer is known, the "
                    f"test data has {labelled}"
                )


def judged_criteria(arena: ArenaSpec) -> tuple[str, ...]:
    """The criteria of an arena that pay what its judges say."""
    from judges.rules import reads_verdicts

    return tuple(c.name for c in arena.protocol.rewards if reads_verdicts(c.rule))


def _held_to_certificate(judge: Judge, certificate: Path | None) -> Judge:
    """The judge, abstaining under its certificate's threshold.

    The threshold holds for a revoked certificate as well: the verdicts of a run keep their meaning when it is resumed.
    """
    threshold = None if certificate is None else read_raw(certificate).get("abstention")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0.0 <= threshold <= 1.0:
        return judge
    from judges.judges.abstaining import AbstainingJudge

    return AbstainingJudge(judge, float(threshold))


def _judge(spec: JudgeSpec, cast: Cast) -> Any:
    if spec.kind == "naive_evidence":
        from judges.judges.evidence import NaiveEvidenceJudge

        return NaiveEvidenceJudge()
    if spec.kind == "constant":
        from judges.judges.scripted import constant_judge

        return constant_judge()
    if spec.kind == "learned":
        from debate.learning.learned_judge import load_judge
        from judges.judges.rubric import DEFAULT_RUBRIC

        return load_judge(Path(spec.model), spec.options["rubric"] or DEFAULT_RUBRIC, spec.options["device"])
    from debate.judging_tools.named import model_identity
    from judges.judges.llm import LLMJudge

    options = {"max_tokens": 1, "temperature": 1.0, **spec.options}
    engine = options.get("engine", "hf")
    speaker: Any = cast.speaker(engine, spec.model, options)
    if engine == "openai":
        identity = f"{spec.model} at {options['url']}"  # an endpoint's weights cannot be told from outside
    else:
        identity = model_identity(spec.model, spec.options["dtype"]) + (f" on {engine}" if engine != "hf" else "")
    return LLMJudge(
        speaker.completer,
        spec.options["rubric"],
        swap=spec.options["swap"],
        name=spec.model,
        mode=options.get("read", "logprobs"),
        samples=options.get("samples", 5),
        sampling=Sampling(options["max_tokens"]),
        model=identity,
    )
