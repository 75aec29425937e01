"""LoRA policies: many adapters over one base model in memory, in PEFT's formats."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debate.engines.policies import refuse, require
from debate.errors import UserError

if TYPE_CHECKING:
    import torch

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FILE, CONFIG = "adapter_model.safetensors", "adapter_config.json"
BLANK = "blank"  # an adapter that is never published: it knows the shapes, and PEFT wants at least one


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """The shape of a low-rank adapter (Hu et al. 2021, "LoRA").

    Attributes:
        rank: of the update.
        alpha: the update is scaled by alpha / rank.
        targets: names of the linear layers it is added to, or "all-linear" for every one but the head.
    """

    rank: int = 16
    alpha: float = 32.0
    targets: tuple[str, ...] | str = ATTENTION

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            UserError: a rank below 1, an alpha not above 0, or targets that are neither names nor "all-linear".
        """
        if self.rank < 1 or self.alpha <= 0:
            raise UserError(f"adapter: expected rank ≥ 1 and alpha > 0, got {self.rank} and {self.alpha}")
        if (isinstance(self.targets, str) and self.targets != "all-linear") or not self.targets:
            raise UserError(f'adapter: targets must be names of layers or "all-linear", got {self.targets!r}')

    def config(self) -> Any:
        """PEFT's `LoraConfig` of this shape: no dropout, no bias, nothing else trained."""
        from peft import LoraConfig

        targets = self.targets if isinstance(self.targets, str) else list(self.targets)
        return LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM"
        )


class AdapterPolicies:
    """Every policy is a LoRA adapter; policy "" is the bare base. See `debate.engines.policies.Policies`.

    Adapters are published as state dicts in PEFT's file format (`….lora_A.weight`, `….lora_B.weight`).

    Args:
        base: a transformers causal language model; its layers are wrapped in place.
        spec: the shape of every adapter.
    """

    def __init__(self, base: Any, spec: AdapterSpec) -> None:
        self.base = base
        self.spec = spec
        self._peft: Any = None
        self._names: dict[str, str] = {}  # policy id → PEFT's adapter name, which may hold no dots
        self._count = 0

    @property
    def peft(self) -> Any:
        """The `PeftModel` around the base, made on first use. A learner may add and train adapters of its own in it."""
        if self._peft is None:
            from peft import get_peft_model

            with self._no_draws():
                try:
                    self._peft = get_peft_model(self.base, self.spec.config(), adapter_name=BLANK)
                except ValueError as error:
                    raise UserError(f"adapter: {error}") from error
            self._peft.requires_grad_(False).eval()
        return self._peft

    @contextmanager
    def _no_draws(self) -> Iterator[None]:
        """Initialisation draws from torch's global generators; the caller's stay as they were."""
        import torch

        devices = [self.base.device] if self.base.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            yield

    def ids(self) -> tuple[str, ...]:
        """Every id that can be asked for."""
        return ("", *self._names)

    def _layers(self) -> list[Any]:
        from peft.tuners.tuners_utils import BaseTunerLayer

        return [] if self._peft is None else [m for m in self._peft.modules() if isinstance(m, BaseTunerLayer)]

    @contextmanager
    def _untouched(self) -> Iterator[None]:
        """Restores active adapters, what is trainable, and the training mode: PEFT changes them in passing."""
        peft = self.peft
        training, active = peft.training, peft.active_adapter
        layers = [(layer, layer._active_adapter, layer._disable_adapters) for layer in self._layers()]
        flags = [(parameter, parameter.requires_grad) for parameter in peft.parameters()]
        try:
            yield
        finally:
            peft.active_adapter = active
            for layer, names, disabled in layers:
                layer._active_adapter, layer._disable_adapters = names, disabled
            for parameter, flag in flags:
                parameter.requires_grad_(flag)
            peft.train(training)

    def first_state(self, seed: int) -> dict[str, torch.Tensor]:
        """The state of an adapter that changes nothing yet: A uniform in ±1/√(fan in), B zero.

        Args:
            seed: of A.
        """
        import torch

        shapes = {key: (tensor.shape, tensor.dtype) for key, tensor in self._state(BLANK).items()}
        generator = torch.Generator().manual_seed(seed % (1 << 63))
        state = {}
        for key, (shape, dtype) in sorted(shapes.items()):
            if "lora_A" in key:
                bound = shape[1] ** -0.5
                state[key] = torch.empty(shape).uniform_(-bound, bound, generator=generator).to(dtype)
            else:
                state[key] = torch.zeros(shape, dtype=dtype)
        return state

    def _state(self, name: str) -> dict[str, torch.Tensor]:
        from peft import get_peft_model_state_dict

        state = get_peft_model_state_dict(self.peft, adapter_name=name, save_embedding_layers=False)
        return {key: tensor.detach() for key, tensor in state.items()}

    def state(self, policy: str) -> dict[str, torch.Tensor]:
        """A published adapter's state.

        Raises:
            UserError: it is not known, or it is the base, which has none.
        """
        require(policy, tuple(self._names))
        return {key: tensor.cpu() for key, tensor in self._state(self._names[policy]).items()}

    def publish(self, policy: str, state: Mapping[str, Any]) -> None:
        """Adds an adapter with these weights; nothing happens when it is there with the same ones.

        Raises:
            UserError: wrong names or shapes, or the id is taken by other weights.
        """
        import torch
        from peft import set_peft_model_state_dict

        given = {key: torch.as_tensor(value) for key, value in state.items()}
        if refuse(policy, self.ids(), lambda: _equal(self.state(policy), given)):
            return
        own = self._state(BLANK)
        wrong = sorted(own.keys() ^ given.keys()) or [k for k in own if own[k].shape != given[k].shape]
        if wrong:
            raise UserError(
                f"policy {policy!r}: not an adapter of this model, rank {self.spec.rank} on {self.spec.targets}; "
                f"differing: {', '.join(wrong[:3])}"
            )
        name = f"adapter{self._count}"
        self._count += 1
        with self._untouched(), self._no_draws():
            self.peft.add_adapter(name, self.spec.config())
            set_peft_model_state_dict(self.peft, given, adapter_name=name)
        for key, parameter in self.peft.named_parameters():
            if f".{name}." in key:
                parameter.requires_grad_(False)
        self._names[policy] = name

    def retire(self, policy: str) -> None:
        """Forgets an adapter.

        Raises:
            UserError: it is not known, or it is the base.
        """
        require(policy, self.ids())
        if not policy:
            raise UserError('the base model "" cannot be retired')
        with self._untouched():
            self.peft.delete_adapter(self._names.pop(policy))

    @contextmanager
    def use(self, policy: str) -> Iterator[Any]:
        """The base model with the policy's adapter switched on (for "": every adapter off) and dropout off.

        Only the layers' own switches are set (PEFT's `set_adapter` would also change what is trainable), and set back
        afterwards.
        """
        require(policy, self.ids())
        layers = [(layer, layer._active_adapter, layer._disable_adapters) for layer in self._layers()]
        training = self.base.training
        for layer, _, _ in layers:
            layer._disable_adapters = not policy
            if policy:
                layer._active_adapter = [self._names[policy]]
        self.base.eval()
        try:
            yield self.base
        finally:
            for layer, names, disabled in layers:
                layer._active_adapter, layer._disable_adapters = names, disabled
            self.base.train(training)


def _equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        one[k].shape == other[k].shape and bool((one[k] == other[k].to(one[k].dtype)).all()) for k in one
    )


def save_adapter(folder: Path, state: Mapping[str, torch.Tensor], spec: AdapterSpec, base: str) -> None:
    """Writes an adapter as PEFT does: `adapter_model.safetensors` and `adapter_config.json`.

    Args:
        folder: made when missing.
        state: by name, in PEFT's file format.
        spec: its shape.
        base: name of the model it belongs to.
    """
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    config = spec.config()
    config.base_model_name_or_path, config.inference_mode = base, True
    config.save_pretrained(folder)
    (folder / FILE).write_bytes(save({key: tensor.contiguous() for key, tensor in state.items()}, {"format": "pt"}))


def load_adapter(folder: Path) -> tuple[dict[str, torch.Tensor], AdapterSpec]:
    """Reads an adapter in PEFT's format.

    Returns:
        Its state and its shape.

    Raises:
        UserError: files missing, not a plain LoRA adapter, or one that trains more than low-rank updates.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for file in (FILE, CONFIG):
        if not (folder / file).is_file():
            raise UserError(f"{folder}: no {file}; expected an adapter in PEFT's format with safetensors weights")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        state = load_file(folder / FILE)
    except (json.JSONDecodeError, SafetensorError) as error:
        raise UserError(f"{folder}: damaged adapter ({error})") from error
    plain: dict[str, tuple[Any, ...]] = {
        "peft_type": ("LORA",),
        "use_dora": (False, None),
        "use_rslora": (False, None),
        "bias": ("none", None),
        "modules_to_save": (None, []),
        "rank_pattern": ({}, None),
        "alpha_pattern": ({}, None),
    }
    for key, allowed in plain.items():
        if config.get(key) not in allowed:
            raise UserError(f"{folder / CONFIG}: {key} is {config.get(key)!r}; only plain LoRA adapters can be used")
    targets = config["target_modules"]
    spec = AdapterSpec(
        config["r"], config["lora_alpha"], targets if isinstance(targets, str) else tuple(sorted(targets))
    )
    return state, spec
