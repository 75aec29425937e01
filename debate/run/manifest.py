"""The manifest: exactly how a run was made, with secrets taken out."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from debate.errors import UserError

VERSION = 1
PACKAGES = ("debate-trainer", "torch", "transformers", "peft", "trl", "vllm", "numpy", "scipy", "safetensors")
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
HIDDEN = "[removed]"
_PLACEMENT = re.compile(r"agents\.[^.]+\.shard(_timeout|_gpus(\.\d+)?)?")

# Singular "token" only: `max_tokens` is a number. A bare "key" is no secret, `api_key` is.
_SECRET = r"(?:[_-]key|apikey|token|secrets?|passw(?:or)?d|credentials?)"
_SECRET_NAME = re.compile(_SECRET + "$", re.IGNORECASE)
_SECRET_SHAPES = (
    re.compile(r"\b(sk-[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16})"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),  # user:password in an address
    re.compile(r"(?<=[Bb]earer )[^\s\"']+"),
)
_OPTION = re.compile(r"(--?)([A-Za-z0-9_.-]+)(=?)(.*)", re.DOTALL)
# `name: value` and `name = value` in a recipe. A value such as ${NAME} only says where the secret is.
_ASSIGNED = re.compile(rf"""(\b[\w.-]*{_SECRET}["']?[ \t]*[:=][ \t]*)([^\s,}}#$][^,}}#\n]*)""", re.IGNORECASE)

# --- secrets ---------------------------------------------------------------------------------------------------


def without_secrets(text: str) -> str:
    """The text with keys, tokens and passwords taken out: by shape, by the name they are assigned to, and by value.

    By value means that of every environment variable whose name says that it is a secret.
    """
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAME.search(name):
            text = text.replace(value, HIDDEN)
    for shape in _SECRET_SHAPES:
        text = shape.sub(HIDDEN, text)
    return _ASSIGNED.sub(rf"\g<1>{HIDDEN!r}", text)


def clean_command(argv: Sequence[str]) -> list[str]:
    """A command line with the values of options such as `--api-key` and `--token` taken out."""
    clean: list[str] = []
    hide_next = False
    for word in argv:
        option = _OPTION.fullmatch(word)
        if hide_next and not word.startswith("--"):
            clean.append(HIDDEN)
            hide_next = False
        elif option is not None and _SECRET_NAME.search(option[2]):
            clean.append(f"{option[1]}{option[2]}={HIDDEN}" if option[3] else word)
            hide_next = not option[3]
        else:
            hide_next = False
            name, equals, _ = word.partition("=")
            clean.append(f"{name}={HIDDEN}" if equals and _SECRET_NAME.search(name) else without_secrets(word))
    return clean


# --- recipes ---------------------------------------------------------------------------------------------------


def flat_recipe(text: str) -> dict[str, str]:
    """The recipe's values as JSON by dotted key (`agents.0.name`), so that two recipes can be compared.

    Raises:
        UserError: the recipe is not YAML.
    """
    try:
        recipe = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"recipe: not YAML ({error})") from None
    flat: dict[str, str] = {}

    def walk(value: Any, key: str) -> None:
        if isinstance(value, dict) and value:
            for name, item in value.items():
                walk(item, f"{key}.{name}" if key else str(name))
        elif isinstance(value, list) and value:
            for index, item in enumerate(value):
                walk(item, f"{key}.{index}" if key else str(index))
        else:
            flat[key] = json.dumps(value, sort_keys=True, default=str)

    walk(recipe, "")
    return flat


def _said(text: str) -> dict[str, str]:
    """A recipe's values without those that only say where a learner runs: a run may go on elsewhere."""
    return {key: value for key, value in flat_recipe(text).items() if not _PLACEMENT.fullmatch(key)}


def recipe_hash(text: str, seed: int) -> str:
    """Hash of what a recipe says and the seed. Comments, spaces, the order of keys and `shard` do not matter."""
    return sha256(json.dumps([sorted(_said(text).items()), seed]).encode()).hexdigest()


def differing_keys(old: str, new: str) -> list[str]:
    """One line for each value in which two recipes differ."""
    before, after = _said(old), _said(new)
    return [
        f"{key}: {before.get(key, 'not set')} there, {after.get(key, 'not set')} now"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


# --- the record ------------------------------------------------------------------------------------------------


def make_manifest(
    recipe: str,
    seed: int,
    argv: Sequence[str] | None = None,
    models: Mapping[str, str] | None = None,
    data: Mapping[str, str] | None = None,
    protocols: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """How a run is made, as a JSON object.

    Args:
        recipe: the recipe's text, as it takes effect.
        seed: the run's seed.
        argv: the command line; `sys.argv` where None.
        models: name → hash of each model's weights or its revision.
        data: path → hash of each data file.
        protocols: name in the recipe → text of each protocol that is not a shipped one.
        folder: where the recipe stands, to which the paths in it are relative.

    Returns:
        `{version, recipe, recipe_hash, seed, folder, protocols, models, data, sessions}`; each session is one start of
        the run: command, start time, versions, git commit, threads, platform.

    Raises:
        UserError: the recipe is not YAML.
    """
    recipe = without_secrets(recipe)
    return {
        "version": VERSION,
        "recipe": recipe,
        "recipe_hash": recipe_hash(recipe, seed),
        "seed": seed,
        "folder": "" if folder is None else os.path.abspath(folder),
        "protocols": as_kept(protocols or {}),
        "models": dict(models or {}),
        "data": dict(data or {}),
        "sessions": [describe_session(argv)],
    }


def as_kept(protocols: Mapping[str, str]) -> dict[str, str]:
    """Texts of protocols as a manifest keeps them."""
    return {name: without_secrets(text) for name, text in protocols.items()}


def describe_session(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """What one start of a run runs on. Loads no heavy package: versions come from the installed distributions."""
    return {
        "command": clean_command(sys.argv if argv is None else argv),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        "git_commit": git_commit(),
        "threads": _threads(),
        "thread_settings": {name: os.environ[name] for name in THREAD_SETTINGS if name in os.environ},
        "cpus": os.cpu_count(),
        "platform": platform.platform(),
        "machine": platform.machine(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _threads() -> int | None:
    """Threads of the numerical kernels, on which bitwise results depend; None where torch is not loaded."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def git_commit(folder: Path | None = None) -> str | None:
    """The commit of this package's source, with "+changes" where files differ from it; None outside git."""
    folder = Path(__file__).parent if folder is None else folder
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
