"""`debate theory NAME`: the numbers of a game with a known answer, and a figure of it where one helps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debate.errors import UserError, did_you_mean
from debate.theory import (
    doubly_efficient,
    evidence,
    goodhart,
    obfuscation,
    parity,
    qbf,
    talk,
)


@dataclass(frozen=True, eq=False)
class Shown:
    """What is known of one game: lines for the terminal, the numbers behind them, and what draws them (or None)."""

    lines: tuple[str, ...]
    numbers: Mapping[str, Any]
    draw: Callable[[Mapping[str, Any]], Any] | None = None


def theory(name: str, out: Path | None, seed: int = 0) -> Iterator[str]:
    """Computes one game and yields lines; writes NAME.json and, where there is one, NAME.svg and NAME.png.

    Args:
        name: of the game.
        out: folder for the files; None writes none.
        seed: of what is simulated; everything else is exact.

    Raises:
        UserError: no such game.
    """
    if name not in GAMES:
        raise UserError(f"no theory {name!r}{did_you_mean(name, GAMES)}; expected one of {', '.join(GAMES)}")
    shown = GAMES[name](seed)
    yield from shown.lines
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.json"
    path.write_text(json.dumps(shown.numbers, indent=1) + "\n", encoding="utf-8")
    yield f"numbers: {path}"
    if shown.draw is not None:
        from games.analysis.figures.style import save

        save(shown.draw(shown.numbers), out / name)
        yield f"figure: {out / name}.svg"


def _evidence(seed: int) -> Shown:
    from debate.theory.figures import draw_evidence

    odds = {k: evidence.evidence_odds(12, k) for k in range(1, 7)}
    lines = ["12 hidden weights, k reveals a side: the judge's accuracy, exact"]
    lines += ["k  optimal  random  consultancy  revealed sum 0"]
    lines += [f"{k}  {o.optimal:.4f}   {o.random:.4f}  {o.consultancy:.4f}       {o.tie:.4f}" for k, o in odds.items()]
    columns = ("optimal", "random", "consultancy", "tie")
    numbers = {"k": list(odds)} | {c: [getattr(o, c) for o in odds.values()] for c in columns}
    return Shown(tuple(lines), numbers, draw_evidence)


def _parity(seed: int) -> Shown:
    numbers = {
        "first bit always": parity.accuracy(2, 1, lambda bits, seen: (1.0, 0.0)),
        "persuader, judge reads the choice": parity.accuracy(2, 1, parity.persuader),
        "persuader, judge ignores the choice": parity.accuracy(2, 1, parity.persuader, reads_choice=False),
        "helper, judge reads the choice": parity.accuracy(2, 1, parity.helper),
    }
    return Shown(("parity of 2 bits, one revealed: accuracy", *_rows(numbers)), numbers)


def _qbf(seed: int) -> Shown:
    from debate.theory.figures import draw_qbf

    share: dict[str, list[float]] = {}
    lines = ["all quantified Boolean formulas: how many a debate of fewer rounds than variables decides wrongly"]
    for n in (1, 2, 3, 4):
        counts = [qbf.wrong_when_cut(n, keep) for keep in range(n + 1)]
        share[str(n)] = [wrong / of for wrong, of in counts]
        found = ", ".join(f"{keep} rounds {wrong}" for keep, (wrong, _) in enumerate(counts))
        lines.append(f"{n} variable{'s'[: n > 1]}, {counts[0][1]} formulas: {found}")
    return Shown(tuple(lines), {"wrong": share}, draw_qbf)


def _talk(seed: int) -> Shown:
    from games.equilibria.dispatch import solve

    numbers: dict[str, list[float]] = {}
    for name, game in (
        ("verifiable witness", talk.witness_game(0.5)),
        ("unverifiable claim", talk.forgery_game(0.5)),
    ):
        payoffs = [float(e.payoffs[1, 0]) for e in solve(game, method="enumerate") if e.payoffs is not None]
        lead = [float(e.payoffs[1, 0]) for e in solve(game, "stackelberg", leader=1) if e.payoffs is not None]
        numbers[name] = [min(payoffs), max(payoffs), lead[0]]
    lines = ["how often a verifier with prior ½ is right (worst and best simultaneous equilibrium; verifier leads)"]
    lines += [f"{name}: {low:.2f}, {high:.2f}; {lead:.2f}" for name, (low, high, lead) in numbers.items()]
    return Shown(tuple(lines), numbers)


def _obfuscation(seed: int) -> Shown:
    from debate.theory.figures import draw_obfuscation

    budgets = [1, 3, 9, 27, 81, 243, 729]
    depths = [1, 2, 3, 4, 5, 6]
    exact = {str(d): [obfuscation.detection(3, d, q) for q in budgets] for d in depths}
    played = {str(d): [obfuscation.simulate(3, d, q, 2000, seed) for q in budgets] for d in depths}
    lines = ["one flaw among 3^d claims: probability that q distinct inspections find it"]
    lines += ["d  " + "  ".join(f"q={q:<4}" for q in budgets)]
    lines += [f"{d}  " + "  ".join(f"{p:<6.3f}" for p in exact[str(d)]) for d in depths]
    return Shown(
        tuple(lines), {"inspections": budgets, "exact": exact, "simulated": played, "trees": 2000}, draw_obfuscation
    )


def _doubly_efficient(seed: int) -> Shown:
    from debate.theory.figures import draw_doubly_efficient

    runs, steps = 2000, [10, 30, 100, 300, 1000]
    wins: dict[str, list[float]] = {f"honest Alice, Bob {b}": [] for b in doubly_efficient.CHEATING_BOBS}
    wins |= {f"honest Bob, Alice {a}": [] for a in doubly_efficient.CHEATING_ALICES}
    costs: dict[str, list[int]] = {"prover": [], "verifier": []}
    for t in steps:
        yes, no = doubly_efficient.RandomBit(t, 2 / 3), doubly_efficient.RandomBit(t, 1 / 3)
        for name, bob in doubly_efficient.CHEATING_BOBS.items():
            outcome = doubly_efficient.play(yes, doubly_efficient.honest_alice, bob, runs, seed)
            wins[f"honest Alice, Bob {name}"].append(outcome.alice)
        for name, alice in doubly_efficient.CHEATING_ALICES.items():
            outcome = doubly_efficient.play(no, alice, doubly_efficient.honest_bob, runs, seed)
            wins[f"honest Bob, Alice {name}"].append(1 - outcome.alice)
        costs["prover"].append(outcome.prover)
        costs["verifier"].append(outcome.verifier)
    lines = [f"share won by the honest side, {runs} debates each (theorem: at least .600); oracle samples"]
    lines += [f"{'steps':<28}" + "  ".join(f"{t:>9}" for t in steps)]
    lines += [f"{name:<28}" + "  ".join(f"{w:>9.3f}" for w in row) for name, row in wins.items()]
    lines += [f"{name + ' samples':<28}" + "  ".join(f"{c:>9}" for c in row) for name, row in costs.items()]
    return Shown(tuple(lines), {"steps": steps, "wins": wins, "costs": costs, "runs": runs}, draw_doubly_efficient)


def _goodhart(seed: int) -> Shown:
    import numpy as np

    from debate.theory.figures import draw_goodhart

    # A judge that is right up to a point: value and proxy agree for ordinary speeches and part for extreme ones.
    proxy = np.linspace(-3, 3, 601)
    value = proxy - 0.35 * np.maximum(proxy, 0.0) ** 2
    base = np.exp(-(proxy**2) / 2)
    base /= base.sum()
    betas = np.linspace(0, 6, 121)
    policies = [goodhart.tilted(base, proxy, float(b)) for b in betas]
    ns = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    chosen = [goodhart.best_of_n(base, proxy, n) for n in ns]
    numbers = {
        "beta": betas.tolist(),
        "kl": [goodhart.divergence(p, base) for p in policies],
        "proxy": [goodhart.mean(p, proxy) for p in policies],
        "value": [goodhart.mean(p, value) for p in policies],
        "covariance": [goodhart.covariance(p, proxy, value) for p in policies],
        "n": ns,
        "best_of_n_kl": [goodhart.divergence(p, base) for p in chosen],
        "best_of_n_bound": [goodhart.best_of_n_bound(n) for n in ns],
        "best_of_n_value": [goodhart.mean(p, value) for p in chosen],
    }
    top = int(np.argmax(numbers["value"]))
    lines = [
        "tilting towards a proxy u that parts from the value v in its tail",
        f"E[v] is largest at β = {betas[top]:.2f}, where Cov(u, v) = {numbers['covariance'][top]:+.4f}",
        "best of n: KL (bound log n − (n − 1)/n), E[v]",
    ]
    lines += [
        f"n = {n:<4} {kl:.4f} ({bound:.4f})  {v:+.4f}"
        for n, kl, bound, v in zip(
            ns, numbers["best_of_n_kl"], numbers["best_of_n_bound"], numbers["best_of_n_value"], strict=True
        )
    ]
    return Shown(tuple(lines), numbers, draw_goodhart)


def _rows(numbers: Mapping[str, float]) -> list[str]:
    return [f"{name}: {value:.4f}" for name, value in numbers.items()]


GAMES: Mapping[str, Callable[[int], Shown]] = {
    "evidence": _evidence,
    "parity": _parity,
    "qbf": _qbf,
    "talk": _talk,
    "obfuscation": _obfuscation,
    "doubly_efficient": _doubly_efficient,
    "goodhart": _goodhart,
}
