"""Random legal play of the evidence debate as training rows for the nano model: views in, uniform targets out.

The game: n signed weights are known to the players; seats take turns (A, B, A, B, …) and each reveals k items that
are still hidden. Three kinds of views are drawn: seat A's, seat B's, and that of one seat playing alone (consultancy).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from debate.engines.nano import tokenizer as words
from debate.engines.nano.format import NanoFormat
from judges.types import Message

LENGTH = 32  # the longest view has 29 ids


@dataclass(frozen=True, slots=True)
class View:
    """One seat's row.

    Attributes:
        ids: what stands in its row, own moves included.
        places: where the model has to move: the place of the id it moves after.
        targets: for each move, weight → share of the items still hidden.
    """

    ids: list[int]
    places: list[int]
    targets: list[dict[str, float]]


def draw_items(rng: np.random.Generator, n: int) -> list[str]:
    """Weights, n of them, drawn with replacement whose sum is not 0."""
    while True:
        items = [words.WEIGHTS[i] for i in rng.integers(len(words.WEIGHTS), size=n)]
        if sum(map(int, items)):
            return items


def draw_view(rng: np.random.Generator) -> View:
    """One random legal view: n is 12 in seven of ten draws, otherwise 4…12; k is 1, 2 or 3."""
    n = 12 if rng.random() < 0.7 else int(rng.integers(4, 13))
    k = min(int(rng.integers(1, 4)), n // 2)
    items = draw_items(rng, n)
    kind = ("A", "B", "alone")[rng.choice(3, p=(0.4, 0.4, 0.2))]
    order = rng.permutation(n)
    moves = [items[i] for i in order]  # a uniformly random order of reveals is random legal play
    messages = [Message("system", "".join(items) + str(rng.integers(2)))]
    places, targets = [], []
    chat = NanoFormat()
    for turn in range(2 * k):
        if kind != "alone" and turn % 2 != (kind == "B"):
            messages.append(Message("user", f"{'BA'[kind == 'B']}{moves[turn]}"))
            continue
        hidden = moves[turn:]
        places.append(len(chat.encode(messages)) - 1)
        targets.append({w: hidden.count(w) / len(hidden) for w in set(hidden)})
        messages.append(Message("assistant", moves[turn]))
    return View(chat.encode(messages)[:-1], places, targets)


def batch(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training arrays.

    Returns:
        ids [rows, LENGTH] (padded on the right), flat places [M] into ids.ravel(), targets [M, vocabulary].
    """
    ids = np.full((rows, LENGTH), words.PAD, dtype=np.int64)
    places: list[int] = []
    targets: list[dict[str, float]] = []
    for row in range(rows):
        view = draw_view(rng)
        ids[row, : len(view.ids)] = view.ids
        places += [row * LENGTH + place for place in view.places]
        targets += view.targets
    dense = np.zeros((len(places), words.VOCABULARY), dtype=np.float32)
    for line, target in enumerate(targets):
        for weight, share in target.items():
            dense[line, words.encode(weight)[0]] = share
    return ids, np.array(places), dense
