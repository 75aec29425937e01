"""Engines over one base with a LoRA adapter a policy: how their learners are made, here or sharded over processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debate.errors import UserError
from debate.transcript import Policy

if TYPE_CHECKING:
    from debate.recipes.specs import AgentSpec


class AdapterEngine:
    """An engine over one base, each policy a LoRA adapter: how its learners are made.

    Attributes:
        host: holds base and adapters for training (`debate.engines.adapters.AdapterPolicies`); where the base is
            sharded it is asked for their shapes only.
        model: the base's name.
    """

    host: Any
    model: str
    _shards: Any = None

    def start(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """The adapter that an agent starts with."""
        if options.get("start"):
            from debate.starts import adapter_weights

            return adapter_weights(Path(options["start"]), self.host.spec)
        return self.host.first_state(0)  # type: ignore[no-any-return]

    def first_weights(self, policy: Policy, options: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What is published as version 0."""
        return self.start(options)

    def learner(self, policy: Policy, options: Mapping[str, Any]) -> Any:
        """A learner of one adapter."""
        from debate.learning.adapter_learner import AdapterLearner
        from debate.learning.configured import learner_config

        if options.get("shard", 1) > 1:
            return self._sharded(options).learner(policy, learner_config(options), self.start(options))
        return AdapterLearner(self.host, policy, learner_config(options), self.start(options))

    def joint_learner(self, agents: Mapping[str, tuple[Policy, Mapping[str, Any]]]) -> Any:
        """One learner that updates all these agents at once."""
        from debate.learning.configured import learner_config
        from debate.learning.joint_learner import JointLearner

        taught = {n: (p, learner_config(o), self.start(o)) for n, (p, o) in agents.items()}
        _, options = next(iter(agents.values()))
        if options.get("shard", 1) > 1:
            return self._sharded(options).joint(taught)
        return JointLearner(self.host, taught)

    def _sharded(self, options: Mapping[str, Any]) -> Any:
        """What makes learners whose base is divided over processes; all over this base share them."""
        from debate.sharding.learners import Shards

        if self._shards is None:
            self._shards = Shards(self.model, options, self.host.spec)
        return self._shards

    def close(self) -> None:
        """Ends processes of sharded learners; doing so twice is harmless."""
        if self._shards is not None:
            self._shards.close()

    @staticmethod
    def joins(agents: Sequence[AgentSpec]) -> bool:
        """Whether these agents, all on this base, are updated at once.

        Raises:
            UserError: an agent asks for it and the settings do not allow it.
        """
        wanted = [a.name for a in agents if a.options["learner"] == "joint"]
        problem = "" if len(agents) > 1 else "no other learning agent is on its base"
        for key in ("epochs", "temperature", "part_rows", "layout", "bf16", "checkpointing"):
            values = {a.options[key] for a in agents}
            if len(values) > 1:
                problem = f"the agents on its base differ in {key}: {', '.join(map(str, sorted(values)))}"
        alone = [a.name for a in agents if a.options["learner"] == "separate"]
        if alone:
            problem = f"{alone[0]}, on the same base, asks for a separate one"
        if wanted and problem:
            raise UserError(f"agent {wanted[0]}: learner: joint is not possible: {problem}")
        return not problem


def training_host(model: str, options: Mapping[str, Any], spec: Any) -> Any:
    """Base and adapters for training alone; with `shard`, their shapes without weights.

    Raises:
        UserError: a model that cannot be loaded, or a device that is not there.
    """
    from debate.engines.adapters import AdapterPolicies
    from debate.engines.hf import load_base

    if options.get("shard", 1) > 1:
        from debate.models import resolve
        from debate.sharding.base import shape_of

        return AdapterPolicies(shape_of(resolve(model), options["dtype"]), spec)
    base, _ = load_base(model, options["device"], options["dtype"])
    return AdapterPolicies(base, spec)
