"""Where tokens stand in memory changes speed, not results: padded, sorted, packed and shared rows agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AttentionInterface, AttentionMaskInterface, LlamaConfig, LlamaForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from debate.errors import UserError
from debate.learning.batch import TokenBatch, merge
from debate.learning.configured import learner_config
from debate.learning.layout import lay_out
from debate.learning.learner import LearnerConfig, PolicyGradientLearner
from debate.learning.logprobs import to_tensors, unit_logprobs
from debate.learning.losses import preset
from debate.learning.samples import Sample
from debate.learning.steps import cut
from debate.recipe import read_recipe
from debate.transcript import Policy, Turn

VOCABULARY = 40
LONG = ((5,), (6, 7), (6, 8, 9), (6, 8))
COMPACT = [("packed", 0), ("packed", 40), ("packed", 1000), ("shared", 0), ("shared", 30), ("shared", 1000)]


def tiny_model(seed=0):
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


def batch_of(seed, groups=3, size=3, picks=True, fresh=True):
    """Groups of rows that begin with the same prompt; speeches, picks of several tokens, now and then a fresh row."""
    rng = np.random.default_rng(seed)
    samples = []
    for g in range(groups):
        prompt = tuple(rng.integers(10, VOCABULARY, rng.integers(3, 15)).tolist())
        for i in range(size):
            words = tuple(rng.integers(10, VOCABULARY, rng.integers(1, 9)).tolist())
            turn = Turn("A", "debater", "s", 0, "a-v0", "", prompt_tokens=prompt, tokens=words)
            turns = [replace(turn, logprobs=(-3.6,) * len(words))]
            if picks:
                k = int(rng.integers(len(LONG)))
                pick = Turn("A", "debater", "p", 1, "a-v0", "", option=k, prompt_tokens=(1, 2), tokens=LONG[k])
                turns.append(replace(pick, choices=LONG, logprobs=(-1.4,)))
            last = Turn("A", "debater", "s", 2, "a-v0", "", prompt_tokens=(3, 4, 5), tokens=(11, 12))
            turns.append(replace(last, logprobs=(-3.6, -3.6), fresh=fresh and i == 1))
            name = f"e{g}{i}"
            turns = tuple(turns)
            samples.append(Sample(name, "p", "debater", "A", 0, f"g{g}", "a-v0", turns, ("win",), np.ones(1), ("ok",)))
    return TokenBatch.from_samples(samples, rng.normal(size=len(samples)))


def scored(model, tensors):
    """Log-probabilities, entropies and the gradient of some function of them."""
    model.zero_grad()
    logprobs, entropies = unit_logprobs(model, tensors)
    weights = torch.linspace(-1, 1, len(logprobs))
    ((weights * logprobs).sum() + 0.1 * entropies.sum()).backward()
    return logprobs.detach(), entropies.detach(), [p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("picks", [False, True])
@pytest.mark.parametrize(("kind", "width"), COMPACT)
def test_values_and_gradients_are_those_of_padded_rows(kind, width, picks):
    model, batch = tiny_model(), batch_of(0, picks=picks)
    expected = scored(model, to_tensors(batch))
    got = scored(model, to_tensors(batch, "cpu", kind, width))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=2e-5)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    kind=st.sampled_from(["packed", "shared"]),
    width=st.integers(0, 90),
)
def test_every_token_sees_its_own_past_and_nothing_else(seed, sizes, kind, width):
    """Follows each source back through the mask: what it sees, in order of position, is its row up to there."""
    batches = [batch_of(seed + n, groups=size, size=2) for n, size in enumerate(sizes)]
    batch = merge(batches)
    laid = lay_out(batch, kind, width, [b.rows for b in batches])
    wide = laid.ids.shape[1]
    owner = np.repeat(np.arange(len(sizes)), laid.blocks)
    block = np.repeat(np.arange(len(sizes)), [b.rows for b in batches])
    assert batch.units == 0 or laid.allowed is not None
    for m, place in enumerate(laid.sources.tolist()):
        p, column = divmod(place, wide)
        row, position = batch.source_row[m], batch.source_position[m]
        assert owner[p] == block[row]
        seen = np.flatnonzero(laid.allowed[p, column])
        chain = batch.chains[row, position]
        if chain < 0:
            past = batch.ids[row, : position + 1]
        else:
            own = np.flatnonzero(batch.chains[row] == chain)
            past = np.concatenate([batch.ids[row, : batch.limits[row, position]], batch.ids[row, own[own <= position]]])
        order = np.argsort(laid.positions[p, seen])
        assert laid.ids[p, seen[order]].tolist() == past.tolist()
        assert laid.positions[p, seen[order]].tolist() == list(range(len(past)))


def test_shared_rows_compute_every_prefix_once():
    batch = batch_of(3, groups=4, size=5, picks=False, fresh=False)
    needed = batch.lengths - 1  # nothing is read from the last sampled token
    prefixes = {tuple(batch.ids[r, : n + 1].tolist()) for r in range(batch.rows) for n in range(needed[r])}
    shared = to_tensors(batch, "cpu", "shared", 10_000)
    assert shared.tokens == len(prefixes) < to_tensors(batch, "cpu", "packed").tokens == needed.sum()
    assert len(shared.sources) < len(to_tensors(batch).sources)


def test_auto_shares_where_that_saves_enough():
    """Groups of eight share; rows of one length that share nothing stay padded and need no mask."""
    many = batch_of(0, 40, 1, picks=False, fresh=False)
    rows = np.flatnonzero(many.lengths == np.bincount(many.lengths).argmax())
    even = merge([many.select(r, r + 1) for r in rows.tolist()])
    assert even.rows > 2
    for batch, kind in ((batch_of(0, 3, 8, picks=False), "shared"), (even, "padded")):
        got, expected = lay_out(batch, "auto"), lay_out(batch, kind)
        np.testing.assert_array_equal(got.ids, expected.ids)
        np.testing.assert_array_equal(got.sources, expected.sources)
        assert (got.allowed is None) == (kind == "padded")


def test_packed_rows_need_no_cache_and_no_mask():
    """The trap: with a cache or a mask, transformers lets packed rows see one another without a word."""
    model, batch = tiny_model(), batch_of(1, picks=False)
    tensors = to_tensors(batch, "cpu", "packed", 60)
    assert tensors.attention is None and len(tensors.ids) > 1
    settings_and_right = [
        ({"use_cache": False}, True),
        ({"use_cache": True}, False),
        ({"use_cache": False, "attention_mask": torch.ones_like(tensors.ids)}, False),
    ]
    with torch.no_grad():
        own, _ = unit_logprobs(model, to_tensors(batch))
        for arguments, right in settings_and_right:
            hidden = model.model(input_ids=tensors.ids, position_ids=tensors.positions, **arguments).last_hidden_state
            logits = model.lm_head(hidden.reshape(-1, hidden.shape[-1])[tensors.sources]).log_softmax(-1)
            got = logits[tensors.term_source, tensors.term_target][tensors.speech_term]
            gap = float((got - own).abs().max())
            assert gap < 1e-4 if right else gap > 0.1, (arguments, gap)


def test_attention_without_masks_gets_one_packed_row_and_no_trees():
    """A kernel other than sdpa and eager reads boundaries from positions, as flash attention does: one row only."""
    AttentionInterface.register("boundaries", sdpa_attention_forward)
    AttentionMaskInterface.register("boundaries", sdpa_mask)
    model, batch = tiny_model(), batch_of(1, picks=False)
    expected = scored(model, to_tensors(batch))
    model.set_attn_implementation("boundaries")
    shapes = []
    hook = model.model.layers[0].register_forward_pre_hook(lambda module, args: shapes.append(args[0].shape[:2]))
    got = scored(model, to_tensors(batch, "cpu", "packed", 60))
    hook.remove()
    assert shapes[0][0] == 1
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=2e-5)
    with pytest.raises(ValueError, match="takes no mask: use layout 'packed'"):
        unit_logprobs(model, to_tensors(batch, "cpu", "shared"))


@pytest.mark.parametrize("parts", [{}, {"part_rows": 2}, {"minibatch_rows": 4}])
@pytest.mark.parametrize("kind", ["sorted", "packed", "shared"])
def test_an_update_is_the_same_in_every_layout(kind, parts):
    config = LearnerConfig(lr=1e-2, eps=1e-3, loss=preset("turn_ppo", kl=0.1, entropy=0.01), epochs=2, **parts)
    plain = PolicyGradientLearner(tiny_model(), Policy("a", 0, "tiny"), config)
    other = PolicyGradientLearner(tiny_model(), Policy("a", 0, "tiny"), replace(config, layout=kind, layout_width=50))
    for n in range(2):
        expected, got = plain.update(batch_of(n)), other.update(batch_of(n))
        for key in ("loss", "kl", "entropy", "grad_norm", "sampler_gap", "tokens", "steps", "rows"):
            assert got[key] == pytest.approx(expected[key], rel=1e-3, abs=1e-5), key
    for name, tensor in plain.weights().items():
        torch.testing.assert_close(other.weights()[name], tensor, rtol=1e-3, atol=1e-4)


def test_parts_of_the_sorted_layout_hold_every_row_once_and_little_filler():
    rng = np.random.default_rng(0)
    widths = [np.sort(rng.integers(1, 200, size)) for size in (17, 0, 5)]
    for part_rows in (1, 4, 100):
        parts = cut(widths, part_rows, by_length=True)
        for n, own in enumerate(widths):
            runs = [part[n] for part in parts if part[n][1] > part[n][0]]
            assert [r for start, stop in runs for r in range(start, stop)] == list(range(len(own)))
            assert all(stop - start <= part_rows for start, stop in runs)
        for part in parts:
            here = np.concatenate([own[start:stop] for own, (start, stop) in zip(widths, part, strict=True)])
            assert here.min() >= 0.75 * here.max()


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match="layout: expected auto, padded, sorted, packed, shared"):
        LearnerConfig(layout="folded")
    with pytest.raises(ValueError, match="blocks of 3 rows for a batch of 9"):
        lay_out(batch_of(0, fresh=False), "packed", blocks=[1, 2])


def test_recipes_name_the_layout(tmp_path):
    text = Path("runs/gsm8k_debate.yaml").read_text()
    assert "    part_rows: 4\n" in text
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    agent = read_recipe(recipe).agents[0]
    assert agent.options["layout"] == "auto" and not agent.options["checkpointing"]
    recipe.write_text(
        text.replace("    part_rows: 4\n", "    part_rows: 4\n    layout: packed\n    checkpointing: true\n")
    )
    config = learner_config(read_recipe(recipe).agents[0].options)
    assert (config.layout, config.checkpointing, config.bf16, config.part_rows) == ("packed", True, False, 4)
    recipe.write_text(text.replace("    part_rows: 4\n", "    layout: folded\n"))
    with pytest.raises(UserError, match=r"layout.*auto, padded, sorted, packed"):
        read_recipe(recipe)
