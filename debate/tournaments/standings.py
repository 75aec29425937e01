"""The table of a tournament: ratings, rewards, and what the judge was worth, with intervals clustered by question."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debate.seeds import derive
from debate.tournaments.clustered import Array, Estimate, bootstrap_interval, difference, mean_of, share_of_gap
from debate.tournaments.matched import Matched, Repeated
from debate.tournaments.results import Results
from games.equilibrium import NotConverged
from games.evaluation.pairwise import ELO_PER_LOGIT, bradley_terry
from judges.types import Cost

CONFIDENCE = 0.95
PRIOR = 0.5
RESAMPLES = 1000


def standings(
    results: Results,
    baselines: Matched | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Everything the table says, as JSON.

    Args:
        results: the matches.
        baselines: the judge without a debate and other protocols, once and at a debate's tokens.
        resamples: of the bootstrap over questions.

    Returns:
        `{criterion, matches, failures, entrants: {policy: {…}}, judge: {…}}`; an estimate is
        `{value, low, high, n}`, its numbers null where not known.
    """
    rated = ratings(results)
    entrants: dict[str, Any] = {}
    for i, policy in enumerate(results.field.entrants):
        means = {name: mean_of(*results.sums[name][i].T) for name in results.sums}
        cost = results.spent.get(policy, Cost())
        entrants[policy] = {
            "matches": results.played[policy],
            "failed": results.failed[policy],
            "score": results.score(policy),
            **{key: rated[key][i] if rated else None for key in ("elo", "bradley_terry")},
            "rewards": {name: told(means[name]) for name in results.criteria},
            "believed_honest": told(means["believed_honest"]),
            "believed_dishonest": told(means["believed_dishonest"]),
            "asd": told(difference(means["score_honest"], means["score_dishonest"])),
            "tokens": cost.tokens,
            "calls": cost.calls,
            "usd": cost.usd,
        }
    order = sorted(entrants, key=lambda one: (-_rank(entrants[one]), one))
    return {
        "criterion": results.criterion,
        "matches": results.matches,
        "failures": dict(results.failures),
        "prior": rated["prior"] if rated else None,
        "entrants": {one: entrants[one] for one in order},
        "judge": judge_table(results, baselines, resamples),
    }


def _rank(row: Mapping[str, Any]) -> float:
    return float(row["elo"]["value"]) if row["elo"] is not None else float(row["score"])


def told(estimate: Estimate) -> dict[str, float | None]:
    """An estimate as JSON."""
    interval = estimate.interval(CONFIDENCE)
    low, high = interval if interval is not None else (None, None)
    value = estimate.value if math.isfinite(estimate.value) else None
    return {"value": value, "low": low, "high": high, "n": int(estimate.count)}


def ratings(results: Results) -> dict[str, Any] | None:
    """Bradley–Terry ratings and the same on the Elo scale; None where nobody was compared.

    Ties count half a win each way. The maximum likelihood is `games.evaluation.pairwise`'s; the intervals hold for all
    entrants together (Šidák) and are clustered by question: the sandwich estimator (Liang & Zeger 1986) with the
    small-sample factor G/(G−1), from at least two questions. Where the estimate would be infinite, everyone gets half
    an imagined win over everyone else, and "prior" says so.
    """
    tables = results.comparisons()
    if not tables:
        return None
    stacked = np.stack(list(tables.values()))
    wins = stacked.sum(axis=0)
    if not wins.any():
        return None
    doubled = np.rint(2 * wins).astype(np.int64)
    pairs = np.argwhere(doubled > 0)
    rows = np.repeat(pairs, doubled[tuple(pairs.T)], axis=0)
    count, prior = len(wins), 0.0
    try:
        found = bradley_terry(rows, count, CONFIDENCE)
    except (ValueError, NotConverged):
        prior = PRIOR
        found = bradley_terry(rows, count, CONFIDENCE, prior=2 * prior)
    margin = None
    groups = len(stacked)
    if groups >= 2:
        # Every comparison stands in the rows twice: the information is half, the covariance twice what was found.
        inverse = 2.0 * found.covariance
        chance = 1.0 / (1.0 + np.exp(found.ratings[None, :] - found.ratings[:, None]))
        scores = (stacked - (stacked + stacked.transpose(0, 2, 1)) * chance).sum(axis=2)
        scores -= scores.mean(axis=0)
        covariance = groups / (groups - 1) * inverse @ (scores.T @ scores) @ inverse
        from scipy.stats import norm

        each = float(norm.ppf(0.5 + 0.5 * CONFIDENCE ** (1.0 / count)))
        margin = each * np.sqrt(np.clip(np.diag(covariance), 0.0, None))

    def scaled(factor: float) -> list[dict[str, float | None]]:
        return [
            {
                "value": float(rating * factor),
                "low": None if margin is None else float((rating - margin[i]) * factor),
                "high": None if margin is None else float((rating + margin[i]) * factor),
            }
            for i, rating in enumerate(found.ratings)
        ]

    return {"bradley_terry": scaled(1.0), "elo": scaled(float(ELO_PER_LOGIT)), "prior": prior}


def judge_table(
    results: Results,
    baselines: Matched | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Judge accuracy overall and by the honest side, ASD, and the gap recovered.

    Definitions:
        accuracy: share of matches whose verdict is the label, a tie at the top counting ½.
        by_side: the same over the matches in which that seat defended the label ("nobody": a lone adviser lied).
        asd: agent score difference, E[log p(own answer) | own is true] − E[… | own is false] (Pallavi Sudhir, Kaunismaa
            & Panickssery 2025, "A benchmark for scalable oversight mechanisms", arXiv 2504.03731).
        gap_recovered: (accuracy − naive) / (expert − naive), all on the same questions (performance gap recovered,
            Burns et al. 2023, "Weak-to-strong generalization"); its interval is a bootstrap over questions.
        matched: the same with baselines that are repeated up to a debate's tokens (`debate.tournaments.matched`).
    """
    accuracy = mean_of(*results.overall["truth"].T)
    played = results.overall["truth"][:, 1] > 0
    sides = {name.removeprefix("truth/"): mean_of(*v.T) for name, v in results.overall.items() if "/" in name}
    scored = [results.sums[name].sum(axis=0) for name in ("score_honest", "score_dishonest")]
    once = {} if baselines is None else {name: one.once for name, one in baselines.alone.items()}
    alone = {name: mean_of(*np.where(played[:, None], values, 0.0).T) for name, values in once.items()}
    labels = [question.label for question in results.field.questions]
    known = np.array([label is not None for label in labels]) & played
    constant = np.array([_constant(q) for q in results.field.questions])
    found: dict[str, Any] = {
        "accuracy": told(accuracy),
        "constant": told(mean_of(np.where(known, constant, 0.0), known.astype(np.float64))),
        "by_honest_side": {name: told(estimate) for name, estimate in sorted(sides.items())},
        "asd": told(difference(mean_of(*scored[0].T), mean_of(*scored[1].T))),
        **{name: told(estimate) for name, estimate in alone.items()},
        "gap_recovered": None,
        "tokens_a_match": _tokens(results),
        "matched": None,
    }

    def recovered(naive: Array, expert: Array) -> dict[str, float | None]:
        parts = [results.overall["truth"], naive, expert]
        return _recovered([np.where(played[:, None], part, 0.0) for part in parts], resamples, results.field.seed)

    if {"naive", "expert"} <= alone.keys():
        found["gap_recovered"] = recovered(once["naive"], once["expert"])
    if baselines is not None:
        found["matched"] = _matched(baselines, played, recovered)
    return found


def _recovered(tables: Sequence[Array], resamples: int, seed: int) -> dict[str, float | None]:
    """The gap recovered from [Q, 2] tables of what was reached, naive and expert."""
    parts = [mean_of(*table.T) for table in tables]
    value = float(share_of_gap(np.array([part.value for part in parts])))
    interval = bootstrap_interval(share_of_gap, tables, resamples, derive(seed, "gap recovered"), CONFIDENCE)
    low, high = interval if interval is not None and math.isfinite(value) else (None, None)
    count = int(min(part.count for part in parts))
    return {"value": value if math.isfinite(value) else None, "low": low, "high": high, "n": count}


def _matched(
    matched: Matched, played: NDArray[np.bool_], recovered: Callable[[Array, Array], dict[str, float | None]]
) -> dict[str, Any]:
    def row(one: Repeated) -> dict[str, Any]:
        accuracies = {
            name: told(mean_of(*np.where(played[:, None], table, 0.0).T))
            for name, table in (("once", one.once), ("accuracy", one.pooled))
        }
        return {**accuracies, "repeats": one.repeats, "wanted": one.wanted, "tokens": one.tokens}

    alone, expert = matched.alone, matched.alone.get("expert")
    ceiling = None if expert is None else expert.pooled
    arenas = {
        name: {**row(one), "gap_recovered": None if ceiling is None else recovered(one.pooled, ceiling)}
        for name, one in matched.arenas.items()
    }
    known = matched.debate_tokens > 0 and ceiling is not None and "naive" in alone
    both = recovered(alone["naive"].pooled, ceiling) if known and ceiling is not None else None
    return {
        "debate_tokens": matched.debate_tokens,
        "alone": {name: row(one) for name, one in alone.items()},
        "arenas": arenas,
        "gap_recovered": both,
    }


def _constant(question: Any) -> float:
    """What the judge that finds all options equally likely gets on a question: a tie at the top counts ½."""
    return 1.0 if len(question.options) == 1 else 0.5


def _tokens(results: Results) -> float | None:
    total = sum(cost.tokens + cost.prompt_tokens for cost in results.spent.values())
    return total / results.matches if results.matches else None
