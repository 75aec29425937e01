"""Baselines at equal cost: repeated until they have sampled as many tokens as one debate.

A debate that samples a thousand tokens and a judge that answers at once are not compared at what they cost. So each
baseline is repeated k times a question, k the least number that reaches the tokens of a mean match (speeches, thoughts
and verdicts; what is only read is not counted), and the mean of its k beliefs is its answer: the majority, where each
verdict is sure. A baseline that samples nothing says the same each time; it stays as it is.

Source: repeated sampling with a vote, Wang et al. (2023), "Self-consistency improves chain of thought reasoning";
debate against it at equal cost, Smit et al. (2024), "Should we be going MAD?".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debate.play import Arena
from debate.tournaments.baselines import Asker, JudgeAlone, ask_here
from debate.tournaments.clustered import Array
from debate.tournaments.pairing import Field, assignments, profile_matches
from debate.tournaments.results import Results, sampled_tokens
from debate.transcript import Episode, Match
from judges.criteria import Truth
from judges.types import Case, Record, Verdict

_TRUTH = Truth()
Play = Callable[[Iterable[Match]], Iterator[Episode]]


@dataclass(frozen=True, eq=False)
class Repeated:
    """A baseline, asked once and asked up to a debate's tokens.

    Attributes:
        once: [Q, 2] (hits, count) of single verdicts or matches.
        pooled: [Q, 2] the same of the mean belief of all repeats.
        repeats: verdicts or matches a question, k.
        wanted: the k that reaches a debate's tokens; more than `repeats` where the limit cut it.
        tokens: sampled by the k repeats of a question, on average.
    """

    once: Array
    pooled: Array
    repeats: int
    wanted: int
    tokens: float


@dataclass(frozen=True, eq=False)
class Matched:
    """Every baseline at a debate's tokens.

    Attributes:
        debate_tokens: sampled in one match of the tournament, on average, its verdicts included.
        alone: "naive" and "expert" → the judge without a debate.
        arenas: name → a baseline that is played.
    """

    debate_tokens: float
    alone: Mapping[str, Repeated]
    arenas: Mapping[str, Repeated]


def repeats_for(debate: float, one: float, unit: int = 1) -> int:
    """The least multiple of `unit` repeats that samples at least the debate's tokens; `unit` where one samples nothing.

    Args:
        debate: tokens of a debate.
        one: tokens of one repeat.
        unit: repeats that belong together.

    >>> repeats_for(100, 30), repeats_for(90, 30), repeats_for(90, 30, unit=2), repeats_for(100, 0)
    (4, 3, 4, 1)
    """
    if one <= 0 or debate <= 0:
        return unit
    return unit * max(1, math.ceil(debate / (one * unit) - 1e-9))


def repeat_alone(
    arena: Arena,
    field: Field,
    material: bool,
    played: NDArray[np.bool_],
    debate: float,
    limit: int,
    asker: Asker = ask_here,
) -> Repeated | None:
    """The judge without a debate, naive or expert, at a debate's tokens.

    Args:
        arena: whose judges are asked.
        field: whose questions.
        material: expert, who reads the material, or naive.
        played: [Q] the questions that were debated.
        debate: tokens of a debate.
        limit: most repeats.
        asker: asks a judge.

    Returns:
        None where there is nothing to ask, or nothing was answered.
    """
    alone = JudgeAlone(arena, field, material, played, asker)
    alone.ask([0])
    once = alone.hits()
    if once is None:
        return None
    count = len(alone.questions)
    wanted = repeats_for(debate, alone.cost.tokens / count)
    repeats = min(wanted, limit)
    alone.ask(range(1, repeats))
    pooled = alone.hits()
    assert pooled is not None
    return Repeated(once, pooled, repeats, wanted, alone.cost.tokens / count)


def repeat_arena(field: Field, play: Play, played: NDArray[np.bool_], debate: float, limit: int) -> Repeated | None:
    """Another protocol with each entrant in all of its open seats, at a debate's tokens.

    Where the protocol draws the answer that a lone seat defends, every option is defended equally often, so k is a
    multiple of their number.

    Args:
        field: the baseline's entrants, seats and questions.
        play: plays matches, in order.
        played: [Q] the questions that were debated.
        debate: tokens of a debate.
        limit: most matches a question and entrant, but at least one for each answer to be defended.

    Returns:
        None where no verdict is known.
    """
    asked = [(q, question) for q, question in enumerate(field.questions) if played[q] and question.label is not None]
    if not asked:
        return None
    unit = max(len(assignments(field, question, 0)) for _, question in asked)
    once, tokens, matches = np.zeros((len(field.questions), 2)), 0, 0
    cells: dict[tuple[int, str], list[Verdict]] = {}

    def round_of(number: int) -> None:
        nonlocal tokens, matches
        planned = [
            (q, entrant, match)
            for q, question in asked
            for entrant in field.entrants
            for match in profile_matches(field, (entrant,) * len(field.seats), question, number)
        ]
        episodes = play(match for _, _, match in planned)
        for (q, entrant, _), episode in zip(planned, episodes, strict=True):
            matches += 1
            tokens += sampled_tokens(episode)
            if episode.failure is not None:
                continue
            if number == 0:
                _count(once, field, q, episode.verdicts)
            cells.setdefault((q, entrant), []).extend(episode.verdicts)

    round_of(0)
    wanted = repeats_for(debate, tokens / matches, unit)
    rounds = max(1, min(wanted, limit) // unit)
    for number in range(1, rounds):
        round_of(number)
    pooled = np.zeros_like(once)
    for (q, _), verdicts in cells.items():
        _count(pooled, field, q, verdicts)
    if not pooled[:, 1].any():
        return None
    return Repeated(once, pooled, rounds * unit, wanted, tokens / (len(asked) * len(field.entrants)))


def _count(table: Array, field: Field, q: int, verdicts: Sequence[Verdict]) -> None:
    """Adds whether the mean belief of some verdicts is the question's answer, where it is known."""
    question = field.questions[q]
    if not verdicts or question.label is None:
        return
    case = Case(question.question, question.options)
    value = _TRUTH(Record(case, tuple(verdicts), question.label, ("judge",), (None,)))[0].value
    if np.isfinite(value):
        table[q] += (value, 1.0)


def match_baselines(
    arena: Arena, results: Results, others: Iterable[tuple[Field, Play]], limit: int, asker: Asker = ask_here
) -> Matched:
    """Every baseline of a tournament, on the questions that were debated.

    Args:
        arena: what was played; its judges are asked without a debate.
        results: of the tournament, all of it.
        others: baselines that are played, each with what plays it.
        limit: most repeats of each; under 1 they are not repeated.
        asker: asks a judge.
    """
    debate, field = results.sampled_tokens_a_match(), results.field
    played = results.overall["truth"][:, 1] > 0
    limit = max(1, limit)
    alone = {
        name: repeat_alone(arena, field, name == "expert", played, debate, limit, asker) for name in ("naive", "expert")
    }
    arenas = {own.arena: repeat_arena(own, play, played, debate, limit) for own, play in others}
    return Matched(
        debate,
        {name: one for name, one in alone.items() if one is not None},
        {name: one for name, one in arenas.items() if one is not None},
    )
