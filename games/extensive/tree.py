"""Extensive-form games, flattened once to arrays, and the protocol a game tree has to offer.

Axis letters: N nodes, Z terminal nodes, P players, C objectives, I information sets, Q sequences. A *sequence* is a
pair (information set, action); under perfect recall it determines all that its player did before (von Stengel 1996).

Canonical order, used by every array in `games.extensive`: information sets are sorted by player, then by the number
of own earlier actions, then by their parent sequence; the Q sequences follow their information sets, actions in the
order the tree names them. A behavioural policy is a flat array [Q] in that order (see `games.extensive.policy` for
the other forms that are accepted).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.normal_form import Array, NormalFormGame, as_weights

if TYPE_CHECKING:
    from games.extensive.sequences import CounterfactualPayoffs, PlayerSequences

IntArray = NDArray[np.int64]

CHANCE: Final = -1
TERMINAL: Final = -2


class GameState(Protocol):
    """One position of a game tree; immutable, `child` returns a new one. Whatever offers this can be solved exactly."""

    def player(self) -> int | None:
        """The index of the player who moves, None where chance moves, `TERMINAL` where the game is over."""
        ...

    def actions(self) -> Sequence[str]:
        """Distinct names of the legal actions, the same at all nodes of an information set; asked only of players."""
        ...

    def chance(self) -> Sequence[tuple[str, float]]:
        """Name and probability of each outcome; asked only where chance moves. The probabilities sum to 1."""
        ...

    def information_state(self) -> str:
        """All that the player who moves knows and remembers; equal strings of one player are one information set."""
        ...

    def child(self, action: int) -> GameState:
        """The position after the action (or chance outcome) of that position in `actions()` (or `chance()`)."""
        ...

    def returns(self) -> ArrayLike:
        """[P, C] payoffs, or [P] where there is one objective; asked only where the game is over."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class ExtensiveGame:
    """A finite game tree with imperfect information, perfect recall and vector payoffs.

    Build it with `ExtensiveGame.from_state`, `games.from_openspiel`, `games.from_gambit` or `games.read_efg`.

    Attributes:
        players: P names.
        objectives: C names.
        parent: [N] the node above, −1 at the root; nodes are in breadth-first order, the children of a node are
            adjacent.
        player: [N] who moves: a player, `CHANCE` or `TERMINAL`.
        infoset: [N] information set of a decision node, −1 elsewhere.
        action: [N] position, among the parent's actions, of the edge into the node; −1 at the root.
        probability: [N] probability of the edge into the node where chance moves above, else 1.
        chance_labels: node → names of the outcomes, for every chance node.
        terminals: [Z] the terminal nodes.
        payoffs: [Z, P, C].
        chance_reach: [Z] product of the chance probabilities on the way.
        terminal_sequences: [Z, P] each player's last sequence on the way, −1 where the player never moved.
        infoset_player: [I].
        infoset_names: I information-state strings, distinct within a player.
        action_names: I tuples of action names.
        offsets: [I + 1] sequences of information set j are offsets[j] … offsets[j + 1] − 1.
        parent_sequence: [I] the player's last sequence before the information set, −1 where there is none.
    """

    players: tuple[str, ...]
    objectives: tuple[str, ...]
    parent: IntArray
    player: IntArray
    infoset: IntArray
    action: IntArray
    probability: Array
    chance_labels: Mapping[int, tuple[str, ...]]
    terminals: IntArray
    payoffs: Array
    chance_reach: Array
    terminal_sequences: IntArray
    infoset_player: IntArray
    infoset_names: tuple[str, ...]
    action_names: tuple[tuple[str, ...], ...]
    offsets: IntArray
    parent_sequence: IntArray

    def __post_init__(self) -> None:
        """Makes the arrays read-only: everything derived from them is cached."""
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def __repr__(self) -> str:
        return (
            f"ExtensiveGame(players={self.players}, objectives={self.objectives}, nodes={self.num_nodes}, "
            f"terminals={len(self.terminals)}, infosets={self.num_information_sets}, sequences={self.num_sequences})"
        )

    @classmethod
    def from_state(
        cls,
        root: GameState,
        players: int | Iterable[str],
        objectives: int | Iterable[str] = 1,
        *,
        max_nodes: int = 3_000_000,
    ) -> ExtensiveGame:
        """Walks the whole tree below `root` (without recursion) and flattens it.

        Args:
            root: the first position.
            players: the players' names, or how many there are.
            objectives: the objectives' names, or how many there are.
            max_nodes: refuse a tree that has more nodes than this.

        Raises:
            ValueError: the tree is too large; a player index, payoff shape or probability is wrong; the nodes of an
                information set differ in their actions; or a player forgets what it did (imperfect recall). The
                message names the place.
        """
        from games.extensive.flatten import flatten

        return flatten(root, players, objectives, max_nodes)

    @property
    def num_players(self) -> int:
        """P."""
        return len(self.players)

    @property
    def num_objectives(self) -> int:
        """C."""
        return len(self.objectives)

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.parent)

    @property
    def num_information_sets(self) -> int:
        """I, over all players."""
        return len(self.infoset_names)

    @property
    def num_sequences(self) -> int:
        """Q: (information set, action) pairs of all players, the empty sequences not counted."""
        return int(self.offsets[-1])

    @cached_property
    def num_actions(self) -> IntArray:
        """[I] number of actions."""
        return np.diff(self.offsets)

    @cached_property
    def sequence_infoset(self) -> IntArray:
        """[Q] the information set of each sequence."""
        return np.repeat(np.arange(self.num_information_sets), self.num_actions)

    @cached_property
    def sequences(self) -> tuple[PlayerSequences, ...]:
        """For each player the index arrays with which policies are evaluated level by level."""
        from games.extensive.sequences import player_sequences

        return tuple(player_sequences(self, i) for i in range(self.num_players))

    @cached_property
    def counterfactual_payoffs(self) -> tuple[CounterfactualPayoffs, ...]:
        """For each player of a scalar game, its payoffs by own sequence as a function of the others' realisation plans.

        Raises:
            ValueError: the game has more than one objective.
        """
        from games.extensive.sequences import CounterfactualPayoffs

        return tuple(CounterfactualPayoffs(self, i) for i in range(self.num_players))

    def children(self, node: int) -> range:
        """The child nodes, in the order of the actions."""
        return range(int(np.searchsorted(self.parent, node, "left")), int(np.searchsorted(self.parent, node, "right")))

    def uniform_policy(self) -> Array:
        """[Q] every action of an information set equally likely."""
        return (1.0 / self.num_actions)[self.sequence_infoset]

    def policy(self, given: Any) -> Array:
        """[Q] a policy given in any accepted form (see `games.extensive.policy.as_policy`), checked."""
        from games.extensive.policy import as_policy

        return as_policy(self, given)

    def policy_table(self, policy: Any) -> dict[str, dict[str, float]]:
        """A policy as a mapping information state → action name → probability.

        Raises:
            ValueError: two players have an information set of the same name, so that the names do not identify them.
        """
        from games.extensive.policy import policy_table

        return policy_table(self, policy)

    def expected_payoffs(self, policy: Any) -> Array:
        """[P, C] what every player gets, in every objective, when all follow `policy`."""
        from games.extensive.sequences import realisation

        reach = self.chance_reach.copy()
        sigma = self.policy(policy)
        for i, s in enumerate(self.sequences):
            local = np.where(self.terminal_sequences[:, i] < 0, 0, self.terminal_sequences[:, i] - s.start + 1)
            reach *= realisation(s, sigma[s.start : s.stop])[local]
        return np.asarray(np.tensordot(reach, self.payoffs, axes=1))

    def scalarise(self, weights: ArrayLike) -> ExtensiveGame:
        """The scalar game in which player i receives Σ_c weights[i, c] · payoff[i, c].

        Args:
            weights: [C], the same for all players, or [P, C].

        Raises:
            ValueError: wrong shape or a weight that is not finite.
        """
        w = as_weights(weights, self.num_players, self.num_objectives)
        payoffs = np.einsum("pc,zpc->zp", w, self.payoffs)[:, :, None]
        return replace(self, payoffs=payoffs, objectives=("utility",))

    def scalar(self) -> Array:
        """[Z, P] the terminal payoffs of a scalar game, without their objective axis.

        Raises:
            ValueError: the game has more than one objective.
        """
        if self.num_objectives != 1:
            raise ValueError(
                f"this needs a scalar game, got {self.num_objectives} objectives {self.objectives}: "
                "call game.scalarise(weights) first"
            )
        return self.payoffs[:, :, 0]

    def is_constant_sum(self, tolerance: float = 1e-9) -> bool:
        """Whether the players' payoffs of a scalar game add up to one constant over all terminal nodes."""
        payoff = self.scalar()
        return bool(np.ptp(payoff.sum(axis=1)) <= tolerance * max(1.0, float(np.abs(payoff).max())))

    def to_normal_form(self, max_cells: int = 2_000_000) -> NormalFormGame:
        """The reduced normal form: own choices that a plan itself makes unreachable are left out of it.

        Raises:
            ValueError: the payoff tensor would have more than `max_cells` profiles.
        """
        from games.extensive.reduced import reduced_normal_form

        return reduced_normal_form(self, max_cells)
