"""An engine as the cast sees it, whose models are on other processes: the same interface, nothing held here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from debate.adapter_engine import AdapterEngine
from debate.scale.learners import Group, RemoteJoint, RemoteLearner
from debate.scale.pool import Pool
from debate.transcript import Policy
from judges.types import Completion, Request


class RemoteCompleter:
    """Answers requests on a rollout worker; what is published here reaches every worker."""

    def __init__(self, pool: Pool, kind: str, model: str, options: Mapping[str, Any]) -> None:
        self._pool, self._kind, self._model, self._options = pool, kind, model, options

    async def __call__(self, requests: Sequence[Request]) -> list[Completion]:
        """One completion a request, in order. Blocks, as engines in this process do."""
        found: list[Completion] = self._pool.complete(self._kind, self._model, self._options, requests)
        return found

    def publish(self, policy: str, state: Mapping[str, Any] | None) -> None:
        """Gives every worker a version; what agents start with (None) the workers make themselves."""
        if state is not None:
            self._pool.publish(policy, state)

    def retire(self, policy: str) -> None:
        """Lets every worker drop a version."""
        self._pool.retire(policy)


class RemoteEngine:
    """Stands for an engine of the recipe; learners it makes are actors of their own."""

    def __init__(self, ray: Any, pool: Pool, kind: str, model: str, options: Mapping[str, Any]) -> None:
        self._ray, self._pool, self._kind, self._model, self._options = ray, pool, kind, model, options
        self.completer = RemoteCompleter(pool, kind, model, options)
        self._small: Group | None = None
        endpoint = f"{options['url']}:" if kind == "openai" else ""
        self.name = kind if kind == "nano" else f"{kind}:{endpoint}{model}"

    def first_weights(self, policy: Policy, options: Mapping[str, Any]) -> None:
        """Every worker makes them itself, and the digests are compared."""

    def traffic(self) -> dict[str, float]:
        """What the vLLM of every worker that is there now counted, together; nothing for other kinds."""
        if self._kind != "vllm":
            return {}
        from debate.engines.vllm.completer import Traffic

        return sum(self._pool.traffic(self._kind, self._model, self._options), Traffic()).logged()

    def joins(self, agents: Sequence[Any]) -> bool:
        """Whether these agents are updated at once: as without Ray."""
        return self._kind in ("hf", "vllm") and AdapterEngine.joins(agents)

    def learner(self, policy: Policy, options: Mapping[str, Any]) -> RemoteLearner:
        """A learner in an actor of its own; embedded models are so small that all of them share one."""
        if self._kind != "nano":
            return self._group(joint=False).add(policy.name, policy, options)
        self._small = self._small or self._group(joint=False)
        return self._small.add(policy.name, policy, options)

    def joint_learner(self, agents: Mapping[str, tuple[Policy, Mapping[str, Any]]]) -> RemoteJoint:
        """One actor with the learners of agents that are updated at once."""
        group = self._group(joint=True)
        for name, (policy, options) in agents.items():
            group.add(name, policy, options)
        return RemoteJoint(group)

    def _group(self, joint: bool) -> Group:
        return Group(self._ray, self._pool, self._kind, self._model, joint)
