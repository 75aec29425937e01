"""Figures of the games with known answers, from the numbers that `debate theory` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from games.analysis.figures.style import COLOURS, GREY, new, tidy


def draw_evidence(numbers: Mapping[str, Any]) -> Any:
    """Judge accuracy against the number of reveals."""
    figure = new(5.2, 3.6)
    axes = figure.subplots()
    for name, colour, label in (
        ("optimal", COLOURS[0], "optimal debate"),
        ("random", COLOURS[1], "random reveals"),
        ("consultancy", COLOURS[2], "one consultant"),
    ):
        axes.plot(numbers["k"], numbers[name], color=colour, marker="o", markersize=4, label=label)
    axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xlabel("weights revealed by each side, of 12")
    axes.set_ylabel("judge is right")
    axes.set_ylim(0.45, 1.02)
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return figure


def draw_qbf(numbers: Mapping[str, Any]) -> Any:
    """Share of wrong verdicts against the rounds played."""
    figure = new(5.2, 3.6)
    axes = figure.subplots()
    for (n, row), colour in zip(numbers["wrong"].items(), COLOURS, strict=False):
        axes.plot(
            range(len(row)), row, color=colour, marker="o", markersize=4, label=f"{n} variable{'s'[: int(n) > 1]}"
        )
    axes.set_xlabel("rounds of debate (the judge sets the other variables to 0)")
    axes.set_ylabel("formulas decided wrongly")
    axes.set_xticks(range(5))
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return figure


def draw_obfuscation(numbers: Mapping[str, Any]) -> Any:
    """Detection against inspections, one line a depth; dots are simulated."""
    figure = new(5.2, 3.6)
    axes = figure.subplots()
    for (depth, row), colour in zip(numbers["exact"].items(), COLOURS, strict=False):
        axes.plot(numbers["inspections"], row, color=colour, linewidth=1.4, label=f"depth {depth}")
        axes.plot(numbers["inspections"], numbers["simulated"][depth], ".", color=colour, markersize=6)
    axes.set_xscale("log", base=3)
    axes.set_xlabel("distinct inspections")
    axes.set_ylabel("flaw is found")
    figure.legend(loc="outside right center", frameon=False, fontsize=9)
    axes.set_title(f"one flaw among 3^depth claims; dots: {numbers['trees']} simulated trees", fontsize=9)
    tidy(axes)
    return figure


def draw_doubly_efficient(numbers: Mapping[str, Any]) -> Any:
    """Left: how often honesty wins. Right: what it costs."""
    figure = new(10.4, 4.4)
    left, right = figure.subplots(1, 2)
    steps = numbers["steps"]
    styles = ("-", "--", ":", "-.")
    for number, (name, row) in enumerate(numbers["wins"].items()):
        colour = COLOURS[0] if name.startswith("honest Alice") else COLOURS[1]
        left.plot(steps, row, styles[number % 4], color=colour, marker="o", markersize=3, linewidth=1.2, label=name)
    left.axhline(0.6, color=GREY, linewidth=1, linestyle="--")
    left.annotate("theorem: ≥ 3/5", (steps[0], 0.6), xytext=(0, -11), textcoords="offset points", fontsize=8)
    left.set_title("debates won by the honest side against each cheat", fontsize=9)
    left.set_ylabel("share of debates")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    left.set_ylim(0.5, 1.03)
    for name, colour in (("prover", COLOURS[0]), ("verifier", COLOURS[2])):
        right.plot(steps, numbers["costs"][name], color=colour, marker="o", markersize=4, label=name)
    right.set_yscale("log")
    right.set_title("oracle samples in one debate, K = 1", fontsize=9)
    right.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("steps of the computation")
        tidy(axes)
    return figure


def draw_goodhart(numbers: Mapping[str, Any]) -> Any:
    """Proxy and value against the distance from the base policy."""
    figure = new(5.2, 3.6)
    axes = figure.subplots()
    axes.plot(numbers["kl"], numbers["proxy"], color=COLOURS[1], label="what the judge sees, E[u]")
    axes.plot(numbers["kl"], numbers["value"], color=COLOURS[0], label="what is meant, E[v]")
    axes.plot(
        numbers["best_of_n_kl"],
        numbers["best_of_n_value"],
        "o",
        color=COLOURS[0],
        markersize=4,
        label="E[v], best of n",
    )
    top = max(range(len(numbers["value"])), key=numbers["value"].__getitem__)
    axes.axvline(numbers["kl"][top], color=GREY, linewidth=0.8, linestyle=":")
    axes.annotate(
        "Cov(u, v) = 0", (numbers["kl"][top], 0), xytext=(4, 0), textcoords="offset points", fontsize=8, color=GREY
    )
    axes.set_xlabel("KL divergence from the base policy (nats)")
    axes.set_ylabel("expectation")
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return figure
