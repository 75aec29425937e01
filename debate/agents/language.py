"""Agents that speak through a language model behind a `Completer`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from debate.agents.agent import Ask, Reply
from debate.protocol.kernel import labels
from debate.seeds import derive, draw
from debate.transcript import Failure
from debate.views import Style
from judges.types import Completer, Completion, Request, Sampling


@dataclass(frozen=True)
class LanguageSpeaker:
    """Turns asks into requests and completions into replies.

    Attributes:
        completer: the engine.
        style: how its models are spoken to.
        max_tokens: most tokens of a speech in a slot that sets no limit.
        temperature: of sampling; 1 is the policy that is trained.
    """

    completer: Completer
    style: Style = "chat"
    max_tokens: int = 128
    temperature: float = 1.0

    async def __call__(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """One batch of requests for all asks."""
        completions = await self.completer([self.request(ask) for ask in asks])
        return [self._reply(ask, completion) for ask, completion in zip(asks, completions, strict=True)]

    def request(self, ask: Ask) -> Request:
        """What the engine is asked: to score the slot's choices, or to speak."""
        slot = ask.state.current
        assert slot is not None
        offered = labels(ask.state)
        if offered:
            return Request(ask.messages, choices=offered, seed=ask.seed, policy=ask.policy)
        most = slot.tokens or self.max_tokens
        if ask.left is not None:
            most = min(most, ask.left)
        sampling = Sampling(most, temperature=self.temperature)
        return Request(ask.messages, sampling, seed=ask.seed, policy=ask.policy)

    def _reply(self, ask: Ask, completion: Completion) -> Reply:
        if completion.error is not None:
            return Reply(
                stop_reason="error", cost=completion.cost, failure=Failure("completion", ask.seat, completion.error)
            )
        if completion.choices is None:
            return Reply(
                completion.text,
                prompt_tokens=completion.prompt_tokens,
                tokens=completion.tokens,
                logprobs=completion.logprobs,
                stop_reason=completion.stop_reason,
                cost=completion.cost,
            )
        scores = [choice.logprob / self.temperature for choice in completion.choices]
        if not all(map(math.isfinite, scores)):
            failure = Failure(
                "completion", ask.seat, f"choices were scored {scores}: expected finite log-probabilities"
            )
            return Reply(stop_reason="error", cost=completion.cost, failure=failure)
        probabilities = softmax(scores)
        option = draw(probabilities, derive(ask.seed, "pick"))
        tokens = completion.choices[option].tokens
        ids = tuple(choice.tokens for choice in completion.choices)
        return Reply(
            completion.choices[option].text,
            option,
            probabilities,
            completion.prompt_tokens,
            tokens,
            (math.log(probabilities[option]),),
            None if any(i is None for i in ids) else ids,  # type: ignore[arg-type]
            "choice",
            completion.cost,
        )


def softmax(scores: Sequence[float]) -> tuple[float, ...]:
    """Probabilities proportional to the exponentials of [K] scores."""
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)
