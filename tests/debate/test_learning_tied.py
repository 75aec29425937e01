"""Criteria tied to turns: a turn's advantage holds nothing that it did not earn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from debate.learning.assigner import CreditAssigner
from debate.learning.baselines import GroupBaseline
from debate.learning.batch import TokenBatch
from debate.learning.samples import Sample
from debate.learning.scalarisers import Linear
from debate.learning.tied import tied_criteria
from debate.protocol.load import load_protocol
from debate.transcript import Turn

ROOT = Path(__file__).parents[2]
PROTOCOL = load_protocol("self_critique")
PHASES = ("answer", "critique", "judgement", "revision")


def sample(number, **rewards):
    turns = tuple(Turn("solver", "solver", phase, slot, "s-v1", "x") for slot, phase in enumerate(PHASES))
    values = np.array([rewards.get(name, np.nan) for name in PROTOCOL.criteria])
    status = tuple("ok" if np.isfinite(v) else "abstain" for v in values)
    return Sample(
        episode_id=f"m{number}",
        protocol="self_critique",
        role="solver",
        seat="solver",
        position=0,
        group="g",
        policy="s-v1",
        turns=turns,
        criteria=PROTOCOL.criteria,
        rewards=values,
        status=status,
    )


def advantages(samples, **weights):
    assigner = CreditAssigner(weights, Linear(weights), GroupBaseline(), protocols={"self_critique": PROTOCOL})
    found = assigner.assign(samples, lambda samples: np.zeros((len(samples), 1)), 0).advantages
    return np.array([np.broadcast_to(row, (len(PHASES),)) for row in found])


def pairs(outcomes):
    """r₁, r₂ of each sample → samples with what the protocol pays for them (α = 5)."""
    return [sample(i, first=r1, shaped=r2 + 5 * (r2 - r1), truth=r2) for i, (r1, r2) in enumerate(outcomes)]


def test_the_first_answer_earns_its_own_reward_alone():
    found = advantages(pairs([(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]), first=1.0, shaped=1.0)
    assert found[0, 0] == found[1, 0] > 0 > found[2, 0] == found[3, 0]
    assert found[2, 3] == found[:, 3].max()  # wrong made right is the best revision
    assert found[1, 3] == found[:, 3].min()


def test_paid_together_the_first_answer_would_be_taught_to_be_wrong():
    """What tying prevents: one advantage a match pays the wrong first answer whose revision is right most of all."""
    outcomes = [(1.0, 1.0), (0.0, 1.0)]
    tied = advantages(pairs(outcomes), first=1.0, shaped=1.0)
    assert tied[0, 0] > tied[1, 0]
    whole = [
        s.rewards[PROTOCOL.criteria.index("first")] + s.rewards[PROTOCOL.criteria.index("shaped")]
        for s in pairs(outcomes)
    ]
    assert whole[1] > whole[0]


def test_a_criterion_of_the_whole_match_reaches_every_turn():
    samples = [sample(i, truth=r, first=1.0) for i, r in enumerate((1.0, 0.0))]
    found = advantages(samples, truth=1.0, first=0.0)
    assert (found[0] > 0).all() and (found[1] < 0).all()


def test_a_turn_that_earns_nothing_known_teaches_nothing():
    samples = [sample(i, first=r) for i, r in enumerate((1.0, 0.0))]
    found = advantages(samples, first=1.0, shaped=1.0)
    assert found[0, 0] > 0 and (found[:, 1:] == 0).all()
    assert np.isnan(advantages([sample(0), sample(1)], first=1.0, shaped=1.0)).all()


def test_it_takes_a_credit_that_can_tell_turns_apart(tmp_path):
    from debate.errors import UserError
    from debate.learning.configured import credit_assigner
    from debate.recipe import read_recipe

    (tmp_path / "q.jsonl").write_text('{"id": "a", "question": "1+1?", "gold": "2"}\n')
    text = """
name: tied
agents: {sol: {kind: nano, weights: {first: 1, shaped: 1}}}
arenas:
  critique: {protocol: self_critique, seats: {solver: sol}, data: {adapter: jsonl, path: q.jsonl}}
training: {updates: 1, groups: 1, group_size: 2, credit: {level: turn, estimator: gae}}
"""
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UserError, match="first, shaped of protocol self_critique is earned by single turns"):
        credit_assigner(read_recipe(tmp_path / "r.yaml", []), "sol")
    (tmp_path / "r.yaml").write_text(text.replace(", credit: {level: turn, estimator: gae}", ""))
    assert credit_assigner(read_recipe(tmp_path / "r.yaml", []), "sol").weights == {"first": 1.0, "shaped": 1.0}


def test_a_turns_reward_reaches_that_turns_tokens_alone():
    """Tokens of the first answer carry r₁, of critique and judgement theirs, of the revision r₂ + α (r₂ − r₁)."""
    weights = {"first": 1.0, "discernment": 1.0, "helped": 1.0, "shaped": 1.0}
    paid = pairs([(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
    samples = []
    for number, one in enumerate(paid):
        turns = tuple(
            replace(t, prompt_tokens=(1,), tokens=(10 + k, 20 + k), logprobs=(-1.0, -1.0))
            for k, t in enumerate(one.turns)
        )
        samples.append(replace(one, turns=turns, rewards=one.rewards.copy()))
        samples[-1].rewards[PROTOCOL.criteria.index("discernment")] = number % 2
        samples[-1].rewards[PROTOCOL.criteria.index("helped")] = (0.0, -1.0, 1.0, 0.0)[number]
    samples = [replace(s, status=tuple("ok" if np.isfinite(v) else "abstain" for v in s.rewards)) for s in samples]
    by_weight = {
        names: _by_token(samples, {n: weights[n] for n in names})
        for names in (("first",), ("discernment", "helped"), ("shaped",), tuple(weights))
    }
    for names, own in ((("first",), {0}), (("discernment", "helped"), {1, 2}), (("shaped",), {3})):
        found = by_weight[names]
        assert {phase for _, phase in found if found[_, phase] != 0} == own
        for key, value in by_weight[tuple(weights)].items():
            if key[1] in own:
                assert value == found[key]


def _by_token(samples, weights):
    """(sample, phase) → the advantage that all of its tokens carry."""
    assigner = CreditAssigner(weights, Linear(weights), GroupBaseline(), protocols={"self_critique": PROTOCOL})
    found = assigner.assign(samples, lambda samples: np.zeros((len(samples), 1)), 0).advantages
    batch = TokenBatch.from_samples(samples, found)
    assert batch.units == 8 * len(samples)
    per_turn = {}
    for unit, turn in enumerate(batch.unit_turn):
        key = (int(turn) // len(PHASES), int(turn) % len(PHASES))
        assert per_turn.setdefault(key, float(batch.advantages[unit])) == float(batch.advantages[unit])
    return per_turn


def test_the_shipped_recipe_credits_every_turn_with_its_own():
    from debate.reader import read_yaml

    weights = read_yaml(ROOT / "runs" / "gsm8k_self_critique.yaml").data["agents"]["sol"]["weights"]
    assert set(tied_criteria(PROTOCOL, weights)) == {"first", "discernment", "helped", "shaped"}
    assert "truth" not in weights  # it would pay the first answer for the last one


NANO = """
name: looks_again
agents: {sol: {kind: nano, rows: 16, weights: {first: 1, discernment: 0.5, helped: 0.5, shaped: 1}}}
arenas:
  critique:
    protocol: self_critique
    parameters: {tokens: 4}
    seats: {solver: sol}
    data: {adapter: jsonl, train: {path: train.jsonl}, test: {path: test.jsonl}}
training: {updates: 2, groups: 4, group_size: 8, baseline: group}
"""


def test_a_run_with_turn_rewards_reports_answers_lost_and_gained(tmp_path):
    from debate.recipe import read_recipe
    from debate.train import train

    for name, numbers in (("train", range(4)), ("test", range(4, 5))):
        lines = [f'{{"id": "q{n}", "question": "{n}+1?", "gold": "{n % 3}"}}\n' for n in numbers]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    (tmp_path / "r.yaml").write_text(NANO)
    summary = train(read_recipe(tmp_path / "r.yaml", []), tmp_path / "run")
    found = summary["rewards"]["solver"]
    assert all(0.0 <= share <= 1.0 for name in ("first", "lost", "gained") for share in found[name])
    report = (tmp_path / "run" / "report.html").read_text()
    assert "<td>lost</td>" in report and "<td>gained</td>" in report
