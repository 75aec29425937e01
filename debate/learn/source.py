"""What there is to learn from: a run's debates, its agents, and the versions it kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debate.errors import UserError, did_you_mean
from debate.learning.stored import rejudge, stored_episodes
from debate.recipe import AgentSpec, ArenaSpec, JudgeSpec, Recipe, build_arena
from debate.run.folder import RunFolder
from debate.run_questions import Origin
from debate.starts import NANO
from debate.transcript import Episode, Policy

if TYPE_CHECKING:
    from debate.engines.adapters import AdapterSpec
    from debate.play import Arena

CRITIC = "critic/"
RECORD = "learn.json"


@dataclass(frozen=True, eq=False)
class Source:
    """A run that is learned from.

    Attributes:
        folder: of the run; nothing in it is changed.
        recipe: as it was run.
        spec: the arena whose debates are read.
        episodes: those debates, in the order of their ids.
    """

    folder: RunFolder
    recipe: Recipe
    spec: ArenaSpec
    episodes: tuple[Episode, ...]

    def agent(self, name: str) -> AgentSpec:
        """An agent of the run that can learn.

        Raises:
            UserError: there is none of that name, or it is not one that learns.
        """
        names = [agent.name for agent in self.recipe.agents]
        if name not in names:
            raise UserError(f"no agent {name!r}{did_you_mean(name, names)}; the run has {', '.join(names)}")
        spec = self.recipe.agent(name)
        if not spec.learns:
            raise UserError(f"agent {name!r} is {spec.kind}: only nano and hf agents learn")
        return spec

    def arena(self) -> Arena:
        """The arena with its questions and without judges.

        Raises:
            UserError: data that is not there any more.
        """
        from debate.data import load_questions

        splits = [self.spec.test, *([self.spec.train] if self.recipe.training.updates else [])]
        return build_arena(self.spec, [q for split in splits for q in load_questions(split, self.recipe.seed)], ())

    def newest(self, agent: str) -> int:
        """The newest version of an agent that the run kept; 0 where it kept none."""
        kept = [name.removeprefix(f"{agent}-v") for name in self.folder.checkpoints.snapshots()]
        return max((int(version) for version in kept if version.isdigit()), default=0)


def open_source(run: Path, arena: str = "", prefix: str = "train/", judge: str = "") -> Source:
    """Opens a run to learn from.

    Args:
        run: its folder.
        arena: whose debates; the first of the recipe where empty.
        prefix: of the match ids that are read.
        judge: who judges them again ("constant", "naive_evidence", or "recipe" for the recipe's own judges); nobody
            where empty.

    Raises:
        UserError: no run, arena or debates there.
    """
    folder = RunFolder.open(run)
    recipe = Origin.of(folder).recipe()
    names = [spec.name for spec in recipe.arenas]
    if arena and arena not in names:
        raise UserError(f"no arena {arena!r}{did_you_mean(arena, names)}; the run has {', '.join(names)}")
    spec = next(s for s in recipe.arenas if s.name == (arena or names[0]))
    episodes = tuple(e for e in stored_episodes(run, prefix) if e.match.arena == spec.name)
    if not episodes:
        raise UserError(f"{run}: no debates of arena {spec.name!r} whose id begins with {prefix!r}")
    source = Source(folder, recipe, spec, episodes)
    return judged_again(source, judge) if judge else source


def judged_again(source: Source, judge: str) -> Source:
    """The run with other verdicts and rewards, which stay in memory: what the run holds is not changed."""
    from debate.cast import Cast
    from debate.judging import build_judges

    spec = source.spec
    if judge != "recipe":
        spec = ArenaSpec(spec.name, spec.protocol, spec.seats, (JudgeSpec(judge),), spec.train, spec.test)
    speaks = any(one.kind == "llm" for one in spec.judges)
    judges = build_judges(spec, source.recipe, Cast(source.recipe) if speaks else None)  # type: ignore[arg-type]
    plain = source.arena()
    arena = build_arena(spec, list(plain.questions.values()), judges)
    return Source(source.folder, source.recipe, spec, tuple(asyncio.run(rejudge(arena, source.episodes))))


def start_of(source: Source, spec: AgentSpec, start: str, scratch: Path) -> tuple[Policy, str]:
    """What the agent is called, and the folder with the weights it starts from ("" for its very first ones).

    Args:
        source: the run.
        spec: the agent.
        start: "first", "newest" (the newest version that the run kept), a version's number, or a folder.
        scratch: where a stored version may be unpacked.

    Raises:
        UserError: no such version or folder.
    """
    newest = source.newest(spec.name)
    version = newest if start == "newest" else 0 if start == "first" else int(start) if start.isdigit() else None
    if version is None:
        if not Path(start).exists():
            raise UserError(f"--start {start}: no such folder; expected first, newest, a version or a folder")
        return Policy(spec.name, 0, spec.model), start
    policy = Policy(spec.name, version, spec.model)
    if version == 0:
        return policy, str(spec.options.get("start", ""))
    kept = source.folder.checkpoints
    if policy.id not in kept.snapshots():
        mine = [name for name in kept.snapshots() if name.startswith(f"{spec.name}-v")]
        raise UserError(f"--start {start}: the run did not keep {policy.id}; it kept {', '.join(mine)}")
    arrays = {k: v for k, v in kept.snapshot(policy.id).arrays.items() if not k.startswith(CRITIC)}
    save_weights(scratch / "start", spec, arrays)
    return policy, str(scratch / "start")


def adapter_shape(spec: AgentSpec) -> AdapterSpec:
    """The shape of an agent's adapters."""
    from debate.engines.adapters import AdapterSpec

    return AdapterSpec(spec.options["lora_rank"], spec.options["lora_alpha"])


def save_weights(folder: Path, spec: AgentSpec, weights: Mapping[str, Any]) -> None:
    """Writes weights so that a recipe's `start:` finds them: a nano model's, or an adapter in PEFT's format."""
    import torch

    tensors = {name: torch.as_tensor(value).contiguous() for name, value in weights.items()}
    if spec.kind == "nano":
        from safetensors.torch import save

        folder.mkdir(parents=True, exist_ok=True)
        (folder / NANO).write_bytes(save(tensors, {"format": "pt"}))
        return
    from debate.engines.adapters import save_adapter

    save_adapter(folder, tensors, adapter_shape(spec), spec.model)


def new_folder(out: Path) -> Path:
    """Makes the folder for a result.

    Raises:
        UserError: something is there already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: holds something already; choose a new folder")
    out.mkdir(parents=True, exist_ok=True)
    return out


def write_record(out: Path, record: Mapping[str, Any]) -> None:
    """Writes how a result was made."""
    (out / RECORD).write_text(json.dumps(record, indent=2, allow_nan=True) + "\n", encoding="utf-8")
