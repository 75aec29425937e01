"""Learners in actors, as the cast sees them. The driver keeps each one's last state, so that none is lost for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from debate.errors import Failed
from debate.scale.actors import GroupLearner
from debate.scale.cluster import Claim, cause_of, learner_claim, lost_errors, threads
from debate.scale.pool import TRIES, Pool
from debate.transcript import Policy

if TYPE_CHECKING:
    from debate.learning.batch import TokenBatch


class Group:
    """One learner actor: the agents that are trained on one device group.

    A lost actor is replaced by one that starts from the last states the driver has (those after the last update that
    was finished), and what was asked is asked again: updates are deterministic, so nothing changes.

    Attributes:
        claim: what the actor reserves.
        members: agent → its learner, as the cast sees it.
    """

    def __init__(self, ray: Any, pool: Pool, kind: str, model: str, joint: bool) -> None:
        """An empty group; its actor is started when the pool is."""
        self._ray, self._pool = ray, pool
        self._kind, self._model, self._joint = kind, model, joint
        self._agents: dict[str, tuple[Policy, Mapping[str, Any]]] = {}
        self._lost_errors = lost_errors(ray)
        self._actor: Any = None
        self._setup: Any = None  # what a new actor answers first; None once it did
        self._states: dict[str, Any] = {}
        self._bases: dict[str, Any] = {}  # agent that looked ahead → the state its next step is taken from
        self._begun: dict[tuple[str, ...], Any] = {}
        self.claim = Claim(0, 0)
        self.members: dict[str, RemoteLearner] = {}
        pool.groups.append(self)

    def __str__(self) -> str:
        """In words."""
        return f"learner of {', '.join(self._agents)}"

    def add(self, name: str, policy: Policy, options: Mapping[str, Any]) -> RemoteLearner:
        """One more agent, before the actor is started."""
        self._agents[name] = policy, options
        self.claim = learner_claim(options)
        self.members[name] = RemoteLearner(self, name)
        return self.members[name]

    # --- the actor ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to start the actor, where there is none; `ready` waits for it."""
        if self._actor is None:
            actor = self._ray.remote(GroupLearner)
            self._actor = actor.options(num_cpus=self.claim.cpus, num_gpus=self.claim.gpus, max_restarts=0).remote(
                threads()
            )
            self._setup = self._actor.setup.remote(self._kind, self._model, self._agents, self._joint)

    def ready(self) -> None:
        """Starts the actor and waits until it stands where the last one did.

        Raises:
            UserError: not enough resources, or no model or device where it was placed.
            Failed: no room in time.
        """
        self._pool.begin()
        self.start()
        if self._setup is None:
            return
        done, _ = self._ray.wait([self._setup], timeout=self._pool.patience)
        if not done:
            raise Failed(
                f"--ray: the {self} could not be started within {self._pool.patience:g} s: it needs "
                f"{self.claim}; --resume goes on from the last update"
            )
        states = self._get(self._setup)
        if self._states:
            self._get(self._actor.load.remote(self._states, self._bases))
        self._states = self._states or states
        self._setup = None

    def stop(self) -> None:
        """Ends the actor; it is started again, as it was, when something is asked."""
        if self._actor is not None:
            self._ray.kill(self._actor)
        self._actor, self._setup = None, None
        self._begun.clear()

    def _get(self, ref: Any) -> Any:
        try:
            return self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error, self._lost_errors):
                raise
            raise cause_of(error) from error

    def call(self, method: str, *arguments: Any, begun: Any = None) -> Any:
        """A method of the actor; of its successor, where it is lost meanwhile.

        Args:
            method: its name.
            arguments: for it.
            begun: the call's result, where it was made already.

        Raises:
            Failed: it is lost again and again.
        """
        error: BaseException | None = None
        for _ in range(TRIES):
            try:
                self.ready()
                if begun is None or error is not None:
                    begun = getattr(self._actor, method).remote(*arguments)
                return self._get(begun)
            except self._lost_errors as lost:
                error = lost
                self._pool.say(
                    f"ray: the {self} was lost; it is restored as it was after the last finished update, "
                    f"and {method.replace('_', ' ')} is done again"
                )
                self.stop()
        raise Failed(f"--ray: the {self} was lost {TRIES} times in a row over {method}") from error

    # --- what learners do --------------------------------------------------------------------------------------------

    def states(self) -> Mapping[str, Any]:
        """Agent → state after its last update."""
        if not self._states:
            self._states = self.call("states")
        return self._states

    def begin(self, batches: Mapping[str, TokenBatch]) -> None:
        """Asks for an update that `update` then waits for, so that other groups work at the same time."""
        if batches and self._actor is not None and self._setup is None:
            self._begun[tuple(sorted(batches))] = self._actor.update.remote(batches)

    def update(self, batches: Mapping[str, TokenBatch]) -> dict[str, dict[str, float]]:
        """Updates every agent that has a batch. Agent → measurements."""
        if not batches:
            return {}
        begun = self._begun.pop(tuple(sorted(batches)), None)
        metrics, states = self.call("update", batches, begun=begun)
        self._states = {**self.states(), **states}
        for name in batches:
            self._bases.pop(name, None)
        return metrics  # type: ignore[no-any-return]

    def look_ahead(self, name: str, batch: TokenBatch) -> dict[str, float]:
        """Moves one agent to the point its next update looks ahead to; that update steps from here."""
        base = self.states()[name]
        metrics, state = self.call("look_ahead", name, batch)
        self._bases = {**self._bases, name: base}
        self._states = {**self._states, name: state}
        return metrics  # type: ignore[no-any-return]

    def options(self, name: str) -> Mapping[str, Any]:
        """What the recipe says of an agent."""
        return self._agents[name][1]

    def load(self, name: str, state: Any) -> None:
        """Brings one agent's state back."""
        self.call("load", {name: state}, {})
        self._bases.pop(name, None)
        self._states = {**self.states(), name: state}


class RemoteLearner:
    """One agent's learner, in the actor of its group (see `debate.learning.learner.PolicyGradientLearner`)."""

    def __init__(self, group: Group, name: str) -> None:
        self._group, self._name = group, name

    @property
    def config(self) -> Any:
        """Its settings."""
        from debate.learning.configured import learner_config

        return learner_config(self._group.options(self._name))

    def begin(self, batch: TokenBatch) -> None:
        """Asks for an update whose measurements `update` then waits for."""
        self._group.begin({self._name: batch})

    def update(self, batch: TokenBatch) -> dict[str, float]:
        """One update; its measurements."""
        return self._group.update({self._name: batch})[self._name]

    def look_ahead(self, batch: TokenBatch) -> dict[str, float]:
        """Moves to the point an extragradient step looks ahead to; the next `update` starts from where this began."""
        return self._group.look_ahead(self._name, batch)

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
        return self._group.states()[self._name]

    def load_state(self, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Restores `state()`."""
        self._group.load(self._name, (dict(arrays), dict(meta)))

    def turn_states(self, batch: TokenBatch) -> Any:
        """[N, H] the policy's hidden state before each of a batch's N turns."""
        return self._group.call("turn_states", self._name, batch)

    def divergence(self, batch: TokenBatch, weights: Mapping[str, Any]) -> float:
        """KL(policy ‖ the same model with other weights) in nats a unit."""
        return self._group.call("divergence", self._name, batch, dict(weights))  # type: ignore[no-any-return]


class RemoteJoint:
    """Agents that are updated at once (see `debate.learning.joint_learner.JointLearner`)."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self.members = group.members

    def begin(self, batches: Mapping[str, TokenBatch]) -> None:
        """Asks for an update whose measurements `update` then waits for."""
        self._group.begin(batches)

    def update(self, batches: Mapping[str, TokenBatch]) -> dict[str, dict[str, float]]:
        """One update of every agent that has a batch."""
        return self._group.update(batches)
