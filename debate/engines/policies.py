"""Who speaks: the policies an engine holds, by id. An unknown id is an error, never silently another policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from debate.errors import UserError, did_you_mean


class Policies(Protocol):
    """The policies of one engine. "" is the bare base model."""

    def ids(self) -> tuple[str, ...]:
        """Every id that can be asked for."""
        ...

    def publish(self, policy: str, state: Mapping[str, Any]) -> None:
        """Adds a policy with these weights."""
        ...

    def retire(self, policy: str) -> None:
        """Forgets a policy and frees its memory."""
        ...

    def use(self, policy: str) -> AbstractContextManager[Any]:
        """The causal language model with the policy's weights, for the time of the context."""
        ...


def require(policy: str, known: tuple[str, ...]) -> None:
    """Checks that a policy is known.

    Raises:
        UserError: it is not; the message names those that are.
    """
    if policy not in known:
        names = ", ".join(repr(p) for p in known)
        raise UserError(f"no policy {policy!r} in this engine{did_you_mean(policy, known)}; it has {names}")


def refuse(policy: str, known: tuple[str, ...], same: Callable[[], bool]) -> bool:
    """Whether a policy is already published with the same weights.

    Raises:
        UserError: the base's id, or an id already published with other weights (a version never changes).
    """
    if not policy:
        raise UserError('the id "" is the base model and cannot be published over')
    if policy not in known:
        return False
    if not same():
        raise UserError(f"policy {policy!r} is already published with other weights; a version never changes")
    return True


class ModulePolicies:
    """Every policy is a whole model of its own: right for very small ones.

    Args:
        base: the model of policy "".
        build: makes a new model from weights by name; it checks them.
        state: reads a model's weights by name.
    """

    def __init__(
        self, base: Any, build: Callable[[Mapping[str, Any], str], Any], state: Callable[[Any], Mapping[str, Any]]
    ) -> None:
        self._models = {"": base}
        self._build = build
        self._state = state

    def ids(self) -> tuple[str, ...]:
        """Every id that can be asked for."""
        return tuple(self._models)

    def publish(self, policy: str, state: Mapping[str, Any]) -> None:
        """Adds a policy with these weights; nothing happens when it is there with the same ones.

        Raises:
            UserError: wrong names or shapes, or the id is taken by other weights.
        """
        model = self._build(state, policy)
        if not refuse(policy, self.ids(), lambda: self._equal(model, self._models[policy])):
            self._models[policy] = model

    def _equal(self, one: Any, other: Any) -> bool:
        a, b = self._state(one), self._state(other)
        return all(bool((a[name] == b[name]).all()) for name in a)

    def retire(self, policy: str) -> None:
        """Forgets a policy.

        Raises:
            UserError: it is not known, or it is the base.
        """
        require(policy, self.ids())
        if not policy:
            raise UserError('the base model "" cannot be retired')
        del self._models[policy]

    def use(self, policy: str) -> AbstractContextManager[Any]:
        """The policy's model."""
        require(policy, self.ids())
        return nullcontext(self._models[policy])
