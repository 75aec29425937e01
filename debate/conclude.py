"""What came of a run: final evaluation, tournament, equilibrium, exact NashConv, summary, report."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np

from debate.drift import audits
from debate.evaluate import evaluate, judge_alone, scripted_accuracy
from debate.exact import exact_nash_conv, finite_variant
from debate.fronts import fronts
from debate.judge_facts import constant_accuracy, human_accuracy, judge_attacks, judge_certificates
from debate.session import Session, live_seats
from debate.tournament import analyse_run, profile_regrets, tournament
from debate.withdrawal import quarantined
from games.analysis.analyse import Analysis

CELLS = ("league", "exploit")  # stages whose matches the tournament counts, or that measure without adding play


def conclude(session: Session) -> dict[str, Any]:
    """Everything after the last update; what is in the store already is read, not played again.

    Returns:
        The summary, as in summary.json.
    """
    summary = {
        "recipe": session.recipe.name,
        "seed": session.recipe.seed,
        "updates": session.update,
        "admitted": session.admitted,
        "withdrawn": withdrawn(session),
        "stopped": session.stopped or None,
        "judge_accuracy": judge_accuracy(session),
        "judge_attacks": judge_attacks(session) if session.recipe.evaluation else {},
        "judge_certificates": judge_certificates(session),
        "judge_audits": audits(session),
        **solve_population(session)[0],
        "exact_nash_conv": exact_ends(session),
        "exploiters": session.exploiters or None,
        "alarms": [
            {"update": row["update"], "agent": row["agent"], "seat": row["seat"], "message": message}
            for row in session.folder.read_log()
            for message in row.get("alarms") or ()
        ],
        "guard": [row for row in session.folder.read_log() if row.get("guard")],
        "rewards": reward_curves(session),
        "fronts": fronts(session),
    }
    failures: Counter[str] = Counter()
    for tally in session.tallies.values():
        failures.update(tally.failures)
    summary["episodes"] = sum(tally.episodes for stage, tally in session.tallies.items() if stage not in CELLS)
    summary["sampled_tokens"] = sum(tally.tokens for stage, tally in session.tallies.items() if stage not in CELLS)
    summary["failures"] = dict(failures)
    summary["wall_seconds"] = round(session.wall_seconds, 3)
    session.folder.write_summary(summary)
    write_report(session)
    return summary


def judge_accuracy(session: Session) -> dict[str, Any] | None:
    """How often the judge is right over held-out questions: before, after, and with whom else in the seats."""
    if session.recipe.evaluation == 0:
        return None
    main = session.recipe.main.name
    before, after = evaluate(session, "before"), evaluate(session, "after")
    scripts = scripted_accuracy(session)
    adviser = next((a.name for a in session.recipe.arenas if a.protocol.name.endswith("consultancy")), "")
    return {
        "constant": constant_accuracy(session),
        "before": known(before[main]),
        "after": known(after[main]),
        "optimal": known(scripts.get("greedy_evidence", math.nan)),
        "random_legal": known(scripts.get("random_legal", math.nan)),
        "consultancy": known(after.get(adviser, math.nan)),
        "consultancy_before": known(before.get(adviser, math.nan)),
        "naive": known(judge_alone(session, show_material=False)),
        "expert": known(judge_alone(session, show_material=True)),
        "n": len(session.test_ids[main][: session.recipe.evaluation]),
        **human_accuracy(session.folder.path, main),
    }


def withdrawn(session: Session) -> list[dict[str, Any]]:
    """Judges that lost their certificate in this run: what weighs 0, why, and what is in quarantine."""
    counts = quarantined(session.store, session.withdrawn)
    return [{**asdict(one), "quarantined_episodes": counts[f"{one.arena}/{one.judge}"]} for one in session.withdrawn]


def solve_population(session: Session) -> tuple[dict[str, Any], Analysis | None]:
    """The tournament's empirical game, solved and exported.

    Returns:
        Its part of the summary, with nulls where the main arena is no game of several seats or a cell is not known; and
        the analysis, None in those cases.
    """
    game = tournament(session)
    nothing: dict[str, Any] = {"nash_conv": None, "meta_equilibrium": None}
    if game is None:
        return nothing, None
    if game.unplayed():
        reason = f"{len(game.unplayed())} cells of the tournament have no known reward: every match there failed"
        return {**nothing, "left_out": {"equilibrium": reason}}, None
    if session.unpaid(session.recipe.main):
        return {**nothing, "left_out": {"equilibrium": session.unpaid(session.recipe.main)}}, None
    session.progress.start("solve", 1)
    analysis = analyse_run(session, game, trace(session))
    analysis.export(session.folder.analysis, provenance={"recipe": session.recipe.name, "seed": session.recipe.seed})
    session.progress.advance()
    return {"nash_conv": profile_regrets(session, game), "meta_equilibrium": equilibrium(analysis)}, analysis


def equilibrium(analysis: Analysis) -> dict[str, Any]:
    """The meta-equilibrium in short: mixture, its own regret, and how sure of it the data are."""
    found, names = analysis.equilibrium, analysis.empirical
    profile = found.profile or ()
    inclusion = analysis.bootstrap.support_inclusion if analysis.bootstrap else ()
    payoffs = analysis.bootstrap.intervals.get("payoffs") if analysis.bootstrap else None
    return {
        "method": found.method,
        "nash_conv": found.nash_conv,
        "profile": {
            seat: dict(zip(row, map(float, p), strict=True))
            for seat, row, p in zip(names.players, names.strategies, profile, strict=True)
        },
        "support_inclusion": {
            seat: dict(zip(row, map(float, share), strict=True))
            for seat, row, share in zip(names.players, names.strategies, inclusion, strict=False)
        },
        "payoffs": None if found.payoffs is None else [float(v) for v in np.ravel(found.payoffs)],
        "payoff_intervals": None if payoffs is None else [np.ravel(bound).tolist() for bound in payoffs],
    }


def trace(session: Session) -> dict[str, list[float]] | None:
    """NashConv of the newest profile as the league grew, against updates and model calls."""
    rows = [row for row in session.folder.read_log() if row.get("nash_conv") is not None]
    if len(rows) < 2:
        return None
    return {
        "iterations": [float(row["update"]) for row in rows],
        "model_calls": [float(row["model_calls"]) for row in rows],
        "nash_conv": [float(row["nash_conv"]) for row in rows],
    }


def exact_ends(session: Session) -> dict[str, Any] | None:
    """Exact NashConv of the first and the last versions in the finite variant, read off their option probabilities."""
    main, found = session.recipe.main, finite_variant(session)
    if found is None:
        return None
    compiled, questions = found
    ends = {
        "before": {seat: f"{agent}-v0" for seat, agent in main.seats.items()},
        "after": {seat: session.cast.live[agent].id for seat, agent in main.seats.items()},
    }
    session.progress.start("exact NashConv", len(ends))
    result: dict[str, Any] = {}
    for when, seats in ends.items():
        result[when], policy = exact_nash_conv(session, compiled, seats)
        result[f"illegal_{when}"] = policy.illegal_mass
        session.progress.advance()
    return {**result, "questions": questions, "information_sets": len(compiled.positions)}


def reward_curves(session: Session) -> dict[str, dict[str, list[float | None]]]:
    """Seat → criterion → [mean of the first update, mean of the last]."""
    rows = [row for row in session.folder.read_log() if row.get("rewards")]
    result: dict[str, dict[str, list[float | None]]] = {}
    for row in rows:
        seat = result.setdefault(row["seat"], {})
        for name, value in row["rewards"].items():
            seat.setdefault(name, [value, value])[1] = value
    return result


def write_report(session: Session) -> None:
    """report.html of the run."""
    from debate.report import write_report as write

    session.progress.start("report", 1)
    write(session.folder)
    session.progress.advance()


def known(value: float) -> float | None:
    """A number, or null where it is not known."""
    return value if math.isfinite(value) else None


def redo_tournament(session: Session) -> tuple[dict[str, Any], Analysis | None]:
    """Plays what is missing of the tournament, solves it again and renews summary and report."""
    if not session.population:  # a run of fixed agents, or one stopped before its first update
        seats = live_seats(session, session.recipe.main)
        session.population = {seat: [policy] for seat, policy in seats.items()}
    solved, analysis = solve_population(session)
    summary = {**(session.folder.read_summary() or {}), **solved}
    summary.setdefault("recipe", session.recipe.name)
    summary.setdefault("seed", session.recipe.seed)
    summary.setdefault("episodes", sum(tally.episodes for tally in session.tallies.values()))
    summary.setdefault("sampled_tokens", sum(tally.tokens for tally in session.tallies.values()))
    summary.setdefault("failures", {})
    summary.setdefault("wall_seconds", round(session.wall_seconds, 3))
    session.folder.write_summary(summary)
    write_report(session)
    return summary, analysis
