"""Everyone who acts in a run: agents by policy id, their learners, and the engines that speak for them.

Versions: `alice-v0` is the start, `alice-vN` the policy after N updates. The current version and every snapshot can be
asked for; a version that is neither is forgotten, and asking for it is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from debate.adapter_engine import AdapterEngine
from debate.agents.agent import Agent, Speaker
from debate.agents.exploring import Exploring
from debate.agents.preferring import PreferenceSpeaker, Preferring, unwrapped
from debate.errors import UserError
from debate.preference import base_id, preference_of, words
from debate.recipe import AgentSpec, Recipe
from debate.transcript import Policy
from judges.types import Completer

if TYPE_CHECKING:
    from debate.learning.batch import TokenBatch
    from debate.learning.plans import PlanGuide

Arrays = dict[str, np.ndarray[Any, Any]]
WrapCompleter = Callable[[Completer, str], Completer]
AHEAD = ".ahead"  # in the name of a point that an agent's learner looks ahead to


class Cast(Mapping[str, Agent]):
    """Policy id → agent, growing as snapshots join."""

    def __init__(
        self,
        recipe: Recipe,
        wrap: WrapCompleter | None = None,
        make: Callable[[str, str, Mapping[str, Any]], Any] | None = None,
        teach: bool = True,
        measure: Callable[[Completer], Completer] | None = None,
    ) -> None:
        """Builds engines, first versions and learners.

        Args:
            recipe: the run.
            wrap: put around costly engines (completion cache); called with the completer and the engine's name.
            make: makes engines, where not `make_engine` (on Ray, they are elsewhere).
            teach: whether agents that learn get learners.
            measure: put around every engine, inside of `wrap` (meter); around one always the same.

        Raises:
            UserError: a model that cannot be loaded, or a device that is not there.
        """
        self._agents: dict[str, Agent] = {}
        self._wrap = wrap or (lambda completer, name: completer)
        self._make = make or make_engine
        self._measure = measure or (lambda completer: completer)
        self._folder = recipe.folder
        self._engine_of: dict[str, Any] = {}
        self._engines: dict[tuple[str, str, str], Any] = {}
        self._shapes: dict[tuple[str, str, str], tuple[float, ...]] = {}
        self.live: dict[str, Policy] = {}
        self.learners: dict[str, Any] = {}
        self._kept: set[str] = set()
        self.joint: list[Any] = []
        trained = {name for arena in recipe.arenas for name in recipe.learners(arena).values()}
        for spec in recipe.agents:
            if "plan_prior" in spec.options and spec.name in trained and recipe.training.updates:
                raise UserError(
                    f"agent {spec.name}: plans that are pulled to a prior are not the policy's own, so they are not "
                    "trained on; give a learning agent explore: {kind: pikl, prior: FILE}"
                )
        try:
            for spec in recipe.agents:
                self._add(spec)
            self._teach([spec for spec in recipe.agents if spec.name in trained and teach])
        except BaseException:
            self.close()
            raise

    def __getitem__(self, policy: str) -> Agent:
        if policy not in self._agents and (told := preference_of(policy)):
            plain = self._agents[base_id(policy)]
            p = plain.policy
            policy_told = Preferring(p.name, p.version, p.base, p.adapter, words(told))
            return Agent(policy_told, plain.speaker)
        return self._agents[policy]

    def __iter__(self) -> Iterator[str]:
        return iter(self._agents)

    def __len__(self) -> int:
        return len(self._agents)

    def add(self, agent: Agent) -> None:
        """Seats a fixed agent, such as a scripted baseline."""
        self._agents[agent.policy.id] = agent

    def close(self) -> None:
        """Stops engines that run processes of their own; doing so twice is harmless."""
        for engine in self._engines.values():
            if hasattr(engine, "close"):
                engine.close()

    def traffic(self, name: str) -> dict[str, float]:
        """What an agent's engine counted since it started, where it counts anything."""
        traffic = getattr(self._engine_of.get(name), "traffic", None)
        return traffic() if traffic is not None else {}

    def engine(self, kind: str, model: str, options: Mapping[str, Any]) -> Any:
        """The engine that holds a model: one for each (kind, model, device), shared by agents and judges."""
        if kind in ("vllm", "openai"):
            return self._outer_engine(kind, model, options)
        key = (kind, model, f"{options.get('device', 'cpu')} {options.get('dtype', 'float32')}")
        shape = tuple(options[name] for name in ("lora_rank", "lora_alpha") if name in options)
        if shape and self._shapes.setdefault(key, shape) != shape:
            raise UserError(
                f"agents on {model!r}: adapters of one base have one shape; expected lora_rank and lora_alpha "
                f"{self._shapes[key]}, got {shape}"
            )
        if key not in self._engines:
            self._engines[key] = self._make(kind, model, options)
        return self._engines[key]

    def _outer_engine(self, kind: str, model: str, options: Mapping[str, Any]) -> Any:
        """An engine with processes or an endpoint of its own: one for each (kind, model, settings of it)."""
        from debate.hosts import settings_key

        key = (kind, model, settings_key(kind, options))
        if key not in self._engines:
            self._engines[key] = self._make(kind, model, {**options, "folder": self._folder})
        return self._engines[key]

    def speaker(self, kind: str, model: str, options: Mapping[str, Any]) -> Speaker:
        """A speaker of an engine. Agents with the same settings share one, so that they are asked in one batch."""
        from debate.agents.language import LanguageSpeaker

        engine = self.engine(kind, model, options)
        completer = self._measure(engine.completer)
        completer = completer if kind == "nano" else self._wrap(completer, engine.name)
        style = "compact" if kind == "nano" else "chat"
        said = kind == "openai"
        new = LanguageSpeaker(completer, style, options["max_tokens"], options["temperature"], said)  # type: ignore[arg-type]
        speakers = (unwrapped(a.speaker) for a in self._agents.values())
        same = (speaker for speaker in speakers if isinstance(speaker, LanguageSpeaker))
        return next((old for old in same if _alike(old, new)), new)

    def _add(self, spec: AgentSpec) -> None:
        policy = Policy(spec.name, 0, spec.model)
        self.live[spec.name] = policy
        if spec.kind == "scripted":
            from debate.agents.scripted import ScriptedSpeaker, find_script

            self._agents[policy.id] = Agent(policy, ScriptedSpeaker(find_script(spec.script)))
        elif spec.kind == "human":
            from debate.agents.human import HumanSpeaker

            self._agents[policy.id] = Agent(policy, HumanSpeaker())
        else:
            engine = self._engine_of[spec.name] = self.engine(spec.kind, spec.model, spec.options)
            engine.completer.publish(policy.id, engine.first_weights(policy, spec.options))
            speaker: Speaker = self.speaker(spec.kind, spec.model, spec.options)
            if spec.preferences is not None:
                speaker = PreferenceSpeaker(speaker, spec.weights)
            self._agents[policy.id] = Agent(policy, speaker)
        if "plan_prior" in spec.options:
            from debate.options.prior import read_option_priors, with_prior

            priors = read_option_priors(Path(spec.options["plan_prior"]))
            self._agents[policy.id] = with_prior(self._agents[policy.id], priors, spec.options["plan_strength"])
        self._kept.add(policy.id)

    def _teach(self, specs: Sequence[AgentSpec]) -> None:
        """Makes the learners; agents on one base share a joint one where their settings allow it."""
        engines: dict[int, tuple[Any, list[AgentSpec]]] = {}
        for spec in specs:
            engine = self.engine(spec.kind, spec.model, spec.options)
            engines.setdefault(id(engine), (engine, []))[1].append(spec)
        for engine, agents in engines.values():
            together = agents if engine.joins(agents) else []
            if together:
                joint = engine.joint_learner({a.name: (self.live[a.name], a.options) for a in together})
                self.joint.append(joint)
                self.learners.update(joint.members)
            for spec in agents:
                if spec not in together:
                    self.learners[spec.name] = engine.learner(self.live[spec.name], spec.options)
        self.learners = {spec.name: self.learners[spec.name] for spec in specs}

    def update(self, batches: Mapping[str, TokenBatch]) -> dict[str, dict[str, float]]:
        """Updates every agent that has a batch; those on one base at once. Agent → measurements.

        Raises:
            TrainingFailed: a learner cannot go on.
        """
        together = [(joint, {n: b for n, b in batches.items() if n in joint.members}) for joint in self.joint]
        joined = {name for _, part in together for name in part}
        alone = {name: self.learners[name] for name in batches if name not in joined}
        for owner, part in [*together, *((learner, batches[name]) for name, learner in alone.items())]:
            if hasattr(owner, "begin"):  # in a process of its own: all of them at the same time
                owner.begin(part)
        found = {name: told for joint, part in together for name, told in joint.update(part).items()}
        found |= {name: learner.update(batches[name]) for name, learner in alone.items()}
        return {name: found[name] for name in batches}

    def looks_ahead(self, name: str) -> bool:
        """Whether an agent's update plays twice (extragradient)."""
        return self.learners[name].config.lookahead == "extragradient"  # type: ignore[no-any-return]

    def look_ahead(self, name: str, batch: TokenBatch) -> Policy:
        """Moves an agent's learner ahead and seats that point as a policy of its own, until `forget` takes it away."""
        old = self.live[name]
        self.learners[name].look_ahead(batch)
        policy = Policy(f"{name}{AHEAD}", old.version, old.base, old.adapter)
        self._completer(old.id).publish(policy.id, self.learners[name].weights())
        self._agents[policy.id] = Agent(policy, self._agents[old.id].speaker)
        return policy

    def forget(self, policy: Policy) -> None:
        """Takes a policy away that was seated for a moment."""
        self._completer(policy.id).retire(policy.id)
        del self._agents[policy.id]

    def exploring(self, guides: Mapping[str, PlanGuide]) -> Mapping[str, Agent]:
        """The cast as it plays in training: live agents with a guide pick their plans by it."""
        return Exploring(self, {self.live[name].id: guide for name, guide in guides.items()}) if guides else self

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

    def restart(self, name: str, weights: Arrays) -> Policy:
        """Gives an agent other weights of its own, as a new version, with a fresh optimiser; returns that version."""
        learner = self.learners[name]
        arrays, meta = learner.state()
        kept = {key: array for key, array in arrays.items() if key.startswith("reference/")}
        fresh = {**meta, "steps": {}, "optimistic": False, "updates": meta["updates"] + 1}
        learner.load_state({**kept, **{f"weight/{key}": array for key, array in weights.items()}}, fresh)
        return self.publish(name)

    def kept(self, name: str) -> list[int]:
        """Versions of an agent that are kept, its first one aside (every run makes that one anew)."""
        ids = (policy.removeprefix(f"{name}-v") for policy in self._kept if policy.startswith(f"{name}-v"))
        return sorted(int(version) for version in ids if version != "0")

    def recall(self, name: str, version: int, arrays: Arrays) -> Policy:
        """Brings a stored snapshot back, or a point looked ahead to."""
        live = self.live.get(name) or self.live[name.removesuffix(AHEAD)]
        policy = Policy(name, version, live.base, live.adapter)
        if policy.id not in self._agents:
            self._completer(live.id).publish(policy.id, _tensors(arrays))
            self._agents[policy.id] = Agent(policy, self._agents[live.id].speaker)
        self._kept.add(policy.id)
        return policy

    def drop(self, policy: str) -> None:
        """Drops a version that was brought back; asking for it is an error again."""
        self._completer(policy).retire(policy)
        del self._agents[policy]
        self._kept.discard(policy)

    def _completer(self, policy: str) -> Any:
        return unwrapped(unwrapped(self._agents[policy].speaker).completer)


def _alike(one: Any, other: Any) -> bool:
    inner = [getattr(s.completer, "inner", s.completer) for s in (one, other)]
    return inner[0] is inner[1] and all(
        getattr(one, name) == getattr(other, name) for name in ("style", "max_tokens", "temperature", "said")
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
        from debate.engines.nano.model import state_of

        return state_of(self._first(options))

    def learner(self, policy: Policy, options: Mapping[str, Any]) -> Any:
        from debate.learning.configured import learner_config
        from debate.learning.learner import PolicyGradientLearner

        # Rows of a group begin alike, and what remains is short: 64 columns measured fastest.
        config = learner_config({**options, "layout": "auto", "layout_width": 64})
        return PolicyGradientLearner(self._first(options), policy, config, options["device"])

    def joins(self, agents: Sequence[AgentSpec]) -> bool:
        """Never: every policy is a whole model, there is no base to share."""
        return False

    def _first(self, options: Mapping[str, Any]) -> Any:
        from debate.engines.nano.model import load_model
        from debate.starts import nano_weights

        start = options.get("start")
        return load_model(nano_weights(Path(start)) if start else None)


class _Hf(AdapterEngine):
    """A transformers model: one base in memory, which plays and trains."""

    def __init__(self, model: str, options: Mapping[str, Any]) -> None:
        from debate.engines.adapters import AdapterSpec
        from debate.engines.hf import hf_completer

        adapter = AdapterSpec(options.get("lora_rank", 16), options.get("lora_alpha", 32.0))
        self.name, self.model = f"hf:{model}", model
        self.completer = hf_completer(
            model,
            options["device"],
            options["dtype"],
            adapter,
            options.get("rows", 16),
            options.get("bucket", 64),
            options.get("fixed", False),
        )
        self.host = self.completer.policies


def make_engine(kind: str, model: str, options: Mapping[str, Any]) -> Any:
    """A new engine of an agent's kind, shared with nobody.

    Raises:
        UserError: a model that cannot be loaded, or a device that is not there.
    """
    if kind in ("vllm", "openai"):
        from debate.hosts import OpenAIHost, VllmHost

        return (VllmHost if kind == "vllm" else OpenAIHost)(model, options)
    return _ENGINES[kind](model, options)


_ENGINES: dict[str, Callable[[str, Mapping[str, Any]], Any]] = {"nano": _Nano, "hf": _Hf}
