"""The ways: preferences, supervised, reward model, expert iteration, stored transcripts. Each writes a folder.

A recipe begins with the result: `start: FOLDER` of an agent, or `judge: {kind: learned, model: FOLDER}`.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from debate.errors import UserError
from debate.learn.source import (
    Source,
    adapter_shape,
    new_folder,
    open_source,
    save_weights,
    start_of,
    write_record,
)
from debate.recipe import AgentSpec

Lines = list[str]


def dpo(arguments: argparse.Namespace) -> Lines:
    """Direct preference optimisation on pairs out of judged debates."""
    from debate.learning.preferences import dpo as train_dpo
    from debate.learning.preferences import preferences
    from debate.learning.stored import stored_samples

    source, spec = _opened(arguments, "hf")
    samples, left_out = stored_samples(source.episodes, spec.name)
    pairs = preferences(samples, dict(spec.weights), arguments.margin, arguments.pairing)
    if not pairs:
        raise UserError(f"no two plays of {spec.name} share a group and a prompt and differ by more than the margin")
    model, tokenizer, state, settings = _base(spec, arguments, source)
    trained = train_dpo(model, tokenizer, pairs, adapter_shape(spec), state, settings, arguments.beta)
    return _adapter(arguments, source, spec, trained, {"pairs": len(pairs), "left_out": dict(left_out)})


def sft(arguments: argparse.Namespace) -> Lines:
    """Supervised: the best recorded plays, another agent's words, or conversations from a file."""
    from debate.engines.chat_format import ChatFormat
    from debate.engines.hf import stop_ids
    from debate.learning.expert_iteration import best
    from debate.learning.stored import stored_samples
    from debate.learning.warm_start import (
        conversation_rows,
        demonstration_rows,
        read_conversations,
        sampled_rows,
        warm_start,
    )

    source, spec = _opened(arguments, "hf")
    model, tokenizer, state, settings = _base(spec, arguments, source)
    chat = ChatFormat(tokenizer, stops=stop_ids(model))
    if arguments.conversations is not None:
        talks = read_conversations(arguments.conversations)
        rows = [row for talk in talks for row in conversation_rows(talk, chat)]
    elif arguments.imitate:
        seats = [seat for seat, name in source.spec.seats.items() if name == arguments.imitate]
        if not seats:
            raise UserError(f"--imitate {arguments.imitate}: sits in no seat of arena {source.spec.name}")
        rows = demonstration_rows(source.arena(), source.episodes, seats, chat)
    else:
        samples, _ = stored_samples(source.episodes, spec.name)
        rows = sampled_rows(best(samples, dict(spec.weights), arguments.fraction))
    if not rows:
        raise UserError("there is nothing to imitate: no play with recorded token ids or words")
    trained = warm_start(model, tokenizer, rows, adapter_shape(spec), state, settings)
    return _adapter(arguments, source, spec, trained, {"rows": len(rows)})


def reward(arguments: argparse.Namespace) -> Lines:
    """A reward model on cases with known answers, as a judge."""
    from debate.learning.learned_judge import labelled_cases, load_reward_model, train_judge
    from debate.learning.trl_trainers import require_trl

    require_trl()
    source = open_source(arguments.source, arguments.arena, arguments.matches)
    cases = labelled_cases(source.arena(), source.episodes)
    if not cases:
        raise UserError(f"{arguments.source}: no debate was played to its end on a question whose answer is known")
    out = new_folder(arguments.out)
    model, tokenizer = load_reward_model(arguments.model, arguments.device)
    judge, log = train_judge(model, tokenizer, cases, arguments.name, settings=_settings(arguments))
    judge.save(out)
    write_record(out, {"kind": "reward", "run": str(arguments.source), "model": arguments.model, "log": list(log)})
    return [f"{len(cases)} cases; loss {_ends(log)}", f"judge: {{kind: learned, model: {out.resolve()}}}"]


def expert(arguments: argparse.Namespace) -> Lines:
    """Expert iteration: imitate the best plays of every group."""
    from debate.learning.expert_iteration import LIKELIHOOD, best, imitation_batch
    from debate.learning.stored import stored_samples

    source, spec = _opened(arguments, "nano", "hf")
    samples, left_out = stored_samples(source.episodes, spec.name)
    kept = best(samples, dict(spec.weights), arguments.fraction, arguments.least)
    if not kept:
        raise UserError(f"no play of {spec.name} was kept of {len(samples)}; left out: {dict(left_out)}")
    plain = [replace(s, policy=spec.name, turns=tuple(replace(t, policy=spec.name) for t in s.turns)) for s in kept]
    batch = imitation_batch(plain)
    out = new_folder(arguments.out)
    learner = _learner(spec, arguments, source)
    learner.config = replace(learner.config, loss=LIKELIHOOD)
    log = [learner.update(batch) for _ in range(arguments.steps or arguments.epochs)]
    save_weights(out, spec, learner.weights())
    return _learned(arguments, out, spec, log, {"kind": "expert", "plays": len(samples), "kept": len(kept)})


def stored(arguments: argparse.Namespace) -> Lines:
    """Off-policy from stored transcripts, corrected by truncated importance weights."""
    from debate.learning.baselines import EmaBaseline, GroupBaseline
    from debate.learning.configured import scalariser
    from debate.learning.stored import corrected, importance, stored_batch

    source, spec = _opened(arguments, "nano", "hf")
    base = EmaBaseline() if source.recipe.training.baseline == "ema" else GroupBaseline()
    batch, credit = stored_batch(source.episodes, spec.name, scalariser(spec), base)
    if not batch.units:
        raise UserError(f"no play of {spec.name} has an advantage: {credit.untrainable} could not be compared")
    out = new_folder(arguments.out)
    log = []
    learner = _learner(spec, arguments, source)
    for _ in range(arguments.steps or arguments.epochs):
        with learner.acting():
            drift = importance(learner.model, batch, arguments.level, arguments.cap, learner.config.temperature)
        measured = learner.update(corrected(batch, drift))
        log.append({**measured, "effective": drift.effective, "truncated": drift.truncated})
    save_weights(out, spec, learner.weights())
    counted = {"kind": "stored", "rows": batch.rows, "level": arguments.level, "cap": arguments.cap}
    lines = _learned(arguments, out, spec, log, counted)
    return [f"effective share of the first step {log[0]['effective']:.3f}", *lines]


WAYS: Mapping[str, Callable[[argparse.Namespace], Lines]] = {
    "dpo": dpo,
    "sft": sft,
    "reward": reward,
    "expert": expert,
    "stored": stored,
}


# --- what they share -------------------------------------------------------------------------------------------------


def _opened(arguments: argparse.Namespace, *kinds: str) -> tuple[Source, AgentSpec]:
    """The run and the agent, of a kind that this way can train."""
    source = open_source(arguments.source, arguments.arena, arguments.matches, arguments.judge)
    spec = source.agent(arguments.agent)
    if spec.kind not in kinds:
        raise UserError(
            f"agent {spec.name!r} is {spec.kind}: this goes through TRL, which trains hf agents; use expert"
        )
    return source, spec


def _base(spec: AgentSpec, arguments: argparse.Namespace, source: Source) -> tuple[Any, Any, Any, Any]:
    """The agent's bare model and tokenizer for TRL, the adapter it starts from (or None), and how to step."""
    from debate.engines.hf import load_base
    from debate.learning.trl_trainers import require_trl
    from debate.starts import adapter_weights

    require_trl()
    new_folder(arguments.out)
    with tempfile.TemporaryDirectory() as scratch:
        _, start = start_of(source, spec, arguments.start, Path(scratch))
        state = adapter_weights(Path(start), adapter_shape(spec)) if start else None
    model, tokenizer = load_base(spec.model, spec.options["device"], spec.options["dtype"])
    return model, tokenizer, state, _settings(arguments)


def _learner(spec: AgentSpec, arguments: argparse.Namespace, source: Source) -> Any:
    """The agent's own learner, with the weights it starts from."""
    from debate.cast import make_engine

    with tempfile.TemporaryDirectory() as scratch:
        policy, start = start_of(source, spec, arguments.start, Path(scratch))
        options = {**spec.options, "start": start, "shard": 1}  # hf plays from a whole base here, so it fits
        if arguments.lr is not None:
            options["learning_rate"] = arguments.lr
        return make_engine(spec.kind, spec.model, options).learner(policy, options)


def _settings(arguments: argparse.Namespace) -> Any:
    from debate.learning.trl_trainers import Settings

    lr = 1e-4 if arguments.lr is None else arguments.lr
    try:
        return Settings(lr, arguments.epochs, arguments.steps, arguments.rows, seed=arguments.seed)
    except ValueError as error:
        raise UserError(str(error)) from None


def _adapter(
    arguments: argparse.Namespace, source: Source, spec: AgentSpec, trained: Any, counts: Mapping[str, Any]
) -> Lines:
    """Saves an adapter that TRL trained."""
    trained.save(arguments.out, spec.model)
    kind = arguments.way
    record = {"kind": kind, "run": str(source.folder.path), "agent": spec.name, "base": spec.model, **counts}
    write_record(arguments.out, {**record, "log": list(trained.log)})
    shown = ", ".join(f"{value} {name}" for name, value in counts.items() if isinstance(value, int))
    return [f"{shown}; loss {_ends(trained.log)}", f"start: {arguments.out.resolve()}"]


def _learned(
    arguments: argparse.Namespace, out: Path, spec: AgentSpec, log: list[dict[str, float]], counts: Mapping[str, Any]
) -> Lines:
    """Records what our own learner did."""
    write_record(out, {**counts, "run": str(arguments.source), "agent": spec.name, "base": spec.model, "log": log})
    shown = ", ".join(f"{value} {name}" for name, value in counts.items() if isinstance(value, int))
    return [f"{shown}; loss {_ends(log)}", f"start: {out.resolve()}"]


def _ends(log: Any) -> str:
    """The first and the last loss of a log."""
    losses = [row["loss"] for row in log if "loss" in row and math.isfinite(row["loss"])]
    return f"{losses[0]:.4f} → {losses[-1]:.4f}" if losses else "not known"
