"""Flattening, policies, scalarisation and the reduced normal form of extensive games."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import ExtensiveGame, expected_payoffs, from_openspiel
from games.extensive.random_game import random_game
from games.extensive.tree import CHANCE, TERMINAL

pytest.importorskip("pyspiel")


@dataclass(frozen=True)
class Node:
    """A hand-written tree: a chance node, a decision node or an end."""

    who: int | None = TERMINAL
    infoset: str = ""
    branches: dict[str, Any] = field(default_factory=dict)
    odds: tuple[float, ...] = ()
    payoff: Any = (0.0, 0.0)

    def player(self) -> int | None:
        return self.who

    def actions(self) -> list[str]:
        return list(self.branches)

    def chance(self) -> list[tuple[str, float]]:
        return list(zip(self.branches, self.odds, strict=True))

    def information_state(self) -> str:
        return self.infoset

    def child(self, action: int) -> Node:
        return list(self.branches.values())[action]

    def returns(self) -> Any:
        return self.payoff


def end(*payoff: float) -> Node:
    return Node(payoff=payoff)


def test_counts_of_kuhn_and_leduc() -> None:
    kuhn, leduc = from_openspiel("kuhn_poker"), from_openspiel("leduc_poker")
    assert (kuhn.num_nodes, len(kuhn.terminals), kuhn.num_information_sets, kuhn.num_sequences) == (58, 30, 12, 24)
    assert (leduc.num_nodes, len(leduc.terminals), leduc.num_information_sets) == (9457, 5520, 936)


def test_arrays_are_in_breadth_first_order() -> None:
    game = random_game(3, depth=6)
    assert game.parent[0] == -1 and (np.diff(game.parent) >= 0).all()
    for node in range(game.num_nodes):
        children = list(game.children(node))
        assert all(game.parent[c] == node for c in children)
        assert [game.action[c] for c in children] == list(range(len(children)))
        assert bool(children) == (game.player[node] != TERMINAL)
        if game.player[node] == CHANCE:
            assert game.probability[children].sum() == pytest.approx(1.0)
            assert len(game.chance_labels[node]) == len(children)
    assert (game.player[game.terminals] == TERMINAL).all()


def test_sequences_follow_their_parents() -> None:
    game = from_openspiel("leduc_poker")
    below = game.parent_sequence >= 0
    assert (game.sequence_infoset[game.parent_sequence[below]] < np.flatnonzero(below)).all()
    assert (np.diff(game.infoset_player) >= 0).all()


def test_long_games_need_no_recursion() -> None:
    node = end(1.0, -1.0)
    for step in reversed(range(5000)):
        node = Node(step % 2, f"{step}", {"on": node})
    game = ExtensiveGame.from_state(node, ["A", "B"], ["win"])
    assert game.num_nodes == 5001
    assert game.expected_payoffs(game.uniform_policy()).tolist() == [[1.0], [-1.0]]
    with pytest.raises(ValueError, match="more than 100 nodes"):
        ExtensiveGame.from_state(node, 2, 1, max_nodes=100)


def test_imperfect_recall_names_the_information_set() -> None:
    forget = {"x": end(0, 0), "y": end(1, 1)}
    root = Node(0, "first", {"l": Node(0, "forgot", forget), "r": Node(0, "forgot", forget)})
    with pytest.raises(ValueError, match=r"imperfect recall.*'forgot'.*'l' at 'first'.*'r' at 'first'"):
        ExtensiveGame.from_state(root, 2)


def test_absent_minded_driver_is_refused() -> None:
    root = Node(0, "exit", {"off": end(0, 0), "on": Node(0, "exit", {"off": end(4, 0), "on": end(1, 0)})})
    with pytest.raises(ValueError, match=r"imperfect recall.*'exit'"):
        ExtensiveGame.from_state(root, 2)


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (Node(0, "s", {"a": end(1, 2, 3)}), "shape"),
        (Node(0, "s", {"a": end(1, float("nan"))}), "finite"),
        (Node(5, "s", {"a": end(0, 0)}), "player"),
        (Node(0, "s", {}), "'s'"),
        (Node(None, "", {"a": end(0, 0), "b": end(0, 0)}, (0.5, 0.6)), "sum to 1"),
        (Node(None, "", {"a": end(0, 0), "b": end(0, 0)}, (1.5, -0.5)), "sum to 1"),
        (
            Node(None, "", {"a": Node(0, "s", {"x": end(0, 0)}), "b": Node(0, "s", {"y": end(0, 0)})}, (0.5, 0.5)),
            r"'s'.*\('x',\).*\('y',\)",
        ),
    ],
)
def test_broken_trees_are_refused(root: Node, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExtensiveGame.from_state(root, 2)


def test_a_game_without_decisions() -> None:
    game = ExtensiveGame.from_state(Node(None, "", {"h": end(1, -1), "t": end(3, -3)}, (0.25, 0.75)), 2)
    assert game.expected_payoffs(game.uniform_policy()).tolist() == [[2.5], [-2.5]]
    assert game.to_normal_form().shape == (1, 1)


# --- policies


def test_policy_forms_agree() -> None:
    game = from_openspiel("kuhn_poker")
    flat = np.random.default_rng(0).dirichlet([1, 1], game.num_information_sets).reshape(-1)
    table = game.policy_table(flat)
    lists = {name: list(row.values()) for name, row in table.items()}
    keyed = {(int(p), n): lists[n] for p, n in zip(game.infoset_player, game.infoset_names, strict=True)}
    for form in (flat, table, lists, keyed, lambda name, actions: table[name], lambda name, actions: lists[name]):
        assert game.policy(form) == pytest.approx(flat)
    assert game.policy(lambda name, actions: {"Pass": 1.0})[::2].tolist() == [1.0] * 12


def test_bad_policies_say_what_is_wrong() -> None:
    game = from_openspiel("kuhn_poker")
    table: dict[str, Any] = game.policy_table(game.uniform_policy())
    with pytest.raises(ValueError, match=r"no entry for information set '0pb' of player 0"):
        game.policy({name: row for name, row in table.items() if name != "0pb"})
    with pytest.raises(ValueError, match="'7'"):
        game.policy({**table, "7": [0.5, 0.5]})
    with pytest.raises(ValueError, match=r"'0pb'.*'Fold'"):
        game.policy({**table, "0pb": {"Fold": 1.0}})
    with pytest.raises(ValueError, match="'0pb'"):
        game.policy({**table, "0pb": [1.0]})
    with pytest.raises(ValueError, match=r"'0pb'.*sum to 1.*0\.6"):
        game.policy({**table, "0pb": [0.6, 0.6]})
    with pytest.raises(ValueError, match="sum to 1"):
        game.policy({**table, "0pb": [float("nan"), 0.6]})
    with pytest.raises(ValueError, match="24"):
        game.policy(np.ones(3))


def test_names_shared_by_two_players() -> None:
    inner = Node(1, "s", {"x": end(1, -1), "y": end(-1, 1)})
    game = ExtensiveGame.from_state(Node(0, "s", {"l": inner, "r": inner}), ["A", "B"])
    flat = game.policy({(0, "s"): {"l": 1.0}, (1, "s"): {"y": 1.0}})
    assert flat.tolist() == [1.0, 0.0, 0.0, 1.0]
    with pytest.raises(ValueError, match="two players"):
        game.policy_table(flat)


# --- payoffs


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), players=st.integers(1, 3))
def test_expected_payoffs_by_plain_recursion(seed: int, players: int) -> None:
    game = random_game(seed, players=players, objectives=2, depth=5, zero_sum=False)
    draw = np.random.default_rng(seed)
    flat = game.policy(lambda name, actions: draw.dirichlet(np.ones(len(actions))))
    place = {int(node): z for z, node in enumerate(game.terminals)}

    def value(node: int) -> Any:
        if node in place:
            return game.payoffs[place[node]]
        total = np.zeros((players, 2))
        for child in game.children(node):
            j = game.infoset[node]
            p = game.probability[child] if j < 0 else flat[game.offsets[j] + game.action[child]]
            total += p * value(child)
        return total

    assert game.expected_payoffs(flat) == pytest.approx(value(0), abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_scalarising_commutes_with_expectation(seed: int) -> None:
    game = random_game(seed, objectives=3, zero_sum=False)
    weights = np.random.default_rng(seed).normal(size=(2, 3))
    uniform = game.uniform_policy()
    scalar = game.scalarise(weights)
    assert scalar.num_objectives == 1
    expected = (game.expected_payoffs(uniform) * weights).sum(axis=1)
    assert scalar.expected_payoffs(uniform)[:, 0] == pytest.approx(expected, abs=1e-12)


def test_vector_games_must_be_scalarised() -> None:
    game = random_game(1, objectives=2)
    with pytest.raises(ValueError, match="scalarise"):
        game.scalar()
    with pytest.raises(ValueError, match=r"\(2,\) or \(2, 2\)"):
        game.scalarise([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="finite"):
        game.scalarise([1.0, float("inf")])


def test_reduced_normal_form_of_kuhn() -> None:
    game = from_openspiel("kuhn_poker")
    normal = game.to_normal_form()
    assert normal.shape == (27, 64)  # Kuhn 1950: 3³ and 4³ plans
    assert normal.is_constant_sum()
    with pytest.raises(ValueError, match="27 × 64"):
        game.to_normal_form(max_cells=1000)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), players=st.integers(1, 3))
def test_reduced_normal_form_keeps_the_payoffs(seed: int, players: int) -> None:
    game = random_game(seed, players=players, objectives=2, depth=3, zero_sum=False)
    normal = game.to_normal_form()
    draw = np.random.default_rng(seed)
    plan = [int(draw.integers(k)) for k in normal.shape]
    named = dict(
        pair.split(": ") for i, k in enumerate(plan) for pair in normal.strategies[i][k].split(", ") if ": " in pair
    )
    flat = game.policy(lambda name, actions: {named.get(name, actions[0]): 1.0})
    pure = [np.eye(size)[k] for size, k in zip(normal.shape, plan, strict=True)]
    assert expected_payoffs(normal, pure) == pytest.approx(game.expected_payoffs(flat), abs=1e-12)
