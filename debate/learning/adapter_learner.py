"""Learners that train LoRA adapters: many agents, one base model in memory, shared with the engine that plays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from debate.learning.learner import LearnerConfig, PolicyGradientLearner
from debate.transcript import Policy


class AdapterHost(Protocol):
    """What holds the base model and its adapters (`debate.engines.adapters.AdapterPolicies`)."""

    base: Any
    spec: Any
    peft: Any

    def first_state(self, seed: int) -> dict[str, Any]:
        """The state of an adapter that changes nothing yet."""
        ...


class AdapterLearner(PolicyGradientLearner):
    """Trains one LoRA adapter (float32) over a base model that stays as it is.

    The adapter lives in the host's own PEFT model under a name no policy has, so base weights exist once. It is active
    only during `update`; `weights()` has PEFT's file format, ready to be published.
    """

    kind = "AdapterLearner"

    def __init__(
        self, host: AdapterHost, policy: Policy, config: LearnerConfig, state: Mapping[str, Any] | int = 0
    ) -> None:
        """Adds the adapter.

        Args:
            host: holds base and adapters.
            policy: what the adapter is called now.
            config: how to update.
            state: its weights in PEFT's file format, or the seed of fresh ones.

        Raises:
            ValueError: weights that do not fit, or an agent that has a learner here already.
        """
        import torch
        from peft import set_peft_model_state_dict

        weights = (
            host.first_state(state) if isinstance(state, int) else {k: torch.as_tensor(v) for k, v in state.items()}
        )
        if host.peft is None:
            host.first_state(0)
        self.host = host
        self._adapter = f"learner_of_{policy.name}".replace(".", "_")
        if self._adapter in host.peft.peft_config:
            raise ValueError(f"learner of {policy.name}: there is one already over this base model")
        with torch.random.fork_rng(devices=[]), self._restored():
            host.peft.add_adapter(self._adapter, host.spec.config())
        own = {name: tuple(p.shape) for name, p in self._trainable().items()}
        given = {name: tuple(w.shape) for name, w in weights.items()}
        if own != given:
            host.peft.delete_adapter(self._adapter)
            wrong = sorted(set(own.items()) ^ set(given.items()))
            raise ValueError(f"learner of {policy.name}: adapter weights do not fit, first of {len(wrong)}: {wrong[0]}")
        set_peft_model_state_dict(host.peft, dict(weights), adapter_name=self._adapter)
        for parameter in self._trainable().values():
            parameter.data = parameter.data.float()
        device = str(next(host.base.parameters()).device)
        super().__init__(host.base, policy, config, device)

    def _trainable(self) -> dict[str, Any]:
        """The adapter's matrices under their names in PEFT's files."""
        mark = f".{self._adapter}."
        return {name.replace(mark, "."): p for name, p in self.host.peft.named_parameters() if mark in name}

    @contextmanager
    def _restored(self) -> Iterator[None]:
        """Whatever adapter was active and whatever was trainable is so again afterwards."""
        peft = self.host.peft
        active = peft.active_adapter
        flags = [(p, p.requires_grad) for p in peft.parameters()]
        try:
            yield
        finally:
            # PEFT's own switches fail while the active adapter is one that was deleted.
            peft.set_adapter(active if active in peft.peft_config else self._adapter, inference_mode=True)
            for parameter, flag in flags:
                parameter.requires_grad_(flag)

    @contextmanager
    def _acting(self) -> Iterator[None]:
        """Switches this adapter on, alone trainable."""
        peft = self.host.peft
        with self._restored():
            peft.set_adapter(self._adapter)
            for parameter in peft.parameters():
                parameter.requires_grad_(False)
            for parameter in self._parameters.values():
                parameter.requires_grad_(True)
            yield
