"""`debate tournament RECIPE`: a tournament of its own, from its recipe to its report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debate.errors import UserError
from debate.play import Arena, Player
from debate.progress import Progress, Silent
from debate.questions import Question
from debate.reader import Document
from debate.recipe import ArenaSpec, Recipe, build_arena, parse_recipe
from debate.run.folder import RunFolder
from debate.run.store import Store
from debate.run_questions import arena_questions, own_copy
from debate.scale.cluster import ScaleSpec, placed
from debate.tournaments.baselines import Asker, ask_here
from debate.tournaments.budget import BudgetSpent, Meter, metered
from debate.tournaments.matched import Matched, match_baselines
from debate.tournaments.pairing import Field
from debate.tournaments.play import play_here, play_tournament, play_waves, spent_before
from debate.tournaments.results import Results
from debate.tournaments.spec import Plan, fixed_seats, identity, read_plan
from debate.tournaments.standings import standings
from debate.transcript import Episode, Match
from games.analysis.analyse import Analysis, analyse
from judges.types import Judge

if TYPE_CHECKING:
    from debate.cast import Cast
    from debate.scale.run import RayRun


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a tournament came to: its summary, and why it stopped before its end (None: it did not)."""

    summary: dict[str, Any]
    stopped: BudgetSpent | None


@dataclass(frozen=True, eq=False)
class _Means:
    """What a tournament is played with.

    Attributes:
        cast: the agents by policy id. panels: arena → its judges.
        store: where matches are kept. meter: the budgets.
        uncached: policies whose completions the store does not keep.
        player: plays matches. asker: asks a judge without a match. Both in this process, or on Ray.
    """

    cast: Cast
    panels: Mapping[str, Sequence[Judge]]
    store: Store
    meter: Meter
    uncached: Sequence[str]
    player: Player
    asker: Asker


def run_tournament(
    document: Document,
    folder: Path,
    out: Path,
    resume: bool = False,
    budgets: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    argv: Sequence[str] | None = None,
    scale: ScaleSpec | None = None,
    kept: Mapping[str, str] | None = None,
) -> Outcome:
    """Plays a tournament, or plays on, and writes standings, game, summary and report.

    Args:
        document: its recipe.
        folder: where files that it names are.
        out: the run folder.
        resume: go on with what is there.
        budgets: in place of the recipe's, name by name; without either those of the last session hold.
        progress: where to report to.
        argv: the command line, for the manifest.
        scale: play and judge on Ray; the results are the same.
        kept: name → text of protocols, where the recipe is that of a run that kept them.

    Raises:
        UserError: something about the recipe, its data, its models or the folder is wrong.
    """
    from debate.data import data_hashes
    from debate.judging import build_judges, check_judges
    from debate.provenance import model_hashes

    # 1. What is to be played.
    recipe = parse_recipe(document, folder, kept)
    plan, own_budgets = read_plan(document, recipe)
    questions = arena_questions(out, recipe.main, recipe)
    wanted = plan.questions * (plan.rounds if plan.format == "swiss" else 1)
    if plan.format != "swiss" and len(questions) < wanted:
        raise UserError(
            f"{document.where(('tournament', 'questions'))}: asks for {wanted} questions, the data has {len(questions)}"
        )
    questions = questions[:wanted]
    others = _others(document, recipe, plan, questions, out)
    hashes: dict[str, Any] = {}
    for spec in recipe.arenas:
        hashes |= {} if own_copy(out, spec.name).is_file() else data_hashes(spec.test)
    progress = progress or Silent()
    everything = {recipe.main.name: questions, **{spec.name: list(field.questions) for spec, field in others}}
    with (
        # An address that nobody answers at leaves no folder behind.
        placed(scale, recipe, everything, progress, learns=False) as ray,
        (
            run := RunFolder.create(
                out,
                identity(recipe.text),
                recipe.seed,
                resume,
                argv,
                model_hashes(recipe),
                hashes,
                recipe.protocols,
                recipe.folder,
            )
        ).store() as store,
        # 2. Who plays it, within which budgets.
        closing(_seat(recipe, store, meter := _meter(store, own_budgets, budgets or {}), ray)) as cast,
    ):
        if ray is not None:
            ray.keep_in(store, meter)
        player, asker = (play_here, ask_here) if ray is None else (ray.play, ray.judge)
        panels = {spec.name: build_judges(spec, recipe, cast) for spec in recipe.arenas}
        uncached = [f"{agent.name}-v0" for agent in recipe.agents if agent.kind == "nano"]
        means = _Means(cast, panels, store, meter, uncached, player, asker)
        arena = build_arena(recipe.main, questions, panels[recipe.main.name])
        # Before the first update nothing can be withdrawn.
        admitted = [line for spec in recipe.arenas for line in check_judges(spec, panels[spec.name], recipe, 0)[0]]
        field = make_field(recipe, recipe.main, plan, fixed_seats(document, recipe.main), questions)
        results = Results(field, plan.criterion)
        # 3. Play.
        progress.start("tournament", _planned(field, plan))
        stopped = None
        baselines: Matched | None = None
        try:
            sealed = f"it was judged again by {', '.join(again)}" if (again := run.manifest.get("judged_by")) else ""
            play_tournament(
                field,
                plan,
                arena,
                cast,
                store,
                results,
                meter,
                progress,
                uncached=uncached,
                player=player,
                sealed=sealed,
            )
            # 4. What the judge is worth without a debate: once, and at a debate's tokens.
            if not sealed:
                baselines = _baselines(arena, results, plan, recipe, others, means)
        except BudgetSpent as reason:
            stopped = reason
    # 5. What came of it.
    summary = summarise(recipe, plan, results, baselines, meter, stopped, admitted)
    analysis = None if stopped else solve(results, plan, recipe, run, summary)
    if analysis is not None:
        progress.say("solved the game between the entrants")
    run.write_summary(summary)
    from debate.report import write_report

    write_report(run)
    return Outcome(summary, stopped)


def make_field(
    recipe: Recipe, spec: ArenaSpec, plan: Plan, seated: Mapping[str, str], questions: Sequence[Any]
) -> Field:
    """The entrants, the seats of an arena that they play in, and the questions."""
    return Field(
        spec.name,
        spec.protocol,
        tuple(f"{name}-v0" for name in plan.entrants),
        tuple(seat for seat in spec.protocol.seats if seat not in seated),
        {seat: f"{name}-v0" for seat, name in seated.items()},
        tuple(questions),
        recipe.seed,
        plan.repeats,
    )


def _meter(store: Store, recipe: Mapping[str, float], given: Mapping[str, float]) -> Meter:
    """The budgets that hold now; kept, so that a resume without any does not spend without limit."""
    import time

    kept = [row for _, row in store.events("budgets")]
    limits = {**(kept[-1] if kept else {}), **recipe, **given}
    if not kept or limits != kept[-1]:
        store.log("budgets", {f"{len(kept):06d}": limits})
    return spent_before(store, limits, time.monotonic)


def _seat(recipe: Recipe, store: Store, meter: Meter, ray: RayRun | None) -> Cast:
    """The agents, every model behind the meter, costly ones behind the store of answers; on Ray, workers have both."""
    from debate.cast import Cast
    from debate.run.cache import CachingCompleter

    alone = replace(recipe, arenas=())
    if ray is not None:
        return Cast(alone, make=ray.make_engine)
    return Cast(alone, lambda inner, name: CachingCompleter(inner, store, name), measure=metered(meter))


def _planned(field: Field, plan: Plan) -> int:
    """How many matches there are to be; of the adaptive format at most."""
    from debate.tournaments.pairing import pairing_matches, pairings

    if plan.format == "adaptive":
        return plan.matches
    first, second = field.entrants[:2]
    unit = sum(1 for _ in pairing_matches(field, first, second, field.questions[:1]))
    count = len(field.entrants)
    if plan.format == "swiss":
        return plan.rounds * (count // 2) * plan.questions * unit
    if len(field.seats) == 1:
        return count * plan.questions * unit // 2
    alone = count * sum(1 for _ in pairing_matches(field, first, first, field.questions[:1]))
    return (len(pairings(field.entrants)) * unit + (alone if plan.self_play else 0)) * plan.questions


def _others(
    document: Document, recipe: Recipe, plan: Plan, questions: Sequence[Question], out: Path
) -> list[tuple[ArenaSpec, Field]]:
    """The baselines that are played: the same entrants on the same questions in another arena."""
    found = []
    for spec in recipe.arenas[1:]:
        known = {question.id: question for question in arena_questions(out, spec, recipe)}
        missing = next((q.id for q in questions if q.id not in known), None)
        if missing is not None:
            raise UserError(
                f"{document.where(('arenas', spec.name, 'data'))}: a baseline is played on the questions of arena "
                f"{recipe.main.name}; question {missing!r} is not in this data"
            )
        own = [known[question.id] for question in questions]
        found.append((spec, make_field(recipe, spec, plan, fixed_seats(document, spec), own)))
    return found


def _baselines(
    arena: Arena,
    results: Results,
    plan: Plan,
    recipe: Recipe,
    others: Sequence[tuple[ArenaSpec, Field]],
    means: _Means,
) -> Matched | None:
    """The baselines; None where none are wanted, or a person would be asked again and again."""
    if not plan.baselines or any(judge.kind == "human" for spec in recipe.arenas for judge in spec.judges):
        return None
    played: list[tuple[Field, Callable[[Iterable[Match]], Iterator[Episode]]]] = []
    for spec, field in others:
        own = build_arena(spec, field.questions, means.panels[spec.name])

        def episodes(matches: Iterable[Match], own: Arena = own, seed: int = field.seed) -> Iterator[Episode]:
            for wave in play_waves(
                matches, own, means.cast, means.store, means.meter, seed, uncached=means.uncached, player=means.player
            ):
                yield from wave

        played.append((field, episodes))
    return match_baselines(arena, results, played, plan.matched, means.asker)


def summarise(
    recipe: Recipe,
    plan: Plan,
    results: Results,
    baselines: Matched | None,
    meter: Meter,
    stopped: BudgetSpent | None,
    admitted: Sequence[str],
) -> dict[str, Any]:
    """The summary, as in summary.json."""
    from debate.tournaments.formats import certified

    table = standings(results, baselines, plan.resamples)
    bound = None
    if plan.format == "adaptive" and results.matches and not stopped:
        bound = certified(results, plan.criterion)
    return {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "admitted": list(admitted),
        "tournament": {
            "format": plan.format,
            **table,
            "nash_conv_at_most": bound,
            "spent": meter.spent(),
            "budgets": dict(meter.limits),
            "stopped": None if stopped is None else str(stopped),
        },
        "nash_conv": None,
        "meta_equilibrium": None,
        "episodes": results.matches,
        "sampled_tokens": sum(cost.tokens for name, cost in results.spent.items() if name != "judge"),
        "failures": dict(results.failures),
        "wall_seconds": round(meter.spent()["seconds"], 3),
    }


def solve(results: Results, plan: Plan, recipe: Recipe, run: RunFolder, summary: dict[str, Any]) -> Analysis | None:
    """The game between the entrants, solved and exported; why it was not, into the summary."""
    from debate.conclude import equilibrium

    if len(results.field.seats) < 2 or not results.matches:
        return None
    game = results.decisive_game()
    unplayed = game.unplayed()
    if unplayed:
        hint = "" if plan.self_play else "; give tournament.self_play: true to let entrants meet themselves"
        reason = f"{len(unplayed)} cells of the game between the entrants have no known reward{hint}"
        summary["left_out"] = {"equilibrium": reason}
        return None
    analysis = analyse(game, resamples=plan.resamples, seed=recipe.seed)
    analysis.export(run.analysis, provenance={"recipe": recipe.name, "seed": recipe.seed})
    summary["meta_equilibrium"] = equilibrium(analysis)
    return analysis
