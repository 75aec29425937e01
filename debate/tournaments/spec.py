"""A tournament's recipe: a recipe without training, in which named agents compete for the seats of one arena.

It is told from a training recipe by `tournament.format`. Everything else is spelled as in any recipe, except that

    entrants: [alice, bob]         who competes (default: every agent that has no seat of its own)
    arenas.NAME.seats              only the seats that are not competed for, such as a judge's
    tournament.baseline: NAME      a second arena, such as a consultancy, played by the same entrants; judge and data
                                   are the first arena's where it names none
    budgets: {tokens, calls, usd, seconds}

so `as_recipe` fills in what the rest of the program expects of a recipe, and `read_plan` reads what is new.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from debate.errors import UserError
from debate.reader import Document, Fields

if TYPE_CHECKING:
    from debate.protocol.load import Protocols
    from debate.protocol.spec import DebateProtocol
    from debate.recipe import ArenaSpec, Recipe

FORMATS = ("round_robin", "swiss", "adaptive")
BUDGETS = ("tokens", "calls", "usd", "seconds")
MATCHED = 64
_PLAYED = ("format", "rounds", "matches", "batch", "epsilon", "criterion", "self_play", "repeats")
OWN = (*_PLAYED, "baselines", "matched", "baseline")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tournament plays.

    Attributes:
        format: "round_robin" (all pairs), "swiss" (equals meet, round by round) or "adaptive" (the cells that bound
            NashConv best, batch by batch).
        entrants: agent names.
        questions: how many each pairing plays; of "adaptive", how many there are to draw on.
        repeats: how often each question is played in each seating.
        rounds: of "swiss".
        matches: most matches of "adaptive". batch: pairings between two looks at its game.
        epsilon: "adaptive" stops where NashConv of its best profile is known to be at most this.
        criterion: what decides who won a match, and what NashConv is about.
        self_play: whether entrants also meet themselves, so that the empirical game has no empty cell.
        baselines: whether the judge is also asked without a debate.
        resamples: of the bootstrap over questions.
        matched: most repeats of a baseline, up to a debate's tokens; 0 repeats none.
        baseline: the arena that is a baseline, played by the same entrants; "" where there is none.
    """

    format: str
    entrants: tuple[str, ...]
    questions: int
    repeats: int
    rounds: int
    matches: int
    batch: int
    epsilon: float
    criterion: str
    self_play: bool
    baselines: bool
    resamples: int
    matched: int = MATCHED
    baseline: str = ""


def stands_alone(document: Document) -> bool:
    """Whether a recipe is a tournament's."""
    tournament = document.data.get("tournament")
    return isinstance(tournament, dict) and "format" in tournament


def as_recipe(document: Document, protocols: Protocols) -> Document:
    """The document with what a recipe needs besides: seats, no training, a weight for agents that could learn.

    What it cannot make sense of is left as it is: whoever reads the recipe says what is wrong with it.
    """
    data: dict[str, Any] = {k: v for k, v in document.data.items() if k not in ("entrants", "budgets")}
    if "training" in data:
        raise UserError(
            f"{document.where(('training',))}: a tournament with a format of its own has no training; "
            "leave out training, or tournament.format"
        )
    agents, arenas = data.get("agents"), data.get("arenas")
    if isinstance(arenas, dict):
        _check_arenas(document, arenas)
        main = next(iter(arenas.values()))
        lent = {k: main[k] for k in ("judge", "data") if k in main} if isinstance(main, dict) else {}
        arenas = {name: {**lent, **value} if isinstance(value, dict) else value for name, value in arenas.items()}
    if isinstance(agents, dict) and isinstance(arenas, dict):
        data["arenas"] = {name: _arena(value, list(agents), protocols) for name, value in arenas.items()}
        criteria = [c for arena in data["arenas"].values() for c in _criteria(arena, protocols)]
        data["agents"] = {name: _agent(value, criteria) for name, value in agents.items()}
    data["training"] = {"updates": 0, "groups": 1, "group_size": 1, "baseline": "ema"}
    data["tournament"] = {k: v for k, v in document.data["tournament"].items() if k not in OWN}
    return Document(document.name, data, document.lines)


def _check_arenas(document: Document, arenas: Mapping[str, Any]) -> None:
    """One arena, and maybe a second one that is the baseline."""
    baseline = document.data["tournament"].get("baseline")
    if baseline is None and len(arenas) != 1:
        raise UserError(
            f"{document.where(('arenas',))}: a tournament has one arena, and a second one only where "
            f"tournament.baseline names it; got {len(arenas)}"
        )
    if baseline is not None and (len(arenas) != 2 or list(arenas)[1] != baseline):
        raise UserError(
            f"{document.where(('tournament', 'baseline'))}: expected the name of a second arena, got {baseline!r} and "
            f"the arenas {', '.join(arenas)}"
        )


def _arena(value: Any, agents: Sequence[str], protocols: Protocols) -> Any:
    protocol = _protocol(value, protocols)
    if protocol is None or not agents:
        return value
    filled = dict(value)
    seats = value.get("seats") or {}
    if isinstance(seats, dict):
        filled["seats"] = {**dict.fromkeys(protocol.seats, agents[0]), **seats}
    data = value.get("data")
    if isinstance(data, dict) and "test" not in data and "split" not in data:
        filled["data"] = {**data, "test": {}}  # all questions: nothing is held out where nothing is trained
    return filled


def _agent(value: Any, criteria: Sequence[str]) -> Any:
    learner = isinstance(value, dict) and value.get("kind") not in ("scripted", "human")
    if not learner or not criteria or "weights" in value:
        return value
    return {**value, "weights": {criteria[0]: 1.0}}


def _criteria(arena: Any, protocols: Protocols) -> tuple[str, ...]:
    protocol = _protocol(arena, protocols)
    return () if protocol is None else protocol.criteria


def _protocol(value: Any, protocols: Protocols) -> DebateProtocol | None:
    if not isinstance(value, dict) or not isinstance(value.get("protocol"), str):
        return None
    try:
        return protocols.load(value["protocol"], value.get("parameters") or {})
    except UserError:
        return None


def identity(text: str) -> str:
    """The recipe without its budgets: a run may go on with others."""
    import yaml

    data = yaml.safe_load(text)
    data.pop("budgets", None)
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120))


def read_plan(document: Document, recipe: Recipe) -> tuple[Plan, dict[str, float]]:
    """The plan and the budgets of a tournament's recipe.

    Raises:
        UserError: with file, line and field.
    """
    top = Fields(document)
    fields = top.child("tournament")
    assert fields is not None
    kind = fields.take("format", str, among=FORMATS)
    protocol = recipe.main.protocol
    known = [agent.name for agent in recipe.agents]
    seated = _seated(document, recipe)
    entrants = top.strings("entrants", [name for name in known if name not in seated], known)
    if len(set(entrants)) != len(entrants):
        raise top.error("entrants", f"each entrant once, got {', '.join(entrants)}")
    contested = len(protocol.seats) - len(fixed_seats(document, recipe.main))
    if contested == 0:
        raise UserError(f"{document.where(('arenas', recipe.main.name, 'seats'))}: no seat is left to compete for")
    if len(entrants) < 2:
        raise top.error("entrants", f"expected two or more agents, got {', '.join(entrants) or 'none'}")
    if kind == "adaptive" and contested != 2:
        raise fields.error("format", f"adaptive needs two seats to compete for; {protocol.name} has {contested}")
    plan = Plan(
        format=kind,
        entrants=tuple(entrants),
        questions=fields.positive("questions"),
        repeats=fields.positive("repeats", 1),
        rounds=fields.positive("rounds", max(1, math.ceil(math.log2(len(entrants))))),
        matches=fields.positive("matches", 1000),
        batch=fields.positive("batch", 32),
        epsilon=fields.take("epsilon", float, 0.0),
        criterion=fields.take("criterion", str, protocol.criteria[0], protocol.criteria),
        self_play=fields.take("self_play", bool, kind == "adaptive"),
        baselines=fields.take("baselines", bool, True),
        resamples=fields.positive("resamples", 1000),
        matched=fields.positive("matched", MATCHED, least=0),
        baseline=_baseline(document, fields, recipe),
    )
    fields.done()
    return plan, read_budgets(top.child("budgets", optional=True))


def _baseline(document: Document, fields: Fields, recipe: Recipe) -> str:
    """The baseline's arena, whose verdicts must be about the question itself."""
    name: str = fields.take("baseline", str, "")
    for arena in recipe.arenas[1:]:
        decision = arena.protocol.decision
        if decision.by not in ("judge", "seat", "vote", "jury") or decision.question or decision.options:
            raise fields.error("baseline", f"protocol {arena.protocol.name} does not decide which answer is right")
        if len(fixed_seats(document, arena)) == len(arena.protocol.seats):
            raise UserError(f"{document.where(('arenas', arena.name, 'seats'))}: no seat is left for the entrants")
    return name


def _seated(document: Document, recipe: Recipe) -> set[str]:
    return {agent for arena in recipe.arenas for agent in fixed_seats(document, arena).values()}


def fixed_seats(document: Document, arena: ArenaSpec) -> dict[str, str]:
    """Seat → agent of an arena's seats that are not competed for."""
    given = document.data["arenas"][arena.name].get("seats") or {}
    return {seat: arena.seats[seat] for seat in given}


def read_budgets(fields: Fields | None) -> dict[str, float]:
    """Budget → most that may be spent.

    Raises:
        UserError: an unknown budget, or one that is not above 0.
    """
    if fields is None:
        return {}
    budgets = {name: fields.take(name, float) for name in BUDGETS if name in fields}
    fields.done()
    for name, value in budgets.items():
        if value <= 0:
            raise fields.error(name, f"expected a number above 0, got {value:g}")
    return budgets


def budget_flags(flags: Sequence[str]) -> dict[str, float]:
    """Budgets given as `NAME=VALUE` on the command line.

    Raises:
        UserError: an unknown name, or a value that is no number above 0.
    """
    budgets = {}
    for flag in flags:
        name, equals, value = flag.partition("=")
        if not equals or name not in BUDGETS:
            raise UserError(f"--budget {flag}: expected NAME=VALUE with a name among {', '.join(BUDGETS)}")
        try:
            budgets[name] = float(value)
        except ValueError:
            budgets[name] = math.nan
        if not (budgets[name] > 0 and math.isfinite(budgets[name])):
            raise UserError(f"--budget {flag}: expected a number above 0")
    return budgets
