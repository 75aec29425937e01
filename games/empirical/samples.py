"""A game known only from played matches: means, errors and covariances of every cell.

Axis letters: N matches, P players, C objectives, G clusters, R resamples, k_i strategies of player i.
A failed episode has NaN rewards; it is left out of every mean and counted. A cell nobody played is NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.normal_form import Array, NormalFormGame, _names, as_weights

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class EmpiricalGame:
    """Samples of a normal-form game.

    Attributes:
        profiles: [N, P] which strategy each player used in each match.
        rewards: [N, P, C] what each player received on each objective; NaN where not known.
        clusters: [N] id of the cluster (question, judge, seed) of each match; matches of one cluster are dependent.
        players: P names.
        objectives: C names.
        strategies: for each player, its k_i names.
    """

    profiles: IntArray
    rewards: Array
    clusters: IntArray
    players: tuple[str, ...]
    objectives: tuple[str, ...]
    strategies: tuple[tuple[str, ...], ...]

    def __init__(
        self,
        profiles: ArrayLike,
        rewards: ArrayLike,
        clusters: Iterable[Hashable] | None = None,
        players: Iterable[str] | None = None,
        objectives: Iterable[str] | None = None,
        strategies: Iterable[Iterable[str]] | None = None,
    ) -> None:
        """Checks the samples and numbers the clusters in the order they appear.

        Args:
            profiles: [N, P] strategy indices.
            rewards: [N, P, C], or [N, P] for one objective; NaN for a failed episode.
            clusters: [N] ids, such as (question, seed); None makes every match its own cluster.
            players: P names; numbers by default.
            objectives: C names; numbers by default.
            strategies: names of each player's strategies; by default as many as the largest index says.

        Raises:
            ValueError: shapes that do not fit, an index out of range, an infinite reward, or bad names.
        """
        index = _as_indices(profiles)
        count, width = index.shape
        values = np.array(rewards, dtype=np.float64)
        if values.ndim == 2:
            values = values[:, :, None]
        if values.ndim != 3 or values.shape[:2] != (count, width) or values.shape[2] == 0:
            wanted = f"[{count}, {width}, C] (matches, players, objectives)"
            raise ValueError(f"rewards: expected shape {wanted}, got {values.shape}")
        if np.isinf(values).any():
            match = int(np.argwhere(np.isinf(values))[0, 0])
            raise ValueError(f"rewards: expected finite numbers or NaN, got an infinite one in match {match}")
        rows: list[Any] = [[str(k) for k in range(int(index[:, i].max()) + 1)] for i in range(width)]
        if strategies is not None:
            rows = [tuple(row) for row in strategies]
            if len(rows) != width:
                raise ValueError(f"strategies: expected one list of names for each of {width} players, got {len(rows)}")
        names = tuple(_names(row, len(row), f"strategies[{i}]") for i, row in enumerate(rows))
        for i, row in enumerate(names):
            if index[:, i].max() >= len(row):
                raise ValueError(f"profiles: player {i} has {len(row)} strategies, got index {int(index[:, i].max())}")
        numbered = _numbered(clusters, count)
        for array in (index, values, numbered):
            array.setflags(write=False)
        object.__setattr__(self, "profiles", index)
        object.__setattr__(self, "rewards", values)
        object.__setattr__(self, "clusters", numbered)
        object.__setattr__(self, "players", _names(players, width, "players"))
        object.__setattr__(self, "objectives", _names(objectives, values.shape[2], "objectives"))
        object.__setattr__(self, "strategies", names)

    @classmethod
    def from_samples(
        cls,
        profiles: ArrayLike,
        rewards: ArrayLike,
        clusters: Iterable[Hashable] | None = None,
        players: Iterable[str] | None = None,
        objectives: Iterable[str] | None = None,
        strategies: Iterable[Iterable[str]] | None = None,
    ) -> EmpiricalGame:
        """The same as the constructor, named for what it takes."""
        return cls(profiles, rewards, clusters, players, objectives, strategies)

    @property
    def num_players(self) -> int:
        """P."""
        return len(self.players)

    @property
    def num_objectives(self) -> int:
        """C."""
        return len(self.objectives)

    @property
    def num_clusters(self) -> int:
        """G."""
        return int(self.clusters.max()) + 1

    @property
    def shape(self) -> tuple[int, ...]:
        """(k_0, …, k_{P-1})."""
        return tuple(len(row) for row in self.strategies)

    @cached_property
    def cells(self) -> IntArray:
        """[N] flat (C-order) index of each match's pure profile."""
        return np.asarray(np.ravel_multi_index(tuple(self.profiles.T), self.shape), dtype=np.int64)

    @cached_property
    def _known(self) -> NDArray[np.bool_]:
        return np.isfinite(self.rewards)

    @cached_property
    def _observed(self) -> Array:
        return self._per_cell(self._known.astype(np.float64))

    @cached_property
    def _mean(self) -> Array:
        total = self._per_cell(np.where(self._known, self.rewards, 0.0))
        return np.divide(total, self._observed, out=np.full_like(total, np.nan), where=self._observed > 0)

    def _per_cell(self, values: Array) -> Array:
        """Sums values [N, *lead] over the matches of each cell: [*lead, cells]."""
        size = int(np.prod(self.shape))
        flat = values.reshape(len(values), -1)
        sums = [np.bincount(self.cells, weights=column, minlength=size) for column in flat.T]
        return np.array(sums, dtype=np.float64).reshape(*values.shape[1:], size)

    def _grid(self, values: Array) -> Array:
        return np.reshape(values, (*values.shape[:-1], *self.shape))

    def counts(self) -> IntArray:
        """[k_0, …] matches of each pure profile in which some reward is known; wholly failed ones are `failures`."""
        played = np.array(self._known.any(axis=(1, 2)), dtype=np.float64)
        return self._grid(self._per_cell(played)).astype(np.int64)

    def observed(self) -> IntArray:
        """[P, C, k_0, …] number of known rewards behind each mean."""
        return self._grid(self._observed).astype(np.int64)

    def failures(self) -> IntArray:
        """[P, C, k_0, …] number of rewards that are not known (NaN): excluded from the means, counted here."""
        return self._grid(self._per_cell((~self._known).astype(np.float64))).astype(np.int64)

    def mean(self) -> Array:
        """[P, C, k_0, …] mean reward; NaN where no reward is known."""
        return self._grid(self._mean.copy())

    def standard_error(self) -> Array:
        """[P, C, k_0, …] cluster-robust standard error of `mean`; NaN where fewer than two clusters were observed.

        The linearised ratio estimator: se² = G/(G−1) Σ_g (Σ_{n∈g} (x_n − x̄))² / n², over one cell's matches and its
        G clusters (Cameron & Miller 2015, eq. 11, for a regression on a constant).
        """
        lead, size, groups = self.rewards.shape[1:], int(np.prod(self.shape)), self.num_clusters
        residual = np.where(self._known, self.rewards - np.moveaxis(self._mean, -1, 0)[self.cells], 0.0)
        # 1. Number the (cell, cluster) pairs that occur, so that memory follows the matches and not cells × clusters.
        pairs, pair = np.unique(self.cells * groups + self.clusters, return_inverse=True)
        pair = pair.reshape(-1)
        owner = pairs // groups
        out = np.full((*lead, size), np.nan)
        for where in np.ndindex(*lead):
            known = self._known[(slice(None), *where)]
            # 2. Σ over each cluster's residuals, and which pairs hold a known reward at all.
            sums = np.bincount(pair, weights=residual[(slice(None), *where)], minlength=len(pairs))
            present = np.bincount(pair, weights=known, minlength=len(pairs)) > 0
            clusters = np.bincount(owner, weights=present, minlength=size)
            square = np.bincount(owner, weights=sums**2, minlength=size)
            # 3. The small-sample factor G/(G−1).
            enough = clusters >= 2
            n = self._observed[where][enough]
            out[(*where, enough)] = np.sqrt(square[enough] * clusters[enough] / (clusters[enough] - 1)) / n
        return self._grid(out)

    def covariance(self) -> Array:
        """[P, C, C, k_0, …] sample covariance (ddof 1) between a match's objectives within each cell.

        Each entry uses the matches in which both objectives are known; NaN where fewer than two are.
        """
        players, objectives = self.rewards.shape[1:]
        size = int(np.prod(self.shape))
        out = np.full((players, objectives, objectives, size), np.nan)
        for a in range(objectives):
            for b in range(a, objectives):
                both = self._known[:, :, a] & self._known[:, :, b]
                n = self._per_cell(both.astype(np.float64))
                safe = np.maximum(n, 1.0)
                x, y = (np.where(both, self.rewards[:, :, c], 0.0) for c in (a, b))
                x = np.where(both, x - (self._per_cell(x) / safe).T[self.cells], 0.0)
                y = np.where(both, y - (self._per_cell(y) / safe).T[self.cells], 0.0)
                value = np.divide(self._per_cell(x * y), n - 1, out=np.full((players, size), np.nan), where=n >= 2)
                out[:, a, b] = out[:, b, a] = value
        return self._grid(out)

    def unplayed(self) -> list[tuple[str, ...]]:
        """Pure profiles, as strategy names, in which some reward's mean is not known."""
        missing = np.isnan(self.mean()).any(axis=(0, 1))
        return [tuple(self.strategies[i][k] for i, k in enumerate(cell)) for cell in np.argwhere(missing)]

    def normal_form(self) -> NormalFormGame:
        """The game of the mean rewards.

        Raises:
            ValueError: some cell has no known reward; the message names the cells.
        """
        missing = self.unplayed()
        if missing:
            shown = ", ".join("(" + ", ".join(cell) + ")" for cell in missing[:20])
            more = f" and {len(missing) - 20} more" if len(missing) > 20 else ""
            raise ValueError(
                f"normal_form: {len(missing)} of {int(np.prod(self.shape))} cells are unplayed (no known reward): "
                f"{shown}{more}; play them or remove the strategies"
            )
        return NormalFormGame(self.mean(), self.players, self.objectives, self.strategies)

    def scalarise(self, weights: ArrayLike) -> EmpiricalGame:
        """The one-objective samples Σ_c weights[i, c] · reward[n, i, c]; not known where a needed objective is not.

        Args:
            weights: [C], the same for all players, or [P, C]. An objective of weight 0 is not needed.

        Raises:
            ValueError: wrong shape or a weight that is not finite.
        """
        w = as_weights(weights, self.num_players, self.num_objectives)
        value = np.where(w == 0, 0.0, w * self.rewards).sum(axis=2, keepdims=True)
        return EmpiricalGame(self.profiles, value, self.clusters, self.players, ("utility",), self.strategies)

    def constant_sum(self, tolerance: float = 1e-9) -> float | None:
        """What every match's rewards add up to (one objective); None where they differ or some are half known."""
        if self.num_objectives != 1:
            return None
        known = self._known[:, :, 0]
        if (known.any(axis=1) != known.all(axis=1)).any() or not known.any():
            return None
        total = self.rewards[known.all(axis=1), :, 0].sum(axis=1)
        scale = max(1.0, float(np.abs(total).max()))
        return float(total.mean()) if np.ptp(total) <= tolerance * scale else None

    def weighted_means(self, weights: ArrayLike) -> Array:
        """[R, P, C, k_0, …] means under R weightings of the clusters; NaN where a cell has no weight.

        Args:
            weights: [R, G] non-negative cluster weights.
        """
        from scipy.sparse import csr_array

        w = np.asarray(weights, dtype=np.float64)
        if w.ndim != 2 or w.shape[1] != self.num_clusters:
            raise ValueError(f"weights: expected shape [R, {self.num_clusters}], got {w.shape}")
        lead, size = self.rewards.shape[1:], int(np.prod(self.shape))
        columns = np.arange(int(np.prod(lead))) * size + self.cells[:, None]
        known = self._known.reshape(len(self.rewards), -1)
        place = (np.broadcast_to(self.clusters[:, None], known.shape)[known], columns[known])
        form = (self.num_clusters, int(np.prod(lead)) * size)
        total = w @ csr_array((self.rewards.reshape(known.shape)[known], place), shape=form)
        n = w @ csr_array((np.ones(int(known.sum())), place), shape=form)
        means = np.divide(total, n, out=np.full_like(total, np.nan), where=n > 0)
        return np.asarray(means.reshape(len(w), *lead, *self.shape))


def _as_indices(profiles: ArrayLike) -> IntArray:
    given = np.asarray(profiles)
    if given.ndim != 2 or given.shape[0] == 0 or given.shape[1] == 0:
        raise ValueError(f"profiles: expected shape [N, P] with at least one match, got {given.shape}")
    try:
        with np.errstate(invalid="ignore"):  # NaN is caught below, as not being a whole number
            index = given.astype(np.int64)
    except (ValueError, TypeError) as error:
        raise ValueError(f"profiles: expected strategy indices ({error})") from None
    wrong = np.argwhere((index != given) | (index < 0))
    if len(wrong):
        match = int(wrong[0, 0])
        raise ValueError(f"profiles: expected non-negative whole numbers, got {given[match].tolist()} in match {match}")
    return index


def _numbered(clusters: Iterable[Hashable] | None, count: int) -> IntArray:
    if clusters is None:
        return np.arange(count, dtype=np.int64)
    ids = clusters.tolist() if isinstance(clusters, np.ndarray) else list(clusters)
    if len(ids) != count:
        raise ValueError(f"clusters: expected one id for each of {count} matches, got {len(ids)}")
    seen: dict[Hashable, int] = {}
    try:
        return np.array([seen.setdefault(one, len(seen)) for one in ids], dtype=np.int64)
    except TypeError as error:
        raise ValueError(f"clusters: expected hashable ids ({error})") from None
