"""Learners in actors, as the cast sees them. The driver keeps each one's last state, so that none is lost for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from debate.errors import Failed, UserError
from debate.scale.actors import GroupLearner
from debate.scale.cluster import cause_of, learner_claim, lost_errors, threads
from debate.scale.pool import TRIES, Pool
from debate.transcript import Policy

if TYPE_CHECKING:
    from debate.learning.batch import TokenBatch


class Group:
    """One learner actor: the agents that are trained on one device group.

    A lost actor is replaced by one that starts from the last states the driver has (those after the last update that
    was finished), and what was asked is asked again: updates are deterministic, so nothing changes.
    """

    def __init__(
        self,
        ray: Any,
        pool: Pool,
        kind: str,
        model: str,
        agents: Mapping[str, tuple[Policy, Mapping[str, Any]]],
        joint: bool,
    ) -> None:
        """Starts the actor and waits for it.

        Raises:
            UserError: not enough resources, or no model or device where it was placed.
        """
        self._ray, self._pool = ray, pool
        self._made_from = (kind, model, dict(agents), joint)
        self._name = f"learner of {', '.join(agents)}"
        self._lost_errors = lost_errors(ray)
        self._claim = learner_claim(next(iter(agents.values()))[1])
        self._actor: Any = None
        there = ray.cluster_resources()
        taken = [*pool.taken, self._claim]
        if sum(c.cpus for c in taken) > there.get("CPU", 0.0) or sum(c.gpus for c in taken) > there.get("GPU", 0.0):
            raise UserError(
                f"--ray: not enough resources: the {self._name} needs {self._claim}; the cluster has "
                f"{there.get('CPU', 0.0):g} CPU and {there.get('GPU', 0.0):g} GPU, other learners hold "
                f"{', '.join(map(str, pool.taken)) or 'nothing'}"
            )
        pool.taken.append(self._claim)
        self.states: dict[str, Any] = {}
        self.states = self._start()
        self.members = {name: RemoteLearner(self, name) for name in agents}

    def _start(self) -> dict[str, Any]:
        """A new actor, with the last states where there are any; the states it begins with."""
        actor = self._ray.remote(GroupLearner)
        self._actor = actor.options(num_cpus=self._claim.cpus, num_gpus=self._claim.gpus, max_restarts=0).remote(
            threads()
        )
        ready = self._actor.setup.remote(*self._made_from)
        done, _ = self._ray.wait([ready], timeout=self._pool.patience)
        if not done:
            raise Failed(
                f"--ray: the {self._name} could not be started within {self._pool.patience:g} s: it needs "
                f"{self._claim}; --resume goes on from the last update"
            )
        states: dict[str, Any] = self._get(ready)
        if self.states:
            self._get(self._actor.load.remote(self.states))
            states = self.states
        return states

    def _get(self, ref: Any) -> Any:
        try:
            return self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error, self._lost_errors):
                raise
            raise cause_of(error) from error

    def call(self, method: str, *arguments: Any) -> Any:
        """A method of the actor; of its successor, where it is lost meanwhile.

        Raises:
            Failed: it is lost again and again.
        """
        error: BaseException | None = None
        for _ in range(TRIES):
            try:
                if error is not None:
                    self._start()
                return self._get(getattr(self._actor, method).remote(*arguments))
            except self._lost_errors as lost:
                error = lost
                self._pool.say(
                    f"ray: the {self._name} was lost; it is restored as it was after the last finished update, "
                    f"and {method.replace('_', ' ')} is done again"
                )
                self._ray.kill(self._actor)
        raise Failed(f"--ray: the {self._name} was lost {TRIES} times in a row over {method}") from error

    def update(self, batches: Mapping[str, TokenBatch]) -> dict[str, dict[str, float]]:
        """Updates every agent that has a batch. Agent → measurements."""
        if not batches:
            return {}
        metrics, states = self.call("update", batches)
        self.states = {**self.states, **states}
        return metrics  # type: ignore[no-any-return]

    def options(self, name: str) -> Mapping[str, Any]:
        """What the recipe says of an agent."""
        _, _, agents, _ = self._made_from
        return agents[name][1]

    def load(self, name: str, state: Any) -> None:
        """Brings one agent's state back."""
        self.call("load", {name: state})
        self.states = {**self.states, name: state}


class RemoteLearner:
    """One agent's learner, in the actor of its group (see `debate.learning.learner.PolicyGradientLearner`)."""

    def __init__(self, group: Group, name: str) -> None:
        self._group, self._name = group, name

    @property
    def config(self) -> Any:
        """Its settings."""
        from debate.cast import learner_config

        return learner_config(self._group.options(self._name))

    def update(self, batch: TokenBatch) -> dict[str, float]:
        """One update; its measurements."""
        return self._group.update({self._name: batch})[self._name]

    def snapshot(self) -> Policy:
        """The policy as it is now."""
        _, meta = self.state()
        first = Policy(**meta["policy"])
        return Policy(first.name, first.version + int(meta["updates"]), first.base, first.adapter)

    def weights(self) -> dict[str, Any]:
        """The trained parameters by name: those of the last state."""
        import torch

        arrays, _ = self.state()
        return {
            key.removeprefix("weight/"): torch.from_numpy(array.copy())
            for key, array in arrays.items()
            if key.startswith("weight/")
        }

    def state(self) -> Any:
        """Arrays and numbers, as the learner gives them; those after its last update."""
        return self._group.states[self._name]

    def load_state(self, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Restores `state()`."""
        self._group.load(self._name, (dict(arrays), dict(meta)))

    def turn_states(self, batch: TokenBatch) -> Any:
        """[N, H] the policy's hidden state before each of a batch's N turns."""
        return self._group.call("turn_states", self._name, batch)


class RemoteJoint:
    """Agents that are updated at once (see `debate.learning.joint_learner.JointLearner`)."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self.members = group.members

    def update(self, batches: Mapping[str, TokenBatch]) -> dict[str, dict[str, float]]:
        """One update of every agent that has a batch."""
        return self._group.update(batches)
