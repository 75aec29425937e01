"""Prompts that begin alike: the cheapest grouping, and the same scores as when each is read alone."""

from __future__ import annotations

import asyncio
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debate.engines.prefixes import families, tokens_read
from judges.types import Message, Request


def cheapest(prompts, least):
    """By trying every cut of the sorted prompts."""
    order = sorted(prompts)
    best = None
    for number in range(len(order)):
        for cuts in combinations(range(1, len(order)), number):
            total = 0
            for a, b in zip((0, *cuts), (*cuts, len(order)), strict=True):
                part = order[a:b]
                shared = min(len(p) for p in part) - 1
                while len({tuple(p[:shared]) for p in part}) > 1:
                    shared -= 1
                shared = shared if len(part) > 1 and shared >= least else 0
                total += sum(map(len, part)) - (len(part) - 1) * shared
            best = total if best is None else min(best, total)
    return best


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=9), min_size=1, max_size=7), st.integers(1, 4))
def test_the_cheapest_grouping_is_found(prompts, least):
    found = families(prompts, most=32, least=least)
    assert sorted(i for family in found for i in family.members) == list(range(len(prompts)))
    for family in found:
        shared = {tuple(prompts[i][: family.prefix]) for i in family.members}
        assert len(shared) == 1
        assert all(len(prompts[i]) > family.prefix for i in family.members)
        assert family.prefix == 0 or (family.prefix >= least and len(family.members) > 1)
    assert tokens_read(prompts, found) == cheapest(prompts, least)


def test_families_are_bounded():
    prompts = [[*range(40), k] for k in range(10)]
    assert max(len(f.members) for f in families(prompts, most=4, least=2)) <= 4
    assert families([], most=4) == []


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    import torch

    from debate.engines.hf import completer_over
    from debate.engines.shapes import Shapes
    from debate.engines.tiny import tiny_model, tiny_tokenizer

    torch.set_num_threads(1)
    tokenizer = tiny_tokenizer()
    return completer_over(tiny_model(len(tokenizer), context=2048), tokenizer, None, Shapes(4, 1, False))


def test_scores_do_not_depend_on_what_is_read_together(engine, monkeypatch):
    begin = "A long beginning that many share, word for word, before they part. " * 3
    texts = [begin + end for end in ("", "a", "b" * 40, "c d e", "b" * 40 + "x")] + ["something else", begin[:70]]
    requests = [
        Request((Message("user", text),), choices=choices) for text in texts for choices in (("A", "B"), ("yes",))
    ]
    read = []
    whole = engine._read

    def counted(forward, jobs, length, cache):
        read.extend(len(job.prompt) for job in jobs)
        return whole(forward, jobs, length, cache)

    monkeypatch.setattr(engine, "_read", counted)
    alone = [asyncio.run(engine([request]))[0] for request in requests]
    each = sum(read)
    read.clear()
    together = asyncio.run(engine(requests))
    assert sum(read) < each / 2  # what is left of the families is read by `_go_on`
    for request, one, other in zip(requests, alone, together, strict=True):
        assert one.error is None and one.prompt_tokens == other.prompt_tokens and one.cost == other.cost
        for a, b in zip(one.choices, other.choices, strict=True):
            assert (a.text, a.tokens) == (b.text, b.tokens)
            assert a.logprob == pytest.approx(b.logprob, abs=1e-4), request
