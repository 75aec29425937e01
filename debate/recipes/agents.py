"""The `agents` section of a recipe."""

from __future__ import annotations

from typing import Any

from debate.agents.scripted import SCRIPTS
from debate.reader import Fields
from debate.recipes.specs import AGENT_KINDS, AgentSpec


def read_agent(name: str, fields: Fields) -> AgentSpec:
    """One agent's settings, checked."""
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
        options["part_rows"] = fields.positive("part_rows", 4)
    if kind == "nano":
        options["rows"] = fields.positive("rows", 128)
    if kind in ("nano", "hf"):
        options["device"] = fields.take("device", str, "cpu", ("cpu", "cuda"))
        options["learning_rate"] = fields.take("learning_rate", float, 1e-3 if kind == "nano" else 1e-5)
        options["loss"] = fields.take("loss", str, "reinforce")
        options["epochs"] = fields.positive("epochs", 1)
        options["entropy"] = fields.take("entropy", float, 0.0)
        options["max_norm"] = fields.take("max_norm", float, 1.0)
        options["temperature"] = fields.take("temperature", float, 1.0)
        options["max_tokens"] = fields.positive("max_tokens", 128)
        for key in ("learning_rate", "max_norm", "temperature"):
            if options[key] <= 0:
                raise fields.error(key, f"expected a number above 0, got {options[key]}")
    if kind == "scripted":
        script = fields.take("script", str, among=SCRIPTS)
    weights = {}
    under = fields.child("weights", optional=True)
    if under is not None:
        weights = {key: under.take(key, float) for key in under.data}
    fields.done()
    return AgentSpec(name, kind, model, script, weights, options)
