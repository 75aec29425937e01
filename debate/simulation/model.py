"""A model that answers by rule: its words depend on the request alone, as a real one's do given its seed."""

from __future__ import annotations

from collections.abc import Sequence

from debate.seeds import derive, unit
from judges.types import Choice, Completion, Cost, Request

WORDS = ("it", "holds", "since", "the", "evidence", "shows", "that", "claim", "is", "not", "quite", "true")


async def rule_model(requests: Sequence[Request]) -> list[Completion]:
    """One answer a request: scores of its choices, or a sentence."""
    return [_answer(request) for request in requests]


def _answer(request: Request) -> Completion:
    said = "\n".join(message.text for message in request.messages)
    seed = derive(request.seed, request.policy, said)
    if request.choices:
        choices = tuple(Choice(text, None, -0.1 - 3.0 * unit(derive(seed, text))) for text in request.choices)
        return Completion(choices=choices, cost=Cost(1, len(said), 0, 1e-4))
    count = 3 + seed % 8
    words = " ".join(WORDS[derive(seed, k) % len(WORDS)] for k in range(count))
    return Completion(words, cost=Cost(1, len(said), count, 1e-3))
