"""`debate label`: a person labels cases at the terminal, blind; each answer is kept before the next case is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from debate.errors import UserError
from debate.seeds import generator
from judges.charter.labels import LabelledCase
from judges.judges.prompt import build_prompt, option_labels
from judges.judges.rubric import DEFAULT_RUBRIC, Rubric
from judges.labels.belief import believe
from judges.labels.ledger import Label, Ledger
from judges.labels.routing import Purchase, item_state, route

HELP = "a letter; skip if you cannot say; quit to stop (what you said is kept)"
CLASSES_DIFFER = "all cases must have the same number of options to be routed, got {}"


@dataclass(frozen=True, slots=True)
class Showing:
    """One case to show.

    Attributes:
        item: which.
        repeat: 0, or 1 for its blind repetition.
        order: [K] indices of the options in the order shown.
        inclusion: probability with which it was drawn. audit: whether it was drawn at random.
    """

    item: LabelledCase
    repeat: int
    order: tuple[int, ...]
    inclusion: float = 1.0
    audit: bool = False


def plan_showings(
    items: Sequence[LabelledCase],
    expert: str,
    repeats: float,
    seed: int,
    bought: Mapping[str, Purchase] | None = None,
) -> list[Showing]:
    """What an expert is shown, in order: the same after every interruption.

    Each expert has an order of cases and options of their own, so that no position of either is favoured. A share of
    the cases comes again, half the list later and with the options in another order, unannounced.

    Args:
        items: the cases.
        expert: whose plan.
        repeats: share of the cases that come again.
        seed: of the draws.
        bought: item → purchase, where labels were routed; None shows all cases.
    """
    keyed = []
    for item in items:
        if bought is not None and item.id not in bought:
            continue
        purchase = None if bought is None else bought[item.id]
        terms = (1.0, False) if purchase is None else (purchase.inclusion, purchase.audit)
        draw = generator(seed, "label", expert, item.id)
        place = float(draw.random())
        first = tuple(draw.permutation(len(item.case.options)).tolist())
        keyed.append((place, Showing(item, 0, first, *terms)))
        if draw.random() < repeats:
            keyed.append((place + 0.5, Showing(item, 1, first[::-1], *terms)))
    return [showing for _, showing in sorted(keyed, key=lambda pair: (pair[0], pair[1].item.id))]


def label_cases(
    showings: Sequence[Showing],
    ledger: Ledger,
    expert: str,
    cost: float,
    ask: Callable[[str], str],
    show: Callable[[str], object],
    rubric: Rubric = DEFAULT_RUBRIC,
) -> int:
    """Shows what the ledger does not hold yet and enters the answers; how many.

    A case is shown as a language-model judge sees it: anonymous speakers, neutralised text, without label, domain,
    verdict or anybody else's answer.
    """
    done = {(label.item, label.repeat) for label in ledger.labels() if label.expert == expert}
    waiting = [s for s in showings if (s.item.id, s.repeat) not in done]
    given = 0
    if waiting:
        task = build_prompt(waiting[0].item.case, rubric, waiting[0].order, "").messages[0].text
        show(f"{task}\n\nAnswer with {HELP}.")
    for number, showing in enumerate(waiting, 1):
        case = showing.item.case
        letters = option_labels(len(case.options))
        prompt = build_prompt(case, rubric, showing.order, "")
        show("\n" + "\n\n".join(m.text for m in prompt.messages[1:] if m.text))
        value = _answer(f"[{number} of {len(waiting)}] {'/'.join(letters)}, skip or quit: ", letters, ask, show)
        if value == "quit":
            break
        chosen = None if value == "skip" else showing.order[letters.index(value)]
        ledger.append(
            Label(
                showing.item.id,
                expert,
                chosen,
                cost,
                showing.inclusion,
                showing.repeat,
                showing.item.domain,
                showing.audit,
            )
        )
        given += 1
    return given


def _answer(question: str, letters: Sequence[str], ask: Callable[[str], str], show: Callable[[str], object]) -> str:
    while True:
        try:
            text = ask(question).strip()
        except (EOFError, KeyboardInterrupt):
            return "quit"
        if text.lower() in ("skip", "quit"):
            return text.lower()
        if text.upper() in letters:
            return text.upper()
        show(f"Not readable: {text!r}. Expected {HELP}.")


def known_cost(labels: Sequence[Label], expert: str) -> float:
    """What this expert's last label cost; 0 without any."""
    return next((label.cost for label in reversed(labels) if label.expert == expert), 0.0)


def buy(
    items: Sequence[LabelledCase],
    labels: Sequence[Label],
    prices: Mapping[str, float],
    budget: float,
    seed: int,
) -> tuple[list[Purchase], list[str]]:
    """The labels to buy next, and what is known about the items, in words.

    Raises:
        UserError: no expert to ask, cases with different numbers of options, or a negative budget.
    """
    if not prices:
        raise UserError("--buy: name whom to ask and what they cost: --price EXPERT=DOLLARS")
    widths = {len(item.case.options) for item in items}
    if len(widths) > 1:
        raise UserError(f"--buy: {CLASSES_DIFFER.format(sorted(widths))}")
    least = min(prices.values())
    costs = {e: known_cost(labels, e) or least for e in sorted({x.expert for x in labels})} | dict(prices)
    try:
        beliefs, experts = believe(labels, {i.id: i.domain for i in items}, costs, widths.pop(), seed=seed)
        known = [e for e in experts if e.name in prices]
        purchases = route(beliefs, known, budget, seed=seed)
    except ValueError as error:
        raise UserError(f"--buy: {error}") from None
    states = [item_state(item, known) for item in beliefs]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("settled", "open", "irreducible"))
    return list(purchases), [f"{len(beliefs)} items: {counts}"]


def purchase_lines(purchases: Sequence[Purchase]) -> list[str]:
    """The shopping list as a table."""
    lines = ["| item | expert | dollars | bits | drawn by | probability |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {p.item} | {p.expert} | {p.cost:.2f} | {p.information:.3f} | {'chance' if p.audit else 'information'} "
        f"| {p.inclusion:.3f} |"
        for p in purchases
    ]
    return [*lines, f"{len(purchases)} labels for ${sum(p.cost for p in purchases):.2f}"]
