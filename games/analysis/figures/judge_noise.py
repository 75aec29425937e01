"""Judge-noise sensitivity: what value, equilibrium and ranking can truly be when the judge errs up to a rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from games.analysis.figures.style import COLOURS, GREY, NotApplicable, new, short, tidy

if TYPE_CHECKING:
    from games.analysis.analyse import Analysis

_NAMED = 5


def draw(analysis: Analysis) -> Any:
    """Value band, worst NashConv of the measured equilibrium, and score bands of player 0's best strategies."""
    noise, game = analysis.judge_noise, analysis.scalar
    if noise is None:
        raise NotApplicable(analysis.left_out.get("judge_noise", "not computed"))
    rates = 100.0 * noise.flip_rates
    figure = new(13.2, 4.4)
    value, support, ranking = figure.subplots(1, 3)
    value.fill_between(rates, noise.value_low, noise.value_high, color=COLOURS[0], alpha=0.3, label="where it can lie")
    value.plot(rates, noise.value_low, color=COLOURS[0], linewidth=1.4, label="guaranteed by the robust strategy")
    value.axhline(noise.value, color="black", linewidth=1.0, linestyle="--", label="as measured")
    value.set(ylabel=f"value to {short(game.players[0])} (win probability)", title="Value")
    support.plot(rates, noise.nash_conv, color=COLOURS[1], linewidth=1.6, label="measured equilibrium, worst case")
    support.set(ylabel="NashConv (win probability)", title="Support")
    best = np.argsort(-noise.scores[0], kind="stable")[:_NAMED]
    for n, k in enumerate(best):
        ranking.fill_between(
            rates, noise.scores_low[0][:, k], noise.scores_high[0][:, k], color=COLOURS[n], alpha=0.16, linewidth=0
        )
        ranking.axhline(noise.scores[0][k], color=COLOURS[n], linewidth=1.6, label=short(game.strategies[0][k]))
    few = "" if len(noise.scores[0]) <= _NAMED else f", best {_NAMED} of {len(noise.scores[0])}"
    ranking.set(ylabel="mean win probability, uniform opponents", title=f"Ranking of {short(game.players[0], 14)}{few}")
    for axes, rate, what in (
        (support, noise.support_breakdown, "the support can change"),
        (ranking, noise.ranking_breakdown, "the ranking can change"),
    ):
        if rate is not None and 100.0 * rate <= rates.max():
            axes.axvline(
                100.0 * rate, color=GREY, linestyle=":", linewidth=1.6, label=f"{what} from {100 * rate:.1f} %"
            )
    for axes in (value, support, ranking):
        axes.set_xlabel("judge error rate, each way, in any cell (%)")
        axes.set_xlim(rates.min(), rates.max())
        axes.title.set_fontsize(11)
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.17),
            ncols=1 if axes is not ranking else 2,
            frameon=False,
            fontsize=8,
        )
        tidy(axes)
    return figure
