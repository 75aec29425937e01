"""Behavioural policies: the canonical flat array, and the other forms in which one may be given.

The canonical form is a float array [Q], one probability for each (information set, action) pair in the game's order
(`game.infoset_names`, `game.action_names`, `game.offsets`). Also accepted wherever a policy is expected:

- a mapping from information-state name (or, where two players share a name, from (player, name)) to the
  probabilities, as a sequence in the order of the actions or as a mapping from action name to probability (actions
  left out have probability 0);
- a callable (information-state name, action names) → the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from games.extensive.tree import ExtensiveGame
from games.normal_form import Array

TOLERANCE = 1e-6


def as_policy(game: ExtensiveGame, given: Any) -> Array:
    """A policy in the canonical form, checked and renormalised.

    Args:
        game: the game it is for.
        given: one of the forms described in the module docstring.

    Returns:
        [Q], a new array.

    Raises:
        ValueError: wrong shape, an information set missing or unknown, an unknown action, or numbers that are not a
            distribution (within 1e-6); the message names the information set.
    """
    if isinstance(given, Mapping):
        flat = _from_mapping(game, given)
    elif callable(given):
        flat = _from_callable(game, given)
    else:
        flat = np.array(given, dtype=np.float64)
    if flat.shape != (game.num_sequences,):
        raise ValueError(
            f"policy: expected [{game.num_sequences}], one number for each sequence, got shape {flat.shape}"
        )
    if game.num_sequences == 0:
        return flat
    totals = np.add.reduceat(flat, game.offsets[:-1])
    lows = np.minimum.reduceat(flat, game.offsets[:-1])
    wrong = np.flatnonzero(~((np.abs(totals - 1.0) <= TOLERANCE) & (lows >= -TOLERANCE)))
    if len(wrong):
        j = int(wrong[0])
        got = flat[game.offsets[j] : game.offsets[j + 1]].tolist()
        raise ValueError(f"policy at {_where(game, j)}: expected probabilities that sum to 1, got {got}")
    flat = np.clip(flat, 0.0, None)
    return np.asarray(flat / np.add.reduceat(flat, game.offsets[:-1])[game.sequence_infoset])


def policy_table(game: ExtensiveGame, policy: Any) -> dict[str, dict[str, float]]:
    """Information state → action → probability; refuses names that two players share."""
    names = game.infoset_names
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"policy_table: two players have an information set named {twice!r}")
    flat = as_policy(game, policy)
    return {
        name: dict(zip(actions, flat[low:high].tolist(), strict=True))
        for name, actions, low, high in zip(names, game.action_names, game.offsets[:-1], game.offsets[1:], strict=True)
    }


def _from_mapping(game: ExtensiveGame, given: Mapping[Any, Any]) -> Array:
    rows, used = [], set()
    for j, name in enumerate(game.infoset_names):
        full = (int(game.infoset_player[j]), name)
        key = full if full in given else name
        if key not in given:
            raise ValueError(f"policy: no entry for {_where(game, j)}")
        used.add(key)
        rows.append(_row(game, j, given[key]))
    extra = [key for key in given if key not in used]
    if extra:
        raise ValueError(f"policy: {extra[0]!r} is no information set of the game ({len(extra)} such entries)")
    return np.concatenate(rows) if rows else np.zeros(0)


def _from_callable(game: ExtensiveGame, given: Callable[[str, tuple[str, ...]], Any]) -> Array:
    rows = [_row(game, j, given(name, game.action_names[j])) for j, name in enumerate(game.infoset_names)]
    return np.concatenate(rows) if rows else np.zeros(0)


def _row(game: ExtensiveGame, infoset: int, row: Any) -> Array:
    actions = game.action_names[infoset]
    if isinstance(row, Mapping):
        unknown = [name for name in row if name not in actions]
        if unknown:
            raise ValueError(f"policy at {_where(game, infoset)}: expected actions of {actions}, got {unknown[0]!r}")
        return np.array([float(row.get(name, 0.0)) for name in actions])
    values = np.asarray(row, dtype=np.float64)
    if values.shape != (len(actions),):
        raise ValueError(
            f"policy at {_where(game, infoset)}: expected one number for each of {actions}, got {values.shape}"
        )
    return values


def _where(game: ExtensiveGame, infoset: int) -> str:
    player = game.players[int(game.infoset_player[infoset])]
    return f"information set {game.infoset_names[infoset]!r} of player {player}"
