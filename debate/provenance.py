"""Which models a run used, by hash, for its manifest."""

from __future__ import annotations

import json
from pathlib import Path

from debate.recipe import JudgeSpec, Recipe
from debate.run.manifest import hash_file


def model_hashes(recipe: Recipe) -> dict[str, str]:
    """Model name → SHA-256 of its weights; of a pulled model also where it came from, of a hub id its name alone.

    Raises:
        UserError: a model that is not there.
    """
    from debate.models import resolve

    names = {agent.model for agent in recipe.agents if agent.kind in ("hf", "vllm")}
    names |= {judge.model for arena in recipe.arenas for judge in arena.judges if _here(judge)}
    hashes = {name: _hash(resolve(name)) for name in sorted(names)}
    hashes |= {agent.model: f"endpoint:{agent.options['url']}" for agent in recipe.agents if agent.kind == "openai"}
    for arena in recipe.arenas:
        hashes |= {j.model: f"endpoint:{j.options['url']}" for j in arena.judges if j.model and not _here(j)}
    if any(agent.kind == "nano" for agent in recipe.agents):
        from debate.engines.nano import model

        hashes["nano"] = hash_file(model.WEIGHTS)
    return hashes


def _here(judge: JudgeSpec) -> bool:
    """Whether a judge's model is one whose files are known here."""
    return bool(judge.model) and judge.options.get("engine") != "openai"


def _hash(place: str) -> str:
    folder = Path(place)
    if not folder.is_dir():
        return f"hub:{place}"
    source = folder / "source.json"
    origin = ""
    if source.is_file():
        record = json.loads(source.read_text(encoding="utf-8"))
        origin = f" from {record.get('origin', 'unknown')}"
    weights = sorted(folder.glob("*.safetensors"))
    return " ".join(f"{path.name}:{hash_file(path)}" for path in weights) + origin
