"""From a model's name to a completer over vLLM."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from debate.engines.adapters import AdapterSpec
from debate.engines.chat_format import ChatFormat
from debate.engines.vllm.adapters import AdapterFolder
from debate.engines.vllm.completer import VllmCompleter
from debate.engines.vllm.in_process import InProcess
from debate.engines.vllm.served import RETRY, ServedVllm
from debate.engines.vllm.settings import VllmSettings
from debate.errors import UserError
from debate.models import resolve

MODES = ("in_process", "server")


def vllm_completer(
    name: str,
    folder: Path,
    settings: VllmSettings | None = None,
    adapter: AdapterSpec | None = None,
    mode: str = "in_process",
    url: str = "",
    key: str = "",
    timeout: float = 600.0,
    concurrency: int = 512,
) -> VllmCompleter:
    """A completer whose base policy "" is a model that vLLM serves; `publish` adds LoRA adapters over it.

    Args:
        name: a pulled model, a folder, or a hub id.
        folder: where adapters (and a server's log) are written; a server must be able to read it.
        settings: how vLLM is started; rank and targets are the adapter's.
        adapter: the shape of every adapter.
        mode: "in_process", or "server": `vllm serve` as a process of its own.
        url: of a server that runs already, such as http://10.0.0.5:8000/v1, with the base model under its own name;
            nothing is started then.
        key: environment variable with that server's key; "" sends none.
        timeout: seconds one call to a server may take.
        concurrency: most calls in flight to a server.

    Raises:
        UserError: no such model, a rank that vLLM cannot serve, no chat template, or vLLM is not installed.
        EngineUnavailable: vLLM does not start, or no server answers.
    """
    if mode not in MODES:
        raise UserError(f"mode: expected {' or '.join(MODES)}, got {mode!r}")
    spec = adapter or AdapterSpec()
    targets = () if isinstance(spec.targets, str) else tuple(spec.targets)
    settings = replace(settings or VllmSettings(), rank=spec.rank, targets=targets)
    if not url and not _accelerated():
        # vLLM 0.32 on a CPU dies when it splits the prompt of a seeded request ("CPU Generator does not use offset").
        settings = replace(settings, seeded=False)
    adapters = AdapterFolder(folder.absolute(), name, spec)
    path = resolve(name)
    chat = chat_format(path, name)
    backend: Any
    if url:
        from debate.engines.openai.endpoint import Endpoint

        endpoint = Endpoint(url, key, timeout=timeout, retry=RETRY, concurrency=concurrency)
        backend = ServedVllm(endpoint, base=name, seeded=settings.seeded)
    elif mode == "server":
        backend = ServedVllm.start(path, settings, adapters.root / "server.log", timeout, concurrency)
    else:
        backend = InProcess(path, settings)
    try:
        return VllmCompleter(backend, adapters, chat, backend.context())
    except BaseException:
        backend.close()
        raise


def _accelerated() -> bool:
    import torch

    return torch.cuda.is_available()


def chat_format(path: str, name: str) -> ChatFormat:
    """The chat format of a model whose weights are not loaded here.

    Raises:
        UserError: files that cannot be read, or no chat template.
    """
    from transformers import AutoTokenizer, GenerationConfig

    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"model {name!r} cannot be loaded: {' '.join(str(error).split())[:400]}") from error
    try:
        eos = GenerationConfig.from_pretrained(path).eos_token_id
    except OSError:  # a model without generation settings: the tokenizer alone says what ends a message
        eos = None
    return ChatFormat(tokenizer, stops=[] if eos is None else [eos] if isinstance(eos, int) else list(eos))
