"""The `agents` section of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from debate.agents.scripted import SCRIPTS
from debate.learning.layout import Kind
from debate.learning.losses import PRESETS
from debate.reader import Fields
from debate.recipes.engines import openai_options, vllm_options
from debate.recipes.learning import read_explore, read_preferences, read_scalariser
from debate.recipes.sharding import shard_options
from debate.recipes.specs import AGENT_KINDS, AgentSpec

LEARNERS = ("auto", "joint", "separate")
LOOKAHEADS = ("none", "optimistic", "extragradient")


def read_agent(name: str, fields: Fields, folder: Path) -> AgentSpec:
    """One agent's settings, checked; files it names are relative to `folder`."""
    kind = fields.take("kind", str, among=AGENT_KINDS)
    model = {"nano": "nano", "scripted": "scripted", "human": "human"}.get(kind, "")
    script = ""
    options: dict[str, Any] = {}
    if kind == "hf":
        model = fields.take("model", str)
        options["dtype"] = fields.take("dtype", str, "float32", ("float32", "bfloat16"))
        options["lora_rank"] = fields.positive("lora_rank", 16)
        options["lora_alpha"] = fields.take("lora_alpha", float, 32.0)
        options["rows"] = fields.positive("rows", 16)
        options["bucket"] = fields.positive("bucket", 64)
        options["fixed"] = fields.take("fixed", bool, False)
    if kind == "vllm":
        model = fields.take("model", str)
        options |= vllm_options(fields)
    if kind in ("hf", "vllm"):
        options["part_rows"] = fields.positive("part_rows", 4)
        options["layout"] = fields.take("layout", str, "auto", get_args(Kind))
        options["bf16"] = fields.take("bf16", bool, False)
        options["checkpointing"] = fields.take("checkpointing", bool, False)
        options["learner"] = fields.take("learner", str, "auto", LEARNERS)
    if kind == "openai":
        model = fields.take("model", str)
        options |= openai_options(fields)
        options["temperature"] = fields.above("temperature", 1.0)
        options["max_tokens"] = fields.positive("max_tokens", 128)
    if kind == "nano":
        options["rows"] = fields.positive("rows", 128)
    if kind in ("nano", "hf", "vllm"):
        options["device"] = fields.take("device", str, "cpu", ("cpu", "cuda"))
        options |= shard_options(fields, kind, options["device"])
        options["learning_rate"] = fields.above("learning_rate", 1e-3 if kind == "nano" else 1e-5)
        options["loss"] = fields.take("loss", str, "reinforce", PRESETS)
        options["epochs"] = fields.positive("epochs", 1)
        options["entropy"] = fields.take("entropy", float, 0.0)
        options["kl"] = fields.take("kl", float, 0.0)
        options["magnet_every"] = fields.positive("magnet_every", 0, least=0)
        options["lookahead"] = fields.take("lookahead", str, "none", LOOKAHEADS)
        options["max_norm"] = fields.above("max_norm", 1.0)
        options["spike"] = fields.take("spike", float, 0.0)
        options["patience"] = fields.positive("patience", 10)
        options["temperature"] = fields.above("temperature", 1.0)
        options["max_tokens"] = fields.positive("max_tokens", 128)
        options["truncate"] = fields.take("truncate", float, 2.0 if kind == "vllm" else 0.0)
        for key in ("kl", "spike", "truncate"):
            if options[key] < 0:
                raise fields.error(key, f"expected a number of at least 0, got {options[key]}")
        if options["lookahead"] == "extragradient":
            _check_extragradient(fields, options)
        start = fields.take("start", str, "")
        options["start"] = start if not start or start.startswith("/") else str(folder / start)
    family = fields.take("family", str, "") if kind in ("hf", "vllm", "openai") else ""
    if kind == "scripted":
        script = fields.take("script", str, among=SCRIPTS)
    weights = {}
    under = fields.child("weights", optional=True)
    if under is not None:
        weights = {key: under.take(key, float) for key in under.data}
    plans = fields.child("plans", optional=True)
    if plans is not None:
        prior = plans.take("prior", str)
        options["plan_prior"] = prior if prior.startswith("/") else str(folder / prior)
        options["plan_strength"] = plans.take("strength", float, 1.0)
        if not 0.0 <= options["plan_strength"] <= 1.0:
            raise plans.error("strength", f"expected a number between 0 and 1, got {options['plan_strength']}")
        plans.done()
    if kind not in ("nano", "hf", "vllm"):
        fields.done()
        return AgentSpec(name, kind, model, script, weights, options)
    scalariser = read_scalariser(fields, weights)
    preferences = read_preferences(fields)
    if preferences is not None:
        if weights or scalariser.kind != "linear":
            raise fields.error("preferences", "the weights are drawn: give neither weights nor another scalariser")
        weights = dict.fromkeys(preferences.over, 1.0 / len(preferences.over))
    if scalariser.kind == "lexicographic" and not weights:
        weights = {scalariser.order[0]: 1.0}
    explore = read_explore(fields, folder)
    frozen = fields.take("frozen", bool, False)
    fields.done()
    return AgentSpec(name, kind, model, script, weights, options, scalariser, preferences, explore, family, frozen)


def _check_extragradient(fields: Fields, options: dict[str, Any]) -> None:
    """It plays at a point of its own and takes one step from where it was: not with what moves or shares that."""
    for key, plain in (("epochs", 1), ("magnet_every", 0)):
        if options[key] != plain:
            raise fields.error("lookahead", f"extragradient takes one step an update: expected {key}: {plain}")
    if options.get("learner", "separate") != "separate":
        raise fields.error("lookahead", "extragradient needs a learner of its own: expected learner: separate")
