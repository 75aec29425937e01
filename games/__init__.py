"""Game theory for empirical games: solvers, evaluation, vector payoffs, payoff noise, export.

Names are loaded on first use, so that `import games` costs almost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "normal_form": ["NormalFormGame", "expected_payoffs"],
    "equilibrium": ["Equilibrium", "NotConverged"],
    "measures": ["regrets", "nash_conv", "is_nash", "certify"],
    "equilibria.dispatch": ["solve"],
    "equilibria.quantal": ["logit_path", "fit_logit"],
    "equilibria.dominance": ["eliminate_dominated"],
    "evaluation.alpharank": ["alpharank"],
    "evaluation.nash_averaging": ["nash_averaging"],
    "evaluation.deviation_ratings": ["deviation_ratings"],
    "evaluation.pairwise": ["bradley_terry", "elo"],
    "extensive.tree": ["ExtensiveGame", "GameState"],
    "extensive.best_response": ["best_response"],
    "extensive.cfr": ["cfr", "CFRResult"],
    "extensive.sequence_form": ["sequence_form_lp"],
    "interop": ["from_openspiel", "to_openspiel", "to_gambit", "from_gambit"],
    "files.nfg": ["read_nfg", "write_nfg"],
    "files.efg": ["read_efg", "write_efg"],
    "empirical.samples": ["EmpiricalGame"],
    "empirical.bootstrap": ["bootstrap"],
    "empirical.bounds": ["nash_conv_bounds"],
    "empirical.matchmaking": ["next_matches"],
    "empirical.judge_noise": ["robust_to_judge"],
    "empirical.psro": ["psro"],
    "vector.pareto": ["pareto_front", "hypervolume"],
    "vector.equilibria": ["ser_equilibria", "esr_equilibria"],
    "vector.preference_map": ["preference_map", "stable_profiles"],
    "analysis.analyse": ["analyse", "Analysis"],
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'games' has no attribute {name!r}")
    return getattr(import_module(f"games.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
