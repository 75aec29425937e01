"""Sharded learners as the rest of a run sees them: the methods of learners in this process, the same states."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debate.errors import Failed, UserError
from debate.learning.memory import TrainingFailed
from debate.models import resolve
from debate.sharding.base import check_model
from debate.sharding.processes import Processes
from debate.sharding.rank import ShardSpec
from debate.transcript import Policy

if TYPE_CHECKING:
    from debate.engines.adapters import AdapterSpec
    from debate.learning.batch import TokenBatch
    from debate.learning.learner import LearnerConfig, State

    Agents = Mapping[str, tuple[Policy, LearnerConfig, Mapping[str, Any]]]


class Shards:
    """One sharded base, and the learners over it. Its processes start with the first learner."""

    def __init__(self, model: str, options: Mapping[str, Any], adapter: AdapterSpec) -> None:
        """Nothing is started yet.

        Args:
            model: name, folder or hub id.
            options: an agent's: `shard`, `shard_gpus`, `shard_timeout`, `device`, `dtype`.
            adapter: shape of every adapter.
        """
        self._model, self._options, self._adapter = model, options, adapter
        self.processes: Processes | None = None
        self._names: list[str] = []

    def learner(self, policy: Policy, config: LearnerConfig, weights: Mapping[str, Any]) -> ShardedLearner:
        """A learner of one agent.

        Raises:
            UserError: a model that cannot be sharded, or GPUs that are not there.
            TrainingFailed: a process ended while starting.
        """
        self._join({policy.name: (policy, config, weights)}, joint=False)
        return ShardedLearner(self, (policy.name,), policy.name, config)

    def joint(self, agents: Agents) -> ShardedJoint:
        """A learner of agents that are updated at once.

        Raises:
            UserError, TrainingFailed: as in `learner`.
        """
        self._join(agents, joint=True)
        return ShardedJoint(self, {name: config for name, (_, config, _) in agents.items()})

    def _join(self, agents: Agents, joint: bool) -> None:
        fused = [name for name, (_, config, _) in agents.items() if config.fused_head]
        if fused:
            raise ValueError(f"learner of {fused[0]}: fused_head calls the model inside its own pass; not when sharded")
        self._names += agents
        who = ", ".join(self._names)
        if self.processes is None:
            options = self._options
            spec = ShardSpec(
                size=options["shard"],
                folder=str(_folder(self._model)),
                dtype=options["dtype"],
                device=options["device"],
                gpus=tuple(options.get("shard_gpus", ())),
                adapter=self._adapter,
                timeout=options.get("shard_timeout", 600.0),
            )
            check_model(Path(spec.folder), spec.dtype)
            self.processes = Processes(spec, who)
        self.processes.who = who
        plain = {
            name: (policy, config, {key: _array(value) for key, value in weights.items()})
            for name, (policy, config, weights) in agents.items()
        }
        self.ask("join", plain, joint)

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """What every process answers."""
        assert self.processes is not None
        return self.processes.ask(method, *arguments)

    def update(self, group: tuple[str, ...], batches: Mapping[str, TokenBatch]) -> dict[str, dict[str, float]]:
        """Updates agents of a group. Agent → measurements.

        Raises:
            TrainingFailed: as in `debate.learning.learner`; or the processes' copies of the adapters have come apart.
        """
        if not batches:
            return {}
        answers = self.ask("update", group, dict(batches))
        if len({digest for _, digest in answers}) > 1:
            raise TrainingFailed(
                f"learner of {', '.join(batches)}, sharded: the processes do not agree on the new weights; are they on "
                "devices of one kind?"
            )
        metrics: dict[str, dict[str, float]] = answers[0][0]
        return metrics

    def close(self) -> None:
        """Ends the processes; doing so twice is harmless."""
        if self.processes is not None:
            self.processes.close()


class ShardedLearner:
    """One agent's learner (see `debate.learning.learner.PolicyGradientLearner`)."""

    def __init__(self, shards: Shards, group: tuple[str, ...], name: str, config: LearnerConfig) -> None:
        self._shards, self._group, self._name = shards, group, name
        self.config = config

    def _call(self, method: str, *arguments: Any) -> Any:
        return self._shards.ask("call", self._name, method, *arguments)[0]

    def update(self, batch: TokenBatch) -> dict[str, float]:
        """One update of this agent alone; its measurements are those of the whole batch."""
        return self._shards.update((self._name,), {self._name: batch})[self._name]

    def snapshot(self) -> Policy:
        """The policy as it is now."""
        policy: Policy = self._call("snapshot")
        return policy

    def weights(self) -> dict[str, Any]:
        """The trained parameters by name."""
        import torch

        return {key: torch.from_numpy(array) for key, array in self._call("weights").items()}

    def acting(self) -> AbstractContextManager[None]:
        """Refuses: there is no model in this process that could act.

        Raises:
            Failed: always.
        """
        raise Failed(
            f"learner of {self._name}: it is sharded over other processes; its model cannot be used in this one"
        )

    def turn_states(self, batch: TokenBatch) -> Any:
        """[N, H] the policy's hidden state before each of a batch's N turns."""
        return self._call("turn_states", batch)

    def divergence(self, batch: TokenBatch, weights: Mapping[str, Any]) -> float:
        """How far the policy is from other weights."""
        return float(self._call("divergence", batch, {key: _array(value) for key, value in weights.items()}))

    def set_reference(self) -> None:
        """Makes the current weights the reference of the KL."""
        self._call("set_reference")

    def look_ahead(self, batch: TokenBatch) -> dict[str, float]:
        """Moves to the point an extragradient step looks ahead to."""
        metrics: dict[str, float] = self._call("look_ahead", batch)
        return metrics

    def step_from(self, base: State) -> None:
        """Lets the next `update` take its gradient here and its step from another state of this learner."""
        self._call("step_from", base)

    def state(self) -> State:
        """Arrays and numbers: those of an unsharded learner."""
        state: State = self._call("state")
        return state

    def load_state(self, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Restores a state, of a learner of any number of processes.

        Raises:
            ValueError: it does not fit; nothing is changed then.
        """
        self._call("load_state", dict(arrays), dict(meta))


class ShardedJoint:
    """Agents that are updated at once (see `debate.learning.joint_learner.JointLearner`)."""

    def __init__(self, shards: Shards, configs: Mapping[str, LearnerConfig]) -> None:
        self._shards, self._group = shards, tuple(configs)
        self.members = {name: ShardedLearner(shards, self._group, name, config) for name, config in configs.items()}

    def update(self, batches: Mapping[str, TokenBatch]) -> dict[str, dict[str, float]]:
        """One update of every agent that has a batch.

        Raises:
            ValueError: a batch of an agent that is no member.
        """
        return self._shards.update(self._group, batches)


def _array(value: Any) -> Any:
    """A numpy array of a tensor or an array."""
    import torch

    return value.detach().cpu().float().numpy() if isinstance(value, torch.Tensor) else value


def _folder(model: str) -> Path:
    """The folder of a model, fetched once here where it comes from the hub.

    Raises:
        UserError: no such model.
    """
    found = resolve(model)
    if Path(found).is_dir():
        return Path(found)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(found, allow_patterns=["*.safetensors", "*.json"]))
    except (OSError, ValueError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise UserError(f"model {model!r} cannot be loaded: {' '.join(str(error).split())[:400]}") from error
