"""Model families: a judge may not grade its own, whatever name, size or adapter it goes by.

Where a family comes from, in this order: the recipe says `family:`; the embedded model, which shares weights and data
with nothing else; the base model of an adapter; the lineage in the model's own files (`base_model`, `_name_or_path`);
the model's name. From a name the maker's word counts ("Qwen2.5-7B-Instruct" and "qwen3-4b" are both qwen), so that
generations and sizes of one maker are one family. An architecture is no family: half of all models are "llama" there.
What leads to no word that is known, or to two, is not known, which is not independence.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from debate.errors import UserError

# First words of model names; what else a model may be called is in nobody's power to list: say `family:` in the recipe.
LINEAGES = (
    "smollm",
    "tinyllama",
    "llama",
    "vicuna",
    "qwen",
    "qwq",
    "mistral",
    "mixtral",
    "ministral",
    "gemma",
    "phi",
    "pythia",
    "gpt",
    "opt",
    "bloom",
    "falcon",
    "olmo",
    "deepseek",
    "yi",
    "granite",
    "command",
    "aya",
    "glm",
    "internlm",
    "stablelm",
    "mpt",
    "zephyr",
    "nemotron",
    "exaone",
    "minicpm",
    "baichuan",
    "kimi",
)
# Trained from another family's weights: the same family.
FROM = {
    "tinyllama": "llama",
    "vicuna": "llama",
    "qwq": "qwen",
    "mixtral": "mistral",
    "ministral": "mistral",
    "zephyr": "mistral",
}
NANO = "nano"
_DEPTH = 4  # adapters of adapters


def family_of(kind: str, model: str, declared: str = "") -> str:
    """The family of a model that an agent or a judge uses; "" where it is not known.

    Args:
        kind: "nano", "hf", "llm", or something that is no model ("scripted", "human", a judge made of code).
        model: its name, hub id or folder.
        declared: what the recipe says.
    """
    if declared.strip():
        return declared.strip().lower()
    if kind == "nano":
        return NANO
    return _of_model(model, _DEPTH) if kind in ("hf", "llm", "learned") else ""


def _of_model(model: str, depth: int) -> str:
    from debate.models import KNOWN, resolve

    if model in KNOWN:
        return family_of_name(KNOWN[model].hub)
    try:
        folder = Path(resolve(model))
    except UserError:  # told when the model is loaded
        return family_of_name(model)
    if not folder.is_dir():
        return family_of_name(model)
    adapter, config = _read(folder / "adapter_config.json"), _read(folder / "config.json")
    for origin in (adapter.get("base_model_name_or_path"), config.get("base_model"), config.get("_name_or_path")):
        if isinstance(origin, str) and origin and depth:
            found = _of_model(origin, depth - 1)
            if found:
                return found
    return family_of_name(folder.name)


def family_of_name(name: str) -> str:
    """The family that a model's name tells; "" where it tells none, or several ("DeepSeek-R1-Distill-Qwen-7B").

    >>> [family_of_name(n) for n in ("Qwen/Qwen2.5-7B", "qwen3-4b", "meta-llama/Llama-3.2-1B", "my-model", "option")]
    ['qwen', 'qwen', 'llama', '', '']
    """
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1].lower()
    found = {FROM.get(word, word) for word in re.findall(r"[a-z]+", last) if word in LINEAGES}
    return found.pop() if len(found) == 1 else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    found: dict[str, Any] = data if isinstance(data, dict) else {}
    return found
