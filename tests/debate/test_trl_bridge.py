"""The bridge to TRL: one row a prompt in order, the model's own tokens marked, and GRPOTrainer learns from it."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from debate.agents.agent import Agent, Reply
from debate.agents.scripted import ScriptedSpeaker, greedy_evidence, random_legal
from debate.engines.tiny import tiny_model, tiny_tokenizer
from debate.errors import UserError
from debate.learning.trl_bridge import as_trl_rollout_func, trl_prompts, trl_rewards
from debate.protocol.load import load_protocol
from debate.questions import Question
from debate.transcript import Failure, Policy
from judges.judges.evidence import NaiveEvidenceJudge
from judges.judges.scripted import ScriptedJudge

CLAIMS = [Question(f"c{i}", f"Is {i} even?", ("yes", "no"), i % 2) for i in range(3)]
ITEMS = [Question(f"i{n}", "?", ("positive", "negative"), 0, items=("+8", "-2", "+1", f"-{n}")) for n in (1, 4)]


def scripted(script, name="s"):
    return Agent(Policy(name, 0, "scripted"), ScriptedSpeaker(script))


def short(name, **parameters):
    """A protocol with little to read, for a byte-level tokenizer."""
    protocol = load_protocol(name, parameters)
    return protocol.with_slots(lambda slot: replace(slot, tokens=4))


def debate_rollout(opponent=None, **changes):
    judge = ScriptedJudge(lambda case: sum(map(ord, case.statements[0].text)) % 2)
    opponents = {"B": opponent or scripted(random_legal)}
    return as_trl_rollout_func(short("debate_simultaneous", rounds=2), "A", CLAIMS, opponents, [judge], **changes)


def fake_trainer(model, training=True, step=0):
    """What the rollout reads of a trainer, over a real model."""
    model.train(training)
    return SimpleNamespace(
        model=model,
        state=SimpleNamespace(global_step=step),
        num_generations=2,
        num_generations_eval=1,
        accelerator=SimpleNamespace(process_index=0, unwrap_model=lambda m: m),
        use_vllm=False,
        is_fsdp_enabled=False,
        is_deepspeed_enabled=False,
        processing_class=tiny_tokenizer(),
        eos_token_ids=[tiny_tokenizer().eos_token_id],
        args=SimpleNamespace(temperature=1.0),
    )


def model():
    return tiny_model(len(tiny_tokenizer()), context=4096)


PROMPTS = ["c2", "c2", [{"role": "user", "content": "Is 0 even?"}], "c0"]


def test_rows_come_one_a_prompt_in_order_with_the_models_tokens_marked():
    trainer = fake_trainer(net := model())
    out = debate_rollout()(PROMPTS, trainer)
    assert {len(column) for column in out.values()} == {4} and net.training
    tokenizer = tiny_tokenizer()
    for row, question in enumerate((2, 2, 0, 0)):
        assert f"Is {question} even?" in tokenizer.decode(out["prompt_ids"][row])
        mask, ids, logprobs = out["env_mask"][row], out["completion_ids"][row], out["logprobs"][row]
        assert len(mask) == len(ids) == len(logprobs)
        assert mask[0] == 1 and mask[-1] == 1 and 0 < sum(mask) <= 8 and 0 in mask
        with torch.no_grad():  # the marked tokens are those the model sampled, with its own log-probabilities
            whole = out["prompt_ids"][row] + ids
            found = net(input_ids=torch.tensor([whole])).logits[0].float().log_softmax(-1)
        at = len(out["prompt_ids"][row])
        for i, (token, own, logprob) in enumerate(zip(ids, mask, logprobs, strict=True)):
            assert logprob == pytest.approx(float(found[at + i - 1, token]), abs=1e-3) if own else logprob == 0.0
    assert out["completion_ids"][0] != out["completion_ids"][1]  # a group's members are different plays
    assert all(value in (-1.0, 0.0, 1.0) for value in out["reward_win"])


def test_the_same_seed_and_step_play_the_same_and_another_does_not():
    trainer = fake_trainer(model())
    first = debate_rollout()(PROMPTS, trainer)
    rollout = debate_rollout()
    assert rollout(PROMPTS, trainer) == first
    assert rollout(PROMPTS, trainer)["completion_ids"] != first["completion_ids"]  # a second call within the step
    assert debate_rollout(seed=1)(PROMPTS, trainer)["completion_ids"] != first["completion_ids"]


class Failing:
    """Every other play fails."""

    style = "chat"

    async def __call__(self, asks):
        return [
            Reply(stop_reason="error", failure=Failure("timeout", a.seat, "no answer")) if i % 2 else Reply("word")
            for i, a in enumerate(asks)
        ]


def test_a_failed_match_keeps_its_place_teaches_nothing_and_has_no_reward():
    out = debate_rollout(Agent(Policy("bad", 0, "x"), Failing()))(PROMPTS, fake_trainer(model()))
    played = [sum(mask) > 0 for mask in out["env_mask"]]
    assert played == [True, False, False, False]  # of the two that were left after round one, the second failed
    assert [reward is not None for reward in out["reward_win"]] == played
    assert [len(ids) for ids in out["completion_ids"][1:]] == [1, 1, 1]
    assert trl_rewards(["win"])[0](prompts=PROMPTS, **out) == out["reward_win"]


def test_drawn_answers_are_the_same_within_a_group():
    protocol = short("evidence_consultancy")
    judge = ScriptedJudge(0)
    others = {seat: scripted(random_legal) for seat in protocol.seats if seat != "consultant"}
    claims = [replace(claim, items=("+2", "-1", "+4")) for claim in CLAIMS]
    rollout = as_trl_rollout_func(protocol, "consultant", claims, others, [judge])
    prompts = [q.id for q in CLAIMS for _ in range(2)] * 3
    out = rollout(prompts, fake_trainer(model()))
    assert all(a == b for a, b in zip(out["prompt_ids"][::2], out["prompt_ids"][1::2], strict=True))
    assert len({tuple(ids) for ids in out["prompt_ids"]}) > 3  # and differ between groups of one question


@pytest.mark.filterwarnings("ignore:You are using 'rollout_func':UserWarning")
@pytest.mark.parametrize("game", ["speeches", "picks"])
def test_grpo_trainer_learns_a_seat(tmp_path, game):
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    if game == "speeches":
        questions, rollout, criteria = CLAIMS, debate_rollout(), ["win", "format"]
    else:
        questions, criteria = ITEMS, ["win", "validity"]
        protocol = load_protocol("evidence_debate", {"k": 1})
        rollout = as_trl_rollout_func(protocol, "A", ITEMS, {"B": scripted(greedy_evidence)}, [NaiveEvidenceJudge()])
    net = model().requires_grad_(True)
    net.config.name_or_path = "tiny"
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    arguments = GRPOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=4,
        num_generations=4,
        max_steps=2,
        learning_rate=1e-2,
        max_completion_length=64,
        reward_weights=[1.0, 0.5],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    with torch.random.fork_rng(devices=[]):
        trainer = GRPOTrainer(
            model=net,
            args=arguments,
            processing_class=tiny_tokenizer(),
            train_dataset=Dataset.from_list(trl_prompts(questions)),
            reward_funcs=trl_rewards(criteria),
            rollout_func=rollout,
        )
        trainer.train()
    logged = [row for row in trainer.state.log_history if "reward" in row]
    assert len(logged) == 2
    for row in logged:
        assert math.isfinite(row[f"rewards/{criteria[0]}/mean"]) and math.isfinite(row[f"rewards/{criteria[1]}/mean"])
        assert row["completions/max_length"] <= (8 if game == "speeches" else 10)
    assert max(row["reward_std"] for row in logged) > 0  # otherwise there is nothing to learn from
    assert any(not torch.equal(before[name], p) for name, p in net.named_parameters())
    assert all(torch.isfinite(p).all() for p in net.parameters())


def test_what_cannot_be_bridged_is_said():
    judge = ScriptedJudge(0)
    with pytest.raises(UserError, match="no seat 'C'"):
        as_trl_rollout_func("debate_simultaneous", "C", CLAIMS, {}, [judge])
    with pytest.raises(UserError, match="each of the seats B"):
        as_trl_rollout_func("debate_simultaneous", "A", CLAIMS, {}, [judge])
    with pytest.raises(UserError, match="policy id of its own"):
        as_trl_rollout_func("debate_simultaneous", "A", CLAIMS, {"B": scripted(random_legal, "trained")}, [judge])
    with pytest.raises(UserError, match="decided by judges"):
        as_trl_rollout_func("debate_simultaneous", "A", CLAIMS, {"B": scripted(random_legal)})
    protocol = load_protocol("debate_simultaneous")
    fleeting = protocol.with_slots(lambda slot: replace(slot, visibility="ephemeral"))
    with pytest.raises(UserError, match="ephemeral"):
        as_trl_rollout_func(fleeting, "A", CLAIMS, {"B": scripted(random_legal)}, [judge])
    with pytest.raises(UserError, match="names no question"):
        debate_rollout()(["something else"], fake_trainer(model()))
    with pytest.raises(UserError, match="no criterion 'elegance'"):
        trl_rewards(["elegance"])[0](prompts=[], reward_win=[])
    trainer = fake_trainer(model())
    trainer.use_vllm = True
    with pytest.raises(UserError, match="use_vllm"):
        debate_rollout()(PROMPTS, trainer)


def test_it_works_where_a_loop_runs_already():
    async def inside():
        return debate_rollout()(PROMPTS[:2], fake_trainer(model()))

    assert asyncio.run(inside()) == debate_rollout()(PROMPTS[:2], fake_trainer(model()))
