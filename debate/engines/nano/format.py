"""How a conversation becomes the nano model's ids: one control token before each message, `END` after free speech.

    BOS system-text  USER text  USER text  ASSISTANT own-words END  USER text  ASSISTANT …

A message that is exactly one weight token is a finished move and carries no `END` ("self-terminating"), so a pick
costs one token and its log-probability is that of one softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from debate.engines.nano import tokenizer as words
from judges.types import Message

_MARK = {"system": words.BOS, "user": words.USER, "assistant": words.ASSISTANT}


@lru_cache(maxsize=4096)
def _ids(text: str) -> tuple[int, ...]:
    return tuple(words.encode(text))


class NanoFormat:
    """The chat format of the nano model (see `debate.engines.chat_format.Format`)."""

    pad = words.PAD
    vocabulary = words.VOCABULARY
    prefix_preserving = True

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's ids, ready for the model to speak next.

        Raises:
            ValueError: a system message anywhere but first, or sampled ids outside the vocabulary.
        """
        ids: list[int] = []
        if not messages or messages[0].role != "system":
            ids.append(words.BOS)
        for place, message in enumerate(messages):
            if message.role == "system" and place:
                raise ValueError(f"a system message must come first, got one at place {place}")
            ids.append(_MARK[message.role])
            if message.role != "assistant":
                ids.extend(_ids(message.text))
                continue
            said = _ids(message.text) if message.tokens is None else message.tokens
            if any(not 0 <= token < words.VOCABULARY for token in said):
                raise ValueError(f"message {place}: ids outside 0…{words.VOCABULARY - 1}: {said}")
            ids.extend(said)
            if not self.finished(said):
                ids.append(words.END)
        ids.append(words.ASSISTANT)
        return ids

    def continuation(self, text: str) -> tuple[int, ...]:
        """The ids that say exactly `text` and stop: `END` included unless the text is one weight."""
        ids = _ids(text)
        return ids if self.finished(ids) else (*ids, words.END)

    def finished(self, ids: Sequence[int]) -> bool:
        """Whether sampled ids are a whole message."""
        return bool(ids) and (ids[-1] == words.END or (len(ids) == 1 and words.is_weight(ids[0])))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of sampled ids, control tokens left out."""
        return words.decode(ids)
