"""From a tree of `GameState`s to the arrays of `ExtensiveGame`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from games.extensive.tree import CHANCE, TERMINAL, ExtensiveGame, GameState, IntArray
from games.normal_form import Array, _names


@dataclass
class _Infosets:
    """Information sets in the order of their discovery; "raw" sequences are numbered in that order."""

    index: dict[tuple[int, str], int] = field(default_factory=dict)
    actions: list[tuple[str, ...]] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)  # raw sequence, −1 for none
    depth: list[int] = field(default_factory=list)  # own earlier actions
    first: list[int] = field(default_factory=lambda: [0])  # raw number of the first sequence
    owner: list[int] = field(default_factory=list)  # raw sequence → information set

    def visit(self, player: int, state: GameState, last: int) -> int:
        """Finds or creates the information set of a node that its player reached by the raw sequence `last`."""
        name, actions = state.information_state(), tuple(state.actions())
        found = self.index.get((player, name))
        if found is None:
            if not actions or len(set(actions)) != len(actions):
                raise ValueError(
                    f"information set {name!r} of player {player}: expected distinct actions, got {actions}"
                )
            found = self.index[player, name] = len(self.actions)
            self.actions.append(actions)
            self.parent.append(last)
            self.depth.append(0 if last < 0 else self.depth[self.owner[last]] + 1)
            self.owner += [found] * len(actions)
            self.first.append(len(self.owner))
        elif actions != self.actions[found]:
            raise ValueError(
                f"information set {name!r} of player {player}: one node offers {self.actions[found]}, another {actions}"
            )
        elif self.parent[found] != last:
            raise ValueError(
                f"imperfect recall: player {player} reaches information set {name!r} both "
                f"{self._history(self.parent[found])} and {self._history(last)}"
            )
        return found

    def _history(self, raw: int) -> str:
        if raw < 0:
            return "as its first move"
        owner = self.owner[raw]
        name = list(self.index)[owner][1]
        return f"after {self.actions[owner][raw - self.first[owner]]!r} at {name!r}"

    def canonical(self) -> tuple[list[int], IntArray]:
        """The canonical order of the information sets, and the map from raw to canonical sequences."""
        players = [player for player, _ in self.index]
        layers: dict[tuple[int, int], list[int]] = {}
        for j, (player, depth) in enumerate(zip(players, self.depth, strict=True)):
            layers.setdefault((player, depth), []).append(j)
        order: list[int] = []
        rank = np.full(len(self.owner), -1, dtype=np.int64)
        count = 0
        for layer in sorted(layers):
            for j in sorted(layers[layer], key=lambda j: -1 if self.parent[j] < 0 else int(rank[self.parent[j]])):
                order.append(j)
                size = len(self.actions[j])
                rank[self.first[j] : self.first[j] + size] = np.arange(count, count + size)
                count += size
        return order, rank


def flatten(
    root: GameState, players: int | Iterable[str], objectives: int | Iterable[str], max_nodes: int
) -> ExtensiveGame:
    """Implements `ExtensiveGame.from_state`: a depth-first walk with its own stack, then a stable sort by depth."""
    player_names = _named(players, "players")
    objective_names = _named(objectives, "objectives")
    count = len(player_names)
    infosets = _Infosets()
    rows: list[tuple[int, int, int, int, int]] = []  # depth, parent, player, information set, action
    probability: list[float] = []
    labels: dict[int, tuple[str, ...]] = {}
    terminals: list[int] = []
    payoffs: list[Array] = []
    reaches: list[float] = []
    lasts: list[tuple[int, ...]] = []

    stack: list[tuple[GameState, int, int, int, float, float, tuple[int, ...]]] = [
        (root, 0, -1, -1, 1.0, 1.0, (-1,) * count)
    ]
    while stack:
        above, depth, parent, action, edge, reach, last = stack.pop()
        state = above if action < 0 else above.child(action)
        node = len(rows)
        if node >= max_nodes:
            raise ValueError(f"the game tree has more than {max_nodes} nodes; a larger max_nodes allows them")
        mover = state.player()
        who = CHANCE if mover is None else int(mover)
        infoset = -1
        probability.append(edge)
        if who == TERMINAL:
            terminals.append(node)
            payoffs.append(_payoff(state, (count, len(objective_names)), node))
            reaches.append(reach)
            lasts.append(last)
        elif who == CHANCE:
            outcomes = _outcomes(state, node)
            labels[node] = tuple(name for name, _ in outcomes)
            for a, (_, p) in reversed(list(enumerate(outcomes))):
                stack.append((state, depth + 1, node, a, p, reach * p, last))
        elif 0 <= who < count:
            infoset = infosets.visit(who, state, last[who])
            first = infosets.first[infoset]
            for a in reversed(range(len(infosets.actions[infoset]))):
                stack.append((state, depth + 1, node, a, 1.0, reach, (*last[:who], first + a, *last[who + 1 :])))
        else:
            raise ValueError(
                f"node {node}: player() gave {mover!r}, expected 0 … {count - 1}, None (chance) or TERMINAL"
            )
        rows.append((depth, parent, who, infoset, action))

    order, rank = infosets.canonical()
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    table = np.array(rows, dtype=np.int64)
    breadth_first = np.argsort(table[:, 0], kind="stable")
    new = np.empty(len(rows), dtype=np.int64)
    new[breadth_first] = np.arange(len(rows))
    _, parents, movers, sets, actions = table[breadth_first].T
    keys = list(infosets.index)
    ends = new[np.array(terminals, dtype=np.int64)]
    by_node = np.argsort(ends, kind="stable")
    last_raw = np.array(lasts, dtype=np.int64).reshape(len(terminals), count)
    above_infoset = np.array([infosets.parent[j] for j in order], dtype=np.int64)
    return ExtensiveGame(
        players=player_names,
        objectives=objective_names,
        parent=_renumber(new, parents),
        player=movers.copy(),
        infoset=_renumber(place, sets),
        action=actions.copy(),
        probability=np.array(probability)[breadth_first],
        chance_labels={int(new[node]): names for node, names in labels.items()},
        terminals=ends[by_node],
        payoffs=np.stack(payoffs)[by_node],
        chance_reach=np.array(reaches)[by_node],
        terminal_sequences=_renumber(rank, last_raw)[by_node],
        infoset_player=np.array([keys[j][0] for j in order], dtype=np.int64),
        infoset_names=tuple(keys[j][1] for j in order),
        action_names=tuple(infosets.actions[j] for j in order),
        offsets=np.cumsum([0, *(len(infosets.actions[j]) for j in order)], dtype=np.int64),
        parent_sequence=_renumber(rank, above_infoset),
    )


def _named(given: int | Iterable[str], what: str) -> tuple[str, ...]:
    names = _names(None, given, what) if isinstance(given, int) else tuple(str(name) for name in given)
    if not names:
        raise ValueError(f"{what}: expected at least one")
    return _names(names, len(names), what)


def _renumber(table: IntArray, numbers: IntArray) -> IntArray:
    """`table[numbers]`, with −1 ("none") kept."""
    if len(table) == 0:
        return numbers.copy()
    return np.where(numbers < 0, -1, table[numbers])


def _payoff(state: GameState, shape: tuple[int, int], node: int) -> Array:
    value = np.asarray(state.returns(), dtype=np.float64)
    if value.shape == shape[:1] and shape[1] == 1:
        value = value[:, None]
    if value.shape != shape:
        raise ValueError(f"node {node}: returns() gave shape {value.shape}, expected [players, objectives] = {shape}")
    if not np.isfinite(value).all():
        raise ValueError(f"node {node}: returns() gave {value.tolist()}, expected finite numbers")
    return value


def _outcomes(state: GameState, node: int) -> Sequence[tuple[str, float]]:
    outcomes = [(str(name), float(p)) for name, p in state.chance()]
    chances = np.array([p for _, p in outcomes])
    if not outcomes or not np.isfinite(chances).all() or chances.min() < 0 or abs(chances.sum() - 1.0) > 1e-9:
        raise ValueError(f"node {node}: expected chance probabilities that sum to 1, got {outcomes}")
    return outcomes
