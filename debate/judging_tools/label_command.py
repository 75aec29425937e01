"""What `debate label` does with its arguments: import, export, simulate, buy, or ask a person."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from debate.errors import UserError
from debate.judging_tools.labelling import buy, known_cost, label_cases, plan_showings, purchase_lines
from debate.judging_tools.panels import open_ledger, simulate_panel
from debate.judging_tools.tools import export_labels, import_labels
from judges.charter.labels import SIMULATED, LabelledCase
from judges.labels.ledger import Label, Ledger
from judges.labels.routing import Purchase


def label(items: Sequence[LabelledCase], arguments: argparse.Namespace) -> Iterator[str]:
    """Runs the command; yields what to print.

    Raises:
        UserError: arguments that do not go together, or whatever is wrong with files and experts.
    """
    modes = {"--import": arguments.read, "--export": arguments.write, "--simulate": arguments.simulate}
    chosen = [name for name, value in modes.items() if value is not None]
    if len(chosen) > 1 or (chosen and (arguments.expert or arguments.buy is not None)):
        raise UserError(f"{', '.join(chosen)}: one thing at a time, and without --expert or --buy")
    if not chosen and not arguments.expert and arguments.buy is None:
        raise UserError("who labels? give --expert NAME; or --buy, --import, --export, --simulate")
    if arguments.expert.startswith(SIMULATED):
        raise UserError(f"--expert {arguments.expert}: names that begin with {SIMULATED!r} are kept for simulations")
    with open_ledger(arguments.ledger) as ledger:
        if arguments.read is not None:
            cost = arguments.cost or 0.0
            yield import_labels(arguments.read, arguments.format, items, ledger, arguments.question, cost)
        elif arguments.write is not None:
            yield export_labels(arguments.write, arguments.format, items, ledger)
        elif arguments.simulate is not None:
            yield _simulate(items, ledger, arguments)
        else:
            yield from _ask(items, ledger, arguments)


def _simulate(items: Sequence[LabelledCase], ledger: Ledger, arguments: argparse.Namespace) -> str:
    found = simulate_panel(
        items, arguments.simulate, arguments.accuracy, arguments.repeats, arguments.cost or 0.0, arguments.seed
    )
    try:
        new = ledger.extend(found)
    except ValueError as error:
        raise UserError(str(error)) from None
    return f"{arguments.ledger}: {new} labels of {arguments.simulate} SIMULATED experts, none of a person"


def _ask(items: Sequence[LabelledCase], ledger: Ledger, arguments: argparse.Namespace) -> Iterator[str]:
    expert = arguments.expert
    labels = ledger.labels()
    bought: dict[str, Purchase] | None = None
    if arguments.buy is not None:
        purchases, lines = buy(items, labels, _prices(arguments.price), arguments.buy, arguments.seed)
        yield from lines
        if not expert:
            yield from purchase_lines(purchases)
            return
        bought = {p.item: p for p in purchases if p.expert == expert}
    cost = arguments.cost
    if cost is None:
        cost = _prices(arguments.price).get(expert, known_cost(labels, expert))
    showings = plan_showings(items, expert, 0.0 if bought is not None else arguments.repeats, arguments.seed, bought)
    given = label_cases(showings, ledger, expert, cost, input, print)
    yield _summary(ledger.labels(), expert, len(showings), given)


def _summary(labels: Sequence[Label], expert: str, planned: int, given: int) -> str:
    spent = sum(x.cost for x in labels)
    return f"{given} labels by {expert} now, {planned} planned; the ledger holds {len(labels)}, for ${spent:.2f}"


def _prices(settings: Sequence[str]) -> dict[str, float]:
    prices = {}
    for setting in settings:
        expert, equals, text = setting.partition("=")
        try:
            price = float(text) if equals and expert else 0.0
        except ValueError:
            price = 0.0
        if not 0.0 < price < float("inf"):
            raise UserError(f"--price {setting}: expected EXPERT=DOLLARS with dollars above 0")
        prices[expert] = price
    return prices
