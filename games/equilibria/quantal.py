"""Logit quantal response equilibria along the principal branch, their limit, and the precision that fits data.

McKelvey & Palfrey (1995): p_ia ∝ exp(λ u_i(a, σ_−i)). The branch that starts at the uniform profile at λ = 0 is
followed by pseudo-arclength continuation in log-probabilities (Turocy 2005, "A dynamic homotopy interpretation of the
logistic quantal response equilibrium correspondence"), so it passes the turns where λ decreases. For almost all games
it leads to a Nash equilibrium.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from games.equilibria.polish import pairwise_payoffs, polished
from games.equilibria.verification import TOLERANCE, measured, try_verify
from games.equilibrium import Equilibrium, NotConverged, support_of
from games.normal_form import Array, NormalFormGame, deviation_payoffs


@dataclass(frozen=True, eq=False)
class _Branch:
    """The equations F(ℓ, λ) = 0 in log-probabilities ℓ [K], K = Σ k_i, for payoffs of unit range.

    For each player: Σ_a exp ℓ_a = 1, and ℓ_a − ℓ_0 = λ (u_a − u_0) for its strategies a ≥ 1.
    """

    payoff: Array
    shape: tuple[int, ...]

    def split(self, ell: Array) -> list[Array]:
        return [np.asarray(part) for part in np.split(ell, np.cumsum(self.shape)[:-1])]

    def profile(self, ell: Array) -> list[Array]:
        return [np.exp(part) / np.exp(part).sum() for part in self.split(ell)]

    def equations(self, point: Array) -> tuple[Array, Array]:
        """(F [K], its Jacobian [K, K + 1]) at (ℓ, λ)."""
        ell, lam = point[:-1], float(point[-1])
        logs = self.split(ell)
        p = [np.exp(part) for part in logs]
        ends = np.cumsum([0, *self.shape])
        value, jacobian = np.zeros(len(ell)), np.zeros((len(ell), len(ell) + 1))
        for i, k in enumerate(self.shape):
            low, high = int(ends[i]), int(ends[i + 1])
            u = deviation_payoffs(self.payoff[i], p, i)
            value[low] = p[i].sum() - 1.0
            jacobian[low, low:high] = p[i]
            value[low + 1 : high] = logs[i][1:] - logs[i][0] - lam * (u[1:] - u[0])
            jacobian[low + 1 : high, low] = -1.0
            jacobian[range(low + 1, high), range(low + 1, high)] = 1.0
            jacobian[low + 1 : high, -1] = -(u[1:] - u[0])
            if k == 1:
                continue
            for j in range(len(self.shape)):
                if j != i:
                    slope = pairwise_payoffs(self.payoff[i], p, i, j) * p[j]
                    jacobian[low + 1 : high, ends[j] : ends[j + 1]] -= lam * (slope[1:] - slope[:1])
        return value, jacobian


def _branch(game: NormalFormGame) -> tuple[_Branch, float]:
    """(the equations for payoffs of unit range, that range): λ of the game is λ of the branch divided by the range."""
    payoff = game.scalar()
    flat = payoff.reshape(len(payoff), -1)
    span = float(np.ptp(flat, axis=1).max()) or 1.0
    low = flat.min(axis=1).reshape(-1, *[1] * (payoff.ndim - 1))
    return _Branch((payoff - low) / span, game.shape), span


def _follow(branch: _Branch, max_points: int, max_lambda: float) -> Iterator[Array]:
    """Points (ℓ, λ) along the principal branch from λ = 0.

    1. Predict along the unit tangent, oriented by the previous one (at the start: towards larger λ).
    2. Correct by Newton steps orthogonal to the tangent.
    3. Shorten the step when correction is slow, far or turns sharply; lengthen it when it is easy.
    """
    point = np.append(np.concatenate([np.full(k, -np.log(k)) for k in branch.shape]), 0.0)
    tangent = _tangent(branch.equations(point)[1], np.append(np.zeros(len(point) - 1), 1.0))
    step = 0.03
    yield point
    for _ in range(max_points):
        while True:
            corrected = _correct(branch, point + step * tangent, tangent)
            if corrected is not None:
                new = _tangent(branch.equations(corrected)[1], tangent)
                far = np.linalg.norm(corrected - point - step * tangent) > 0.3 * step
                if not far and float(new @ tangent) > 0.8:
                    break
            step *= 0.5
            if step < 1e-11:
                raise NotConverged(f"logit: the branch could not be followed beyond λ = {point[-1]:.6g} (unit payoffs)")
        turned = float(new @ tangent)
        point, tangent = corrected, new
        yield point
        if point[-1] > max_lambda:
            return
        if turned > 0.98:
            step = min(step * 1.6, 0.2 * max(1.0, abs(float(point[-1])) + float(np.abs(point[:-1]).max())))
    raise NotConverged(f"logit: {max_points} points reached only λ = {point[-1]:.6g} (unit payoffs)")


def _tangent(jacobian: Array, along: Array) -> Array:
    """Unit null vector of the Jacobian [K, K + 1], pointing the way of `along`."""
    null = np.asarray(np.linalg.svd(jacobian)[2][-1], dtype=np.float64)
    return null if float(null @ along) >= 0 else -null


def _correct(branch: _Branch, point: Array, normal: Array, steps: int = 12) -> Array | None:
    """Newton's method for F = 0 in the hyperplane through `point` orthogonal to `normal`."""
    z = point.copy()
    for _ in range(steps):
        if z[:-1].max() > 1.0:
            return None
        value, jacobian = branch.equations(z)
        square = np.vstack([jacobian, normal])
        right = -np.append(value, float(normal @ (z - point)))
        try:
            change = np.linalg.solve(square, right)
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(change).all():
            return None
        z = z + change
        if float(np.abs(change).max()) <= 1e-12 * max(1.0, float(np.abs(z).max())):
            return z
    return None


def logit_path(
    game: NormalFormGame, lambdas: ArrayLike, *, max_points: int = 20_000, tol: float = 1e-9
) -> list[Equilibrium]:
    """The logit equilibria of the principal branch at given precisions.

    Args:
        game: scalar, any number of players.
        lambdas: [L] precisions λ ≥ 0 in units of 1 / payoff, in any order. Where the branch meets one λ several
        times, the
            first meeting counts.
        max_points: how many points of the branch to compute at most.
        tol: allowed difference between p and the logit response to p.

    Returns:
        L equilibria of concept "logit", in the order of `lambdas`; regrets are those against best replies, and
        `details` holds "lambda" and "residual" = max |p − logit response to p|.

    Raises:
        ValueError: a precision is negative or not finite, or the game is not scalar.
        NotConverged: the branch could not be followed that far.
    """
    wanted = np.atleast_1d(np.asarray(lambdas, dtype=np.float64))
    if wanted.ndim != 1 or not np.isfinite(wanted).all() or (wanted < 0).any():
        raise ValueError(f"lambdas: expected finite numbers >= 0, got {np.asarray(lambdas).tolist()}")
    branch, span = _branch(game)
    targets = np.unique(wanted * span)
    answers: dict[float, list[Array]] = {}
    last: Array | None = None
    if len(targets):
        for point in _follow(branch, max_points, float(targets[-1])):
            while len(answers) < len(targets) and point[-1] >= targets[len(answers)]:
                target = float(targets[len(answers)])
                answers[target] = branch.profile(_at(branch, last, point, target)[:-1])
            last = point
    return [_logit_equilibrium(game, answers[float(lam * span)], float(lam), tol) for lam in wanted]


def _at(branch: _Branch, before: Array | None, after: Array, target: float) -> Array:
    """The point of the branch between two consecutive ones whose λ is `target`."""
    if before is None or after[-1] == target:
        return after
    share = (target - before[-1]) / (after[-1] - before[-1])
    guess = before + share * (after - before)
    guess[-1] = target
    fixed = np.append(np.zeros(len(guess) - 1), 1.0)
    corrected = _correct(branch, guess, fixed, steps=50)
    if corrected is None:
        raise NotConverged(f"logit: no point of the branch at λ = {target:.6g} (unit payoffs)")
    return corrected


def _logit_equilibrium(game: NormalFormGame, profile: Sequence[Array], lam: float, tol: float) -> Equilibrium:
    payoff = game.scalar()
    residual = 0.0
    for i, own in enumerate(profile):
        u = lam * deviation_payoffs(payoff[i], profile, i)
        response = np.exp(u - u.max())
        residual = max(residual, float(np.abs(own - response / response.sum()).max()))
    if residual > tol:
        raise NotConverged(f"logit: at λ = {lam} the profile differs by {residual:.2e} from its logit response")
    regret, values = measured(game, profile)
    return Equilibrium(
        concept="logit",
        method="logit",
        regrets=regret,
        nash_conv=float(regret.sum()),
        profile=tuple(profile),
        support=support_of(profile),
        payoffs=values[:, None],
        details={"lambda": lam, "residual": residual},
    )


def solve_logit(game: NormalFormGame, *, lambdas: ArrayLike = 1.0, tol: float = 1e-9) -> list[Equilibrium]:
    """`logit_path` for `solve(concept="logit")`."""
    return logit_path(game, lambdas, tol=tol)


def solve_logit_limit(
    game: NormalFormGame, *, tol: float = TOLERANCE, max_points: int = 4_000, max_lambda: float = 1e7
) -> list[Equilibrium]:
    """The Nash equilibrium to which the principal branch leads as λ → ∞ (any number of players).

    Raises:
        NotConverged: the branch was not followed to a profile that verifies.
    """
    branch, span = _branch(game)
    check, last = 20.0, np.inf
    for count, point in enumerate(_follow(branch, max_points, max_lambda)):
        if point[-1] < check:
            continue
        check = 2.0 * float(point[-1])
        profile = branch.profile(point[:-1])
        details = {"lambda": float(point[-1]) / span, "points": count}
        # 1. Equilibria on the supports the branch points to, the nearest first.
        nearest: tuple[float, Equilibrium] | None = None
        for candidate in polished(game, profile):
            distance = max(float(np.abs(p - q).max()) for p, q in zip(candidate, profile, strict=True))
            if nearest is None or distance < nearest[0]:
                found = try_verify(game, candidate, "logit", tol=tol, details=details)
                nearest = nearest if found is None else (distance, found)
        # 2. The branch approaches its limit at least like 1 / λ: an equilibrium that does not come nearer is another
        # one.
        distance = np.inf if nearest is None else nearest[0]
        if nearest is not None and (distance < 1e-9 or (distance < 0.05 and distance < 0.75 * last)):
            return [nearest[1]]
        last = distance
        found = try_verify(game, profile, "logit", tol=tol, details=details)
        if found is not None:
            return [found]
    raise NotConverged(f"logit: no equilibrium verified up to λ = {max_lambda / span:.3g}")


def fit_logit(
    game: NormalFormGame, counts: Sequence[ArrayLike], *, max_lambda: float | None = None
) -> tuple[float, float]:
    """The precision λ of the principal branch that makes observed play most likely.

    Args:
        game: scalar, any number of players.
        counts: for each player [k_i] how often each strategy was observed (numbers ≥ 0).
        max_lambda: how far to look; default 1,000 / range of the payoffs.

    Returns:
        (λ, log-likelihood Σ counts · log p). Unobserved play contributes nothing.

    Raises:
        ValueError: counts do not fit the game.
        NotConverged: the likelihood still rises at `max_lambda`: the data show no error, λ is not identified.
    """
    rows = [np.asarray(row, dtype=np.float64) for row in counts]
    if [row.shape for row in rows] != [(k,) for k in game.shape]:
        raise ValueError(f"counts: expected shapes {[(k,) for k in game.shape]}, got {[row.shape for row in rows]}")
    if not all(np.isfinite(row).all() and (row >= 0).all() for row in rows) or sum(row.sum() for row in rows) <= 0:
        raise ValueError(f"counts: expected numbers >= 0, not all zero, got {[row.tolist() for row in rows]}")
    branch, span = _branch(game)
    weights = np.concatenate(rows)
    limit = 1_000.0 if max_lambda is None else max_lambda * span
    points, likelihood = [], []
    for point in _follow(branch, 20_000, limit):
        points.append(point)
        likelihood.append(float(weights @ point[:-1]))
    best = int(np.argmax(likelihood))
    if best == len(points) - 1:
        reached = float(points[-1][-1]) / span
        raise NotConverged(f"fit_logit: the likelihood still rises at λ = {reached:.6g}; λ is not identified")
    # The branch is smooth in arclength: refine by golden section on the two segments beside the best point.
    low, high = points[max(best - 1, 0)], points[best + 1]
    lam, top = _refine(branch, weights, low, high)
    if top < likelihood[best]:
        lam, top = float(points[best][-1]), likelihood[best]
    return max(lam, 0.0) / span, top


def _refine(branch: _Branch, weights: Array, low: Array, high: Array) -> tuple[float, float]:
    """Maximises the likelihood over the piece of the branch between two points, by chord position."""
    direction = (high - low) / np.linalg.norm(high - low)

    def evaluate(share: float) -> tuple[float, float]:
        point = _correct(branch, low + share * (high - low), direction, steps=50)
        if point is None or point[-1] < 0:
            return 0.0, -np.inf
        return float(point[-1]), float(weights @ point[:-1])

    golden = (np.sqrt(5.0) - 1.0) / 2.0
    left, right = 0.0, 1.0
    for _ in range(80):
        one, other = right - golden * (right - left), left + golden * (right - left)
        if evaluate(one)[1] < evaluate(other)[1]:
            left = one
        else:
            right = other
    return max((evaluate(share) for share in (left, right, 0.0)), key=lambda pair: pair[1])
