"""Points of greatest entropy (or Gini impurity) of a polytope of probability vectors.

The programs are convex with a unique solution: minimise Σ φ(p_i) over {p ≥ 0, Σ p = 1, G p ≤ h} with φ(p) = p log p
(entropy) or φ(p) = p² / 2 (Gini impurity 1 − Σ p²). Ties and clones make inequalities that hold with equality at
every feasible point, where multipliers are unbounded; they are found first by linear programming and treated as
equations.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from games.equilibrium import NotConverged
from games.normal_form import Array

Objective = Literal["entropy", "gini"]
# A polytope counts as having an interior if all entries and slacks can exceed 1 / (INTERIOR · n) together.
INTERIOR = 1e6


def max_entropy_point(matrix: Array, bound: Array, objective: Objective = "entropy") -> Array:
    """The distribution p [n] of greatest entropy with matrix @ p ≤ bound.

    Args:
        matrix: G [q, n].
        bound: h [q]; violations of about 1e-10 of the size of a row are not noticed.
        objective: "entropy" or "gini".

    Raises:
        NotConverged: there is no such distribution, or the iteration stopped early.
    """
    # 1. Since Σ p = 1 the constraints are (G − h 1ᵀ) p ≤ 0: a cone, whose rows are scaled to unit size.
    g = np.asarray(matrix, dtype=np.float64) - np.asarray(bound, dtype=np.float64)[:, None]
    size = np.abs(g).max(axis=1, initial=0.0)
    g = g[size > 0] / size[size > 0, None]
    g[np.abs(g) < 1e-13] = 0.0
    # 2. The face of the polytope: entries that are zero, and inequalities that are tight, at every feasible point.
    inner, slack = _relative_interior(g)
    positive = np.flatnonzero(inner > 0)
    # 3. On the relative interior the program is regular, and a strictly feasible point is known.
    equality = np.vstack([np.ones((1, len(positive))), g[~slack][:, positive]])
    p = np.zeros(g.shape[1])
    p[positive] = _interior_point(g[slack][:, positive], equality, inner[positive], objective)
    return p


def _relative_interior(g: Array) -> tuple[Array, NDArray[np.bool_]]:
    """(a point in the relative interior, mask [q] of inequalities slack somewhere) of {p ≥ 0, Σ p = 1, G p ≤ 0}."""
    from scipy.optimize import linprog
    from scipy.sparse import block_array, csr_array, eye_array

    q, n = g.shape
    sparse, ones = csr_array(g), np.ones((1, n))
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    # 1. The usual case: every entry and slack can be positive at once. Maximise the smallest of them.
    #    Variables r = p − t ≥ 0 and t ≥ 0: G r + (G 1 + 1) t ≤ 0.
    margin = csr_array(np.asarray(g.sum(axis=1) + 1.0)[:, None])
    upper = block_array([[sparse, margin]], format="csr")
    equal = np.append(ones, float(n))[None]
    cost = np.append(np.zeros(n), -1.0)
    result = linprog(cost, upper, np.zeros(q), equal, [1.0], (0, None), method="highs", options=options)
    if result.status == 0 and result.x[-1] > 1.0 / (INTERIOR * n):
        return np.asarray(result.x[:n] + result.x[-1], dtype=np.float64), np.ones(q, dtype=bool)
    # 2. Else one program over the cone decides all at once (Freund, Roundy & Todd 1985): entries p = t + t' and slacks
    #    w = z + z', of which only t, z ≤ 1 are counted; a cone has no top, so each count reaches 1 or must be 0.
    eye = eye_array(q)
    equal = block_array(
        [[sparse, sparse, eye, eye], [csr_array(ones), csr_array(ones), None, None]],
        format="csr",
    )
    total = csr_array(np.append(np.zeros(q), -1.0)[:, None])  # the scale s = Σ p, bounded: thinner is no interior
    equal = block_array([[equal, total]], format="csr")
    cost = np.concatenate([-np.ones(n), np.zeros(n), -np.ones(q), np.zeros(q + 1)])
    bounds = [(0, 1)] * n + [(0, None)] * n + [(0, 1)] * q + [(0, None)] * q + [(1, INTERIOR * n)]
    result = linprog(cost, A_eq=equal, b_eq=np.zeros(q + 1), bounds=bounds, method="highs", options=options)
    if result.status == 2:
        raise NotConverged("max_entropy: no distribution satisfies the constraints")
    if result.status != 0:
        raise NotConverged(f"max_entropy: {result.message}")
    inner = np.where(result.x[:n] > 0.5, result.x[:n] + result.x[n : 2 * n], 0.0)
    return inner / inner.sum(), result.x[2 * n : 2 * n + q] > 0.5


def _interior_point(g: Array, equality: Array, start: Array, objective: Objective, steps: int = 200) -> Array:
    """Minimises Σ φ(p) subject to G p ≤ 0, E p = E start, p ≥ 0, from a strictly feasible start.

    Primal-dual interior-point method (Boyd & Vandenberghe 2004, section 11.7).
    """
    n = g.shape[1]
    # p ≥ 0 is a constraint for the entropy too: its multipliers vanish, but keep early iterates away from the boundary.
    g = np.vstack([g, -np.eye(n)])
    q = len(g)
    from scipy.sparse import csr_array, issparse

    rows: Any = csr_array(g) if n > 100 and np.count_nonzero(g) < 0.04 * g.size else g
    # 1. Equations may repeat each other: keep an orthonormal basis of their rows.
    _, singular, vt = np.linalg.svd(equality, full_matrices=False)
    e = vt[: int((singular > 1e-9 * singular[0]).sum())]
    p, target = start, e @ start
    slack = np.maximum(-(rows @ p), 1e-12)
    z, nu = 1.0 / slack, np.zeros(len(e))

    def residual(p: Array, slack: Array, z: Array, nu: Array, level: float) -> tuple[Array, Array, Array]:
        gradient = np.log(p) + 1.0 if objective == "entropy" else p
        return gradient + rows.T @ z + e.T @ nu, z * slack - level, e @ p - target

    gap = size = np.inf
    recent: list[float] = []
    for _ in range(steps):
        gap = float(slack @ z) / max(q, 1)
        level = (0.1 if size <= 10.0 * gap else 0.8) * gap  # complementarity must not run ahead of the other equations
        dual, complement, primal = residual(p, slack, z, nu, level)
        # An entry near zero has an ill-conditioned logarithm; what matters is its probability-weighted residual.
        size = max(float(np.abs(dual * p).max()), float(np.abs(primal).max()))
        if gap < 1e-17 and size < 1e-12:
            break
        # 2. Newton direction of the perturbed optimality conditions, symmetrically scaled.
        hessian = 1.0 / p if objective == "entropy" else np.ones(n)
        root = np.sqrt(1.0 / hessian)
        scaled = rows.multiply(root) if issparse(rows) else rows * root
        weight = np.sqrt(z / slack)[:, None]
        scaled = scaled.multiply(weight).tocsr() if issparse(scaled) else scaled * weight
        normal = scaled.T @ scaled
        matrix = (normal.toarray() if issparse(normal) else normal) + np.eye(n)
        force = root * (-dual + rows.T @ (complement / slack))
        step = _saddle(matrix, e * root, force, -primal)
        dp, dnu = root * step[:n], step[n:]
        ds = -(rows @ dp)
        dz = -(complement + z * ds) / slack
        # 3. The longest step that stays strictly inside and shrinks the residual below its recent sizes (Grippo et
        # al. 1986).
        reach = 1.0
        for value, change in ((slack, ds), (z, dz)):
            down = change < 0
            if down.any():
                reach = min(reach, 0.99 * float((-value[down] / change[down]).min()))
        #    The gradient is measured in the local norm: the logarithm of a vanishing entry must not stop the others.
        recent = [*recent[-7:], _size(root, dual, complement, primal)]
        before = max(recent)
        for _ in range(40):
            trial = (p + reach * dp, slack + reach * ds, z + reach * dz, nu + reach * dnu)
            after = _size(root, *residual(*trial, level))
            if after <= (1 - 0.01 * reach) * before or before < 1e-13:
                break
            reach *= 0.5
        else:
            break
        p, slack, z, nu = trial
    if gap < 1e-9 and size < 1e-7:
        return np.asarray(np.clip(p, 0.0, None))
    raise NotConverged(f"max_entropy: gap {gap:.1e} and residual {size:.1e} after {steps} interior-point steps")


def _size(root: Array, dual: Array, complement: Array, primal: Array) -> float:
    return float(np.sqrt(((root * dual) ** 2).sum() + complement @ complement + primal @ primal))


def _saddle(matrix: Array, e: Array, force: Array, primal: Array) -> Array:
    """Solves [[matrix, eᵀ], [e, 0]] (x, ν) = (force, primal), matrix positive definite, by its Schur complement."""
    from scipy.linalg import cho_factor, cho_solve

    try:
        factor = cho_factor(matrix, check_finite=False)
        back = cho_solve(factor, np.column_stack([force, e.T]), check_finite=False)
        nu = np.linalg.solve(e @ back[:, 1:], e @ back[:, 0] - primal)
        return np.concatenate([back[:, 0] - back[:, 1:] @ nu, nu])
    except np.linalg.LinAlgError:  # only at the very end, when multipliers overflow the positive definite part
        kkt = np.block([[matrix, e.T], [e, np.zeros((len(e), len(e)))]])
        return np.asarray(np.linalg.lstsq(kkt, np.concatenate([force, primal]), rcond=None)[0], dtype=np.float64)
