"""Agents that speak through a language model behind a `Completer`."""

from __future__ import annotations

import math
import re
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
        said: picks are sampled as words and read, not scored: for engines that cannot score. Such a pick counts as one
            vote, and is not trained on.
    """

    completer: Completer
    style: Style = "chat"
    max_tokens: int = 128
    temperature: float = 1.0
    said: bool = False

    async def __call__(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """One batch of requests for all asks."""
        completions = await self.completer([self.request(ask) for ask in asks])
        return [self._reply(ask, completion) for ask, completion in zip(asks, completions, strict=True)]

    def request(self, ask: Ask) -> Request:
        """What the engine is asked: to score the slot's choices, or to speak."""
        slot = ask.state.current
        assert slot is not None
        offered = labels(ask.state)
        if offered and not self.said:
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
        if completion.choices is None and self.said and (offered := labels(ask.state)):
            return _said(ask, completion, offered)
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


def _said(ask: Ask, completion: Completion, offered: Sequence[str]) -> Reply:
    """A pick that was made in words; one that cannot be read is a failure, never a guess."""
    option = spoken_choice(completion.text, offered)
    if option is None:
        failure = Failure("unreadable", ask.seat, f"{completion.text[:80]!r} names none, or several, of {offered}")
        return Reply(completion.text, stop_reason="error", cost=completion.cost, failure=failure)
    probabilities = tuple(float(k == option) for k in range(len(offered)))
    return Reply(offered[option], option, probabilities, stop_reason="choice", cost=completion.cost)


def spoken_choice(text: str, offered: Sequence[str]) -> int | None:
    """Which choice an answer in words names; None where it names none, or several.

    >>> spoken_choice(" Option B. ", ("A", "B")), spoken_choice("A or B", ("A", "B"))
    (1, None)
    """
    said = text.strip().strip("\"'`*.()[] ").casefold()
    exact = [k for k, choice in enumerate(offered) if choice.strip().casefold() == said]
    if len(exact) == 1:
        return exact[0]
    named = [k for k, c in enumerate(offered) if re.search(rf"(?<!\w){re.escape(c.strip())}(?!\w)", text, re.I)]
    return named[0] if len(named) == 1 else None


def softmax(scores: Sequence[float]) -> tuple[float, ...]:
    """Probabilities proportional to the exponentials of [K] scores."""
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)
