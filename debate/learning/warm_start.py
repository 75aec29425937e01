"""Supervised warm start of a LoRA adapter through TRL's `SFTTrainer`.

What is imitated comes from

- samples that a policy played with recorded ids (`sampled_rows`): exactly those ids, nothing is tokenised;
- transcripts of agents without ids, scripted or human (`demonstration_rows`): their words in the conversation that a
  chat model would have had in their seat;
- JSONL conversations (`read_conversations`).

The last two are turned into ids by the engine's own format (`debate.engines.chat_format`), not by TRL's: the glue
between messages, the split of typed control tokens and the end token are then those of play.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debate.engines.adapters import AdapterSpec
from debate.engines.chat_format import Format
from debate.errors import UserError
from debate.learning.rows import sample_rows
from debate.learning.samples import Sample
from debate.learning.stored import restate
from debate.learning.trl_trainers import IGNORED, Settings, TrainedAdapter, train_sft
from debate.play import Arena
from debate.transcript import Episode
from debate.views import conversation
from judges.types import Message

if TYPE_CHECKING:
    from torch import Tensor

Labelled = dict[str, list[int]]
ROLES = ("system", "user", "assistant")
DEFAULT = Settings()
ADAPTER = AdapterSpec()


def sampled_rows(samples: Iterable[Sample]) -> list[Labelled]:
    """Rows {input_ids, labels} of what policies wrote, with the ids they sampled.

    A pick is imitated as the tokens of its choice over the whole vocabulary.

    Raises:
        ValueError: a sample without ids.
    """
    return [
        {"input_ids": row.ids, "labels": [t if m else IGNORED for t, m in zip(row.ids, row.mask, strict=True)]}
        for sample in samples
        for row in sample_rows(sample)
    ]


def demonstration_rows(arena: Arena, episodes: Iterable[Episode], seats: Sequence[str], chat: Format) -> list[Labelled]:
    """Rows {input_ids, labels} of what was said in these seats, as a chat model's conversation.

    Args:
        arena: the game that was played, with its questions.
        episodes: played to their end; a failed one is left out.
        seats: whose words are imitated.
        chat: the engine's format (`LocalCompleter.format`).

    Raises:
        ValueError: a transcript that does not fit the arena.
    """
    rows = []
    for episode in episodes:
        if episode.transcript.error is None:
            state = restate(arena, episode.transcript)
            for seat in seats:
                rows += conversation_rows(conversation(state, seat, "chat"), chat)
    return rows


def conversation_rows(messages: Sequence[Message], chat: Format) -> list[Labelled]:
    """Rows {input_ids, labels} of one conversation; the assistant's words and their end tokens bear the loss.

    One row where the format's prompts continue each other, otherwise one for each assistant message.

    Raises:
        ValueError: an order of roles that the chat template refuses.
    """
    rows: list[Labelled] = []
    history: list[Message] = []
    for message in messages:
        if message.role == "assistant":
            prompt, words = chat.encode(history), message.tokens or chat.continuation(message.text)
            known = rows[-1]["input_ids"] if rows else []
            if not rows or prompt[: len(known)] != known:
                rows.append({"input_ids": [], "labels": []})
                known = []
            news = prompt[len(known) :]
            rows[-1]["input_ids"] += [*news, *words]
            rows[-1]["labels"] += [*[IGNORED] * len(news), *words]
            message = Message("assistant", message.text, tuple(words))
        history.append(message)
    return rows


def read_conversations(path: Path) -> list[tuple[Message, ...]]:
    """Conversations from JSONL: `{"messages": [{"role", "content"}, …]}` or `{"prompt", "completion"}` on each line.

    Raises:
        UserError: no such file, a line that is neither, or a conversation in which the assistant says nothing.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected JSONL conversations")
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            found.append(_conversation(line, f"{path}:{number}"))
    if not found:
        raise UserError(f"{path}: no conversations")
    return found


def _conversation(line: str, where: str) -> tuple[Message, ...]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error.msg})") from None
    given = row.get("messages") if isinstance(row, dict) else None
    if isinstance(row, dict) and isinstance(row.get("prompt"), str) and isinstance(row.get("completion"), str):
        given = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
    if not isinstance(given, list):
        raise UserError(f'{where}: expected {{"messages": […]}} or {{"prompt", "completion"}} with texts')
    messages = []
    for entry in given:
        role, text = (entry.get("role"), entry.get("content")) if isinstance(entry, dict) else (None, None)
        if role not in ROLES or not isinstance(text, str):
            raise UserError(f"{where}: a message has a role ({', '.join(ROLES)}) and a text as content, got {entry!r}")
        messages.append(Message(role, text))
    if all(message.role != "assistant" for message in messages):
        raise UserError(f"{where}: the assistant says nothing, so there is nothing to imitate")
    return tuple(messages)


def warm_start(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Labelled],
    spec: AdapterSpec = ADAPTER,
    state: Mapping[str, Tensor] | None = None,
    settings: Settings = DEFAULT,
) -> TrainedAdapter:
    """Trains a LoRA adapter on rows of ids with TRL's `SFTTrainer`: mean negative log-likelihood of labelled tokens.

    Args:
        model: a causal language model without adapters, of its own (`debate.engines.hf.load_base`); unchanged after.
        tokenizer: its tokenizer; used for its pad token only.
        rows: from `sampled_rows`, `demonstration_rows` or `conversation_rows`.
        spec: the adapter's shape.
        state: the adapter to start from, in PEFT's file format; None: a fresh one.
        settings: how to step.

    Returns:
        The adapter, to be published to the engine or saved, and TRL's log.

    Raises:
        UserError: no TRL of the pinned version, or a model that carries adapters.
        ValueError: no rows, or a row without a label.
    """
    for number, row in enumerate(rows):
        if all(label == IGNORED for label in row["labels"]):
            raise ValueError(f"warm_start: row {number} has no token that bears loss")
    return train_sft(model, tokenizer, rows, spec, state, settings)
