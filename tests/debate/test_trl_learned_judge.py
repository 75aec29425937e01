"""A learned judge: Bradley–Terry by construction, blind to the order of options, and trained by TRL on our ids."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from debate.agents.agent import Agent
from debate.agents.scripted import ScriptedSpeaker, greedy_evidence
from debate.engines.adapters import AdapterSpec
from debate.engines.chat_format import ChatFormat
from debate.engines.tiny import tiny_model, tiny_tokenizer
from debate.errors import UserError
from debate.learning.learned_judge import (
    LearnedJudge,
    case_ids,
    judge_rows,
    labelled_cases,
    load_judge,
    load_reward_model,
    train_judge,
)
from debate.learning.trl_trainers import Settings
from debate.play import Arena, play
from debate.protocol.load import load_protocol
from debate.questions import Question
from debate.transcript import Match, Policy
from judges.judges.conformance import check_judge
from judges.judges.evidence import NaiveEvidenceJudge
from judges.judges.identity import identify
from judges.rules import make_rule
from judges.types import Case, Statement

CHAT = ChatFormat(tiny_tokenizer())


def reward_model(seed=0):
    config = LlamaConfig(
        vocab_size=len(tiny_tokenizer()),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=4096,
        pad_token_id=tiny_tokenizer().pad_token_id,
        num_labels=1,
        initializer_range=0.1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForSequenceClassification(config).eval()


def case(number, options=("yes", "no")):
    said = (Statement("A", "debater", "speech", f"It is {number}."), Statement("B", "debater", "speech", "It is not."))
    return Case(f"Is it {number}?", options, said)


CASES = [(case(n), 0) for n in range(4)]


def ask(judge, *cases):
    return asyncio.run(judge.judge_many(cases))


def test_probabilities_are_bradley_terry_of_the_rewards():
    judge = LearnedJudge(reward_model(), tiny_tokenizer(), temperature=0.5)
    verdict, three = ask(judge, case(1), case(1, ("yes", "no", "perhaps")))
    gap = verdict.scores["reward/0"] - verdict.scores["reward/1"]
    assert gap != 0 and verdict.probabilities[0] == pytest.approx(1 / (1 + math.exp(-gap / 0.5)))
    rewards = [three.scores[f"reward/{option}"] for option in range(3)]
    assert three.probabilities == pytest.approx(torch.softmax(torch.tensor(rewards) / 0.5, 0).tolist(), abs=1e-6)


def test_it_keeps_the_contract_of_judges_and_has_an_identity():
    judge = LearnedJudge(reward_model(), tiny_tokenizer())
    assert asyncio.run(check_judge(judge, [case(1), case(2, ("a", "b", "c"))])) == []
    assert identify(judge).missing == () and identify(judge) != identify(
        LearnedJudge(reward_model(1), tiny_tokenizer())
    )
    assert ask(judge, Case("No options"))[0].status == "abstain"
    long = Case("q", ("yes", "no"), (Statement("A", "debater", "speech", "x" * 5000),))
    assert "context is 4096" in ask(judge, long)[0].rationale
    broken = reward_model()
    torch.nn.init.constant_(broken.score.weight, math.nan)
    assert ask(LearnedJudge(broken, tiny_tokenizer()), case(1))[0].status == "error"


def test_the_order_of_options_makes_no_difference():
    judge = LearnedJudge(reward_model(), tiny_tokenizer())
    one, other = ask(judge, case(1, ("yes", "no", "it depends")), case(1, ("it depends", "yes", "no")))
    assert one.probabilities == (other.probabilities[1], other.probabilities[2], other.probabilities[0])


def test_rows_set_the_true_option_against_every_other_one():
    rows = judge_rows([(case(1, ("yes", "no", "perhaps")), 2)], CHAT)
    assert len(rows) == 2 and rows[0]["chosen_ids"] == rows[1]["chosen_ids"] == case_ids(
        case(1, ("yes", "no", "perhaps")), 2, CHAT
    )
    assert CHAT.decode(rows[0]["rejected_ids"]).endswith("yes") and CHAT.decode(rows[0]["chosen_ids"]).endswith(
        "perhaps"
    )
    with pytest.raises(ValueError, match="label 5"):
        judge_rows([(case(1), 5)], CHAT)


@pytest.mark.parametrize("spec", [None, AdapterSpec(rank=4, targets="all-linear")])
def test_trl_trains_it_to_prefer_the_labels(spec):
    model = reward_model()
    untrained = LearnedJudge(model, tiny_tokenizer())
    before, version = [v.probabilities[0] for v in ask(untrained, *(c for c, _ in CASES))], untrained.version
    first = -sum(map(math.log, before)) / len(before)
    judge, log = train_judge(model, tiny_tokenizer(), CASES, spec=spec, settings=Settings(lr=5e-3, steps=8, rows=4))
    assert log[0]["loss"] == pytest.approx(first, abs=2e-3)  # TRL's loss is ours: −log σ(r(right) − r(wrong))
    after = [v.probabilities[0] for v in ask(judge, *(c for c, _ in CASES))]
    assert all(a > b for a, b in zip(after, before, strict=True)) and sum(after) / len(after) > 0.7
    assert judge.version != version
    with pytest.raises(ValueError, match="nothing to train on"):
        train_judge(reward_model(), tiny_tokenizer(), [], spec=spec)


def test_it_is_saved_and_loaded_and_a_changed_one_is_refused(tmp_path):
    judge = LearnedJudge(reward_model(), tiny_tokenizer(), "mine", temperature=2.0)
    judge.save(tmp_path / "judge")
    again = load_judge(tmp_path / "judge")
    assert again.name == "mine" and again.version == judge.version
    assert ask(again, case(1))[0].probabilities == pytest.approx(ask(judge, case(1))[0].probabilities)
    with pytest.raises(UserError, match="another rubric"):
        load_judge(tmp_path / "judge", "Decide who is nicer.")
    replace(judge, model=reward_model(2)).model.save_pretrained(tmp_path / "judge")
    with pytest.raises(UserError, match="not those that were saved"):
        load_judge(tmp_path / "judge")
    with pytest.raises(UserError, match=r"no judge\.json"):
        load_judge(tmp_path)


def test_over_a_causal_model_an_untrained_judge_is_undecided(tmp_path):
    model = tiny_model(len(tiny_tokenizer()), context=4096)
    model.config.pad_token_id = tiny_tokenizer().pad_token_id
    model.save_pretrained(tmp_path / "base")
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    judge = LearnedJudge(*load_reward_model(str(tmp_path / "base")))
    assert ask(judge, case(1))[0].probabilities == (0.5, 0.5)


def test_cases_come_from_stored_matches_with_known_answers():
    questions = [
        Question("q0", "Sum?", ("positive", "negative"), 0, items=("+8", "-2")),
        Question("q1", "Sum?", ("positive", "negative"), None, items=("+8", "-2")),
    ]
    protocol = load_protocol("evidence_debate", {"k": 1})
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    game = Arena("arena", protocol, {q.id: q for q in questions}, (NaiveEvidenceJudge(),), rules)
    cast = {"s-v0": Agent(Policy("s", 0, "scripted"), ScriptedSpeaker(greedy_evidence))}
    matches = [Match(q.id, "arena", q.id, {"A": "s-v0", "B": "s-v0"}) for q in questions]
    episodes = asyncio.run(play(game, matches, cast, 0))
    ((found, label),) = labelled_cases(game, episodes)
    assert label == 0 and found == episodes[0].transcript.case()
