"""Branch resampling: at a turn, several candidates are played on to the end, and each is worth what came of it.

The group of a candidate is (agent, turn, prompt): the same weights, the same position, the same tokens read. Its
baseline is then the mean over the other candidates' outcomes at that very state, without a critic (VinePPO,
2410.01679, for reasoning steps; here a step is a turn). Moves made at the same time by others are held, what follows is
drawn anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from debate.agents.agent import Reply
from debate.agents.replay import replies
from debate.learning.samples import Sample, gather, moves_of
from debate.preference import base_id
from debate.recipes.learning import CreditSpec
from debate.seeds import derive, generator
from debate.transcript import Episode, Match, Turn


@dataclass(frozen=True, slots=True)
class Fork:
    """A match that begins as another one did.

    Attributes:
        match: what is played.
        parent: id of the other match.
        seat: who moves anew first. slot: where.
    """

    match: Match
    parent: str
    seat: str
    slot: int

    @property
    def group(self) -> str:
        """Names the turn: its candidates are compared with each other."""
        return f"{self.parent}/{self.seat}{self.slot}"


def plan_forks(episodes: Iterable[Episode], policies: Mapping[str, str], spec: CreditSpec, seed: int) -> list[Fork]:
    """`candidates` − 1 forks at every chosen turn of every learning seat; a failed match is not played on.

    Args:
        episodes: what was played.
        policies: learning seat → id of the weights that learn there; other weights in it do not.
        spec: how many candidates, and at how many turns of a seat.
        seed: the run's.
    """
    forks = []
    for episode in episodes:
        if episode.failure is not None:
            continue
        played = episode.transcript
        answers = {seat: answer for seat, answer in played.answers.items() if answer is not None}
        for seat, policy in policies.items():
            if base_id(episode.match.seats[seat]) != policy:
                continue
            slots = list(dict.fromkeys(turn.slot for turn in moves_of(episode, seat) if turn.tokens))
            if 0 < spec.turns < len(slots):
                rng = generator(seed, "branch", episode.match.id, seat)
                slots = sorted(rng.choice(slots, spec.turns, replace=False).tolist())
            for slot in slots:
                name = f"{episode.match.id}/{seat}{slot}"
                forks += [
                    Fork(replace(episode.match, id=f"{name}/{k}", answers=answers), episode.match.id, seat, slot)
                    for k in range(1, spec.candidates)
                ]
    return forks


def known_replies(forks: Sequence[Fork], episodes: Iterable[Episode], seed: int) -> dict[int, Reply]:
    """Seed of an ask → the parent's reply: every move before the fork, and the others' moves beside it."""
    parents = {episode.match.id: replies(episode.transcript) for episode in episodes}
    return {
        derive(seed, fork.match.id, turn.slot, turn.seat): reply
        for fork in forks
        for turn, reply in parents[fork.parent]
        if turn.slot < fork.slot or (turn.slot == fork.slot and turn.seat != fork.seat)
    }


def branch_samples(
    episodes: Sequence[Episode], forks: Sequence[Fork], played: Sequence[Episode], policy: str
) -> tuple[list[Sample], Counter[str]]:
    """The candidates of every turn that was played on from, as samples of one turn with the whole prompt before it.

    Args:
        episodes: the parents.
        forks: what was planned.
        played: what came of it, in the order of the forks.
        policy: id of the weights that learn.

    Returns:
        Samples in the order (episode id, position), and reason → count of what was left out ("other_prompt": chance
        made the fork begin otherwise than its parent).
    """
    parents = {episode.match.id: episode for episode in episodes}
    left_out: Counter[str] = Counter()
    prompts: dict[str, Any] = {}
    samples: list[Sample] = []
    for fork, episode in [*((f, parents[f.parent]) for f in forks), *zip(forks, played, strict=True)]:
        if base_id(fork.match.seats[fork.seat]) != policy:
            continue
        first = episode.match.id == fork.parent
        if first and fork.group in prompts:
            continue  # one parent stands for all its forks at this turn
        found, excluded = gather([episode], policy)
        whole = next((sample for sample in found if sample.seat == fork.seat), None)
        if whole is None:
            left_out += excluded
            continue
        sample = candidate(whole, fork)
        prompt = sample.turns[0].prompt_tokens
        if prompts.setdefault(fork.group, prompt) != prompt:
            left_out["other_prompt"] += 1
            continue
        samples.append(sample)
    samples.sort(key=lambda sample: (sample.episode_id, sample.position, sample.group))
    return samples, left_out


def candidate(sample: Sample, fork: Fork) -> Sample:
    """A sample's moves in the fork's slot alone; everything read and said before is their prompt."""
    row: list[int] = []
    turns: list[Turn] = []
    for turn in sample.turns:
        if turn.fresh:
            row.clear()
        row.extend(turn.prompt_tokens or ())
        if turn.slot == fork.slot:
            turns.append(turn if turns else replace(turn, prompt_tokens=tuple(row), fresh=False))
        row.extend(turn.tokens or ())
    return replace(sample, group=fork.group, turns=tuple(turns))
