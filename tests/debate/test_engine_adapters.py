"""LoRA policies over one base: each speaks with its own weights, files are PEFT's, a learner is left alone."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from debate.engines.adapters import CONFIG, FILE, AdapterSpec, load_adapter, save_adapter
from debate.engines.hf import completer_over, hf_completer, load_base
from debate.engines.local import LocalCompleter
from debate.engines.shapes import Shapes
from debate.engines.tiny import save_tiny, tiny_model, tiny_tokenizer
from debate.errors import UserError
from judges.types import Message, Request, Sampling

SPEC = AdapterSpec(rank=4, alpha=8.0)
ASK = Request((Message("system", "s"), Message("user", "Who?")), Sampling(10), seed=5)


def new_engine(spec: AdapterSpec = SPEC) -> LocalCompleter:
    torch.set_num_threads(1)
    tokenizer = tiny_tokenizer()
    return completer_over(tiny_model(len(tokenizer)), tokenizer, spec, Shapes(4, 16, fixed=True))


@pytest.fixture
def engine() -> LocalCompleter:
    return new_engine()


def shaken(state: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    noise = torch.Generator().manual_seed(seed)
    return {k: v + 0.3 * torch.randn(v.shape, generator=noise) for k, v in state.items()}


def test_first_state_changes_nothing_and_is_seeded(engine: LocalCompleter) -> None:
    before = torch.random.get_rng_state()
    state = engine.policies.first_state(7)
    assert torch.equal(before, torch.random.get_rng_state())
    again, other = engine.policies.first_state(7), engine.policies.first_state(8)
    assert all(torch.equal(state[k], again[k]) for k in state)
    assert any(not torch.equal(state[k], other[k]) for k in state)
    engine.publish("alice-v0", state)
    base, alice = asyncio.run(engine([ASK, replace(ASK, policy="alice-v0")]))
    assert base == alice


def test_each_policy_equals_the_base_with_its_update_merged(engine: LocalCompleter) -> None:
    first = engine.policies.first_state(0)
    states = {f"p{i}.v1": shaken(first, i) for i in range(2)}
    for policy, state in states.items():
        engine.publish(policy, state)
    scored = replace(ASK, choices=("yes", "no", "yes sir"))
    answers = asyncio.run(engine([replace(scored, policy=p) for p in ("p1.v1", "", "p0.v1")]))
    for policy, answer in zip(("p1.v1", "", "p0.v1"), answers, strict=True):
        plain = new_engine()
        if policy:
            for name, weight in plain.policies.base.named_parameters():
                stem = "base_model.model." + name.removesuffix(".weight")
                if f"{stem}.lora_A.weight" in states[policy]:
                    a, b = (states[policy][f"{stem}.lora_{x}.weight"] for x in "AB")
                    weight.data += SPEC.alpha / SPEC.rank * (b @ a)
        (expected,) = asyncio.run(plain([scored]))
        got = [c.logprob for c in answer.choices]
        assert got == pytest.approx([c.logprob for c in expected.choices], abs=1e-4)
    assert len({a.choices[0].logprob for a in answers}) == 3


def test_retired_and_unknown_policies(engine: LocalCompleter) -> None:
    state = engine.policies.first_state(0)
    engine.publish("alice-v0", state)
    engine.publish("alice-v0", state)
    with pytest.raises(UserError, match="already published with other weights"):
        engine.publish("alice-v0", shaken(state, 1))
    engine.publish("alice-v1", shaken(state, 1))
    engine.retire("alice-v0")
    assert engine.policies.ids() == ("", "alice-v1")
    gone, kept, base = asyncio.run(engine([replace(ASK, policy=p) for p in ("alice-v0", "alice-v1", "")]))
    assert "no policy 'alice-v0'" in str(gone.error) and kept.error is None and base.error is None
    engine.retire("alice-v1")
    (alone,) = asyncio.run(engine([ASK]))
    assert alone == base == asyncio.run(new_engine()([ASK]))[0]


def test_wrong_states_are_refused(engine: LocalCompleter) -> None:
    state = engine.policies.first_state(0)
    key = next(iter(state))
    with pytest.raises(UserError, match="differing"):
        engine.publish("x", {k: v for k, v in state.items() if k != key})
    with pytest.raises(UserError, match="differing"):
        engine.publish("x", {**state, key: state[key][:2]})
    assert engine.policies.ids() == ("",)
    with pytest.raises(UserError, match="adapter"):
        new_engine(AdapterSpec(targets=("no_such_layer",))).policies.first_state(0)
    for bad in ({"rank": 0}, {"alpha": 0.0}, {"targets": "everything"}, {"targets": ()}):
        with pytest.raises(UserError):
            AdapterSpec(**bad)


def test_a_learners_adapter_is_left_as_it_was(engine: LocalCompleter) -> None:
    engine.publish("alice-v0", shaken(engine.policies.first_state(0), 1))
    peft = engine.policies.peft
    peft.add_adapter("learner", SPEC.config())
    peft.set_adapter("learner")
    peft.train()
    flags = {name: p.requires_grad for name, p in peft.named_parameters()}
    assert any(flags.values())
    asyncio.run(engine([ASK, replace(ASK, policy="alice-v0")]))
    engine.publish("alice-v1", shaken(engine.policies.first_state(0), 2))
    engine.retire("alice-v0")
    assert peft.active_adapter == "learner" and peft.training
    assert flags.items() >= {n: p.requires_grad for n, p in peft.named_parameters() if n in flags}.items()
    ids = torch.tensor([[1, 2, 3]])
    peft(input_ids=ids).logits.sum().backward()
    trained = [n for n, p in peft.named_parameters() if p.grad is not None]
    assert trained and all(".learner." in n for n in trained)


@pytest.mark.parametrize("spec", [SPEC, AdapterSpec(rank=2, targets="all-linear")])
def test_files_are_pefts(tmp_path: Path, spec: AdapterSpec) -> None:
    from peft import PeftModel

    engine = new_engine(spec)
    state = shaken(engine.policies.first_state(0), 3)
    engine.publish("alice-v3", state)
    save_adapter(tmp_path, engine.policies.state("alice-v3"), spec, "tiny")
    back, found = load_adapter(tmp_path)
    assert all(torch.equal(back[k], state[k]) for k in state) and back.keys() == state.keys()
    assert (found.rank, found.alpha) == (spec.rank, spec.alpha)
    theirs = PeftModel.from_pretrained(tiny_model(len(tiny_tokenizer())), tmp_path).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode(), engine.policies.use("alice-v3") as ours:
        assert torch.allclose(ours(input_ids=ids).logits, theirs(input_ids=ids).logits, atol=1e-5)


@pytest.mark.parametrize(
    ("key", "value"), [("use_dora", True), ("modules_to_save", ["lm_head"]), ("bias", "all"), ("peft_type", "IA3")]
)
def test_more_than_plain_lora_is_refused(tmp_path: Path, engine: LocalCompleter, key: str, value: object) -> None:
    save_adapter(tmp_path, engine.policies.first_state(0), SPEC, "tiny")
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**config, key: value}))
    with pytest.raises(UserError, match=key):
        load_adapter(tmp_path)


def test_missing_and_damaged_adapters(tmp_path: Path, engine: LocalCompleter) -> None:
    with pytest.raises(UserError, match=FILE):
        load_adapter(tmp_path)
    save_adapter(tmp_path, engine.policies.first_state(0), SPEC, "tiny")
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:50])
    with pytest.raises(UserError, match="damaged"):
        load_adapter(tmp_path)


def test_a_folder_is_a_model(tmp_path: Path) -> None:
    save_tiny(tmp_path, 512)
    engine = hf_completer(str(tmp_path), rows=4, bucket=16, fixed=True, adapter=SPEC)
    assert asyncio.run(engine([ASK])) == asyncio.run(new_engine()([ASK]))
    with pytest.raises(UserError, match="dtype"):
        load_base(str(tmp_path), dtype="float16")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot be loaded"):
        load_base(str(tmp_path))
