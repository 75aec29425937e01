"""`debate tournament RECIPE`: a tournament of its own, from its recipe to its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from debate.agents.agent import Agent
from debate.errors import UserError
from debate.progress import Progress, Silent
from debate.reader import Document
from debate.recipe import Recipe, build_arena, parse_recipe
from debate.run.folder import RunFolder
from debate.run.store import Store
from debate.run_questions import arena_questions, own_copy
from debate.tournaments.budget import BudgetSpent, Meter, MeteredCompleter
from debate.tournaments.pairing import Field
from debate.tournaments.play import play_tournament, spent_before
from debate.tournaments.results import Results
from debate.tournaments.spec import Plan, fixed_seats, identity, read_plan
from debate.tournaments.standings import standings
from games.analysis.analyse import Analysis, analyse


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a tournament came to: its summary, and why it stopped before its end (None: it did not)."""

    summary: dict[str, Any]
    stopped: BudgetSpent | None


def run_tournament(
    document: Document,
    folder: Path,
    out: Path,
    resume: bool = False,
    budgets: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    argv: Sequence[str] | None = None,
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

    Raises:
        UserError: something about the recipe, its data, its models or the folder is wrong.
    """
    from debate.data import data_hashes
    from debate.judging import check_judges
    from debate.provenance import model_hashes

    # 1. What is to be played.
    recipe = parse_recipe(document, folder)
    plan, own_budgets = read_plan(document, recipe)
    questions = arena_questions(out, recipe.main, recipe)
    wanted = plan.questions * (plan.rounds if plan.format == "swiss" else 1)
    if plan.format != "swiss" and len(questions) < wanted:
        raise UserError(
            f"{document.where(('tournament', 'questions'))}: asks for {wanted} questions, the data has {len(questions)}"
        )
    questions = questions[:wanted]
    hashes = {} if own_copy(out, recipe.main.name).is_file() else data_hashes(recipe.main.test)
    run = RunFolder.create(out, identity(recipe.text), recipe.seed, resume, argv, model_hashes(recipe), hashes)
    progress = progress or Silent()
    with run.store() as store:
        # 2. Who plays it, within which budgets.
        meter = _meter(store, own_budgets, budgets or {})
        seated = fixed_seats(document, recipe)
        cast, judges = _cast(recipe, store, meter)
        arena = build_arena(recipe.main, questions, judges)
        admitted, _ = check_judges(recipe.main, judges, recipe, 0)  # before the first update nothing can be withdrawn
        field = make_field(recipe, plan, seated, questions)
        results = Results(field, plan.criterion)
        # 3. Play.
        progress.start("tournament", _planned(field, plan))
        stopped = None
        baselines: dict[str, Any] = {}
        try:
            uncached = [f"{agent.name}-v0" for agent in recipe.agents if agent.kind == "nano"]
            sealed = f"it was judged again by {', '.join(again)}" if (again := run.manifest.get("judged_by")) else ""
            play_tournament(field, plan, arena, cast, store, results, meter, progress, uncached=uncached, sealed=sealed)
            baselines = {} if sealed else _baselines(arena, field, plan, recipe)
        except BudgetSpent as reason:
            stopped = reason
    # 4. What came of it.
    summary = summarise(recipe, plan, results, baselines, meter, stopped, admitted)
    analysis = None if stopped else solve(results, plan, recipe, run, summary)
    if analysis is not None:
        progress.say("solved the game between the entrants")
    run.write_summary(summary)
    from debate.report import write_report

    write_report(run)
    return Outcome(summary, stopped)


def reopen(out: Path) -> Document:
    """The recipe of a tournament's folder.

    Raises:
        UserError: no run is there.
    """
    from debate.reader import parse_yaml

    run = RunFolder.open(out)
    return parse_yaml(run.manifest["recipe"], str(run.path / "manifest.json"))


def make_field(recipe: Recipe, plan: Plan, seated: Mapping[str, str], questions: Sequence[Any]) -> Field:
    """The entrants, the seats they compete for, and the questions."""
    main = recipe.main
    return Field(
        main.name,
        main.protocol,
        tuple(f"{name}-v0" for name in plan.entrants),
        tuple(seat for seat in main.protocol.seats if seat not in seated),
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


def _cast(recipe: Recipe, store: Store, meter: Meter) -> tuple[dict[str, Agent], list[Any]]:
    """The agents and judges, every model behind the meter and, where it is costly, behind the store of answers."""
    from debate.agents.language import LanguageSpeaker
    from debate.cast import Cast
    from debate.judging import build_judges
    from debate.run.cache import CachingCompleter

    metered: dict[int, MeteredCompleter] = {}

    def measure(completer: Any) -> MeteredCompleter:
        return metered.setdefault(id(completer), MeteredCompleter(completer, meter))

    cast = Cast(replace(recipe, arenas=()), lambda inner, name: CachingCompleter(measure(inner), store, name))
    speakers: dict[int, Any] = {}
    agents = {}
    for policy, agent in cast.items():
        speaker = agent.speaker
        if isinstance(speaker, LanguageSpeaker) and not isinstance(speaker.completer, CachingCompleter):
            new = replace(speaker, completer=measure(speaker.completer))
            speaker = speakers.setdefault(id(speaker), new)  # one speaker, one batch
        agents[policy] = Agent(agent.policy, speaker)
    return agents, build_judges(recipe.main, recipe, cast)


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


def _baselines(arena: Any, field: Field, plan: Plan, recipe: Recipe) -> dict[str, Any]:
    from debate.tournaments.baselines import judge_alone

    if not plan.baselines or any(judge.kind == "human" for judge in recipe.main.judges):
        return {}
    found = {name: judge_alone(arena, field, name == "expert")[0] for name in ("naive", "expert")}
    return {name: table for name, table in found.items() if table is not None}


def summarise(
    recipe: Recipe,
    plan: Plan,
    results: Results,
    baselines: Mapping[str, Any],
    meter: Meter,
    stopped: BudgetSpent | None,
    admitted: Sequence[str],
) -> dict[str, Any]:
    """The summary, as in summary.json."""
    from debate.tournaments.formats import certified

    table = standings(results, baselines)
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
