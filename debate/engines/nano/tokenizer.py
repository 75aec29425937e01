"""The nano model's tokenizer: one token for each evidence weight, one for each byte, five control tokens.

Weight strings ("+16", "-2", …) become their weight token wherever they stand, the longest first; everything else
is its UTF-8 bytes. Weight tokens are ordinary words, so this loses nothing: `decode(encode(text)) == text` for every
string, lone surrogates included. Control tokens have no spelling at all, so no typed text can become one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

PAD, BOS, USER, ASSISTANT, END = range(5)
BYTE_0 = 5
WEIGHT_0 = BYTE_0 + 256
WEIGHTS = tuple(f"{sign}{size}" for size in (1, 2, 4, 8, 16) for sign in "+-")
VOCABULARY = WEIGHT_0 + len(WEIGHTS)

_ID = {text: WEIGHT_0 + i for i, text in enumerate(WEIGHTS)}
_WEIGHT = re.compile("(" + "|".join(re.escape(w) for w in sorted(WEIGHTS, key=len, reverse=True)) + ")")


def is_weight(token: int) -> bool:
    """Whether the id is one of the weight tokens."""
    return WEIGHT_0 <= token < VOCABULARY


def encode(text: str) -> list[int]:
    """The ids of a text; never a control token.

    >>> encode("A+16")
    [70, 269]
    """
    ids: list[int] = []
    for piece in _WEIGHT.split(text):
        token = _ID.get(piece)
        if token is not None:
            ids.append(token)
        else:
            ids.extend(BYTE_0 + b for b in piece.encode("utf-8", "surrogatepass"))
    return ids


def decode(ids: Iterable[int]) -> str:
    """The text of ids, control tokens left out. Sampled bytes that are no UTF-8 show as U+FFFD.

    Raises:
        ValueError: an id outside the vocabulary.
    """
    data = bytearray()
    for token in ids:
        if not 0 <= token < VOCABULARY:
            raise ValueError(f"nano decode: expected ids in 0…{VOCABULARY - 1}, got {token}")
        if token >= WEIGHT_0:
            data += WEIGHTS[token - WEIGHT_0].encode()
        elif token >= BYTE_0:
            data.append(token - BYTE_0)
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")
