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
    positive, slack = _relative_interior(g, h)
    if len(positive) == 0:
        raise NotConverged("max_entropy: no distribution satisfies the constraints")
    # 3. On the relative interior the program is regular.
    equality = np.vstack([np.ones((1, len(positive))), g[~slack][:, positive]])
    right = np.concatenate([[1.0], h[~slack]])
    inside = _interior_point(g[slack][:, positive], h[slack], equality, right, objective)
    p = np.zeros(g.shape[1])
    p[positive] = inside
    return p


def _relative_interior(g: Array, h: Array) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(indices of entries positive somewhere, mask [q] of inequalities slack somewhere) in the polytope.

    One program decides all at once (Freund, Roundy & Todd 1985): over the cone s · polytope with s ≥ 1, maximise how
    many of the entries and slacks reach 1; because a cone has no top, each either reaches 1 or is zero everywhere.
    """
    from scipy.optimize import linprog
    from scipy.sparse import bmat, csr_array, identity

    q, n = g.shape
    # Variables: p = t + t' (t ≤ 1 counted), slack w = z + z' (z ≤ 1 counted), scale s.  G p + w = h s,  Σ p = s.
    sparse = csr_array(g)
    eye = identity(q, format="csr")
    top = bmat([[sparse, sparse, eye, eye, csr_array(-h[:, None])]], format="csr")
    ones = csr_array(np.ones((1, n)))
    nothing = csr_array((1, q))
    bottom = bmat([[ones, ones, nothing, nothing, csr_array([[-1.0]])]], format="csr")
    cost = np.concatenate([-np.ones(n), np.zeros(n), -np.ones(q), np.zeros(q + 1)])
    bounds = [(0, 1)] * n + [(0, None)] * n + [(0, 1)] * q + [(0, None)] * q + [(1, None)]
    equal = bmat([[top], [bottom]], format="csr")
    options = {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9}
    result = linprog(cost, A_eq=equal, b_eq=np.zeros(q + 1), bounds=bounds, method="highs", options=options)
    if result.status == 2:
        return np.zeros(0, dtype=np.intp), np.zeros(q, dtype=bool)
    if result.status != 0:
        raise NotConverged(f"max_entropy: {result.message}")
    # A counted part near 1 exists; scale s far beyond 1e6 would be rounding, not an interior.
    return np.flatnonzero(result.x[:n] > 0.5), result.x[2 * n : 2 * n + q] > 0.5


def _interior_point(g: Array, h: Array, equality: Array, right: Array, objective: Objective, steps: int = 200) -> Array:
    """Primal-dual interior-point method (Boyd & Vandenberghe 2004, §11.7): min Σ φ(p), G p ≤ h, E p = e, p ≥ 0."""
    n = g.shape[1]
    if objective == "gini":  # p ≥ 0 is a constraint of its own; the entropy keeps p positive by itself
        g, h = np.vstack([g, -np.eye(n)]), np.concatenate([h, np.zeros(n)])
    q = len(h)
    # 1. Equations may repeat each other: keep an orthonormal basis of their rows.
    u, singular, vt = np.linalg.svd(equality, full_matrices=False)
    rank = int((singular > 1e-9 * singular[0]).sum())
    e, target = vt[:rank], (u[:, :rank].T @ right) / singular[:rank]
    p, w, z, nu = np.full(n, 1.0 / n), np.ones(q), np.ones(q), np.zeros(rank)
    w = np.maximum(h - g @ p, 0.1)
    for _ in range(steps):
        gradient = np.log(p) + 1.0 if objective == "entropy" else p
        hessian = 1.0 / p if objective == "entropy" else np.ones(n)
        # 2. Residuals of the optimality conditions.
        dual = gradient + g.T @ z + e.T @ nu
        primal, inequality = e @ p - target, g @ p + w - h
        gap = float(w @ z) / max(q, 1)
        size = max(np.abs(dual * p).max(), np.abs(primal).max(), np.abs(inequality).max(initial=0.0))
        if gap < 1e-13 and size < 1e-12:
            return p
        # 3. Newton direction for the perturbed conditions w z = σ · gap.
        sigma = 0.1 if size < 10 * max(gap, 1e-12) else 0.3
        complement = w * z - sigma * gap
        weight = z / w
        matrix = (g.T * weight) @ g
        matrix[np.diag_indices(n)] += hessian
        force = -dual - g.T @ ((z * inequality - complement) / w)
        # Symmetric scaling by p^½ keeps the system well-conditioned when entries of p are tiny.
        root = np.sqrt(1.0 / hessian)
        scaled = root[:, None] * matrix * root
        ee = e * root
        kkt = np.block([[scaled, ee.T], [ee, np.zeros((rank, rank))]])
        try:
            step = np.linalg.solve(kkt, np.concatenate([root * force, -primal]))
        except np.linalg.LinAlgError:
            step = np.linalg.lstsq(kkt, np.concatenate([root * force, -primal]), rcond=None)[0]
        dp, dnu = root * step[:n], step[n:]
        dw = -inequality - g @ dp
        dz = -(complement + z * dw) / w
        # 4. Stay strictly inside.
        reach = 1.0
        for value, change in ((p, dp), (w, dw), (z, dz)) if objective == "entropy" else ((w, dw), (z, dz)):
            down = change < 0
            if down.any():
                reach = min(reach, 0.99 * float((-value[down] / change[down]).min()))
        p, w, z, nu = p + reach * dp, w + reach * dw, z + reach * dz, nu + reach * dnu
    if gap < 1e-8 and size < 1e-8:
        return np.asarray(np.clip(p, 0.0, None))
    raise NotConverged(f"max_entropy: gap {gap:.1e} and residual {size:.1e} after {steps} interior-point steps")
