"""What matches come to, added up as they are played: memory depends on entrants and questions, not on speeches.

Axis letters: E entrants, Q questions, P seats competed for, C criteria.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from debate.tournaments.pairing import Field
from debate.transcript import Episode
from games.empirical.samples import EmpiricalGame
from judges.criteria import Agree, LogScore, Truth
from judges.rewards import Reading
from judges.types import Case, Cost, Record

Array = NDArray[np.float64]
OVERALL = ("truth",)
BY_SIDE = ("believed_honest", "believed_dishonest", "score_honest", "score_dishonest")
_TRUTH, _AGREE, _SCORE = Truth(), Agree(), LogScore()


class Results:
    """Sums over the matches played so far.

    Attributes:
        field: who competes.
        criterion: what decides a match.
        sums: measure → [E, Q, 2] (sum, count) of each entrant on each question.
        overall: measure → [Q, 2] (sum, count) over matches: `truth`, and `truth/SEAT` where that seat was honest.
        wins: question → [E, E] how often the row entrant beat the column one, a tie counting ½ each way.
        spent: entrant → what its turns cost; "judge" for verdicts.
        played, failed: entrant → matches, and those of them that failed.
        failures: kind → matches.
        sampled: tokens that speakers and judges sampled in all matches.
    """

    def __init__(self, field: Field, criterion: str) -> None:
        self.field, self.criterion = field, criterion
        self.criteria = field.protocol.criteria
        self._entrant = {policy: i for i, policy in enumerate(field.entrants)}
        self._question = {question.id: i for i, question in enumerate(field.questions)}
        shape = (len(field.entrants), len(field.questions), 2)
        self.sums: dict[str, Array] = {name: np.zeros(shape) for name in (*self.criteria, *BY_SIDE)}
        self.overall: dict[str, Array] = {"truth": np.zeros(shape[1:])}
        self.wins: dict[int, Array] = {}
        self.spent: dict[str, Cost] = {}
        self.played: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.matches = self.sampled = 0
        self._samples = array("d")
        self._places = array("q")

    def add(self, episode: Episode) -> None:
        """Adds one match. A failed one is counted, and gives no number to anything."""
        q = self._question[episode.match.question_id]
        seated = [(seat, episode.match.seats[seat]) for seat in self.field.seats]
        self.matches += 1
        self.sampled += sampled_tokens(episode)
        present = dict.fromkeys(policy for _, policy in seated)
        self.played.update(present.keys())
        for turn in episode.transcript.turns:
            if turn.cost.calls or turn.cost.tokens:
                self.spent[turn.policy] = self.spent.get(turn.policy, Cost()) + turn.cost
        for verdict in episode.verdicts:
            if verdict.cost.calls or verdict.cost.tokens:
                self.spent["judge"] = self.spent.get("judge", Cost()) + verdict.cost
        self._places.extend([*(self._entrant[policy] for _, policy in seated), q])
        rewards = episode.rewards
        if episode.failure is not None or rewards is None:
            self.failures[episode.failure.kind if episode.failure else "no rewards"] += 1
            self.failed.update(present.keys())
            self._samples.extend([math.nan] * (len(seated) * len(self.criteria)))
            return
        rows = [rewards.values[rewards.seats.index(seat)].tolist() for seat, _ in seated]
        for (_, policy), row in zip(seated, rows, strict=True):
            self._samples.extend(row)
            for name, value in zip(self.criteria, row, strict=True):
                self._put(name, policy, q, value)
        self._judged(episode, seated, q)
        decisive = self.criteria.index(self.criterion)
        self._compare([(policy, row[decisive]) for (_, policy), row in zip(seated, rows, strict=True)], q)

    def _put(self, name: str, policy: str, q: int, value: float) -> None:
        if math.isfinite(value):
            cell = self.sums[name][self._entrant[policy], q]
            cell[0] += value
            cell[1] += 1

    def _judged(self, episode: Episode, seated: Sequence[tuple[str, str]], q: int) -> None:
        """Judge accuracy, and what each entrant's side was believed, by the definitions of the reward rules."""
        question, transcript = self.field.questions[q], episode.transcript
        if (
            transcript.offered
        ):  # something else than the question was decided: only the protocol's rule knows what is true
            self._ruled(episode, q)
            return
        if question.label is None or not episode.verdicts:
            return
        seats = tuple(transcript.seats)
        answers = tuple(transcript.answers.get(seat) for seat in seats)
        case = Case(transcript.question, transcript.options)
        record = Record(case, episode.verdicts, question.label, seats, answers)
        truth = _TRUTH(record)[0].value
        if not math.isfinite(truth):
            return
        self.overall["truth"][q] += (truth, 1.0)
        believed, scores = _of_seats(seats, _AGREE(record)), _of_seats(seats, _SCORE(record))
        for seat, policy in seated:
            answer = transcript.answers.get(seat)
            if answer is None:
                continue
            side = "honest" if answer == question.label else "dishonest"
            self._put(f"believed_{side}", policy, q, believed[seat])
            self._put(f"score_{side}", policy, q, scores[seat])
            if side == "honest":
                place = self.overall.setdefault(f"truth/{seat}", np.zeros((len(self.field.questions), 2)))
                place[q] += (truth, 1.0)
            elif len(self.field.seats) == 1:
                place = self.overall.setdefault("truth/nobody", np.zeros((len(self.field.questions), 2)))
                place[q] += (truth, 1.0)

    def _ruled(self, episode: Episode, q: int) -> None:
        """Judge accuracy as the protocol's own criterion "truth" has it."""
        rewards = episode.rewards
        if rewards is None or "truth" not in rewards.criteria:
            return
        known = [v for v in rewards.values[:, rewards.criteria.index("truth")].tolist() if math.isfinite(v)]
        if known:
            self.overall["truth"][q] += (known[0], 1.0)

    def _compare(self, values: Sequence[tuple[str, float]], q: int) -> None:
        """A win, a loss or half of each between the two entrants of a match, by their mean rewards."""
        by: dict[str, list[float]] = {}
        for policy, value in values:
            by.setdefault(policy, []).append(value)
        if len(by) != 2 or not all(math.isfinite(v) for own in by.values() for v in own):
            return
        (one, ours), (other, theirs) = by.items()
        self._win(self._entrant[one], self._entrant[other], q, _mean(ours) - _mean(theirs))

    def _win(self, i: int, j: int, q: int, lead: float) -> None:
        table = self.wins.setdefault(q, np.zeros((len(self.field.entrants),) * 2))
        share = 0.5 if abs(lead) <= 1e-9 else float(lead > 0)
        table[i, j] += share
        table[j, i] += 1.0 - share

    def sampled_tokens_a_match(self) -> float:
        """Tokens that speakers and judges sampled in a match, on average; 0 before the first."""
        return self.sampled / self.matches if self.matches else 0.0

    def comparisons(self) -> dict[int, Array]:
        """Question → [E, E] wins. Where entrants sit alone, those who played a question are compared by their means."""
        if len(self.field.seats) > 1:
            return self.wins
        alone = self.sums[self.criterion]
        found: dict[int, Array] = {}
        for q in np.flatnonzero(alone[:, :, 1].sum(axis=0)):
            count = alone[:, q, 1]
            mean = np.divide(alone[:, q, 0], count, out=np.full(len(count), np.nan), where=count > 0)
            lead = mean[:, None] - mean[None, :]
            table = np.where(np.abs(lead) <= 1e-9, 0.5, (lead > 0).astype(np.float64))
            found[int(q)] = np.where(np.isfinite(lead), table, 0.0) * (1.0 - np.eye(len(count)))
        return found

    def score(self, policy: str) -> float:
        """Share of its comparisons that an entrant won, ½ before the first: what Swiss rounds are paired by."""
        i = self._entrant[policy]
        won = sum(float(table[i].sum()) for table in self.comparisons().values())
        lost = sum(float(table[:, i].sum()) for table in self.comparisons().values())
        return won / (won + lost) if won + lost else 0.5

    def game(self) -> EmpiricalGame:
        """The empirical game: players are seats, strategies entrants, clusters questions.

        Raises:
            ValueError: no match was played.
        """
        seats, criteria = len(self.field.seats), len(self.criteria)
        if not self.matches:
            raise ValueError("the empirical game has no episodes")
        places = np.array(self._places, dtype=np.int64).reshape(-1, seats + 1)
        values = np.array(self._samples).reshape(-1, seats, criteria)
        strategies = [list(self.field.entrants)] * seats
        return EmpiricalGame.from_samples(
            places[:, :seats], values, places[:, seats], self.field.seats, self.criteria, strategies
        )

    def decisive_game(self) -> EmpiricalGame:
        """The game of the criterion that decides matches alone."""
        weights = [float(name == self.criterion) for name in self.criteria]
        return self.game().scalarise(weights)


def sampled_tokens(episode: Episode) -> int:
    """Tokens that speakers and judges sampled in a match; a move picked among scored ones counts by its own tokens."""
    turns = [turn for turn in episode.transcript.turns if turn.cost.calls]
    spoken = sum(turn.cost.tokens or len(turn.tokens or ()) for turn in turns)
    return spoken + sum(verdict.cost.tokens for verdict in episode.verdicts)


def _of_seats(seats: Sequence[str], readings: Sequence[Reading]) -> dict[str, float]:
    return {seat: reading.value for seat, reading in zip(seats, readings, strict=True)}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
