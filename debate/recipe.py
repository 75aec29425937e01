"""A recipe: everything a run needs to know, read from YAML and checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from debate.errors import UserError
from debate.play import Arena
from debate.protocol.load import Protocols
from debate.reader import Document, Fields, override, read_yaml
from debate.recipes.agents import read_agent
from debate.recipes.engines import judge_engine
from debate.recipes.league import META_SOLVERS, LeagueSpec, read_league
from debate.recipes.learning import read_credit, read_process
from debate.recipes.sharding import check_shards
from debate.recipes.specs import (
    AGENT_KINDS,
    BASELINES,
    JUDGE_KINDS,
    MODEL_JUDGES,
    AgentSpec,
    ArenaSpec,
    AuditSpec,
    ExactSpec,
    JudgeSpec,
    Recipe,
    TournamentSpec,
    TrainingSpec,
)
from debate.text_games.protocol import GameProtocol
from debate.tournaments.spec import as_recipe, stands_alone

__all__ = [
    "AGENT_KINDS",
    "BASELINES",
    "JUDGE_KINDS",
    "META_SOLVERS",
    "AgentSpec",
    "ArenaSpec",
    "ExactSpec",
    "JudgeSpec",
    "LeagueSpec",
    "Recipe",
    "TournamentSpec",
    "TrainingSpec",
    "build_arena",
    "parse_recipe",
    "read_recipe",
]


def read_recipe(path: Path, settings: Sequence[str] = (), seed: int | None = None) -> Recipe:
    """A recipe from its file.

    Args:
        path: the YAML file.
        settings: `key.sub=value` overrides.
        seed: overrides the recipe's.

    Raises:
        UserError: with file, line, field, what was wrong and what was expected.
    """
    chosen = [*settings] if seed is None else [*settings, f"seed={seed}"]
    return parse_recipe(override(read_yaml(path), chosen), path.parent)


def parse_recipe(document: Document, folder: Path, kept: Mapping[str, str] | None = None) -> Recipe:
    """A recipe from a YAML document; files it names are relative to `folder`.

    A tournament's recipe (`debate.tournaments.spec`) is completed first.

    Args:
        document: the recipe.
        folder: where it stands.
        kept: name → text of protocols, instead of the files of that name: what a run has kept.

    Raises:
        UserError: with file, line, field, what was wrong and what was expected.
    """
    given = document
    protocols = Protocols(folder, kept or {})
    if stands_alone(given):
        document = as_recipe(given, protocols)
    top = Fields(document)
    agents = tuple(read_agent(name, fields, folder) for name, fields in top.children("agents"))
    if not agents:
        raise top.error("agents", "expected at least one agent")
    arenas = tuple(_arena(name, fields, agents, protocols) for name, fields in top.children("arenas"))
    if not arenas:
        raise top.error("arenas", "expected at least one arena")
    _check_weights(document, agents, arenas)
    recipe = Recipe(
        name=top.take("name", str),
        text=yaml.safe_dump(given.data, sort_keys=False, allow_unicode=True, width=120),
        folder=folder,
        seed=top.positive("seed", 0, least=0),
        agents=agents,
        arenas=arenas,
        training=_training(top),
        league=read_league(top, tuple(arena.name for arena in arenas)),
        tournament=_tournament(top),
        evaluation=_evaluation(top),
        exact=_exact(top, arenas[0], protocols),
        trust=top.take("trust", str, "blessed", ("blessed", "simulated", "unblessed")),
        same_family=top.take("same_family", str, ""),
        logging=top.strings("logging", [], ("jsonl", "tensorboard", "wandb")),
        protocols=_texts(document, protocols),
    )
    top.take("summary", str, "")
    top.done()
    check_shards(document, recipe.agents)
    _check_judges(document, recipe)
    _check_process(document, recipe)
    _check_credit(document, recipe)
    return recipe


def _judge(fields: Fields) -> tuple[JudgeSpec, ...]:
    given = fields.data.get("judge")
    if given is None:
        fields.take("judge", str, None)
        return ()
    if isinstance(given, str):
        name = fields.take("judge", str, among=JUDGE_KINDS)
        if name in MODEL_JUDGES:
            raise fields.error("judge", f"{name} needs a model: expected {{kind: {name}, model: …}}")
        return (JudgeSpec(name),)
    under = fields.child("judge")
    assert under is not None
    kind = under.take("kind", str, among=JUDGE_KINDS)
    model, options, family = "", {}, ""
    if kind == "llm":
        model = under.take("model", str)
        family = under.take("family", str, "")
        options = {
            "swap": under.take("swap", bool, True),
            "rubric": under.take("rubric", str, "Which answer is right?"),
            "dtype": under.take("dtype", str, "float32", ("float32", "bfloat16")),
            "device": under.take("device", str, "cpu", ("cpu", "cuda")),
            "certificate": under.take("certificate", str, ""),
            "audit": _audit(under),
            **judge_engine(under),
        }
    if kind == "learned":
        model = under.take("model", str)
        family = under.take("family", str, "")
        options = {
            "rubric": under.take("rubric", str, ""),
            "device": under.take("device", str, "cpu", ("cpu", "cuda")),
            "certificate": under.take("certificate", str, ""),
            "audit": _audit(under),
        }
    under.done()
    return (JudgeSpec(kind, model, options, family),)


def _audit(judge: Fields) -> AuditSpec | None:
    """How often the run audits this judge; None where it does not."""
    fields = judge.child("audit", optional=True)
    if fields is None:
        return None
    if not judge.data.get("certificate"):
        raise judge.error("audit", "an audit holds a judge to its certificate; give certificate: FILE too")
    spec = AuditSpec(fields.positive("every"), fields.positive("items"))
    fields.done()
    return spec


def _texts(document: Document, protocols: Protocols) -> dict[str, str]:
    """Name → text of the protocols that have files of their own."""
    named = [arena["protocol"] for arena in document.data["arenas"].values()]
    named += [document.data["exact"]["protocol"]] if "protocol" in (document.data.get("exact") or {}) else []
    texts = {name: protocols.text(name) for name in named}
    return {name: text for name, text in texts.items() if text is not None}


def _arena(name: str, fields: Fields, agents: tuple[AgentSpec, ...], protocols: Protocols) -> ArenaSpec:
    folder, parameters = protocols.folder, fields.take("parameters", dict, {})
    try:
        protocol = protocols.load(fields.take("protocol", str), parameters)
    except UserError as error:
        raise fields.error("protocol", str(error)) from None
    known = [agent.name for agent in agents]
    under = fields.child("seats")
    assert under is not None
    for seat in under.data:
        if seat not in protocol.seats:
            raise under.error(seat, f"protocol {protocol.name} has no such seat; it has {', '.join(protocol.seats)}")
    seats = {seat: under.take(seat, str, among=known) for seat in protocol.seats}
    judges = _judge(fields)
    if protocol.decision.by == "judge" and not judges:
        raise fields.error(
            "judge", f"protocol {protocol.name} is decided by a judge; expected one of {', '.join(JUDGE_KINDS)}"
        )
    decided = protocol.decision
    if any(j.options.get("audit") for j in judges) and (decided.by != "judge" or decided.question or decided.options):
        raise fields.error("judge", f"audit: judges of protocol {protocol.name} do not decide which answer is right")
    data = fields.take("data", dict)
    splits = {}
    for split in ("train", "test"):
        if split in data:
            if not isinstance(data[split], dict):
                raise fields.error("data", f"{split!r} must be a mapping such as {{adapter: …, path: …}}")
            splits[split] = {**{k: v for k, v in data.items() if k not in ("train", "test")}, **data[split]}
        else:
            splits[split] = {**data, "split": split}
        splits[split] = _placed(splits[split], folder)
    fields.done()
    return ArenaSpec(name, protocol, seats, judges, splits["train"], splits["test"])


def _placed(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A data specification whose relative path is taken from the recipe's folder."""
    path = data.get("path")
    if isinstance(path, str) and not path.startswith(("/", "$", "~")):
        return {**data, "path": str(folder / path)}
    return data


def _check_weights(document: Document, agents: tuple[AgentSpec, ...], arenas: tuple[ArenaSpec, ...]) -> None:
    for agent in agents:
        played = [arena for arena in arenas if agent.name in arena.seats.values()]
        criteria = {c for arena in played for c in arena.protocol.criteria}
        named = [("weights", key) for key in agent.weights] if agent.preferences is None else []
        named += [("scalariser", key) for key in agent.scalariser.criteria]
        named += [("preferences", key) for key in (agent.preferences.over if agent.preferences else ())]
        for field, key in named:
            if played and key not in criteria:
                where = document.where(("agents", agent.name, field, key))
                raise UserError(
                    f"{where}: no arena of this agent has that criterion; expected among {', '.join(sorted(criteria))}"
                )
        if agent.learns and played and not any(agent.weights.values()):
            where = document.where(("agents", agent.name))
            raise UserError(
                f"{where}: field 'weights' is missing: a learning agent needs a weight above 0 on some criterion"
            )


def _check_process(document: Document, recipe: Recipe) -> None:
    """Process rewards must be criteria of every arena that trains, and may not be weighed as outcomes too."""
    for name in recipe.training.process:
        where = document.where(("training", "process", name))
        for arena in recipe.arenas:
            if recipe.learners(arena) and name not in arena.protocol.criteria:
                raise UserError(
                    f"{where}: arena {arena.name} has no such criterion; expected among "
                    f"{', '.join(arena.protocol.criteria)}"
                )
        for agent in recipe.agents:
            if agent.weights.get(name) or name in agent.scalariser.criteria:
                raise UserError(
                    f"{where}: agent {agent.name} weighs it as an outcome too; a criterion is one or the other"
                )


def _check_credit(document: Document, recipe: Recipe) -> None:
    """Plans must be there to be credited or explored, and what is played on must begin as it began before."""
    credit = recipe.training.credit
    for arena in recipe.arenas:
        slots = () if isinstance(arena.protocol, GameProtocol) else arena.protocol.slots
        plans = any(slot.phase == "option" and isinstance(slot.choices, tuple) and slot.choices for slot in slots)
        where = document.where(("training", "credit"))
        if recipe.learners(arena) and credit.level == "plan" and not plans:
            raise UserError(f"{where}: protocol {arena.protocol.name} has no plan moves (options) to be credited")
        for name in set(recipe.learners(arena).values()):
            if recipe.agent(name).explore is not None and not plans:
                raise UserError(
                    f"{document.where(('agents', name, 'explore'))}: protocol {arena.protocol.name} has no plan moves"
                )
        drawn = not slots or any(slot.kind == "chance" for slot in slots)
        drawn = drawn or any(role.answers == "opposes" for role in arena.protocol.roles)
        if recipe.learners(arena) and credit.estimator == "branch" and drawn:
            raise UserError(
                f"{where}: protocol {arena.protocol.name} draws by chance, so a match cannot be played on from a turn"
            )


def _training(top: Fields) -> TrainingSpec:
    fields = top.child("training")
    assert fields is not None
    updates = fields.positive("updates", least=0)
    spec = TrainingSpec(
        updates,
        fields.positive("groups"),
        fields.positive("group_size"),
        fields.take("baseline", str, "group", BASELINES),
        read_credit(fields),
        read_process(fields, updates),
    )
    if spec.baseline != "ema" and spec.group_size < 2 and spec.credit.estimator != "branch":
        raise fields.error("group_size", "a group of one has no baseline: expected at least 2, or baseline: ema")
    if spec.baseline == "ema" and spec.credit.estimator == "branch":
        raise fields.error("baseline", "branches are compared with each other: expected group or leave_one_out")
    fields.done()
    return spec


def _tournament(top: Fields) -> TournamentSpec:
    fields = top.child("tournament", optional=True)
    if fields is None:
        return TournamentSpec(0, 0)
    spec = TournamentSpec(fields.positive("questions"), fields.positive("resamples", 1000))
    fields.done()
    return spec


def _evaluation(top: Fields) -> int:
    fields = top.child("evaluation", optional=True)
    if fields is None:
        return 0
    count = fields.positive("questions")
    fields.done()
    return count


def _exact(top: Fields, arena: ArenaSpec, protocols: Protocols) -> ExactSpec | None:
    fields = top.child("exact", optional=True)
    if fields is None:
        return None
    parameters = {**arena.protocol.parameters, **fields.take("parameters", dict, {})}
    same = top.data["arenas"][arena.name]["protocol"]
    protocol = protocols.load(fields.take("protocol", str, same), parameters)
    if not protocol.finite:
        raise fields.error(
            "", f"protocol {protocol.name} does not declare finite: true, so it cannot be solved exactly"
        )
    if set(protocol.seats) != set(arena.protocol.seats):
        raise fields.error(
            "protocol", f"expected the seats of arena {arena.name!r} ({', '.join(arena.protocol.seats)})"
        )
    criterion = fields.take("criterion", str, protocol.criteria[0], protocol.criteria)
    spec = ExactSpec(protocol, _placed(fields.take("data", dict), protocols.folder), criterion)
    fields.done()
    return spec


def _check_judges(document: Document, recipe: Recipe) -> None:
    """A judge may not share the debaters' family unadmitted, nor pay rewards without a certificate unadmitted."""
    from debate.families import NANO, family_of
    from judges.charter.trust import independence_problem

    for arena in recipe.arenas:
        trained = [recipe.agent(name) for name in recipe.learners(arena).values()]
        families = {family_of(agent.kind, agent.model, agent.family) for agent in trained}
        for judge in arena.judges:
            where = document.where(("arenas", arena.name, "judge"))
            family = family_of(judge.kind, judge.model, judge.family)
            problem = independence_problem(family, families, recipe.same_family)
            if judge.kind in MODEL_JUDGES and families - {NANO} and problem is not None:
                named = ", ".join(sorted(f"{agent.name}: {agent.model}" for agent in trained))
                raise UserError(
                    f"{where}: {problem} (judge: {judge.model}; {named}). Name a judge of another family; say family: "
                    'where a model\'s files and name do not; or admit it with a top-level field same_family: "<reason>"'
                )
            if judge.kind in MODEL_JUDGES and not judge.options.get("certificate") and recipe.trust != "unblessed":
                raise UserError(
                    f"{where}: a language-model judge needs a certificate to pay rewards; give certificate: FILE, "
                    "or admit that it has none with a top-level field trust: unblessed"
                )


def build_arena(spec: ArenaSpec, questions: Sequence[Any], judges: Sequence[Any]) -> Arena:
    """The arena of a specification with its questions and judges in place."""
    from judges.rules import make_rule

    rules = {c.name: make_rule(c.rule, **c.params) for c in spec.protocol.rewards}
    return Arena(spec.name, spec.protocol, {q.id: q for q in questions}, tuple(judges), rules)
