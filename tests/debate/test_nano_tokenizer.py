"""The nano tokenizer and chat format: nothing is lost, nothing typed becomes a control token, prompts only grow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debate.engines.nano import tokenizer as words
from debate.engines.nano.format import NanoFormat
from judges.types import Message

texts = st.one_of(
    st.text(st.characters()),  # st.characters() includes lone surrogates unless told otherwise
    st.lists(st.one_of(st.sampled_from(words.WEIGHTS), st.text(st.characters(exclude_categories=())))).map("".join),
)


@given(texts)
def test_decode_undoes_encode(text: str) -> None:
    assert words.decode(words.encode(text)) == text


@given(texts)
def test_no_text_becomes_a_control_token(text: str) -> None:
    assert all(token > words.END for token in words.encode(text))


def test_each_weight_is_one_token_and_the_longest_match_wins() -> None:
    assert [words.encode(w) for w in words.WEIGHTS] == [[words.WEIGHT_0 + i] for i in range(10)]
    assert words.encode("+16-1") == words.encode("+16") + words.encode("-1")
    assert len(words.encode("A+16")) == 2


def test_surrogates_and_broken_bytes() -> None:
    assert words.decode(words.encode("\ud800x\udfff")) == "\ud800x\udfff"
    assert words.decode([words.BYTE_0 + 0xFF, words.BYTE_0 + 65]) == "\ufffdA"


def test_unknown_id_is_refused() -> None:
    with pytest.raises(ValueError, match="got 271"):
        words.decode([words.VOCABULARY])


def test_a_pick_is_one_token_and_speech_ends() -> None:
    chat = NanoFormat()
    assert chat.continuation("+16") == tuple(words.encode("+16"))
    assert chat.continuation("yes")[-1] == words.END
    assert chat.continuation("+16!")[-1] == words.END
    assert chat.continuation("") == (words.END,)
    assert chat.finished(words.encode("-2")) and not chat.finished(words.encode("-2-2"))


roles = st.lists(st.tuples(st.sampled_from(("user", "assistant")), texts), max_size=5)


@given(texts, roles, st.lists(st.integers(words.BYTE_0, words.VOCABULARY - 1), max_size=4), texts)
def test_prompt_of_the_next_turn_begins_with_the_row_so_far(system, chat, said, reply) -> None:
    form = NanoFormat()
    messages = [Message("system", system), *(Message(role, text) for role, text in chat)]
    row = [*form.encode(messages), *said]
    after = [*messages, Message("assistant", form.decode(said), tuple(said)), Message("user", reply)]
    assert form.encode(after)[: len(row)] == row


def test_sampled_ids_are_kept_as_sampled() -> None:
    odd = (words.WEIGHT_0, words.BYTE_0 + ord("6"))  # says "+16", but not with the token of "+16"
    messages = [Message("system", "s"), Message("assistant", "+16", odd)]
    ids = NanoFormat().encode(messages)
    assert tuple(ids[-4:]) == (*odd, words.END, words.ASSISTANT)


def test_misplaced_system_message_and_alien_ids_are_refused() -> None:
    with pytest.raises(ValueError, match="must come first"):
        NanoFormat().encode([Message("user", "a"), Message("system", "b")])
    with pytest.raises(ValueError, match="ids outside"):
        NanoFormat().encode([Message("assistant", "a", (999,))])
