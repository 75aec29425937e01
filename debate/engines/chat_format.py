"""Conversations as token segments that we own: appended, never rendered again, never re-tokenised.

A chat template is read once, by rendering conversations of marker texts: what stands between the markers is the glue
between one role's text and the next one's. A prompt is then glue, text, glue, text, …: user and system texts are
tokenised as plain words (a typed `<|im_end|>` stays text), and what a policy said keeps the ids it sampled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

from debate.errors import UserError
from judges.types import Message

MARK = "\ue000{}\ue001"  # private-use characters: in no template
_MARKS = re.compile("\ue000(\\d+)\ue001")
START, REPLY = "start", "reply"


class Format(Protocol):
    """How an engine turns a conversation into ids, and ids into words."""

    @property
    def pad(self) -> int:
        """The id that fills up rows."""
        ...

    @property
    def prefix_preserving(self) -> bool:
        """Whether the prompt of a longer conversation begins with the row so far."""
        ...

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's ids, ready for the model to speak next; ValueError where that cannot be."""
        ...

    def continuation(self, text: str) -> tuple[int, ...]:
        """The ids that say exactly `text` and stop, what ends a message included."""
        ...

    def finished(self, ids: Sequence[int]) -> bool:
        """Whether sampled ids are a whole message."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The words of sampled ids, without what ends the message."""
        ...


class ChatFormat:
    """The format of a tokenizer with a chat template.

    A template is prefix-preserving when the rendering of a conversation, up to the last thing said, never changes as
    the conversation grows. For one that is not (it drops old reasoning, counts turns, …) each prompt is rendered anew,
    still with our token segments. Where a template refuses two messages of one role in a row, they are joined with a
    blank line; where it refuses a system message, that text leads the first user message.

    Args:
        tokenizer: a transformers tokenizer with a chat template.
        system: the system message of conversations that bring none. There always is one, because some templates put
            in their own otherwise.
        stops: further ids that end a message (a model's `eos_token_id`).

    Attributes:
        prefix_preserving: see above.
        stops: the ids that end a message. end: the one appended where a message has none.
        pad: the id that fills up rows.

    Raises:
        UserError: no chat template, or one that cannot hold a conversation of user and assistant.
    """

    def __init__(self, tokenizer: Any, system: str = "", stops: Sequence[int] = ()) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise UserError(f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no chat template")
        self._tokenizer = tokenizer
        self._system = system
        self._controls = sorted(set(tokenizer.all_special_tokens), key=len, reverse=True)
        self._words = lru_cache(maxsize=8192)(self._encode_words)
        self._glue_ids = lru_cache(maxsize=1024)(self._encode_glue)
        if self._render(["user", "assistant", "user", REPLY]) is None:
            raise UserError(
                f"the chat template of {tokenizer.name_or_path or 'this tokenizer'} refuses user – assistant – user"
            )
        self._takes_system = self._render(["system", "user", REPLY]) is not None
        head = ["system"] if self._takes_system else []
        self._runs = {
            "user": self._render([*head, "user", "user", REPLY]) is not None,
            "assistant": self._render([*head, "user", "assistant", "assistant", "user", REPLY]) is not None,
        }
        self._glue: dict[tuple[str, str], str] = {}
        self.prefix_preserving = self._derive(head)
        self.end, self.stops = self._ends(stops)
        self.pad: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.end

    # --- reading the template ---------------------------------------------------------------------------------

    def _render(self, roles: Sequence[str]) -> list[str] | None:
        """The glue around marker texts of these roles, one piece more than texts; None where the template refuses."""
        from jinja2.exceptions import TemplateError

        reply = roles[-1] == REPLY
        spoken = roles[:-1] if reply else roles
        chat = [{"role": role, "content": MARK.format(i)} for i, role in enumerate(spoken)]
        try:
            text = self._tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=reply)
        except (TemplateError, ValueError):
            return None
        pieces = _MARKS.split(text)
        return pieces[::2] if pieces[1::2] == [str(i) for i in range(len(spoken))] else None

    def _derive(self, head: list[str]) -> bool:
        """Fills the glue table from conversations of every short shape; False where two of them disagree."""
        middles = [["user"], ["user", "assistant", "user"], ["user", "assistant", "user", "assistant", "user"], []]
        if self._runs["user"]:
            middles += [["user", "user"], ["user", "user", "assistant", "user", "user"]]
        if self._runs["assistant"]:
            middles += [["user", "assistant", "assistant", "user"]]
        middles += [[*m, "assistant"] for m in middles] + [["assistant", *m] for m in middles]
        same = True
        for middle in middles:
            roles = [*head, *middle, REPLY]
            pieces = self._render(roles)
            if pieces is None:
                continue
            for pair, piece in zip(zip([START, *roles[:-1]], roles, strict=True), pieces, strict=True):
                # what stands before a reply must be what stands before it once it is said
                key = (pair[0], "assistant") if pair[1] == REPLY else pair
                same &= self._glue.setdefault(key, piece) == piece
        return same

    def _ends(self, stops: Sequence[int]) -> tuple[int, frozenset[int]]:
        special = set(self._tokenizer.all_special_ids)
        after = self._render(["user", "assistant", "user", REPLY])
        found = [token for token in self._glue_ids((after or [""] * 3)[2]) if token in special]
        eos = self._tokenizer.eos_token_id
        if not found and eos is None:
            raise UserError("neither the chat template nor the tokenizer says which token ends a message")
        end = found[0] if found else eos
        return end, frozenset([end, *stops, *([eos] if eos is not None else [])])

    # --- tokens -----------------------------------------------------------------------------------------------

    def _encode_glue(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _encode_words(self, text: str) -> tuple[int, ...]:
        """Ids of typed text, none of them a control token: a control token's spelling is cut after its first letter."""
        for control in self._controls:
            at = text.find(control)
            if at >= 0 and len(control) > 1:
                return self._encode_words(text[: at + 1]) + self._encode_words(text[at + 1 :])
        return tuple(self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's ids, ready for the model to speak next.

        Raises:
            ValueError: a system message anywhere but first, or an order of roles that the template refuses.
        """
        messages = self._shape(messages)
        roles = [message.role for message in messages]
        if self.prefix_preserving and all(
            pair in self._glue for pair in zip([START, *roles], [*roles, "assistant"], strict=True)
        ):
            glue = [self._glue[pair] for pair in zip([START, *roles], [*roles, "assistant"], strict=True)]
        else:
            rendered = self._render([*roles, REPLY])
            if rendered is None:
                raise ValueError(f"the chat template refuses this order of messages: {', '.join(roles)}")
            glue = rendered
        ids = list(self._glue_ids(glue[0]))
        for message, after in zip(messages, glue[1:], strict=True):
            following = self._glue_ids(after)
            if message.role != "assistant" or message.tokens is None:
                ids.extend(self._words(message.text))
            else:
                ids.extend(message.tokens)
                if message.tokens and message.tokens[-1] == self.end and self.end in following:
                    following = following[following.index(self.end) + 1 :]
            ids.extend(following)
        return ids

    def _shape(self, messages: Sequence[Message]) -> list[Message]:
        """The messages as the template takes them: one system message in front, refused runs of a role joined."""
        if any(message.role == "system" for message in messages[1:]):
            raise ValueError("a system message must come first")
        shaped = list(messages)
        if not shaped or shaped[0].role != "system":
            shaped.insert(0, Message("system", self._system))
        if not self._takes_system:
            text = shaped.pop(0).text
            if text and (not shaped or shaped[0].role != "user"):
                shaped.insert(0, Message("user", text))
            elif text:
                shaped[0] = Message("user", f"{text}\n\n{shaped[0].text}")
        joined: list[Message] = []
        for message in shaped:
            last = joined[-1] if joined else None
            if last is None or last.role != message.role or self._runs.get(message.role, True):
                joined.append(message)
            elif last.tokens is None or message.tokens is None:
                joined[-1] = Message(message.role, f"{last.text}\n\n{message.text}")
            else:
                kept = last.tokens[:-1] if last.tokens[-1:] == (self.end,) else last.tokens
                joined[-1] = Message(message.role, last.text + message.text, (*kept, *message.tokens))
        return joined

    def continuation(self, text: str) -> tuple[int, ...]:
        """The ids that say exactly `text` and stop, the end token included."""
        return (*self._words(text), self.end)

    def finished(self, ids: Sequence[int]) -> bool:
        """Whether the last of the sampled ids ends the message."""
        return bool(ids) and ids[-1] in self.stops

    def decode(self, ids: Sequence[int]) -> str:
        """The words of sampled ids, without what ends the message; other control tokens stay visible as text."""
        kept = ids[:-1] if self.finished(ids) else ids
        return str(self._tokenizer.decode(list(kept), skip_special_tokens=False, clean_up_tokenization_spaces=False))
