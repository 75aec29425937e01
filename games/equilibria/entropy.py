"""Points of greatest entropy (or Gini impurity) of a polytope of probability vectors.

The programs are convex with a unique solution: minimise Σ φ(p_i) over {p ≥ 0, Σ p = 1, G p ≤ h} with φ(p) = p log p
(entropy) or φ(p) = p² / 2 (Gini impurity 1 − Σ p²). Ties and clones make inequalities that hold with equality at
every feasible point, where multipliers are unbounded; they are found first by linear programming and treated as
equations.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from games.equilibrium import NotConverged
from games.normal_form import Array

Objective = Literal["entropy", "gini"]


def max_entropy_point(
    matrix: Array, bound: Array, start: Array | None = None, objective: Objective = "entropy"
) -> Array:
    """The distribution p [n] of greatest entropy with matrix @ p ≤ bound.

    Args:
        matrix: G [q, n].
        bound: h [q].
        start: a feasible point if one is known (it saves nothing but lets the polytope be a single point up to
        rounding).
        objective: "entropy" or "gini".

    Raises:
        NotConverged: there is no such distribution, or the iteration stopped early.
    """
    # 1. Constraints scaled to unit size. A known feasible point settles the polytope up to its own rounding.
    g = np.asarray(matrix, dtype=np.float64)
    scale = np.maximum(np.abs(g).max(axis=1, initial=0.0), 1e-300)
    g, h = g / scale[:, None], np.asarray(bound, dtype=np.float64) / scale
    if start is not None:
        h = np.maximum(h, g @ start)
    # 2. The face of the polytope: entries that are zero, and inequalities that are tight, at every feasible point.
    inner, slack = _relative_interior(g, h)
    positive = np.flatnonzero(inner > 0)
    # 3. On the relative interior the program is regular, and a strictly feasible point is known.
    equality = np.vstack([np.ones((1, len(positive))), g[~slack][:, positive]])
    p = np.zeros(g.shape[1])
    p[positive] = _interior_point(g[slack][:, positive], h[slack], equality, inner[positive], objective)
    return p


def _relative_interior(g: Array, h: Array) -> tuple[Array, NDArray[np.bool_]]:
    """(a point in the relative interior, mask [q] of inequalities slack somewhere) of the feasible distributions.

    One program decides all at once (Freund, Roundy & Todd 1985): over the cone s · polytope with s ≥ 1, maximise how
    much of the entries and slacks, each counted up to 1, can be had; because a cone has no top, each reaches 1 or is
    zero everywhere.
    """
    from scipy.optimize import linprog
    from scipy.sparse import block_array, csr_array, eye_array

    q, n = g.shape
    # Variables: p = t + t' (only t ≤ 1 is counted), slack w = z + z' (only z ≤ 1 counted), scale s.
    # Equations: G p + w = h s and Σ p = s.
    sparse, eye, ones = csr_array(g), eye_array(q), csr_array(np.ones((1, n)))
    equal = block_array(
        [
            [sparse, sparse, eye, eye, csr_array(-h[:, None])],
            [ones, ones, None, None, csr_array([[-1.0]])],
        ],
        format="csr",
    )
    cost = np.concatenate([-np.ones(n), np.zeros(n), -np.ones(q), np.zeros(q + 1)])
    bounds = [(0, 1)] * n + [(0, None)] * n + [(0, 1)] * q + [(0, None)] * q + [(1, None)]
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    result = linprog(cost, A_eq=equal, b_eq=np.zeros(q + 1), bounds=bounds, method="highs", options=options)
    if result.status == 2:
        raise NotConverged("max_entropy: no distribution satisfies the constraints")
    if result.status != 0:
        raise NotConverged(f"max_entropy: {result.message}")
    inner = np.where(result.x[:n] > 0.5, result.x[:n] + result.x[n : 2 * n], 0.0)
    return inner / inner.sum(), result.x[2 * n : 2 * n + q] > 0.5


def _interior_point(g: Array, h: Array, equality: Array, start: Array, objective: Objective, steps: int = 200) -> Array:
    """Minimises Σ φ(p) subject to G p ≤ h, E p = E start, p ≥ 0, from a strictly feasible start.

    Primal-dual interior-point method (Boyd & Vandenberghe 2004, section 11.7).
    """
    n = g.shape[1]
    if objective == "gini":  # p ≥ 0 is a constraint of its own; the entropy keeps p positive by itself
        g, h = np.vstack([g, -np.eye(n)]), np.concatenate([h, np.zeros(n)])
    q = len(h)
    # 1. Equations may repeat each other: keep an orthonormal basis of their rows.
    _, singular, vt = np.linalg.svd(equality, full_matrices=False)
    e = vt[: int((singular > 1e-9 * singular[0]).sum())]
    p, target = start, e @ start
    z, nu = 1.0 / np.maximum(h - g @ p, 1e-12), np.zeros(len(e))
    slack = h - g @ p

    def residual(p: Array, slack: Array, z: Array, nu: Array, level: float) -> tuple[Array, Array, Array]:
        gradient = np.log(p) + 1.0 if objective == "entropy" else p
        return gradient + g.T @ z + e.T @ nu, z * slack - level, e @ p - target

    gap = size = np.inf
    for _ in range(steps):
        gap = float(slack @ z) / max(q, 1)
        level = 0.1 * gap
        dual, complement, primal = residual(p, slack, z, nu, level)
        # An entry near zero has an ill-conditioned logarithm; what matters is its probability-weighted residual.
        size = max(float(np.abs(dual * p).max()), float(np.abs(primal).max()))
        if gap < 1e-14 and size < 1e-12:
            break
        # 2. Newton direction of the perturbed optimality conditions, symmetrically scaled.
        hessian = 1.0 / p if objective == "entropy" else np.ones(n)
        root = np.sqrt(1.0 / hessian)
        scaled = g * root
        matrix = (scaled.T * (z / slack)) @ scaled + np.eye(n)
        kkt = np.block([[matrix, (e * root).T], [e * root, np.zeros((len(e), len(e)))]])
        force = -dual + g.T @ (complement / slack)
        step = _solve(kkt, np.concatenate([root * force, -primal]))
        dp, dnu = root * step[:n], step[n:]
        ds = -(g @ dp)
        dz = -(complement + z * ds) / slack
        # 3. The longest step that stays strictly inside and shrinks the residual.
        reach = 1.0
        for value, change in ((p, dp), (slack, ds), (z, dz)):
            down = change < 0
            if down.any() and not (value is p and objective == "gini"):
                reach = min(reach, 0.99 * float((-value[down] / change[down]).min()))
        before = np.sqrt(sum(float(part @ part) for part in (dual, complement, primal)))
        for _ in range(40):
            trial = (p + reach * dp, slack + reach * ds, z + reach * dz, nu + reach * dnu)
            after = np.sqrt(sum(float(part @ part) for part in residual(*trial, level)))
            if after <= (1 - 0.01 * reach) * before or before < 1e-13:
                break
            reach *= 0.5
        else:
            break
        p, slack, z, nu = trial
    if gap < 1e-9 and size < 1e-9:
        return np.asarray(np.clip(p, 0.0, None))
    raise NotConverged(f"max_entropy: gap {gap:.1e} and residual {size:.1e} after {steps} interior-point steps")


def _solve(matrix: Array, right: Array) -> Array:
    try:
        return np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0], dtype=np.float64)
