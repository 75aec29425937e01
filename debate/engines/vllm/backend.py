"""What both ways of running vLLM share: token ids in, token ids and log-probabilities out, adapters by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from debate.engines.vllm.adapters import Served
from judges.types import Sampling

BASE = "base"  # what the bare model is called
_SEEDS = 1 << 63


@dataclass(frozen=True, slots=True)
class Ask:
    """One call of vLLM.

    Attributes:
        prompt: ids to read.
        adapter: which adapter answers; None is the bare base.
        sampling: how to continue; None: score the prompt's own ids instead.
        start: when scoring, the position from which on ids are scored.
        seed: of the sample.
        stops: ids that end it.
    """

    prompt: tuple[int, ...]
    adapter: Served | None
    sampling: Sampling | None
    start: int = 0
    seed: int = 0
    stops: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """What vLLM calls the policy."""
        return self.adapter.name if self.adapter else BASE

    def parameters(self, seeded: bool) -> dict[str, Any]:
        """VLLM's sampling parameters by their names there."""
        if self.sampling is None:
            return {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
        wanted: dict[str, Any] = {
            "max_tokens": self.sampling.max_tokens,
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "top_k": self.sampling.top_k or -1,
            "logprobs": 0,
            "stop_token_ids": list(self.stops),
        }
        if seeded and self.sampling.temperature > 0:
            wanted["seed"] = self.seed % _SEEDS
        return wanted


@dataclass(frozen=True, slots=True)
class Answer:
    """What vLLM answered.

    Attributes:
        name: who answered, in vLLM's own words.
        tokens: sampled ids, the one that ended them included; empty when scoring.
        logprobs: of the sampled ids, or of the scored ones.
        prompt: the ids that were read, as vLLM says.
        cached: how many of them were not computed anew.
        error: why this call can never be answered; None otherwise.
    """

    name: str = ""
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    prompt: tuple[int, ...] = ()
    cached: int = 0
    error: str | None = None


class EngineDown(RuntimeError):
    """vLLM died, or cannot be reached. What was delivered stands; the rest may be asked again after a restart."""


Deliver = Callable[[int, Answer], None]


class Backend(Protocol):
    """A running vLLM."""

    def load(self, adapter: Served) -> None:
        """Loads an adapter; `EngineDown` where vLLM is gone, UserError where it refuses the adapter."""
        ...

    def unload(self, adapter: Served) -> None:
        """Forgets an adapter."""
        ...

    async def run(self, asks: Sequence[Ask], deliver: Deliver) -> None:
        """Answers every call, in any order, each with its index.

        Raises:
            EngineDown: not all could be answered.
        """
        ...

    def restart(self, adapters: Iterable[Served]) -> None:
        """Starts vLLM anew with these adapters loaded.

        Raises:
            EngineUnavailable: it does not start.
        """
        ...

    def close(self) -> None:
        """Stops vLLM and everything it started; doing so twice is harmless."""
        ...


def scored(prompt: Sequence[int], entries: Sequence[Any], start: int) -> tuple[float, ...]:
    """Log-probabilities of the prompt's ids from `start` on.

    Args:
        prompt: [T] ids.
        entries: [T] vLLM's prompt log-probabilities: mappings from id (an int, or its decimal) to an entry.
        start: first scored position, at least 1.

    Raises:
        ValueError: an id that was not scored.
    """
    values = []
    for position in range(start, len(prompt)):
        entry = entries[position] if position < len(entries) else None
        found = None if entry is None else entry.get(prompt[position], entry.get(str(prompt[position])))
        if found is None:
            raise ValueError(f"vLLM gave no log-probability of the id at position {position}")
        values.append(float(found["logprob"] if isinstance(found, dict) else found.logprob))
    return tuple(values)
