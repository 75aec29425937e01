"""What one learning seat did in one episode, and why some episodes teach nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from debate.preference import base_id, preference_of
from debate.transcript import Episode, Turn
from judges.types import Status


@dataclass(frozen=True, eq=False)
class Sample:
    """One seat's play in one episode. Axis letters: C criteria.

    Attributes:
        episode_id: the match id. protocol, role, seat: where it was played.
        position: index of the seat among the seats of the match.
        group: episodes with the same group share a question and are compared with each other.
        policy: id of the policy that acted.
        turns: the seat's turns, in order.
        criteria: C names.
        rewards: [C]; NaN exactly where the status is not "ok".
        status: [C].
        preference: criterion → weight it was told for this match; empty where its weights are fixed.
    """

    episode_id: str
    protocol: str
    role: str
    seat: str
    position: int
    group: str
    policy: str
    turns: tuple[Turn, ...]
    criteria: tuple[str, ...]
    rewards: NDArray[np.float64]
    status: tuple[Status, ...]
    preference: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses what must never be trained on.

        Raises:
            ValueError: a turn of another seat or policy, or rewards that do not fit their criteria and status.
        """
        for turn in self.turns:
            if turn.seat != self.seat or turn.policy != self.policy:
                raise ValueError(
                    f"sample of seat {self.seat!r} in episode {self.episode_id!r}: expected turns of policy "
                    f"{self.policy!r}, got one of seat {turn.seat!r} by policy {turn.policy!r}"
                )
        if self.rewards.shape != (len(self.criteria),) or len(self.status) != len(self.criteria):
            raise ValueError(
                f"sample of seat {self.seat!r} in episode {self.episode_id!r}: expected {len(self.criteria)} rewards "
                f"and statuses, got shape {self.rewards.shape} and {len(self.status)} statuses"
            )
        if any((s == "ok") != bool(np.isfinite(r)) for s, r in zip(self.status, self.rewards, strict=True)):
            raise ValueError(
                f"sample of seat {self.seat!r} in episode {self.episode_id!r}: rewards {self.rewards.tolist()} "
                f"contradict their statuses {list(self.status)}"
            )

    @property
    def place(self) -> tuple[str, str, int]:
        """(protocol, role, position): samples are pooled within a place, never over places."""
        return self.protocol, self.role, self.position


def exclusion(episode: Episode, seat: str, policy: str) -> str | None:
    """Why a seat's play may not be learned from; None when it may.

    Returns:
        "failed:<kind>" (the match or a verdict failed), "no_rewards" (nothing was measured), "no_turns",
        "other_policy" (someone else acted), "failed_turn", "no_tokens" (the engine hides ids or log-probabilities).
    """
    if episode.failure is not None:
        return f"failed:{episode.failure.kind}"
    rewards = episode.rewards
    if rewards is None or "ok" not in rewards.status[rewards.seats.index(seat)]:
        return "no_rewards"
    turns = moves_of(episode, seat)
    if not turns:
        return "no_turns"
    if episode.transcript.seats[seat] != policy or any(turn.policy != policy for turn in turns):
        return "other_policy"
    if any(turn.stop_reason == "error" for turn in turns):
        return "failed_turn"
    if any(turn.prompt_tokens is None or not turn.tokens or not turn.logprobs for turn in turns):
        return "no_tokens"
    return None


def moves_of(episode: Episode, seat: str) -> list[Turn]:
    """The turns in which a seat did something.

    Where its budget was used up, and where it said what it had drafted before, it was not asked: nothing is learned.
    """
    turns = (turn for turn in episode.transcript.turns if turn.seat == seat)
    return [turn for turn in turns if turn.policy and turn.stop_reason != "budget"]


def samples_of(episode: Episode, seats: Mapping[str, str] | Sequence[str]) -> list[Sample]:
    """The samples of an episode: one for each asked seat whose play may be learned from.

    Args:
        episode: a played and judged match; a failed one yields nothing.
        seats: seat → id of the policy that learns; or seat names, each with the policy planned for it.

    Raises:
        ValueError: a seat the match does not have.
    """
    played = episode.transcript.seats
    asked = dict(seats) if isinstance(seats, Mapping) else {seat: played.get(seat, "") for seat in seats}
    samples = []
    for seat, policy in asked.items():
        if seat not in played:
            raise ValueError(f"episode {episode.match.id!r} has no seat {seat!r}; it has {', '.join(played)}")
        if exclusion(episode, seat, policy) is not None:
            continue
        rewards = episode.rewards
        assert rewards is not None
        row = rewards.seats.index(seat)
        turns = tuple(moves_of(episode, seat))
        samples.append(
            Sample(
                episode_id=episode.match.id,
                protocol=episode.transcript.protocol,
                role=turns[0].role,
                seat=seat,
                position=row,
                group=episode.match.group or episode.match.id,
                policy=policy,
                turns=turns,
                criteria=rewards.criteria,
                rewards=rewards.values[row],
                status=rewards.status[row],
            )
        )
    return samples


def gather(episodes: Iterable[Episode], policy: str) -> tuple[list[Sample], Counter[str]]:
    """Every sample of one policy, and how many of its seats were left out for which reason.

    Where the policy was told a preference (`alice-v3@win=0.3,truth=0.7`), the samples are those of `alice-v3` and say
    which preference it was.

    Returns:
        The samples in the order (episode id, position), and reason → count of seats planned for the policy.
    """
    samples: list[Sample] = []
    excluded: Counter[str] = Counter()
    for episode in episodes:
        seats = {seat: planned for seat, planned in episode.transcript.seats.items() if base_id(planned) == policy}
        samples += map(_plain, samples_of(episode, seats))
        reasons = (exclusion(episode, seat, planned) for seat, planned in seats.items())
        excluded.update(reason for reason in reasons if reason is not None)
    samples.sort(key=lambda sample: (sample.episode_id, sample.position))
    return samples, excluded


def _plain(sample: Sample) -> Sample:
    """The sample under the id of its weights, the preference it was told taken out of it."""
    told = preference_of(sample.policy)
    if not told:
        return sample
    policy = base_id(sample.policy)
    return replace(sample, policy=policy, turns=tuple(replace(t, policy=policy) for t in sample.turns), preference=told)
