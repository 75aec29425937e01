"""What a recipe says about learners whose base model is divided over processes (`debate.sharding`)."""

from __future__ import annotations

from typing import Any

from debate.errors import UserError
from debate.reader import Document, Fields
from debate.recipes.specs import AgentSpec

SETTINGS = ("shard", "shard_gpus", "shard_timeout")


def shard_options(fields: Fields, kind: str, device: str) -> dict[str, Any]:
    """Over how many processes the learner's base is divided, on which GPUs, and how long one waits for the others."""
    if kind == "nano":
        for name in SETTINGS:
            if name in fields:
                raise fields.error(name, "nano is trained whole, in this process; only hf and vllm agents are sharded")
        return {}
    options: dict[str, Any] = {
        "shard": fields.positive("shard", 1),
        "shard_gpus": tuple(fields.take("shard_gpus", list, [])),
        "shard_timeout": fields.above("shard_timeout", 600.0),
    }
    size, gpus = options["shard"], options["shard_gpus"]
    for name in SETTINGS[1:]:
        if name in fields and size == 1:
            raise fields.error(name, "this is about a sharded learner: expected shard: 2 or more beside it")
    if gpus and device != "cuda":
        raise fields.error("shard_gpus", "the learner runs on a CPU: expected device: cuda beside it")
    whole = all(isinstance(gpu, int) and not isinstance(gpu, bool) and gpu >= 0 for gpu in gpus)
    if gpus and (not whole or len(set(gpus)) != len(gpus) or len(gpus) != size):
        raise fields.error("shard_gpus", f"expected {size} different numbers of GPUs, one a process, got {list(gpus)}")
    return options


def check_shards(document: Document, agents: tuple[AgentSpec, ...]) -> None:
    """Refuses agents that share a base and want it divided differently.

    Raises:
        UserError: there are such agents.
    """
    first: dict[tuple[Any, ...], AgentSpec] = {}
    for agent in agents:
        if "shard" not in agent.options:
            continue
        base = (agent.kind, agent.model, agent.options["dtype"], agent.options["device"])
        other = first.setdefault(base, agent)
        for name in SETTINGS:
            if agent.options[name] != other.options[name]:
                where = document.where(("agents", agent.name, name))
                raise UserError(
                    f"{where}: agents {other.name} and {agent.name} share a base model, which is divided in one way: "
                    f"expected the same {name}, got {_shown(other.options[name])} and {_shown(agent.options[name])}"
                )


def _shown(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else f"{value:g}"
