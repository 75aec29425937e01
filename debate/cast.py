"""Everyone who acts in a run: agents by policy id, their learners, and the engines that speak for them.

Versions: `alice-v0` is the start, `alice-vN` the policy after N updates. The current version and every snapshot can be
asked for; a version that is neither is forgotten, and asking for it is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from debate.agents.agent import Agent, Speaker
from debate.recipe import AgentSpec, Recipe
from debate.transcript import Policy
from judges.types import Completer

Arrays = dict[str, np.ndarray[Any, Any]]
WrapCompleter = Callable[[Completer, str], Completer]


class Cast(Mapping[str, Agent]):
    """Policy id → agent, growing as snapshots join."""

    def __init__(self, recipe: Recipe, wrap: WrapCompleter | None = None) -> None:
        """Builds engines, first versions and learners.

        Args:
            recipe: the run.
            wrap: put around costly engines (completion cache); called with the completer and the engine's name.

        Raises:
            UserError: a model that cannot be loaded, or a device that is not there.
        """
        self._agents: dict[str, Agent] = {}
        self._wrap = wrap or (lambda completer, name: completer)
        self._engines: dict[tuple[str, str, str], Any] = {}
        self.live: dict[str, Policy] = {}
        self.learners: dict[str, Any] = {}
        self._kept: set[str] = set()
        trained = {name for arena in recipe.arenas for name in recipe.learners(arena).values()}
        for spec in recipe.agents:
            self._add(spec, spec.name in trained)

    def __getitem__(self, policy: str) -> Agent:
        return self._agents[policy]

    def __iter__(self) -> Iterator[str]:
        return iter(self._agents)

    def __len__(self) -> int:
        return len(self._agents)

    def add(self, agent: Agent) -> None:
        """Seats a fixed agent, such as a scripted baseline."""
        self._agents[agent.policy.id] = agent

    def engine(self, kind: str, model: str, options: Mapping[str, Any]) -> Any:
        """The engine that holds a model: one for each (kind, model, device), shared by agents and judges."""
        key = (kind, model, f"{options.get('device', 'cpu')} {options.get('dtype', 'float32')}")
        if key not in self._engines:
            self._engines[key] = _ENGINES[kind](model, options)
        return self._engines[key]

    def speaker(self, kind: str, model: str, options: Mapping[str, Any]) -> Speaker:
        """A speaker of an engine. Agents with the same settings share one, so that they are asked in one batch."""
        from debate.agents.language import LanguageSpeaker

        engine = self.engine(kind, model, options)
        completer = engine.completer if kind == "nano" else self._wrap(engine.completer, engine.name)
        style = "compact" if kind == "nano" else "chat"
        new = LanguageSpeaker(completer, style, options["max_tokens"], options["temperature"])  # type: ignore[arg-type]
        same = (a.speaker for a in self._agents.values() if isinstance(a.speaker, LanguageSpeaker))
        return next((old for old in same if _alike(old, new)), new)

    def _add(self, spec: AgentSpec, trained: bool) -> None:
        policy = Policy(spec.name, 0, spec.model)
        self.live[spec.name] = policy
        if spec.kind == "scripted":
            from debate.agents.scripted import ScriptedSpeaker, find_script

            self._agents[policy.id] = Agent(policy, ScriptedSpeaker(find_script(spec.script)))
        elif spec.kind == "human":
            from debate.agents.human import HumanSpeaker

            self._agents[policy.id] = Agent(policy, HumanSpeaker())
        else:
            engine = self.engine(spec.kind, spec.model, spec.options)
            learner = engine.learner(policy, spec.options) if trained else None
            if learner is not None:
                self.learners[spec.name] = learner
                engine.completer.publish(policy.id, learner.weights())
            else:
                engine.completer.publish(policy.id, engine.first_weights(policy, spec.options))
            self._agents[policy.id] = Agent(policy, self.speaker(spec.kind, spec.model, spec.options))
        self._kept.add(policy.id)

    # --- versions ----------------------------------------------------------------------------------------------------

    def publish(self, name: str) -> Policy:
        """Makes the learner's weights the agent's current version; the last one is forgotten unless it was kept."""
        learner, old = self.learners[name], self.live[name]
        policy: Policy = learner.snapshot()
        if policy.id == old.id:
            return old
        agent = self._agents[old.id]
        publish = self._completer(old.id).publish
        publish(policy.id, learner.weights())
        self._agents[policy.id] = Agent(policy, agent.speaker)
        self.live[name] = policy
        if old.id not in self._kept:
            self._completer(old.id).retire(old.id)
            del self._agents[old.id]
        return policy

    def keep(self, name: str) -> tuple[Policy, Arrays]:
        """Keeps the current version for good; returns it with its weights, to be stored."""
        policy = self.live[name]
        self._kept.add(policy.id)
        return policy, {key: tensor.numpy() for key, tensor in self.learners[name].weights().items()}

    def kept(self, name: str) -> list[int]:
        """Versions of an agent that are kept, its first one aside (every run makes that one anew)."""
        ids = (policy.removeprefix(f"{name}-v") for policy in self._kept if policy.startswith(f"{name}-v"))
        return sorted(int(version) for version in ids if version != "0")

    def recall(self, name: str, version: int, arrays: Arrays) -> Policy:
        """Brings a stored snapshot back."""
        live = self.live[name]
        policy = Policy(name, version, live.base, live.adapter)
        if policy.id not in self._agents:
            self._completer(live.id).publish(policy.id, _tensors(arrays))
            self._agents[policy.id] = Agent(policy, self._agents[live.id].speaker)
        self._kept.add(policy.id)
        return policy

    def _completer(self, policy: str) -> Any:
        completer = self._agents[policy].speaker.completer  # type: ignore[attr-defined]
        return getattr(completer, "inner", completer)


def _alike(one: Any, other: Any) -> bool:
    inner = [getattr(s.completer, "inner", s.completer) for s in (one, other)]
    return inner[0] is inner[1] and (one.style, one.max_tokens, one.temperature) == (
        other.style,
        other.max_tokens,
        other.temperature,
    )


def _tensors(arrays: Arrays) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


class _Nano:
    """The embedded model: each policy a small model of its own, trained whole."""

    name = "nano"

    def __init__(self, model: str, options: Mapping[str, Any]) -> None:
        from debate.engines.nano.engine import nano_completer

        self.completer = nano_completer(options["device"], rows=options["rows"])

    def first_weights(self, policy: Policy, options: Mapping[str, Any]) -> Mapping[str, Any]:
        from debate.engines.nano.model import load_model, state_of

        return state_of(load_model())

    def learner(self, policy: Policy, options: Mapping[str, Any]) -> Any:
        from debate.engines.nano.model import load_model
        from debate.learning.learner import PolicyGradientLearner

        return PolicyGradientLearner(load_model(), policy, learner_config(options), options["device"])


class _Hf:
    """A transformers model: one base in memory, each policy a LoRA adapter, trained alone."""

    def __init__(self, model: str, options: Mapping[str, Any]) -> None:
        from debate.engines.adapters import AdapterSpec
        from debate.engines.hf import hf_completer

        adapter = AdapterSpec(options.get("lora_rank", 16), options.get("lora_alpha", 32.0))
        self.name = f"hf:{model}"
        self.completer = hf_completer(
            model, options["device"], options["dtype"], adapter, options.get("rows", 16), options.get("bucket", 64)
        )

    def first_weights(self, policy: Policy, options: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.completer.policies.first_state(0)  # type: ignore[attr-defined, no-any-return]

    def learner(self, policy: Policy, options: Mapping[str, Any]) -> Any:
        from debate.learning.adapter_learner import AdapterLearner

        return AdapterLearner(self.completer.policies, policy, learner_config(options))  # type: ignore[arg-type]


def learner_config(options: Mapping[str, Any]) -> Any:
    """An agent's learner settings."""
    from dataclasses import replace

    from debate.learning.learner import LearnerConfig
    from debate.learning.losses import PRESETS

    return LearnerConfig(
        lr=options["learning_rate"],
        clip_norm=options["max_norm"],
        loss=replace(PRESETS[options["loss"]], entropy=options["entropy"]),
        epochs=options["epochs"],
        temperature=options["temperature"],
        part_rows=options.get("part_rows", 0),
    )


_ENGINES: dict[str, Callable[[str, Mapping[str, Any]], Any]] = {"nano": _Nano, "hf": _Hf}
