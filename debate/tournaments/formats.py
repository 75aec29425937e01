"""The formats: round by round, which matches to play next, given what was played so far.

A round is planned from stored results alone, so a tournament that goes on after a stop plans what it planned before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from debate.errors import UserError
from debate.questions import Question
from debate.seeds import derive
from debate.tournaments.pairing import Field, pairing_matches, pairings
from debate.tournaments.results import Results
from debate.tournaments.spec import Plan
from debate.transcript import Match
from games.empirical.bounds import cell_intervals, nash_conv_bounds
from games.empirical.matchmaking import certified_gap, next_matches

Rounds = Iterator[Iterator[Match]]
OPENING = 2  # questions that every pairing plays before the adaptive format looks at the game


def rounds(field: Field, plan: Plan, results: Results) -> Rounds:
    """The rounds of a tournament. `results` must hold the round before when the next one is asked for."""
    return FORMATS[plan.format](field, plan, results)


def round_robin(field: Field, plan: Plan, results: Results) -> Rounds:
    """Everyone meets everyone, question by question: stopped anywhere, all pairings have played about the same."""
    pairs = pairings(field.entrants, plan.self_play)
    if len(field.seats) == 1:
        pairs = [(one, one) for one in field.entrants]
    yield (
        match
        for question in field.questions[: plan.questions]
        for one, other in pairs
        for match in pairing_matches(field, one, other, [question])
    )


def swiss(field: Field, plan: Plan, results: Results) -> Rounds:
    """Each round pairs neighbours of the standings who have not met; with an odd number the last rests, each once.

    All pairings of a round play the same questions; a rest counts as nothing.
    """
    met: Counter[frozenset[str]] = Counter()
    rested: Counter[str] = Counter()
    for number in range(plan.rounds):
        order = sorted(
            field.entrants, key=lambda one: (-results.score(one), derive(field.seed, "swiss", number, one), one)
        )
        pairs, resting = swiss_pairs(order, met, rested)
        met.update(frozenset(pair) for pair in pairs)
        if resting is not None:
            rested[resting] += 1
        questions, start = _block(field.questions, number * plan.questions, plan.questions, field.repeats)
        yield (
            match
            for question, first in zip(questions, start, strict=True)
            for one, other in pairs
            for match in pairing_matches(field, one, other, [question], first)
        )


def swiss_pairs(
    order: Sequence[str], met: Counter[frozenset[str]], rested: Counter[str]
) -> tuple[list[tuple[str, str]], str | None]:
    """Pairs for a round, best entrants first, and who rests.

    Rematches are avoided where any pairing without one exists; otherwise as few pairs as possible meet again, found by
    raising the number of permitted rematches. The lowest among those who rested least rests.

    Args:
        order: entrants from the best down.
        met: how often each pair has met.
        rested: how often each entrant rested.
    """
    playing, resting = list(order), None
    if len(playing) % 2:
        least = min(rested[one] for one in playing)
        resting = next(one for one in reversed(playing) if rested[one] == least)
        playing.remove(resting)
    for limit in range(max(met.values(), default=0) + 1):
        found = _pair(playing, met, limit, [2000])
        if found is not None:
            return found, resting
    return list(zip(playing[::2], playing[1::2], strict=True)), resting


def _pair(
    left: Sequence[str], met: Counter[frozenset[str]], limit: int, steps: list[int]
) -> list[tuple[str, str]] | None:
    """The first complete pairing in which nobody meets again more than `limit` times; None where none was found."""
    if not left:
        return []
    first = left[0]
    for k in range(1, len(left)):
        steps[0] -= 1
        if steps[0] < 0:  # large fields with many rematches: the search is cut, a rematch is then permitted
            return None
        if met[frozenset((first, left[k]))] <= limit:
            rest = _pair([*left[1:k], *left[k + 1 :]], met, limit, steps)
            if rest is not None:
                return [(first, left[k]), *rest]
    return None


def _block(pool: Sequence[Question], start: int, size: int, repeats: int) -> tuple[list[Question], list[int]]:
    """`size` questions from place `start` on, the first following the last; and each one's first repeat number."""
    places = [divmod(start + k, len(pool)) for k in range(size)]
    return [pool[place] for _, place in places], [again * repeats for again, _ in places]


def adaptive(field: Field, plan: Plan, results: Results) -> Rounds:
    """The cells that bound NashConv best, batch by batch (`games.empirical.matchmaking`), each in both seatings.

    Ends with the budget of matches, or where the best profile's NashConv is known to be at most epsilon.
    """
    pool = field.questions[: plan.questions]
    pairs = pairings(field.entrants, True)
    used = dict.fromkeys(pairs, 0)
    planned = 0

    def take(chosen: Sequence[tuple[str, str]]) -> list[Match]:
        nonlocal planned
        found: list[Match] = []
        for pair in chosen:
            again, place = divmod(used[pair], len(pool))
            matches = list(pairing_matches(field, *pair, [pool[place]], again * field.repeats))
            if planned + len(matches) > plan.matches:
                break
            used[pair] += 1
            planned += len(matches)
            found += matches
        return found

    opening = take([pair for _ in range(min(OPENING, len(pool))) for pair in pairs])
    if opening:
        yield iter(opening)
    while opening and not (plan.epsilon > 0 and certified(results, plan.criterion) <= plan.epsilon):
        game = results.decisive_game()
        try:
            cells = next_matches(game, plan.batch)
        except ValueError as error:
            raise _out_of_range(plan.criterion, error) from None
        wanted = Counter(tuple(sorted(map(int, cell))) for cell in cells)
        names = field.entrants
        chosen = [(names[i], names[j]) for (i, j), n in sorted(wanted.items()) for _ in range(n)]
        batch = take(chosen)
        if not batch:
            return
        yield iter(batch)


def certified(results: Results, criterion: str) -> float:
    """What NashConv of the best profile is at most, with 95 % confidence at every look (`games.empirical.bounds`)."""
    game = results.decisive_game()
    try:
        low, high = cell_intervals(game, 0.05)
    except ValueError as error:
        raise _out_of_range(criterion, error) from None
    if low.shape[0] == 1:
        gap, _, _ = certified_gap(low, high)
        return float(np.ravel(gap)[0])
    if game.unplayed():
        return float("inf")
    from games.equilibria.dispatch import solve

    profile = solve(game.normal_form(), "nash")[0].profile
    assert profile is not None  # a Nash equilibrium is a product profile
    return float(nash_conv_bounds(game, profile)[1])


def _out_of_range(criterion: str, error: ValueError) -> UserError:
    return UserError(f"tournament.criterion {criterion}: the adaptive format needs rewards within [-1, 1]; {error}")


FORMATS: dict[str, Callable[[Field, Plan, Results], Rounds]] = {
    "round_robin": round_robin,
    "swiss": swiss,
    "adaptive": adaptive,
}
