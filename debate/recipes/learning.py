"""How agents learn, as a recipe says it: credit, scalarisers, sampled preferences, process rewards, exploration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from debate.reader import Fields

Level = Literal["episode", "turn", "plan"]
Estimator = Literal["role_baseline", "gae", "branch"]
# What can be estimated how: whole episodes against their role, turns by a critic or by playing on from them, plans by
# two critics.
ESTIMATORS: Mapping[str, tuple[str, ...]] = {
    "episode": ("role_baseline",),
    "turn": ("gae", "branch"),
    "plan": ("gae",),
}
SCALARISERS = ("linear", "chebyshev", "lexicographic", "lagrangian")
SHAPES = ("linear", "cosine", "constant")


@dataclass(frozen=True, slots=True)
class CreditSpec:
    """Who in an episode deserves its reward.

    Attributes:
        level: what is credited: the whole episode, each turn, or plans and the turns that carry them out.
        estimator: "role_baseline" (episode), "gae" (turn, plan) or "branch" (turn).
        gamma: discount of a turn.
        lam: trace over turns.
        lam_segment: trace over plans.
        ridge: how strongly the critic is held at what earlier batches taught it, in turns.
        candidates: "branch": continuations compared at a turn, the one that was played included.
        turns: "branch": turns of each seat that are played on from; 0 = all.
        quantiles: the critic predicts so many quantiles of each criterion's return; 0 = its mean.
    """

    level: Level = "episode"
    estimator: Estimator = "role_baseline"
    gamma: float = 1.0
    lam: float = 0.9
    lam_segment: float = 0.9
    ridge: float = 10.0
    candidates: int = 4
    turns: int = 0
    quantiles: int = 0


@dataclass(frozen=True, slots=True)
class ScalariserSpec:
    """How an agent's reward vector becomes one number. Unused settings are empty.

    Attributes:
        kind: one of `SCALARISERS`.
        mode: "esr" or "ser" (chebyshev).
        ideal: criterion → best value hoped for (chebyshev).
        order, thresholds, resolution: of the lexicographic order.
        constraints: criterion → ("floor" | "ceiling", limit) (lagrangian).
        rate: step of the multipliers (lagrangian).
    """

    kind: str = "linear"
    mode: str = "esr"
    ideal: Mapping[str, float] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    resolution: float = 0.0
    constraints: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    rate: float = 0.05

    @property
    def criteria(self) -> tuple[str, ...]:
        """Every criterion it names."""
        return tuple(dict.fromkeys((*self.ideal, *self.order, *self.thresholds, *self.constraints)))


@dataclass(frozen=True, slots=True)
class PreferenceSpec:
    """Weights that are drawn for each group of matches and told to the agent, so that one policy covers a front.

    Attributes:
        over: the criteria weighed against each other.
        concentration: of the symmetric Dirichlet distribution the weights come from; 1 = uniform on the simplex.
        grid: steps a side of the grid that evaluation goes through.
    """

    over: tuple[str, ...]
    concentration: float = 1.0
    grid: int = 4


@dataclass(frozen=True, slots=True)
class ExploreSpec:
    """How an agent picks plans while it trains.

    Attributes:
        kind: "puct" (Silver et al. 2017, with the root of the prior) or "pikl" (Jacob et al. 2022).
        constant: PUCT's exploration, in units of the reward.
        visits: pulls that PUCT plans ahead; its visit counts are what a plan is drawn from.
        temperature: how sharply the policy is pulled to plans of high value (PUCT).
        prior: file with the anchor's plan probabilities (piKL).
        lam: pull of the anchor (piKL).
        eta: learning rate (piKL).
    """

    kind: Literal["puct", "pikl"]
    constant: float = 1.0
    visits: int = 16
    temperature: float = 0.1
    prior: Path | None = None
    lam: float = 0.1
    eta: float = 1.0


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A criterion that is a process reward: λ_t times its normalised value, exactly 0 from `until` updates on."""

    weight: float
    until: int
    shape: str = "linear"
    hold: int = 0


def read_credit(fields: Fields) -> CreditSpec:
    """`credit: {level, estimator, lambda, …}` of `training`."""
    under = fields.child("credit", optional=True)
    if under is None:
        return CreditSpec()
    level = under.take("level", str, "episode", ESTIMATORS)
    estimator = under.take("estimator", str, ESTIMATORS[level][0], [e for es in ESTIMATORS.values() for e in es])
    if estimator not in ESTIMATORS[level]:
        raise under.error(
            "estimator", f"level {level} is estimated by {' or '.join(ESTIMATORS[level])}, not by {estimator}"
        )
    spec = CreditSpec(
        level,
        estimator,
        under.share("gamma", 1.0) if estimator == "gae" else 1.0,
        under.share("lambda", 0.9) if estimator == "gae" else 0.9,
        under.share("lambda_segment", 0.9) if level == "plan" else 0.9,
        under.above("ridge", 10.0) if estimator == "gae" else 10.0,
        under.positive("candidates", 4, least=2) if estimator == "branch" else 4,
        under.positive("turns", 0, least=0) if estimator == "branch" else 0,
        under.positive("quantiles", 0, least=0) if estimator == "gae" else 0,
    )
    under.done()
    return spec


def read_process(fields: Fields, updates: int) -> dict[str, ProcessSpec]:
    """`process: {CRITERION: {weight, until, shape, hold}}` of `training`."""
    specs = {}
    for name, under in fields.children("process", optional=True):
        spec = ProcessSpec(
            under.above("weight", 1.0),
            under.positive("until"),
            under.take("shape", str, "linear", SHAPES),
            under.positive("hold", 0, least=0),
        )
        if spec.until >= updates > 0:
            raise under.error(
                "until",
                f"the weight must be exactly 0 before the final evaluation: expected less than updates = {updates}",
            )
        if spec.hold >= spec.until:
            raise under.error("hold", f"expected less than until = {spec.until}, got {spec.hold}")
        under.done()
        specs[name] = spec
    return specs


def read_scalariser(fields: Fields, weights: Mapping[str, float]) -> ScalariserSpec:
    """`scalariser: linear` or `{kind, …}` of an agent."""
    if isinstance(fields.data.get("scalariser", "linear"), str):
        kind = fields.take("scalariser", str, "linear", SCALARISERS)
        if kind != "linear":
            raise fields.error("scalariser", f"{kind} has settings: expected a mapping {{kind: {kind}, …}}")
        return ScalariserSpec()
    under = fields.child("scalariser")
    assert under is not None
    kind = under.take("kind", str, among=SCALARISERS)
    values: dict[str, Any] = {}
    if kind == "chebyshev":
        values["mode"] = under.take("mode", str, among=("esr", "ser"))
        values["ideal"] = _numbers(under, "ideal")
        missing = [name for name, weight in weights.items() if weight and name not in values["ideal"]]
        if missing:
            raise under.error("ideal", f"lacks {', '.join(missing)}, which the weights name")
        if any(weight < 0 for weight in weights.values()):
            raise under.error("", "Chebyshev weights must be at least 0")
    elif kind == "lexicographic":
        values["order"] = under.strings("order")
        if not values["order"]:
            raise under.error("order", "expected at least one criterion, the most important first")
        values["thresholds"] = _numbers(under, "thresholds", optional=True)
        values["resolution"] = under.take("resolution", float, 0.0)
    elif kind == "lagrangian":
        values["constraints"] = _constraints(under)
        values["rate"] = under.above("rate", 0.05)
    under.done()
    return ScalariserSpec(kind, **values)


def _numbers(fields: Fields, key: str, optional: bool = False) -> dict[str, float]:
    under = fields.child(key, optional)
    return {} if under is None else {name: under.take(name, float) for name in under.data}


def _constraints(fields: Fields) -> dict[str, tuple[str, float]]:
    constraints = {}
    for name, under in fields.children("constraints"):
        kinds = [kind for kind in ("floor", "ceiling") if kind in under]
        if len(kinds) != 1:
            raise under.error("", "expected either floor: NUMBER or ceiling: NUMBER")
        constraints[name] = (kinds[0], under.take(kinds[0], float))
        under.done()
    if not constraints:
        raise fields.error("constraints", "expected at least one criterion with a floor or a ceiling")
    return constraints


def read_preferences(fields: Fields) -> PreferenceSpec | None:
    """`preferences: {over: [criteria], concentration, grid}` of an agent."""
    under = fields.child("preferences", optional=True)
    if under is None:
        return None
    over = under.strings("over")
    if len(over) < 2 or len(set(over)) != len(over):
        raise under.error("over", "expected at least two distinct criteria")
    spec = PreferenceSpec(over, under.above("concentration", 1.0), under.positive("grid", 4))
    under.done()
    return spec


def read_explore(fields: Fields, folder: Path) -> ExploreSpec | None:
    """`explore: puct` or `{kind: puct | pikl, …}` of an agent."""
    given = fields.data.get("explore")
    if given is None:
        fields.take("explore", str, None)
        return None
    if isinstance(given, str):
        kind = fields.take("explore", str, among=("puct", "pikl"))
        if kind == "pikl":
            raise fields.error("explore", "piKL needs an anchor: expected {kind: pikl, prior: FILE.json}")
        return ExploreSpec("puct")
    under = fields.child("explore")
    assert under is not None
    kind = under.take("kind", str, among=("puct", "pikl"))
    if kind == "puct":
        constant = under.take("constant", float, 1.0)
        if constant < 0:
            raise under.error("constant", f"expected a number of at least 0, got {constant}")
        spec = ExploreSpec("puct", constant, under.positive("visits", 16), under.above("temperature", 0.1))
    else:
        prior = under.take("prior", str)
        place = Path(prior) if prior.startswith("/") else folder / prior
        spec = ExploreSpec("pikl", prior=place, lam=under.above("lambda", 0.1), eta=under.above("eta", 1.0))
    under.done()
    return spec
