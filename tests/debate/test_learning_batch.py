"""Samples, token batches, and recomputed log-probabilities against a naive sampler."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from debate.learning.batch import TokenBatch
from debate.learning.logprobs import to_tensors, unit_logprobs
from debate.learning.samples import Sample, exclusion, gather, samples_of
from debate.transcript import Episode, Failure, Match, Transcript, Turn
from judges.rewards import Rewards
from judges.types import Verdict

VOCABULARY = 40


def tiny_model(seed=0):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0 if parameter.ndim > 1 else 1.0)
    return model


@torch.no_grad()
def next_logprobs(model, ids):
    """[V] by a plain forward over the whole row."""
    return torch.log_softmax(model(torch.tensor([ids])).logits[0, -1].float(), dim=-1)


def speak(model, row, prompt, rng, length, seat="A", slot=0, fresh=False):
    """One sampled speech by the plainest possible loop."""
    row = list(prompt) if fresh else row + list(prompt)
    tokens, logprobs = [], []
    for _ in range(length):
        logp = next_logprobs(model, row)
        token = int(rng.choice(VOCABULARY, p=logp.double().exp().numpy() / logp.double().exp().sum().item()))
        tokens.append(token)
        logprobs.append(float(logp[token]))
        row.append(token)
    turn = Turn(seat, "debater", "speech", slot, "alice-v0", "", prompt_tokens=tuple(prompt), tokens=tuple(tokens))
    return replace(turn, logprobs=tuple(logprobs), fresh=fresh), row


def choose(model, row, prompt, choices, rng, seat="A", slot=0):
    """One pick: softmax over the summed log-probabilities of whole choices."""
    row = row + list(prompt)
    scores = []
    for choice in choices:
        ids, total = list(row), 0.0
        for token in choice:
            total += float(next_logprobs(model, ids)[token])
            ids.append(token)
        scores.append(total)
    logp = np.array(scores) - np.logaddexp.reduce(scores)
    k = int(rng.choice(len(choices), p=np.exp(logp) / np.exp(logp).sum()))
    turn = Turn(seat, "debater", "pick", slot, "alice-v0", "", option=k, prompt_tokens=tuple(prompt))
    turn = replace(turn, tokens=tuple(choices[k]), logprobs=(float(logp[k]),), choices=tuple(map(tuple, choices)))
    return turn, row + list(choices[k])


def make_sample(turns, n=0, seat="A", position=0):
    return Sample(
        f"e{n:03d}", "p", "debater", seat, position, "g", "alice-v0", tuple(turns), ("win",), np.array([1.0]), ("ok",)
    )


def mixed_samples(model, episodes=5, seed=0):
    """Speeches, single-token picks, multi-token picks with shared prefixes, and fresh rows."""
    rng = np.random.default_rng(seed)
    samples = []
    for n in range(episodes):
        prompt = rng.integers(0, VOCABULARY, 3 + n % 4).tolist()
        first, row = speak(model, [], prompt, rng, 2 + n % 3)
        second, row = choose(model, row, [1, 2], [[5], [6], [7]], rng, slot=1)
        third, row = choose(model, row, [3], [[8, 9], [8, 9, 10], [11, 9], [12]], rng, slot=2)
        fourth, row = choose(model, row, [4], [[20, 21, 22], [20, 23]], rng, slot=3)
        fifth, row = speak(model, row, [2], rng, 3, slot=4)
        sixth, row = speak(model, row, [1, 7, 3], rng, 2, slot=5, fresh=True)
        samples.append(make_sample([first, second, third, fourth, fifth, sixth], n))
    return samples


def test_recomputed_logprobs_equal_those_recorded_while_sampling():
    model = tiny_model()
    batch = TokenBatch.from_samples(mixed_samples(model), np.ones(5))
    logprobs, entropies = unit_logprobs(model, to_tensors(batch))
    np.testing.assert_allclose(logprobs.detach().numpy(), batch.old_logprobs, atol=2e-5)
    assert (entropies > 0).all()
    assert batch.branched and batch.rows == 10


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_chunks_change_neither_values_nor_gradients(chunk):
    model = tiny_model()
    tensors = to_tensors(TokenBatch.from_samples(mixed_samples(model, 2), np.ones(2)))
    results = []
    for size in (chunk, 10_000):
        model.zero_grad()
        logprobs, entropies = unit_logprobs(model, tensors, chunk=size)
        (logprobs.square().sum() + entropies.sum()).backward()
        results.append((logprobs.detach(), [p.grad.clone() for p in model.parameters()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_rows_cut_out_are_the_same_as_rows_in_the_batch():
    model = tiny_model()
    batch = TokenBatch.from_samples(mixed_samples(model), np.arange(5.0))
    whole, _ = unit_logprobs(model, to_tensors(batch))
    parts, advantages = [], []
    for start in range(0, batch.rows, 3):
        part = batch.select(start, min(start + 3, batch.rows))
        parts.append(unit_logprobs(model, to_tensors(part))[0])
        advantages.append(part.advantages)
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(np.concatenate(advantages), batch.advantages)


def test_entropy_of_a_pick_is_the_entropy_over_its_choices():
    model = tiny_model()
    turn, _ = choose(model, [3, 4, 5], [], [[8, 9], [8, 9, 10], [11]], np.random.default_rng(0))
    turn = replace(turn, prompt_tokens=(3, 4, 5))
    batch = TokenBatch.from_samples([make_sample([turn])], [0.0])
    _, entropy = unit_logprobs(model, to_tensors(batch))
    logp = []
    for k in range(3):
        one = replace(turn, option=k, tokens=turn.choices[k])
        logp.append(unit_logprobs(model, to_tensors(TokenBatch.from_samples([make_sample([one])], [0.0])))[0].item())
    assert np.exp(logp).sum() == pytest.approx(1, abs=1e-5)
    assert entropy.item() == pytest.approx(-(np.exp(logp) * logp).sum(), abs=1e-5)


def test_temperature_is_the_one_sampling_used():
    model = tiny_model()
    turn = Turn("A", "debater", "s", 0, "alice-v0", "", prompt_tokens=(1, 2), tokens=(3,), logprobs=(0.0,))
    got, _ = unit_logprobs(model, to_tensors(TokenBatch.from_samples([make_sample([turn])], [1.0])), temperature=0.5)
    expected = torch.log_softmax(model(torch.tensor([[1, 2]])).logits[0, -1] / 0.5, dim=-1)[3]
    assert got.item() == pytest.approx(expected.item(), abs=1e-5)


def test_picks_of_several_tokens_have_the_temperature_that_agents_pick_with():
    """softmax over choices of (summed log-probability / T), not of sums of tempered tokens."""
    from debate.agents.language import softmax

    model, choices, temperature = tiny_model(), ((3, 4), (5, 6, 7), (8,)), 3.0

    def summed(tokens):
        logits = model(torch.tensor([[1, 2, *tokens]])).logits[0].log_softmax(-1)
        return sum(logits[1 + i, token].item() for i, token in enumerate(tokens))

    expected = softmax([summed(tokens) / temperature for tokens in choices])
    for option, tokens in enumerate(choices):
        turn = Turn(
            "A", "debater", "s", 0, "alice-v0", "", option=option, prompt_tokens=(1, 2), tokens=tokens,
            logprobs=(0.0,), choices=choices,
        )  # fmt: skip
        tensors = to_tensors(TokenBatch.from_samples([make_sample([turn])], [1.0]))
        got, entropy = unit_logprobs(model, tensors, temperature=temperature)
        assert got.exp().item() == pytest.approx(expected[option], abs=1e-5)
        assert entropy.item() == pytest.approx(-sum(p * np.log(p) for p in expected), abs=1e-5)


def test_layout_masks_prompts_and_starts_rows_where_fresh():
    turns = [
        Turn("A", "d", "s", 0, "alice-v0", "", prompt_tokens=(1, 2), tokens=(3, 4), logprobs=(-1.0, -2.0)),
        Turn("A", "d", "s", 1, "alice-v0", "", prompt_tokens=(5,), tokens=(6,), logprobs=(-3.0,)),
        Turn("A", "d", "s", 2, "alice-v0", "", prompt_tokens=(7, 8), tokens=(9,), logprobs=(-4.0,), fresh=True),
    ]
    other = make_sample(turns[:1], n=1)
    batch = TokenBatch.from_samples([other, make_sample(turns)], [[9.0], [0.5, 1.5, 2.5]])
    assert batch.episodes == ("e000", "e000", "e001")
    assert batch.ids[0, :6].tolist() == [1, 2, 3, 4, 5, 6] and batch.ids[1, :3].tolist() == [7, 8, 9]
    assert batch.mask[0, :6].tolist() == [False, False, True, True, False, True]
    assert batch.advantages.tolist() == [0.5, 0.5, 1.5, 2.5, 9.0, 9.0]
    assert batch.unit_turn.tolist() == [0, 0, 1, 2, 3, 3]
    assert batch.dense(batch.old_logprobs)[0, 2:6].tolist() == [-1, -2, 0, -3]


def test_samples_without_an_advantage_are_dropped_and_counted():
    turn = Turn("A", "d", "s", 0, "alice-v0", "", prompt_tokens=(1,), tokens=(3,), logprobs=(-1.0,))
    batch = TokenBatch.from_samples([make_sample([turn], 0), make_sample([turn], 1)], np.array([math.nan, 1.0]))
    assert batch.episodes == ("e001",) and batch.dropped == 1
    nothing = TokenBatch.from_samples([make_sample([turn])], [math.nan])
    assert nothing.rows == nothing.units == 0


GOOD = Turn("A", "d", "s", 0, "alice-v0", "", prompt_tokens=(1,), tokens=(3,), logprobs=(-1.0,))


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (replace(GOOD, tokens=None), "cannot be trained on"),
        (replace(GOOD, prompt_tokens=()), "nothing to predict it from"),
        (replace(GOOD, logprobs=(-1.0, -2.0)), "expected 1 log-probabilities, got 2"),
        (replace(GOOD, choices=((3,), (4,)), option=1), "none of the choices"),
        (replace(GOOD, choices=((3,), ()), option=0), "choice 1 has no tokens"),
    ],
)
def test_turns_that_contradict_themselves_are_refused(turn, message):
    with pytest.raises(ValueError, match=message):
        TokenBatch.from_samples([make_sample([turn])], [1.0])


def test_wrong_lengths_policies_and_rows_too_long_are_refused():
    with pytest.raises(ValueError, match="expected 1 advantages"):
        TokenBatch.from_samples([make_sample([GOOD])], [1.0, 2.0])
    with pytest.raises(ValueError, match="exceeds the context of 1"):
        TokenBatch.from_samples([make_sample([GOOD])], [1.0], context=1)
    with pytest.raises(ValueError, match="expected turns of policy"):
        make_sample([replace(GOOD, policy="bob-v3")])


# --- samples ---------------------------------------------------------------------------------------------------


def episode(**changes):
    turns = (GOOD, replace(GOOD, seat="B", role="e", policy="bob-v0", slot=1))
    transcript = Transcript(
        "m1",
        "p",
        "q",
        0,
        {"A": "alice-v0", "B": "bob-v0"},
        {"A": 0, "B": 1},
        "?",
        ("x", "y"),
        changes.pop("turns", turns),
    )
    transcript = replace(transcript, error=changes.pop("error", None))
    status = changes.pop("status", (("ok", "abstain"), ("ok", "ok")))
    values = np.where(np.array(status) == "ok", 0.5, np.nan)
    rewards = changes.pop("rewards", Rewards(values, ("win", "truth"), status, ("A", "B")))
    verdicts = changes.pop("verdicts", (Verdict("judge", (0.5, 0.5)),))
    return Episode(Match("m1", "a", "q", transcript.seats), transcript, verdicts, rewards)


def test_one_sample_for_each_asked_seat():
    left, right = samples_of(episode(), ["A", "B"])
    assert (left.seat, left.position, left.policy, right.position, right.role) == ("A", 0, "alice-v0", 1, "e")
    assert left.status == ("ok", "abstain") and math.isnan(left.rewards[1])
    assert left.group == "m1"
    assert len(samples_of(episode(), {"B": "bob-v0"})) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"error": Failure("generation", "A", "boom")}, "failed:generation"),
        ({"verdicts": (Verdict.failed("judge", "no"),)}, "failed:verdict"),
        ({"rewards": None}, "no_rewards"),
        ({"status": (("error", "abstain"), ("ok", "ok"))}, "no_rewards"),
        ({"turns": ()}, "no_turns"),
        ({"turns": (replace(GOOD, policy="alice-v9"),)}, "other_policy"),
        ({"turns": (replace(GOOD, stop_reason="error"),)}, "failed_turn"),
        ({"turns": (replace(GOOD, tokens=None),)}, "no_tokens"),
    ],
)
def test_failures_yield_no_sample_and_are_counted(changes, reason):
    played = episode(**changes)
    assert exclusion(played, "A", "alice-v0") == reason
    assert samples_of(played, ["A"]) == []
    samples, excluded = gather([played, episode()], "alice-v0")
    assert len(samples) == 1 and excluded == {reason: 1}


def test_a_policy_not_asked_for_is_never_a_sample():
    assert samples_of(episode(), {"A": "alice-v1"}) == []
    with pytest.raises(ValueError, match="has no seat 'C'"):
        samples_of(episode(), ["C"])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.booleans()), min_size=1, max_size=5), st.randoms())
def test_units_are_the_sampled_tokens_in_order(shape, random):
    turns, expected = [], []
    for slot, (prompt, length, fresh) in enumerate(shape):
        tokens = tuple(random.randrange(VOCABULARY) for _ in range(length))
        expected += tokens
        turns.append(
            Turn(
                "A",
                "d",
                "s",
                slot,
                "alice-v0",
                "",
                prompt_tokens=(1,) * prompt,
                tokens=tokens,
                logprobs=(-1.0,) * length,
                fresh=fresh,
            )
        )
    batch = TokenBatch.from_samples([make_sample(turns)], [1.0])
    assert batch.ids[batch.mask].tolist() == expected
    assert batch.term_target[batch.speech_term].tolist() == expected
