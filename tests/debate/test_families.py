"""Families of models: by what they were made from, not by what they are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from debate.families import FROM, LINEAGES, family_of, family_of_name


def folder(path: Path, config: dict, adapter: dict | None = None) -> str:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    if adapter is not None:
        (path / "adapter_config.json").write_text(json.dumps(adapter))
    return str(path)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm"),
        ("Qwen/Qwen2.5-0.5B", "qwen"),
        ("Qwen/QwQ-32B", "qwen"),
        ("meta-llama/Meta-Llama-3-8B", "llama"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "llama"),
        ("mistralai/Mixtral-8x7B", "mistral"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", ""),
        ("acme/judge-7b", ""),
        ("optimus", ""),
        ("", ""),
    ],
)
def test_names(name, family):
    assert family_of_name(name) == family


def test_every_family_that_another_comes_from_is_a_family():
    assert set(FROM) <= set(LINEAGES) and set(FROM.values()) <= set(LINEAGES) - set(FROM)


def test_what_the_recipe_says_comes_first():
    assert family_of("hf", "Qwen/Qwen2.5-0.5B", " Acme ") == "acme"
    assert family_of("nano", "nano") == "nano"
    assert family_of("scripted", "scripted") == ""
    assert family_of("llm", "smollm2-135m") == "smollm"


def test_adapters_of_one_base_are_one_family(tmp_path):
    base = folder(tmp_path / "Qwen2.5-0.5B", {"model_type": "qwen2"})
    tuned = folder(tmp_path / "mine", {"model_type": "qwen2"}, {"base_model_name_or_path": base})
    again = folder(tmp_path / "ours", {}, {"base_model_name_or_path": tuned})
    assert family_of("hf", again) == family_of("llm", tuned) == "qwen"
    copied = folder(tmp_path / "copied", {"_name_or_path": "meta-llama/Llama-3.2-1B"})
    assert family_of("hf", copied) == "llama"


def test_an_architecture_is_no_family(tmp_path):
    assert family_of("hf", folder(tmp_path / "a", {"model_type": "llama", "architectures": ["LlamaForCausalLM"]})) == ""


def test_circles_and_damage_are_not_known(tmp_path):
    place = tmp_path / "circle"
    folder(place, {"_name_or_path": str(place)})
    assert family_of("hf", str(place)) == ""
    (place / "config.json").write_text("what?")
    assert family_of("hf", str(place)) == ""
    assert family_of("hf", str(tmp_path / "absent")) == ""
