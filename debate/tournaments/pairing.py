"""Who sits where: every pairing plays the same questions, with the same answers to defend, in every seating."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from debate.protocol.spec import DebateProtocol
from debate.questions import Question
from debate.seeds import derive, unit
from debate.transcript import Match

Profile = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Field:
    """Who competes, for which seats, on what.

    Attributes:
        arena: its name.
        protocol: what is played.
        entrants: policy ids.
        seats: the seats competed for.
        fixed: the other seats → policy id.
        questions: in the order in which they are played.
        seed: of the run.
        repeats: how often each question is played in each seating.
    """

    arena: str
    protocol: DebateProtocol
    entrants: tuple[str, ...]
    seats: tuple[str, ...]
    fixed: Mapping[str, str]
    questions: tuple[Question, ...]
    seed: int
    repeats: int = 1


def pairings(entrants: Sequence[str], self_play: bool = False) -> list[tuple[str, str]]:
    """All unordered pairs of entrants, those of an entrant with itself last, where asked for."""
    return [*combinations(entrants, 2), *((one, one) for one in entrants if self_play)]


def seatings(first: str, second: str, seats: int) -> list[Profile]:
    """Every way to seat a pair so that one has one seat and the other has the rest.

    Two seats give both orders; with one seat each sits alone. An entrant meets itself in one seating.

    >>> seatings("a", "b", 2)
    [('a', 'b'), ('b', 'a')]
    >>> len(seatings("a", "b", 3))
    6
    """
    found = [
        tuple(one if k == place else other for k in range(seats))
        for one, other in ((first, second), (second, first))
        for place in range(seats)
    ]
    return list(dict.fromkeys(found))


def assignments(field: Field, question: Question, repeat: int) -> list[dict[str, int]]:
    """The answers to defend, where the protocol draws them: the same for every pairing and seating.

    One drawn seat is played with each option in turn, so that a consultancy's accuracy is its expectation over the
    coin, not a draw of it. Several drawn seats share one draw named by the question.
    """
    drawn = [seat for role in field.protocol.roles if role.answers == "random" for seat in role.seats]
    if not drawn or not question.options:
        return [{}]
    if len(drawn) == 1:
        return [{drawn[0]: option} for option in range(len(question.options))]
    count = len(question.options)
    return [{s: int(unit(derive(field.seed, "answers", field.arena, question.id, repeat, s)) * count) for s in drawn}]


def profile_matches(field: Field, profile: Profile, question: Question, repeat: int = 0) -> Iterator[Match]:
    """The matches of one seating on one question. Their ids say all of it: nothing is ever played twice."""
    seats = {**field.fixed, **dict(zip(field.seats, profile, strict=True))}
    ordered = {seat: seats[seat] for seat in field.protocol.seats}
    for answers in assignments(field, question, repeat):
        held = "".join(f"/{seat}={option}" for seat, option in answers.items())
        name = f"tour/{field.arena}/{'+'.join(profile)}/{question.id}{held}/{repeat:03d}"
        yield Match(name, field.arena, question.id, ordered, answers)


def pairing_matches(
    field: Field, first: str, second: str, questions: Sequence[Question], start: int = 0
) -> Iterator[Match]:
    """A pairing on questions, in every seating, `field.repeats` times beginning with number `start`."""
    for question, repeat in product(questions, range(start, start + field.repeats)):
        for profile in seatings(first, second, len(field.seats)):
            yield from profile_matches(field, profile, question, repeat)
