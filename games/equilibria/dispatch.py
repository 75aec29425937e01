"""`solve`: one entry to every equilibrium concept and method."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from games.equilibrium import Equilibrium, NotConverged
from games.normal_form import NormalFormGame

# concept → method → (module, function); the first method is what "auto" means where a concept has only one.
_METHODS: dict[str, dict[str, tuple[str, str]]] = {
    "nash": {
        "lp": ("zero_sum", "solve_zero_sum"),
        "lemke_howson": ("lemke_howson", "solve_lemke_howson"),
        "enumerate": ("enumeration", "solve_enumerate"),
        "logit": ("quantal", "solve_logit_limit"),
        "regret_matching": ("regret_matching", "solve_regret_matching"),
        "replicator": ("replicator", "solve_replicator"),
    },
    "ce": {"lp": ("correlated", "solve_ce")},
    "cce": {"lp": ("correlated", "solve_cce")},
    "logit": {"logit": ("quantal", "solve_logit")},
    "stackelberg": {"lp": ("stackelberg", "solve_stackelberg")},
}
_RANDOM = {"enumerate", "replicator"}
# Above this many pure strategies in total, "auto" asks for one equilibrium of a bimatrix game instead of all.
ENUMERATE_UP_TO = 14


def solve(
    game: NormalFormGame,
    concept: str = "nash",
    method: str = "auto",
    select: str | None = None,
    seed: int = 0,
    **options: Any,
) -> list[Equilibrium]:
    """Equilibria of a scalar game in normal form, every one verified.

    Nash methods:

    - "lp": constant-sum, two players; select None or "max_entropy".
    - "lemke_howson": two players; option `labels` (default 0; "all" or a list of labels).
    - "enumerate": two players: all extreme equilibria with their connected components, exact, for small games; select
      None, "max_entropy" or "max_welfare". One or more than two players: support enumeration.
    - "logit": the limit of the principal branch of logit equilibria, any number of players.
    - "regret_matching": regret matching⁺ with averaging, any number of players.
    - "replicator": replicator dynamics; option `floor` > 0 gives projected replicator dynamics.
    - "auto": "lp" if it applies; else two players: "enumerate" for small games, "lemke_howson" for others;
      else "logit", then "regret_matching", then "enumerate".

    Correlated concepts "ce", "cce": select None or "max_welfare", "max_entropy", "max_gini". Concept "logit": option
    `lambdas` (default 1.0). Concept "stackelberg": option `leader` (default 0).

    All methods take `tol`, the allowed regret relative to the range of a player's payoffs, and "nash" methods take
    `certify=True` to attach an exact certificate where one is found (`Equilibrium.exact`, `details["certificate"]`).

    Args:
        game: a game with one objective.
        concept: "nash", "ce", "cce", "logit" or "stackelberg".
        method: see above.
        select: which equilibrium among many.
        seed: seeds the methods that start from random points; the others ignore it.
        **options: of the method.

    Raises:
        ValueError: the game is not scalar, or a concept, method, selection or option is unknown or does not apply.
        NotConverged: no answer passed verification.
    """
    if not isinstance(game, NormalFormGame):
        raise ValueError(f"solve: expected a NormalFormGame, got {type(game).__name__}")
    game.scalar()
    if concept not in _METHODS:
        raise ValueError(f"concept: expected one of {sorted(_METHODS)}, got {concept!r}")
    certify = bool(options.pop("certify", False))
    if certify and concept != "nash":
        raise ValueError(f'certify: exact certificates exist for concept "nash", not {concept!r}')
    if method != "auto" or concept != "nash":
        name = next(iter(_METHODS[concept])) if method == "auto" else method
        found = _run(game, concept, name, select, seed, options)
    else:
        found = _auto_nash(game, select, seed, options)
    return [_certified(game, one) for one in found] if certify else found


def _run(
    game: NormalFormGame, concept: str, method: str, select: str | None, seed: int, options: dict[str, Any]
) -> list[Equilibrium]:
    methods = _METHODS[concept]
    if method not in methods:
        raise ValueError(f"method: expected auto or one of {sorted(methods)} for concept {concept!r}, got {method!r}")
    module, name = methods[method]
    function: Callable[..., list[Equilibrium]] = getattr(import_module(f"games.equilibria.{module}"), name)
    arguments = dict(options)
    if select is not None:
        if not _takes(function, "select"):
            raise ValueError(f"select: {select!r} does not apply to concept {concept!r}, method {method!r}")
        arguments["select"] = select
    if method in _RANDOM:
        arguments["seed"] = seed
    unknown = [key for key in arguments if not _takes(function, key)]
    if unknown:
        raise ValueError(f"solve: concept {concept!r}, method {method!r} has no option {unknown}")
    return function(game, **arguments)


def _takes(function: Callable[..., Any], name: str) -> bool:
    from inspect import signature

    return name in signature(function).parameters


def _auto_nash(game: NormalFormGame, select: str | None, seed: int, options: dict[str, Any]) -> list[Equilibrium]:
    if game.num_players == 2:
        if game.is_constant_sum() and select in (None, "max_entropy"):
            return _run(game, "nash", "lp", select, seed, options)
        if select is not None or sum(game.shape) <= ENUMERATE_UP_TO:
            return _run(game, "nash", "enumerate", select, seed, options)
        return _run(game, "nash", "lemke_howson", None, seed, options)
    if select is not None:
        raise ValueError(f"select: {select!r} is not defined for games of {game.num_players} players")
    failures = []
    for method in ("logit", "regret_matching", "enumerate"):
        try:
            more = {"stop_after": 1} if method == "enumerate" else {}
            return _run(game, "nash", method, None, seed, {**more, **options})
        except NotConverged as failure:
            failures.append(str(failure))
    raise NotConverged("auto: " + "; ".join(failures))


def _certified(game: NormalFormGame, found: Equilibrium) -> Equilibrium:
    from dataclasses import replace

    from games.measures import certify

    assert found.profile is not None
    certificate = certify(game, found.profile)
    return replace(
        found, exact=found.exact or certificate.is_nash, details={**found.details, "certificate": certificate}
    )
