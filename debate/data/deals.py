"""Deals of a text game: questions that say nothing but which random numbers chance draws."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from debate.data.source import Source
from debate.errors import UserError
from debate.questions import Question
from debate.text_games.protocol import deal


def read(source: Source) -> Iterable[Question]:
    """Deals 0, 1, 2, …; the splits have ids, and so cards, of their own.

    Raises:
        UserError: no limit was given.
    """
    if source.limit is None:
        raise UserError("data: adapter 'deals' makes its questions; give limit: how many")
    return (deal(number, source.split) for number in count())
