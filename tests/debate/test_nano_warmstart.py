"""The shipped nano weights: they know the rules, prefer nothing, and are what their card says."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from debate.engines.nano import tokenizer as words
from debate.engines.nano.evidence_play import LENGTH, batch, draw_items, draw_view
from debate.engines.nano.model import WEIGHTS, load_model, load_state, new_model, state_of
from debate.engines.nano.warmstart import main, measure, move_logits
from debate.errors import UserError
from debate.seeds import generator


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return load_model()


def test_the_card_tells_the_truth(model) -> None:
    card = json.loads(WEIGHTS.with_name("nano.json").read_text())
    assert card["sha256"] == sha256(WEIGHTS.read_bytes()).hexdigest()
    assert card["parameters"] == sum(p.numel() for p in model.parameters()) <= 200_000
    assert WEIGHTS.stat().st_size < 1_000_000
    assert measure(model, card["seed"])["illegal"] == pytest.approx(card["held_out"]["illegal"], rel=0.02)


def test_it_knows_the_rules_and_has_no_strategy(model) -> None:
    measured = measure(model, seed=91, rows=1024)
    assert measured["illegal"] < 0.02
    assert measured["kl"] < 0.03  # nats from uniform over what is hidden


def test_its_play_decides_debates_as_random_legal_play_does(model) -> None:
    """Random legal play of n = 12, k = 2 gives the naive judge .698 (a revealed sum of 0 counts one half)."""
    rng = generator(5, "debates")
    count, n, k = 3000, 12, 2
    games = [draw_items(rng, n) for _ in range(count)]
    revealed: list[list[int]] = [[] for _ in range(count)]  # by item index
    rows = {seat: [[words.BOS, *words.encode("".join(g) + str(seat))] for g in games] for seat in (0, 1)}
    illegal = 0
    for turn in range(2 * k):
        seat = turn % 2
        ids = torch.tensor([[*row, words.ASSISTANT] for row in rows[seat]])
        places = torch.arange(count) * ids.shape[1] + ids.shape[1] - 1
        with torch.inference_mode():
            among = move_logits(model, ids, places)[:, words.WEIGHT_0 :].softmax(-1).numpy()
        for i, game in enumerate(games):
            p = among[i].astype(float)
            pick = words.WEIGHTS[rng.choice(len(p), p=p / p.sum())]
            hidden = [j for j, w in enumerate(game) if w == pick and j not in revealed[i]]
            if not hidden:  # counted, and replaced by a random legal move so that every debate is whole
                illegal += 1
                hidden = [j for j in rng.permutation(n) if j not in revealed[i]]
                pick = game[hidden[0]]
            revealed[i].append(int(hidden[0]))
            token = words.encode(pick)[0]
            rows[seat][i] += [words.ASSISTANT, token]
            rows[1 - seat][i] += [words.USER, *words.encode("AB"[seat]), token]
    right = [
        0.5 if total == 0 else float((total > 0) == (sum(map(int, game)) > 0))
        for game, shown in zip(games, revealed, strict=True)
        for total in [sum(int(game[j]) for j in shown)]
    ]
    assert illegal / (count * 2 * k) < 0.02
    assert np.mean(right) == pytest.approx(0.698, abs=0.03)  # standard error .007


def test_views_are_legal_and_targets_uniform_over_hidden_copies() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        view = draw_view(rng)
        assert len(view.ids) <= LENGTH and view.places
        system = view.ids[1 : min(i for i in range(1, len(view.ids)) if view.ids[i] <= words.END)]
        items = [i for i in system if words.is_weight(i)]
        for place, target in zip(view.places, view.targets, strict=True):
            assert view.ids[place] == words.ASSISTANT
            hidden = list(items)
            for token in view.ids[len(system) + 1 : place]:
                if words.is_weight(token):
                    hidden.remove(token)
            texts = [words.decode([i]) for i in hidden]
            assert target == pytest.approx({w: texts.count(w) / len(texts) for w in texts})


def test_batches_are_seeded() -> None:
    one, two = batch(np.random.default_rng(1), 8), batch(np.random.default_rng(1), 8)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert np.allclose(one[2].sum(1), 1)


def test_the_command_repeats_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        main(["--out", str(tmp_path / name), "--seed", "4", "--steps", "3"])
    assert (tmp_path / "a/nano.safetensors").read_bytes() == (tmp_path / "b/nano.safetensors").read_bytes()
    assert '"steps": 3' in capsys.readouterr().out


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no nano weights"):
        load_model(tmp_path / "none.safetensors")
    state = state_of(new_model())
    with pytest.raises(UserError, match="differing names"):
        load_state(new_model(), {**state, "x": state["model.norm.weight"]}, "here")
    with pytest.raises(UserError, match="has shape"):
        load_state(new_model(), {**state, "model.norm.weight": torch.ones(3)}, "here")
