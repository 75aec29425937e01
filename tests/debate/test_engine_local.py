"""The local completer: what it records is what a plain forward pass says, and no request depends on another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from debate.engines.adapters import AdapterSpec
from debate.engines.hf import completer_over
from debate.engines.local import LocalCompleter, device_named
from debate.engines.nano.engine import nano_completer
from debate.engines.sampling import draw, log_probabilities
from debate.engines.shapes import Shapes
from debate.engines.tiny import tiny_model, tiny_tokenizer
from debate.errors import UserError
from judges.types import Completion, Cost, Message, Request, Sampling

TEXTS = ("a", "Hello?", "What is the capital of France, and why?", "no " * 30)


def tiny(shapes: Shapes, context: int | None = None) -> LocalCompleter:
    tokenizer = tiny_tokenizer()
    return completer_over(tiny_model(len(tokenizer)), tokenizer, AdapterSpec(rank=2), shapes, context)


ENGINES = {
    "nano": lambda: nano_completer(rows=16),
    "tiny fixed": lambda: tiny(Shapes(4, 16, fixed=True)),
    "tiny ragged": lambda: tiny(Shapes(3, 1, fixed=False)),
}


@pytest.fixture(scope="module", params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> LocalCompleter:
    return ENGINES[request.param]()


def ask(engine: LocalCompleter, requests: Sequence[Request]) -> list[Completion]:
    torch.set_num_threads(1)
    return asyncio.run(engine(requests))


def requests_to_speak(count: int, tokens: int = 12) -> list[Request]:
    return [
        Request((Message("system", "s"), Message("user", TEXTS[i % len(TEXTS)])), Sampling(tokens - i % 3), seed=i)
        for i in range(count)
    ]


def plain_logprobs(engine: LocalCompleter, prompt: Sequence[int], said: Sequence[int], policy: str = "") -> list[float]:
    """Log-probability of each said id by one unbatched, uncached forward over the whole row."""
    with engine.policies.use(policy) as model, torch.inference_mode():
        logits = model(input_ids=torch.tensor([[*prompt, *said]]), use_cache=False).logits[0].float()
    logp = logits.log_softmax(-1)
    return [float(logp[len(prompt) + t - 1, token]) for t, token in enumerate(said)]


def test_recorded_logprobs_are_those_of_a_plain_forward(engine: LocalCompleter) -> None:
    for answer in ask(engine, requests_to_speak(9)):
        assert answer.error is None and answer.tokens and answer.logprobs and answer.prompt_tokens
        expected = plain_logprobs(engine, answer.prompt_tokens, answer.tokens)
        assert answer.logprobs == pytest.approx(expected, abs=2e-4)
        assert answer.cost == Cost(1, len(answer.prompt_tokens), len(answer.tokens))


def test_stop_reason_and_text(engine: LocalCompleter) -> None:
    seen = set()
    for request, answer in zip(r := requests_to_speak(48), ask(engine, r), strict=True):
        seen.add(answer.stop_reason)
        assert engine.format.finished(answer.tokens) == (answer.stop_reason == "stop")
        assert answer.stop_reason == "stop" or len(answer.tokens) == request.sampling.max_tokens
        assert not any(engine.format.finished(answer.tokens[:k]) for k in range(1, len(answer.tokens)))
        assert answer.text == engine.format.decode(answer.tokens)
    assert seen <= {"stop", "length"}


CHOICES = ("yes", "yes, but", "ye", "no", "+16", "+16 and", "+1", "", "yes")


def test_choices_equal_a_naive_loop(engine: LocalCompleter) -> None:
    requests = [
        Request((Message("system", "s"), Message("user", text)), choices=CHOICES[: 3 + 2 * i])
        for i, text in enumerate(TEXTS)
    ]
    for request, answer in zip(requests, ask(engine, requests), strict=True):
        assert [c.text for c in answer.choices] == list(request.choices)
        for choice in answer.choices:
            assert choice.tokens == engine.format.continuation(choice.text)
            expected = sum(plain_logprobs(engine, answer.prompt_tokens, choice.tokens))
            assert choice.logprob == pytest.approx(expected, abs=1e-3)


def test_scores_of_all_single_tokens_are_a_distribution() -> None:
    from debate.engines.nano.tokenizer import WEIGHTS

    engine = nano_completer(rows=16)
    (answer,) = ask(engine, [Request((Message("system", "+16-2+4-11"),), choices=WEIGHTS)])
    total = sum(torch.tensor([c.logprob for c in answer.choices]).exp())
    assert 0.99 < total <= 1.0 + 1e-6
    assert all(len(c.tokens) == 1 for c in answer.choices)


@pytest.mark.parametrize("name", ["nano", "tiny fixed"])
def test_no_request_depends_on_its_neighbours(name: str) -> None:
    engine = ENGINES[name]()
    choices = [replace(r, choices=CHOICES) for r in requests_to_speak(10)]
    requests = [*requests_to_speak(21), *choices]
    together = ask(engine, requests)
    assert [ask(engine, [request])[0] for request in requests[::3]] == together[::3]  # bit for bit
    assert ask(engine, requests[::-1]) == together[::-1]
    assert ask(engine, requests[5:12]) == together[5:12]


def test_the_same_question_is_computed_once_and_answered_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = nano_completer(rows=4)
    asked = replace(requests_to_speak(1)[0], choices=CHOICES)
    requests = [replace(asked, seed=s) for s in range(30)] + [replace(asked, choices=CHOICES[::-1])]
    sizes: list[int] = []
    score = engine._score
    monkeypatch.setattr(
        engine, "_score", lambda forward, jobs, *read: (sizes.append(len(jobs)), score(forward, jobs, *read))
    )
    answers = ask(engine, requests)
    assert sum(sizes) == 2
    assert answers[:30] == [ask(engine, [asked])[0]] * 30
    assert answers[30].choices == answers[0].choices[::-1]


def test_a_shared_prompt_is_read_once_where_shapes_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    from debate.engines.forward import Forward

    engine = ENGINES["tiny ragged"]()
    base, other = requests_to_speak(2)
    requests = [base, other, replace(base, seed=9)]
    read: list[int] = []
    prefill = Forward.prefill
    monkeypatch.setattr(
        Forward, "prefill", lambda self, ids, cache=True: (read.append(len(ids)), prefill(self, ids, cache))[1]
    )
    answers = ask(engine, requests)
    assert read == [2]
    for answer in answers:
        assert answer.logprobs == pytest.approx(plain_logprobs(engine, answer.prompt_tokens, answer.tokens), abs=2e-4)
    assert [a.tokens for a in answers] == [ask(engine, [r])[0].tokens for r in requests]


def test_seeds_alone_tell_samples_apart(engine: LocalCompleter) -> None:
    base = requests_to_speak(1, tokens=24)[0]
    answers = ask(engine, [replace(base, seed=s) for s in (1, 2, 1, 3)])
    assert answers[0].tokens == answers[2].tokens
    assert len({a.tokens for a in answers}) == 3


def test_the_global_generator_is_not_touched(engine: LocalCompleter) -> None:
    before = torch.random.get_rng_state()
    ask(engine, requests_to_speak(3))
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_failed_request_fails_alone(engine: LocalCompleter) -> None:
    good = requests_to_speak(1)[0]
    bad = {
        "no policy 'alise'": replace(good, policy="alise"),
        "the context is": replace(good, messages=(Message("user", "x" * 9000),)),
        "max_tokens": replace(good, sampling=Sampling(0)),
        "temperature": replace(good, sampling=Sampling(temperature=-1.0)),
        "top_p": replace(good, sampling=Sampling(top_p=0.0)),
        "names none": replace(good, choices=()),
        "must come first": replace(good, messages=(Message("user", "a"), Message("system", "b"))),
    }
    answers = ask(engine, [good, *bad.values(), good])
    assert answers[0].error is None and answers[0] == answers[-1]
    for reason, answer in zip(bad, answers[1:-1], strict=True):
        assert answer.stop_reason == "error" and reason in str(answer.error) and answer.tokens is None


def test_broken_weights_are_an_error_not_a_sample() -> None:
    engine = nano_completer(rows=4)
    state = {name: tensor.clone() for name, tensor in engine.policies._state(engine.policies._models[""]).items()}
    state["model.norm.weight"][:] = torch.nan
    engine.publish("broken-v1", state)
    request = replace(requests_to_speak(1)[0], policy="broken-v1")
    speech, scored, fine = ask(engine, [request, replace(request, choices=("+1", "no")), replace(request, policy="")])
    assert "not finite" in str(speech.error) and "not finite" in str(scored.error) and fine.error is None


def test_the_context_is_a_limit_not_a_crash() -> None:
    engine = tiny(Shapes(2, 8, fixed=False), context=60)
    request = Request((Message("system", ""), Message("user", "hi")), Sampling(500), seed=3)
    (answer,) = ask(engine, [request])
    assert len(answer.prompt_tokens) + len(answer.tokens) <= 60
    (answer,) = ask(engine, [replace(request, choices=("x" * 60, "y"))])
    assert "the context is 60" in str(answer.error)


def test_policies_answer_for_themselves() -> None:
    engine = nano_completer(rows=8)
    state = {name: tensor.clone() for name, tensor in engine.policies._state(engine.policies._models[""]).items()}
    engine.publish("same-v1", state)
    other = {name: tensor * 1.5 for name, tensor in state.items()}
    engine.publish("other-v1", other)
    engine.publish("other-v1", other)  # the same weights again: nothing happens
    with pytest.raises(UserError, match="already published with other weights"):
        engine.publish("other-v1", state)
    with pytest.raises(UserError, match="cannot be published over"):
        engine.publish("", state)
    with pytest.raises(UserError, match=r"model\.norm\.weight"):
        engine.publish("short-v1", {k: v for k, v in state.items() if k != "model.norm.weight"})
    request = replace(requests_to_speak(1)[0], choices=("+1", "-1"))
    base, same, changed = ask(engine, [replace(request, policy=p) for p in ("", "same-v1", "other-v1")])
    assert base == same and base.choices != changed.choices
    engine.retire("other-v1")
    (gone,) = ask(engine, [replace(request, policy="other-v1")])
    assert "no policy 'other-v1'" in str(gone.error) and "'same-v1'" in str(gone.error)
    with pytest.raises(UserError, match="cannot be retired"):
        engine.retire("")


def test_models_that_cannot_be_stepped_are_refused() -> None:
    from debate.engines.forward import Forward

    capped = tiny_model(40)
    head = capped.lm_head.forward
    capped.lm_head.forward = lambda hidden: head(hidden) / 2
    Forward(capped).probe(capped)  # the head is the model's own, whatever it does
    capped.lm_head.forward = head
    plain = capped.forward
    capped.forward = lambda **given: (out := plain(**given), out.__setitem__("logits", out.logits * 0.5))[0]
    with pytest.raises(UserError, match="after the head"):
        Forward(capped).probe(capped)
    capped.forward = plain
    trunk = capped.model.forward
    capped.model.forward = lambda **given: trunk(**{**given, "attention_mask": None})  # deaf to masks
    with pytest.raises(UserError, match="step by step"):
        Forward(capped).probe(capped)


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no CUDA device"):
        nano_completer("cuda")
    with pytest.raises(UserError, match='expected "cpu" or "cuda"'):
        device_named("gpu")


# --- sampling ------------------------------------------------------------------------------------------------------


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([0.0, 2.0, -torch.inf, 1.0])
    count = 20_000
    uniforms = [(i + 0.5) / count for i in range(count)]
    tokens, logprobs = draw(logits.repeat(count, 1), [Sampling()] * count, uniforms)
    share = torch.bincount(tokens, minlength=4) / count
    assert torch.allclose(share, logits.softmax(-1), atol=2 / count)
    assert torch.allclose(logprobs, logits.log_softmax(-1)[tokens])


@given(
    st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=8, unique=True),
    st.floats(0.2, 3),
    st.floats(0.05, 1),
    st.integers(0, 9),
)
@settings(deadline=None)
def test_truncation_against_its_definition(logits, temperature, top_p, top_k) -> None:
    got = log_probabilities(torch.tensor(logits), Sampling(1, temperature, top_p, top_k)).exp()
    order = sorted(range(len(logits)), key=lambda i: -logits[i])[: top_k or None]
    p = (torch.tensor(logits)[order].double() / temperature).softmax(-1)
    before = [float(p[:i].sum()) for i in range(len(order))]
    if any(abs(b - top_p) < 1e-5 for b in before[1:]):
        return  # on the edge the last bits decide
    kept = [i for i, b in zip(order, before, strict=True) if b < top_p]
    assert sorted(kept) == [i for i in range(len(logits)) if got[i] > 0]
    expected = (torch.tensor(logits)[kept].double() / temperature).softmax(-1)
    assert torch.allclose(got[kept].double(), expected, atol=1e-5)


def test_greedy_is_certain_and_recorded_as_such(engine: LocalCompleter) -> None:
    requests = [
        replace(r, sampling=Sampling(5, temperature=0.0), seed=s) for s, r in enumerate(requests_to_speak(2) * 2)
    ]
    answers = ask(engine, requests)
    assert all(value == 0.0 for a in answers for value in a.logprobs)
    assert answers[0].tokens == answers[2].tokens


def test_the_extreme_draws_have_mass() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, 1.0, -torch.inf]] * 2)
    tokens, _ = draw(logits, [Sampling()] * 2, [0.0, 1 - 2**-53])
    assert tokens.tolist() == [1, 2]


# --- shapes --------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 5000), max_size=40), st.integers(1, 9), st.integers(1, 70), st.booleans())
def test_plans_hold_every_request_once(lengths, rows, step, fixed) -> None:
    shapes = Shapes(rows, step, fixed)
    plan = shapes.plan(lengths)
    assert sorted(i for batch, _ in plan for i in batch) == list(range(len(lengths)))
    for batch, length in plan:
        assert 1 <= len(batch) <= rows and all(lengths[i] <= length for i in batch)
        if fixed:
            assert all(shapes.padded(lengths[i]) == length for i in batch)


@given(st.integers(1, 100_000))
def test_padding_is_bounded_and_monotone(length: int) -> None:
    shapes = Shapes(1, 8, fixed=True)
    assert length <= shapes.padded(length) <= max(length + 7, 1.25 * length + 1)
    assert all(shapes.padded(a) <= shapes.padded(b) for a, b in pairwise(range(max(1, length - 3), length + 3)))
