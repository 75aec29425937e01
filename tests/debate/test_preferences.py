"""Preferences from judged play: which pairs, which ids, and that TRL's loss on them is the one that is meant."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from debate.engines.adapters import AdapterSpec
from debate.engines.hf import completer_over
from debate.engines.shapes import Shapes
from debate.engines.tiny import tiny_model, tiny_tokenizer
from debate.errors import UserError
from debate.learning.preferences import Preference, dpo, preference_rows, preferences, utility
from debate.learning.rows import sample_rows
from debate.learning.samples import Sample
from debate.learning.trl_trainers import Settings
from debate.transcript import Turn

SPEC = AdapterSpec(rank=4, targets="all-linear")


def turn(prompt, tokens, **changes):
    given = Turn("A", "debater", "s", 0, "alice-v0", "", prompt_tokens=tuple(prompt), tokens=tuple(tokens))
    return replace(given, logprobs=(-1.0,) * len(tokens), **changes)


def sample(episode, group, rewards, turns=(), seat="A", position=0):
    rewards = np.array(rewards, dtype=float)
    status = tuple("ok" if np.isfinite(r) else "abstain" for r in rewards)
    turns = tuple(turns) or (turn((1, 2, 3), (4, 5)),)
    turns = tuple(replace(t, seat=seat) for t in turns)
    return Sample(episode, "p", "debater", seat, position, group, "alice-v0", turns, ("win", "truth"), rewards, status)


def named(pairs):
    return [(p.better.episode_id, p.worse.episode_id, p.margin) for p in pairs]


def test_pairs_are_the_extremes_of_each_group_or_all_that_differ_by_more_than_the_margin():
    samples = [sample("e0", "g", [1, 0]), sample("e1", "g", [-1, 0]), sample("e2", "g", [0.5, 0])]
    samples += [sample("e3", "h", [0, 0]), sample("e4", "h", [0, 1])]
    assert named(preferences(samples, "win")) == [("e0", "e1", 2.0)]
    assert named(preferences(samples, "win", pairing="all")) == [
        ("e2", "e1", 1.5),
        ("e0", "e1", 2.0),
        ("e0", "e2", 0.5),
    ]
    assert named(preferences(samples, "win", margin=1.5, pairing="all")) == [("e0", "e1", 2.0)]
    assert named(preferences(samples, {"win": 1.0, "truth": 3.0})) == [("e0", "e1", 2.0), ("e4", "e3", 3.0)]


def test_what_is_not_known_other_seats_and_other_prompts_are_never_compared():
    unknown = sample("e1", "g", [math.nan, 0])
    other_seat = sample("e2", "g", [-1, 0], seat="B", position=1)
    other_answer = sample("e3", "g", [-1, 0], turns=[turn((9, 9), (4,))])
    assert preferences([sample("e0", "g", [1, 0]), unknown, other_seat, other_answer], "win") == []
    assert math.isnan(utility(unknown, {"win": 1.0})) and utility(unknown, {"win": 0.0, "truth": 1.0}) == 0.0
    with pytest.raises(ValueError, match="'elegance'"):
        preferences([unknown], "elegance")
    with pytest.raises(ValueError, match="pairing"):
        preferences([unknown], "win", pairing="best")


def test_rows_hold_the_recorded_ids_and_mask_what_was_read():
    long = sample("e0", "g", [1, 0], [turn((1, 2), (3, 4)), turn((5,), (6,), choices=((6,), (7,)), option=0)])
    (row,) = preference_rows([Preference(long, sample("e1", "g", [0, 0]), 1.0)])
    assert row["chosen_ids"] == [1, 2, 3, 4, 5, 6] and row["chosen_mask"] == [0, 0, 1, 1, 0, 1]
    (plain,) = sample_rows(long)
    assert plain.prompt == 2 and plain.logprobs[:5] == [0, 0, -1, -1, 0] and math.isnan(plain.logprobs[5])
    split = sample("e2", "g", [0, 0], [turn((1, 2), (3,)), turn((5,), (6,), fresh=True)])
    with pytest.raises(ValueError, match="one growing row, got 2"):
        preference_rows([Preference(long, split, 1.0)])
    hidden = sample("e3", "g", [0, 0], [replace(turn((1,), (2,)), tokens=None)])
    with pytest.raises(ValueError, match="kept no token ids"):
        preference_rows([Preference(hidden, long, 1.0)])


class Untouchable(type(tiny_tokenizer())):
    """A tokenizer that must not be asked for ids."""

    def __call__(self, *args, **kwargs):
        raise AssertionError("something was tokenised again")

    apply_chat_template = encode = __call__


def tokenizer():
    found = tiny_tokenizer()
    found.__class__ = Untouchable
    return found


def pairs():
    """Multi-turn plays whose ids no tokenizer would give: bytes split at random."""
    rng = np.random.default_rng(0)

    def play(name, length):
        first = turn((1, 2, 3), rng.integers(0, 250, length))
        return sample(name, "g", [0, 0], [first, turn(rng.integers(0, 250, 3), rng.integers(0, 250, 4))])

    return [Preference(play(f"b{n}", 3 + n), play(f"w{n}", 6 - n), 1.0) for n in range(3)]


def log_ratio_loss(model, state, beta=0.1):
    """Equation 7 of the DPO paper over the masked tokens, by hand."""

    def total(ids, mask):
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float().log_softmax(-1)
        own = [t for t, m in enumerate(mask) if m]
        return sum(logits[t - 1, ids[t]] for t in own)

    from peft import get_peft_model, set_peft_model_state_dict

    losses = []
    with torch.no_grad():
        sums = []
        for adapter in (None, state):
            peft = None
            if adapter is not None:
                peft = get_peft_model(model, SPEC.config())
                set_peft_model_state_dict(peft, dict(adapter))
            sums.append(
                [
                    total(r["chosen_ids"], r["chosen_mask"]) - total(r["rejected_ids"], r["rejected_mask"])
                    for r in preference_rows(pairs())
                ]
            )
            if peft is not None:
                peft.unload()
        for reference, policy in zip(*sums, strict=True):
            losses.append(-torch.nn.functional.logsigmoid(beta * (policy - reference)))
    return float(torch.stack(losses).mean())


def test_trl_minimises_the_dpo_loss_of_the_recorded_tokens():
    tok = tokenizer()
    model = tiny_model(len(tok))
    settings = Settings(lr=3e-3, steps=1, rows=3)
    one = dpo(model, tok, pairs(), SPEC, settings=settings)
    many = dpo(model, tok, pairs(), SPEC, settings=replace(settings, steps=6))
    losses = [row["loss"] for row in many.log if "loss" in row]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)  # the policy is the reference
    assert losses[1] == pytest.approx(log_ratio_loss(model, one.state), abs=2e-4)  # the log is rounded
    assert losses[-1] < losses[0] - 0.02
    assert many.log[-2]["rewards/margins"] > 0


def test_the_model_and_the_generators_are_left_as_they_were_and_the_result_depends_on_the_seed_alone():
    tok = tokenizer()
    model = tiny_model(len(tok))
    before = {name: p.clone() for name, p in model.named_parameters()}
    forward, names, config = model.forward, set(vars(model)), model.config.to_dict()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = dpo(model, tok, pairs(), SPEC, settings=Settings(steps=1, rows=3, seed=1))
    assert torch.equal(torch.rand(3), expected)
    after = dict(model.named_parameters())
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
    assert not any(p.requires_grad for p in after.values())
    assert model.forward == forward and set(vars(model)) == names and model.config.to_dict() == config
    torch.manual_seed(99)
    again = dpo(model, tok, pairs(), SPEC, settings=Settings(steps=1, rows=3, seed=1))
    assert all(torch.equal(first.state[k], again.state[k]) for k in first.state)


def test_the_adapter_speaks_in_the_engine_continues_from_a_state_and_is_saved(tmp_path):
    tok = tokenizer()
    trained = dpo(tiny_model(len(tok)), tok, pairs(), SPEC, settings=Settings(lr=1e-2, steps=3, rows=3))
    engine = completer_over(tiny_model(len(tok)), tiny_tokenizer(), SPEC, Shapes(2, 1, False))
    engine.publish("alice-v1", trained.state)
    with engine.policies.use("alice-v1") as model, torch.no_grad():
        adapted = model(input_ids=torch.tensor([[1, 2, 3]])).logits
    with engine.policies.use("") as model, torch.no_grad():
        bare = model(input_ids=torch.tensor([[1, 2, 3]])).logits
    assert not torch.allclose(adapted, bare, atol=1e-3)
    more = dpo(tiny_model(len(tok)), tok, pairs(), SPEC, trained.state, Settings(lr=1e-2, steps=1, rows=3))
    assert more.log[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)  # the reference is where it started
    trained.save(tmp_path / "a", "tiny")
    from debate.engines.adapters import load_adapter

    state, spec = load_adapter(tmp_path / "a")
    assert spec.rank == 4 and all(torch.equal(state[k], trained.state[k]) for k in state)
    with pytest.raises(UserError, match="carries adapters already"):
        dpo(engine.policies.base, tok, pairs(), SPEC)


def test_bad_input_is_refused():
    tok = tokenizer()
    model = tiny_model(len(tok))
    with pytest.raises(ValueError, match="nothing to train on"):
        dpo(model, tok, [], SPEC)
    with pytest.raises(ValueError, match="sigmoid, hinge, ipo"):
        dpo(model, tok, pairs(), SPEC, loss="best")
    with pytest.raises(ValueError, match="does not fit"):
        dpo(model, tok, pairs(), SPEC, {"x": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"Settings\.rows"):
        Settings(rows=0)
