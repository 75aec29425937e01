"""Learning from transcripts that are stored already: judged again for free, corrected for who played them.

1. `stored_episodes`: read a run's store, beside a writer or without one.
2. `rejudge`: other judges, other reward rules; nothing is played and no debater's engine is called.
3. `stored_batch`: credit and rows for one agent, over all the versions of it that played.
4. `importance` and `corrected`: what the policy that learns now would have done instead, by truncated importance
   weights (Ionides 2008, "Truncated importance sampling"; in policy gradients IMPALA, 1802.01561).

Only the agent's own drift is corrected. Its opponents played as they did: what is learned is a better answer to *them*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from debate.learning.baselines import Baseline
from debate.learning.batch import TokenBatch, merge
from debate.learning.credit import Credit, CreditConfig, assign_credit
from debate.learning.logprobs import to_tensors, unit_logprobs
from debate.learning.samples import Sample, gather
from debate.learning.scalarisers import Combination, Utility
from debate.play import Arena, ask_judge, record, set_up
from debate.preference import base_id
from debate.protocol.kernel import Move, State, released, step
from debate.records import pay
from debate.run.folder import RunFolder
from debate.run.store import Store
from debate.transcript import Episode, Transcript
from debate.withdrawal import marks, without_quarantined
from judges.types import Verdict

Floats = NDArray[np.float64]
Level = Literal["token", "turn", "row"]
CREDIT = CreditConfig()


def stored_episodes(folder: Path, prefix: str = "train/") -> Iterator[Episode]:
    """Episodes of a run whose match id starts with `prefix`, sorted by id; memory stays flat.

    Rewards in quarantine (`debate.withdrawal`) are not known here: nobody learns from them.

    Raises:
        UserError: no run or no store there.
    """
    with RunFolder.open(folder).store(read_only=True) as store:
        withdrawn = marks(store)
        for episode in store.episodes(prefix):
            yield without_quarantined(episode, withdrawn)


def restate(arena: Arena, transcript: Transcript) -> State:
    """The end position of a stored match, by playing its recorded moves through the kernel again.

    Raises:
        ValueError: the transcript has a failure, or does not fit the arena (another protocol, question or schedule).
    """
    where = f"transcript {transcript.id!r}"
    if transcript.error is not None:
        raise ValueError(f"{where}: the match was not played to its end ({transcript.error.kind})")
    if transcript.protocol != arena.protocol.name or transcript.question_id not in arena.questions:
        raise ValueError(
            f"{where}: played {transcript.protocol} on question {transcript.question_id!r}, which arena {arena.name!r} "
            f"({arena.protocol.name}) does not have"
        )
    question = arena.questions[transcript.question_id]
    state = State(set_up(arena.protocol, question, transcript.id, transcript.answers, transcript.seed))
    turns = {(turn.slot, turn.seat): turn for turn in transcript.turns}
    while (slot := state.current) is not None:
        moves = {}
        for seat in slot.seats:
            turn = turns.pop((state.slot, seat), None)
            if turn is None:
                raise ValueError(f"{where}: has no turn of {seat!r} in slot {state.slot}, where the protocol has one")
            moves[seat] = Move(
                turn.public or turn.private,
                turn.option,
                turn.probabilities,
                None if turn.tokens is None else len(turn.tokens),
                turn.stop_reason == "budget",
            )
        state = step(state, moves)
    if turns or released(state) != transcript.released:
        raise ValueError(f"{where}: what was released is not what the protocol and the question would release now")
    return state


async def rejudge(arena: Arena, episodes: Sequence[Episode], store: Store | None = None) -> list[Episode]:
    """Stored episodes with the arena's judges' verdicts and its rules' rewards in the place of their own.

    Where a seat decides, its recorded decision stays. A failed match is returned as it is.

    Args:
        arena: the same protocol and questions, with the judges and rules that count now.
        episodes: as they were stored.
        store: where new verdicts are kept, beside the old ones. A verdict that it holds under a judge's name is read,
            not asked for again, so give another judge another name.

    Raises:
        ValueError: a transcript that does not fit the arena.
    """
    whole = [i for i, episode in enumerate(episodes) if episode.transcript.error is None]
    states = {i: restate(arena, episodes[i].transcript) for i in whole}
    verdicts: dict[int, list[Verdict]] = {i: [] for i in whole}
    if arena.protocol.decision.by == "judge":
        for judge in arena.judges:
            known = {i: _known(store, episodes[i].match.id, judge.name) for i in whole}
            asked = [i for i in whole if known[i] is None]
            fresh = await ask_judge(judge, [episodes[i].transcript.case() for i in asked]) if asked else []
            with store.batch() if store is not None and asked else nullcontext():
                for i, verdict in zip(asked, fresh, strict=True):
                    known[i] = verdict
                    if store is not None:
                        store.put_verdict(episodes[i].match.id, verdict, 0)
            for i, found in known.items():
                assert found is not None
                verdicts[i].append(found)
    else:
        verdicts = {i: list(episodes[i].verdicts) for i in whole}
    judged = list(episodes)
    for i in whole:
        given = tuple(verdicts[i])
        rewards = pay(arena.protocol, arena.rules, record(states[i], episodes[i].transcript, given))
        judged[i] = replace(episodes[i], verdicts=given, rewards=rewards)
    return judged


def _known(store: Store | None, match_id: str, judge: str) -> Verdict | None:
    """The first verdict of that name which the store holds."""
    rows = store.verdicts(match_id) if store is not None else []
    return next((verdict for name, _, verdict in rows if name == judge), None)


def stored_samples(episodes: Sequence[Episode], agent: str) -> tuple[list[Sample], Counter[str]]:
    """Every sample of every version of an agent, in the order (episode id, position), and why others were left out."""
    planned = {base_id(policy) for episode in episodes for policy in episode.transcript.seats.values()}
    samples: list[Sample] = []
    excluded: Counter[str] = Counter()
    for policy in sorted(policy for policy in planned if policy.rpartition("-v")[0] == agent):
        found, missing = gather(episodes, policy)
        samples += found
        excluded += missing
    samples.sort(key=lambda sample: (sample.episode_id, sample.position))
    return samples, excluded


def stored_batch(
    episodes: Sequence[Episode],
    agent: str,
    weights: Mapping[str, float] | Combination | Utility,
    baseline: Baseline,
    config: CreditConfig = CREDIT,
    context: int = 0,
) -> tuple[TokenBatch, Credit]:
    """Rows and advantages of everything an agent played; the recorded log-probabilities are those of each version.

    Args:
        episodes: stored ones, judged again or not.
        agent: its name, without version.
        weights: criterion → weight, or another scalariser.
        baseline: what each reward is compared with.
        config: how advantages are normalised.
        context: longest row the model can read; 0 = no limit.

    Raises:
        ValueError: the agent played nothing that can be learned from.
    """
    samples, excluded = stored_samples(episodes, agent)
    if not samples:
        raise ValueError(f"no play of agent {agent!r} that can be learned from; left out: {dict(excluded)}")
    credit = assign_credit(samples, weights, baseline, config)
    batches = []
    for policy in dict.fromkeys(sample.policy for sample in samples):
        mine = [n for n, sample in enumerate(samples) if sample.policy == policy]
        batches.append(TokenBatch.from_samples([samples[n] for n in mine], credit.advantages[mine], context))
    return (batches[0] if len(batches) == 1 else merge(batches)), credit


@dataclass(frozen=True, eq=False)
class Importance:
    """How far the policy that learns is from those that played. U units.

    Attributes:
        weights: [U] min(π/μ, cap), of the unit, its turn or its row.
        logprobs: [U] log π now.
        effective: (Σw)² / (U Σw²), the effective share of the units (Kish); 1 where all weights are equal.
        truncated: share of units whose weight was cut.
        gap: mean |log π − log μ| of a unit.
    """

    weights: Floats
    logprobs: Floats
    effective: float
    truncated: float
    gap: float


def importance(
    model: Any, batch: TokenBatch, level: Level = "token", cap: float = 2.0, temperature: float = 1.0, rows: int = 16
) -> Importance:
    """Truncated importance weights of a stored batch under a policy.

    Args:
        model: the causal language model as it acts now; for a published adapter the one that
            `engine.policies.use("alice-v7")` gives.
        batch: what was played, with the log-probabilities recorded in play.
        level: over what the ratio is formed. "row" is the true ratio of all the seat did (unbiased without a cap,
            where rewards come at the end; its variance grows with length); "turn" and "token" leave out the drift of
            the other turns or tokens: biased, and far steadier.
        cap: where weights are cut; `math.inf` never cuts.
        temperature: the one sampling used.
        rows: rows in memory at once.

    Raises:
        ValueError: a level that there is not, or a cap not above 0.
    """
    if level not in ("token", "turn", "row") or not cap > 0:
        raise ValueError(f"importance: expected level token, turn or row and cap > 0, got {level!r} and {cap}")
    now = current_logprobs(model, batch, temperature, rows)
    difference = now - batch.old_logprobs
    summed: Floats = difference
    if level != "token" and batch.units:
        segments = batch.unit_turn if level == "turn" else batch.unit_row
        summed = np.asarray(np.bincount(segments, difference), dtype=np.float64)[segments]
    with np.errstate(over="ignore"):
        ratio = np.exp(summed)
    weights = np.minimum(ratio, cap)
    total, squares = float(weights.sum()), float(np.square(weights).sum())
    count = max(batch.units, 1)
    return Importance(
        weights,
        now,
        total**2 / (count * squares) if squares > 0 else float("nan"),
        float((ratio > cap).sum()) / count,
        float(np.abs(difference).sum()) / count,
    )


def current_logprobs(model: Any, batch: TokenBatch, temperature: float = 1.0, rows: int = 16) -> Floats:
    """[U] log-probabilities of a batch's units under a model, `rows` rows at a time."""
    import torch

    device = str(next(model.parameters()).device)
    parts = [np.zeros(0)]
    with torch.no_grad():
        for start in range(0, batch.rows, rows):
            part = batch.select(start, min(start + rows, batch.rows))
            if part.units:
                values, _ = unit_logprobs(model, to_tensors(part, device), temperature)
                parts.append(values.double().cpu().numpy())
    return np.concatenate(parts)


def corrected(batch: TokenBatch, found: Importance) -> TokenBatch:
    """The batch as if the policy of `found` had played it: advantages weighted, and its log-probabilities the old ones.

    A learner's own ratio then starts at 1 and measures its steps from here.
    """
    return replace(batch, advantages=batch.advantages * found.weights, old_logprobs=found.logprobs)
