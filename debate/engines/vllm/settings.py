"""How vLLM is started: one set of numbers, as arguments of `LLM` and of `vllm serve`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from debate.engines.adapters import ATTENTION
from debate.errors import UserError

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class VllmSettings:
    """How vLLM is started.

    Attributes:
        dtype: of weights and activations.
        rank: of the adapters (see `debate.engines.vllm.adapters.RANKS`).
        targets: names of the layers that adapters change; only they are prepared for it. Empty: every layer, the head
            included (then a CPU build of vLLM 0.32 cannot score choices).
        max_loras: adapters that may speak in one batch; each takes memory.
        max_cpu_loras: adapters kept in main memory, at least `max_loras`; others are read again from their files.
        context: most tokens of a prompt and its answer; 0 takes the model's own.
        memory: share of a GPU's memory that vLLM may take; 0 leaves vLLM's default. A learner on the same GPU needs
            the rest.
        gpus: GPUs over which the model is split (tensor parallel).
        rows: most conversations at once; 0 leaves vLLM's default.
        eager: start without compiling; starts sooner, speaks slower.
        seeded: give every request its own seed, so that a sample does not hang on the order of requests.
    """

    dtype: str = "bfloat16"
    rank: int = 16
    targets: tuple[str, ...] = ATTENTION
    max_loras: int = 8
    max_cpu_loras: int = 64
    context: int = 0
    memory: float = 0.0
    gpus: int = 1
    rows: int = 0
    eager: bool = False
    seeded: bool = True

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            UserError: one that means nothing.
        """
        if self.dtype not in DTYPES:
            raise UserError(f"dtype: expected {', '.join(DTYPES)}, got {self.dtype!r}")
        if self.max_loras < 1 or self.max_cpu_loras < self.max_loras:
            raise UserError(
                f"expected 1 ≤ max_loras ≤ max_cpu_loras, got max_loras {self.max_loras}, "
                f"max_cpu_loras {self.max_cpu_loras}"
            )
        if not 0.0 <= self.memory < 1.0:
            raise UserError(f"memory: expected a share from 0 to below 1, got {self.memory}")
        if self.gpus < 1 or self.context < 0 or self.rows < 0:
            raise UserError(
                f"expected gpus ≥ 1, context ≥ 0 and rows ≥ 0, got {self.gpus}, {self.context}, {self.rows}"
            )

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `vllm.LLM`.

        Log-probabilities are those of the distribution really drawn from, and the model's own sampling defaults
        (`generation_config`) are kept out.
        """
        given: dict[str, Any] = {
            "dtype": self.dtype,
            "enable_lora": True,
            "max_lora_rank": self.rank,
            "max_loras": self.max_loras,
            "max_cpu_loras": self.max_cpu_loras,
            "enable_prefix_caching": True,
            "logprobs_mode": "processed_logprobs",
            "generation_config": "vllm",
            "tensor_parallel_size": self.gpus,
            "seed": 0,
        }
        if self.targets:
            given["lora_target_modules"] = list(self.targets)
        if self.context:
            given["max_model_len"] = self.context
        if self.memory:
            given["gpu_memory_utilization"] = self.memory
        if self.rows:
            given["max_num_seqs"] = self.rows
        if self.eager:
            given["enforce_eager"] = True
        return given

    def flags(self) -> list[str]:
        """The same for `vllm serve`."""
        flags = []
        for name, value in self.arguments().items():
            flag = f"--{name.replace('_', '-')}"
            flags += [flag] if value is True else [flag, *map(str, value if isinstance(value, list) else [value])]
        return flags


def environment() -> dict[str, str]:
    """Environment variables under which vLLM is started, where the caller's own do not say otherwise."""
    return {
        "VLLM_CPU_KVCACHE_SPACE": "2",  # GiB; a CPU build would take a large part of the machine's memory
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
