"""The ledger survives crashes, exchange keeps labels whole, and routing spends money better than asking everyone."""

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma

from judges.labels.belief import Expert, Item, believe
from judges.labels.exchange import (
    from_argilla,
    from_label_studio,
    read_labels,
    to_argilla,
    to_label_studio,
    write_labels,
)
from judges.labels.ledger import Label, Ledger, label_counts
from judges.labels.routing import Purchase, item_state, route
from judges.statistics.bayesian_classes import sample_classes
from judges.statistics.labelling import expected_information

# --- ledger --------------------------------------------------------------------------------------------------------


def test_ledger_keeps_everything_once_and_in_order(tmp_path: Path) -> None:
    labels = [Label(f"i{i}", "ann", i % 2, 2.5, 0.5, domain="law", audit=True) for i in range(5)] + [
        Label("i0", "bob", None)
    ]
    with Ledger(tmp_path / "labels.db") as ledger:
        assert [ledger.append(label) for label in labels] == [True] * 6
        assert ledger.append(labels[0]) is False
        assert ledger.extend(labels) == 0
        assert ledger.labels() == labels and len(ledger) == 6 and ledger.spent() == 12.5
        with pytest.raises(ValueError, match="labelled before"):
            ledger.append(Label("i0", "ann", 1, 2.5))
        assert ledger.append(Label("i0", "ann", 1, 2.5, repeat=1)) is True
    with Ledger(tmp_path / "labels.db", read_only=True) as reader:
        assert len(reader) == 7
        with pytest.raises(sqlite3.OperationalError):
            reader.append(Label("i9", "ann", 0))
    with pytest.raises(sqlite3.OperationalError):
        Ledger(tmp_path / "none.db", read_only=True)


def test_extend_is_all_or_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "labels.db") as ledger:
        ledger.append(Label("a", "ann", 0))
        with pytest.raises(ValueError, match="labelled before"):
            ledger.extend([Label("b", "ann", 0), Label("a", "ann", 1)])
        assert [label.item for label in ledger.labels()] == ["a"]


def test_nothing_in_the_ledger_can_be_changed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "labels.db") as ledger:
        ledger.append(Label("a", "ann", 0))
    raw = sqlite3.connect(tmp_path / "labels.db")
    for statement in ("DELETE FROM labels", "UPDATE labels SET content = '{}'"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw.execute(statement)
    raw.close()


WRITER = """
import sys
from judges.labels.ledger import Label, Ledger
with Ledger(sys.argv[1]) as ledger:
    for i in range(100_000):
        ledger.append(Label(f"i{i}", "ann", i % 2, 1.0))
        print(i, flush=True)
"""


def test_acknowledged_labels_survive_a_killed_writer(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    acknowledged = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "labels.db")],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        assert process.stdout is not None
        last = -1
        for line in process.stdout:
            last = int(line)
            if last >= acknowledged + 40:
                os.kill(process.pid, signal.SIGKILL)
                break
        rest = process.stdout.read().split()
        process.stdout.close()
        process.wait()
        acknowledged = max([last, *map(int, rest)])
        with Ledger(tmp_path / "labels.db", read_only=True) as reader:
            items = [label.item for label in reader.labels()]
        # All acknowledged are there, each once; at most the one in flight besides.
        assert items == [f"i{i}" for i in range(len(items))]
        assert acknowledged + 1 <= len(items) <= acknowledged + 2


@pytest.mark.parametrize(
    "bad",
    [
        {"item": ""},
        {"expert": ""},
        {"value": -1},
        {"value": 1.5},
        {"value": True},
        {"cost": -1.0},
        {"cost": math.nan},
        {"inclusion": 0.0},
        {"inclusion": 1.5},
        {"repeat": -1},
    ],
)
def test_labels_refuse_nonsense(bad: dict) -> None:
    with pytest.raises(ValueError, match="Label"):
        Label(**{"item": "a", "expert": "ann", "value": 0, **bad})


def test_label_counts() -> None:
    labels = [
        Label("a", "x", 1),
        Label("a", "x", 1, repeat=1),
        Label("b", "y", 0),
        Label("b", "x", None),
        Label("c", "x", 0),
    ]
    counts = label_counts(labels, ["a", "b"], ["x", "y"], 2)
    assert counts.tolist() == [[[0, 2], [0, 0]], [[0, 0], [1, 0]]]
    with pytest.raises(ValueError, match="class 1"):
        label_counts(labels, ["a"], ["x"], 1)


# --- exchange ------------------------------------------------------------------------------------------------------

some_labels = st.lists(
    st.builds(
        Label,
        item=st.text(min_size=1, max_size=5),
        expert=st.text(min_size=1, max_size=5),
        value=st.none() | st.integers(0, 9),
        cost=st.floats(0, 1e6),
        inclusion=st.floats(0.001, 1),
        repeat=st.integers(0, 3),
        domain=st.text(max_size=5),
        audit=st.booleans(),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(labels=some_labels)
def test_json_lines_read_back(tmp_path_factory: pytest.TempPathFactory, labels: list[Label]) -> None:
    path = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    write_labels(path, labels)
    assert read_labels(path) == labels


def test_json_lines_name_the_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    for bad in ('{"item": "a"}', "nonsense", '{"item": "a", "expert": "b", "value": 0, "colour": 1}', "[1]"):
        path.write_text('{"item": "a", "expert": "b", "value": 0}\n' + bad + "\n")
        with pytest.raises(ValueError, match="line 2"):
            read_labels(path)


def test_label_studio() -> None:
    tasks = to_label_studio({"q1": {"text": "Is it?"}})
    assert tasks == [{"data": {"text": "Is it?", "item": "q1"}}]

    def annotation(author: object, *choices: str, **more: object) -> dict:
        result = [{"type": "choices", "from_name": "verdict", "to_name": "text", "value": {"choices": list(choices)}}]
        return {"completed_by": author, "result": result if choices else [], **more}

    export = [
        {
            "id": 7,
            **tasks[0],
            "annotations": [
                annotation(1, "pro"),
                annotation({"id": 2, "email": "bob@example.org"}, "con"),
                annotation(3),
                annotation(4, "con", was_cancelled=True),
                annotation(1, "con"),
            ],
        },
        {"id": 8, "data": {}, "annotations": [annotation(1, "con")]},
    ]
    labels = from_label_studio(export, ["pro", "con"], cost=2.0)
    assert [(x.item, x.expert, x.value, x.repeat) for x in labels] == [
        ("q1", "1", 0, 0),
        ("q1", "bob@example.org", 1, 0),
        ("q1", "3", None, 0),
        ("q1", "1", 1, 1),
        ("8", "1", 1, 0),
    ]
    assert {x.cost for x in labels} == {2.0}
    assert from_label_studio(export, ["pro", "con"], question="other")[0].value is None
    with pytest.raises(ValueError, match="expected one of"):
        from_label_studio(export, ["yes", "no"])
    with pytest.raises(ValueError, match="author"):
        from_label_studio([{"id": 1, "annotations": [annotation(None, "pro")]}], ["pro"])


def test_argilla() -> None:
    records = to_argilla({"q1": {"text": "Is it?"}})
    assert records == [{"id": "q1", "fields": {"text": "Is it?"}}]
    answers = [
        {"value": "con", "user_id": "u1", "status": "submitted"},
        {"value": None, "user_id": "u2", "status": "discarded"},
        {"value": "pro", "user_id": "u3", "status": "draft"},
        {"value": "pro", "user_id": "u4"},
    ]
    labels = from_argilla([{**records[0], "responses": {"verdict": answers}}, {"id": "q2"}], "verdict", ["pro", "con"])
    assert [(x.item, x.expert, x.value) for x in labels] == [("q1", "u1", 1), ("q1", "u2", None), ("q1", "u4", 0)]
    with pytest.raises(ValueError, match="expected one of"):
        from_argilla([{"id": "q", "responses": {"v": answers}}], "v", ["yes", "no"])
    with pytest.raises(ValueError, match="author"):
        from_argilla([{"id": "q", "responses": {"v": [{"value": "pro"}]}}], "v", ["pro"])


# --- beliefs -------------------------------------------------------------------------------------------------------


def test_one_label_of_an_unknown_rater_moves_as_far_as_the_prior() -> None:
    # One item, one label: P(class = label) = E[accuracy] = 3/4 under Dirichlet(3, 1) rows and equal class shares.
    prior = np.array([[3.0, 1.0], [1.0, 3.0]])
    belief = sample_classes([[[1.0, 0.0]]], prior, sweeps=8_000)
    # Exactly: shares ~ Beta(1, 1) average to 1/2 given nothing, so the posterior is 3/4.
    assert belief.posterior[0, 0] == pytest.approx(0.75, abs=0.015)
    assert sample_classes(np.zeros((1, 1, 2)), prior, sweeps=5_000).posterior[0, 0] == pytest.approx(0.5, abs=0.02)


def _exact_posterior(counts: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """By enumeration of all true classes, confusion matrices and shares integrated out (Dirichlet-multinomial)."""
    from itertools import product

    from scipy.special import gammaln

    items, raters, classes = counts.shape
    total, weights = np.zeros((items, classes)), 0.0
    for truth in product(range(classes), repeat=items):
        shares = np.bincount(truth, minlength=classes)
        log = gammaln(1 + shares).sum()
        for r in range(raters):
            for k in range(classes):
                said = prior[k] + counts[[t == k for t in truth], r].sum(axis=0)
                log += gammaln(said).sum() - gammaln(said.sum())
        weights += math.exp(log)
        total += math.exp(log) * np.eye(classes)[list(truth)]
    return total / weights


def test_sampler_agrees_with_exact_enumeration() -> None:
    rng = np.random.default_rng(0)
    counts = np.eye(2)[rng.integers(0, 2, (6, 3))]
    counts[rng.random((6, 3)) < 0.3] = 0
    prior = np.array([[3.0, 1.0], [1.0, 3.0]])
    belief = sample_classes(counts, prior, sweeps=8_000, seed=1)
    np.testing.assert_allclose(belief.posterior, _exact_posterior(counts, prior), atol=0.02)
    np.testing.assert_allclose(belief.confusion.sum(axis=(1, 2)), counts.sum(axis=(0, 2)))


def _exact_shared(counts: np.ndarray, prior: np.ndarray, concentration: float) -> np.ndarray:
    """As `_exact_posterior`, where each rater's rows follow an accuracy of its own, integrated on a grid."""
    from itertools import product

    from scipy.special import gammaln
    from scipy.stats import beta

    items, raters, classes = counts.shape
    grid = (np.arange(200) + 0.5) / 200
    weight = beta(prior[0, 0], prior[0, 1:].sum()).pdf(grid) / 200
    total, weights = np.zeros((items, classes)), 0.0
    for truth in product(range(classes), repeat=items):
        log = gammaln(1 + np.bincount(truth, minlength=classes)).sum()
        for r in range(raters):
            likelihood = weight.copy()
            for k in range(classes):
                said = counts[[t == k for t in truth], r].sum(axis=0)
                for j in range(classes):
                    base = concentration * (grid if j == k else (1 - grid) / (classes - 1))
                    likelihood *= np.exp(gammaln(base + said[j]) - gammaln(base))
                likelihood /= np.exp(gammaln(concentration + said.sum()) - gammaln(concentration))
            log += np.log(likelihood.sum())
        weights += math.exp(log)
        total += math.exp(log) * np.eye(classes)[list(truth)]
    return total / weights


@pytest.mark.parametrize("concentration", [2.0, 30.0])
def test_shared_accuracies_agree_with_exact_enumeration(concentration: float) -> None:
    rng = np.random.default_rng(2)
    counts = np.eye(2)[rng.integers(0, 2, (5, 3))]
    counts[rng.random((5, 3)) < 0.3] = 0
    prior = np.array([[3.0, 1.0], [1.0, 3.0]])
    belief = sample_classes(counts, prior, sweeps=30_000, seed=1, concentration=concentration)
    np.testing.assert_allclose(belief.posterior, _exact_shared(counts, prior, concentration), atol=0.025)
    assert (belief.confusion + prior > 0).all()


def test_a_shared_accuracy_carries_from_one_class_to_the_other() -> None:
    """A rater seen only on items of class 0, where three others agree: it is believed about class 1 as well."""
    counts = np.zeros((20, 4, 2))
    counts[:, :, 0] = 1.0
    prior = np.array([[3.0, 1.0], [1.0, 3.0]])
    own = sample_classes(counts, prior, seed=3, concentration=50.0).confusion[0] + prior
    apart = sample_classes(counts, prior, seed=3).confusion[0] + prior
    assert own[1, 1] / own[1].sum() > 0.85 > 0.8 > apart[1, 1] / apart[1].sum()
    unseen = sample_classes(np.zeros((1, 1, 2)), prior, sweeps=4_000, seed=3, concentration=50.0).confusion[0] + prior
    assert unseen[0, 0] / unseen[0].sum() == pytest.approx(0.75, abs=0.02)
    assert 3.0 < unseen[0].sum() < 5.0  # as little is known as the prior says
    with pytest.raises(ValueError, match="whole counts"):
        sample_classes(np.full((1, 1, 2), 0.5), prior, concentration=5.0)


def test_sampler_refuses_bad_input() -> None:
    for labels, prior in (
        ([[1.0]], np.ones((2, 2))),
        (np.ones((1, 1, 2)), np.ones((3, 3))),
        (np.ones((1, 1, 2)), np.zeros((2, 2))),
    ):
        with pytest.raises(ValueError, match="sample_classes"):
            sample_classes(labels, prior)


def test_believe_learns_who_is_good_where() -> None:
    rng = np.random.default_rng(0)
    items = {f"i{i}": ("maths", "law")[i % 2] for i in range(160)}
    skill = {"m": (0.95, 0.6), "l": (0.6, 0.95), "g": (0.85, 0.85)}
    labels = []
    for item, domain in items.items():
        truth = int(rng.integers(0, 2))
        for expert, accuracies in skill.items():
            right = rng.random() < accuracies[domain == "law"]
            labels.append(Label(item, expert, truth if right else 1 - truth))
    found, experts = believe(labels, items, {"m": 1.0, "l": 1.0, "g": 1.0}, 2)
    by_name = {expert.name: expert for expert in experts}

    def accuracy(name: str, domain: str) -> float:
        counts = by_name[name].counts(domain, 2)
        return float(np.trace(counts) / counts.sum())

    assert accuracy("m", "maths") > 0.85 > 0.7 > accuracy("m", "law")
    assert accuracy("l", "law") > 0.85 > 0.7 > accuracy("l", "maths")
    assert found[0].asked == frozenset(skill)
    again, _ = believe(labels, items, {"m": 1.0, "l": 1.0, "g": 1.0}, 2)
    assert [a.posterior.tolist() for a in again] == [b.posterior.tolist() for b in found]


# --- routing -------------------------------------------------------------------------------------------------------


def _expert(name: str, cost: float, accuracy: float, weight: float = 1e6) -> Expert:
    row = weight * np.array([[accuracy, 1 - accuracy], [1 - accuracy, accuracy]])
    return Expert(name, cost, {"": row})


def _item(name: str, p: float, asked: frozenset[str] = frozenset()) -> Item:
    return Item(name, np.array([p, 1 - p]), asked=asked)


def test_route_buys_information_for_the_dollar() -> None:
    experts = [_expert("good", 1.0, 0.9), _expert("poor", 1.0, 0.6), _expert("dear", 20.0, 0.99)]
    items = [_item("even", 0.5), _item("leaning", 0.8), _item("settled", 0.96)]
    bought = route(items, experts, budget=2.0, uniform=1e-9)
    assert [(p.item, p.expert) for p in bought] == [("even", "good"), ("leaning", "good")]
    assert bought[0].information == pytest.approx(0.531, abs=0.002) and not bought[0].audit
    assert bought[0].information > bought[1].information
    assert route(items, experts, budget=0.5, uniform=1e-9) == ()
    assert route([], experts, 1.0) == () == route(items, [], 1.0)


@pytest.mark.parametrize("p", [0.5, 0.8, 0.999])
@pytest.mark.parametrize("weight", [0.0, 6.0, 1e6])
def test_an_answer_is_worth_what_it_tells_of_item_and_expert_together(p: float, weight: float) -> None:
    """I(answer; class, confusion) in closed form: E[θ log θ] of a Beta(a, b) is a/(a+b) (ψ(a+1) − ψ(a+b+1))."""
    expert = _expert("e", 1.0, 0.9, weight)
    counts = expert.counts("", 2)
    share = counts / counts.sum(axis=1, keepdims=True)
    inner = share * (digamma(counts + 1) - digamma(counts.sum(axis=1, keepdims=True) + 1))
    answer = np.array([p, 1 - p]) @ share
    bits = (np.array([p, 1 - p]) @ inner.sum(axis=1) - (answer * np.log(answer)).sum()) / math.log(2)
    options: dict = {"uniform": 1e-9, "settled": 0.9999, "least_information": 0.0}
    found = [route([_item("x", p)], [expert], 1.0, seed=s, **options)[0].information for s in range(200)]
    assert np.mean(found) == pytest.approx(bits, abs=0.01)
    known = expected_information(np.array([p, 1 - p]), share)
    assert (bits - known < 1e-4) == (weight == 1e6), "of an expert who is known it is the class alone"


def test_item_states() -> None:
    experts = [_expert("a", 1.0, 0.9), _expert("b", 1.0, 0.5)]
    assert item_state(_item("x", 0.95), experts) == "settled"
    assert item_state(_item("x", 0.6), experts) == "open"
    assert item_state(_item("x", 0.6, frozenset("a")), experts) == "irreducible"  # only the coin is left
    assert item_state(_item("x", 0.6, frozenset("ab")), experts) == "irreducible"


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.floats(0, 60), st.floats(0.01, 1))
def test_route_keeps_to_the_budget(seed: int, budget: float, uniform: float) -> None:
    rng = np.random.default_rng(seed)
    experts = [_expert(f"e{j}", float(rng.uniform(0.5, 8)), float(rng.uniform(0.5, 1)), 10) for j in range(3)]
    items = [
        _item(f"i{i}", float(rng.random()), frozenset(f"e{j}" for j in range(3) if rng.random() < 0.3))
        for i in range(12)
    ]
    bought = route(items, experts, budget, uniform=uniform, seed=seed)
    assert sum(p.cost for p in bought) <= budget + 1e-9
    asked = {item.name: item.asked for item in items}
    assert all(p.expert not in asked[p.item] for p in bought)
    assert len({p.item for p in bought}) == len(bought)
    assert all(0 < p.inclusion <= 1 for p in bought)
    assert bought == route(items, experts, budget, uniform=uniform, seed=seed)


def test_audits_draw_every_item_with_the_stated_probability() -> None:
    experts = [_expert("a", 1.0, 0.9), _expert("b", 3.0, 0.7)]
    items = [_item(f"i{i}", 0.99 if i < 5 else 0.5) for i in range(10)]  # settled ones too
    times, stated, runs = np.zeros(10), 0.0, 1_000
    for seed in range(runs):
        for purchase in route(items, experts, budget=12.0, uniform=0.2, seed=seed):
            if purchase.audit:
                times[int(purchase.item[1:])] += 1
                stated = purchase.inclusion
    assert stated == pytest.approx(0.24)  # 2.40 dollars at 1 dollar each, of ten items
    np.testing.assert_allclose(times / runs, stated, atol=4 * math.sqrt(0.24 * 0.76 / runs))


def test_unknown_experts_are_tried() -> None:
    experts = [_expert("known", 1.0, 0.75), Expert("new", 1.0)]
    tried = {p.expert for s in range(20) for p in route([_item("x", 0.5)], experts, 1.0, uniform=1e-9, seed=s)}
    assert "new" in tried  # of two with one mean, the less known one is expected to tell more


def test_nobody_is_bought_by_the_dozen_on_nothing_but_a_prior() -> None:
    items = [_item(f"i{k}", 0.5) for k in range(40)]
    experts = [Expert("cheap", 1.0), Expert("dear", 3.0), _expert("known", 2.0, 0.9, 6)]
    for trial in (1, 2, 5):
        bought = route(items, experts, 1_000.0, uniform=1e-9, trial=trial, seed=1)
        counts = {e.name: sum(p.expert == e.name for p in bought) for e in experts}
        assert counts == {"cheap": trial, "dear": trial, "known": 12}  # two rows of six labels each
    with pytest.raises(ValueError, match="trial"):
        route(items, experts, 1.0, trial=0)


def test_route_refuses_bad_input() -> None:
    good = [_expert("a", 1.0, 0.9)]
    for items, experts, budget, uniform in (
        ([_item("x", 0.5)] * 2, good, 1.0, 0.1),
        ([_item("x", 0.5)], good * 2, 1.0, 0.1),
        ([_item("x", 0.5), Item("y", np.ones(3) / 3)], good, 1.0, 0.1),
        ([_item("x", 0.5)], good, -1.0, 0.1),
        ([_item("x", 0.5)], good, 1.0, 0.0),
    ):
        with pytest.raises(ValueError, match="route"):
            route(items, experts, budget, uniform=uniform)
    with pytest.raises(ValueError, match="distribution"):
        _item("x", 1.5)
    with pytest.raises(ValueError, match="cost"):
        Expert("a", 0.0)


# --- what routing saves --------------------------------------------------------------------------------------------

Policy = Callable[[list[Item], list[Expert], float, int], tuple[Purchase, ...]]
# expert → cost, accuracy in maths, accuracy in law
SPECIALISTS = {
    "m1": (5, 0.95, 0.6),
    "m2": (5, 0.9, 0.55),
    "l1": (5, 0.6, 0.95),
    "l2": (5, 0.55, 0.9),
    "c": (1, 0.7, 0.7),
}
LADDER = {
    "prof_m": (10, 0.97, 0.65),
    "prof_l": (10, 0.65, 0.97),
    "grad_m": (4, 0.9, 0.6),
    "grad_l": (4, 0.6, 0.9),
    "crowd1": (1, 0.68, 0.68),
    "crowd2": (1, 0.65, 0.65),
}


def _ask_uniformly(items: list[Item], experts: list[Expert], budget: float, seed: int) -> tuple[Purchase, ...]:
    pairs = [(item, expert) for item in items for expert in experts if expert.name not in item.asked]
    bought = []
    for i in np.random.default_rng(seed).permutation(len(pairs)):
        item, expert = pairs[i]
        if expert.cost <= budget:
            bought.append(Purchase(item.name, expert.name, expert.cost, 0.0, 1.0, True))
            budget -= expert.cost
    return tuple(bought)


def _ask_routed(items: list[Item], experts: list[Expert], budget: float, seed: int) -> tuple[Purchase, ...]:
    return route(items, experts, budget, seed=seed)


def _money_until(policy: Policy, world: dict, seed: int, *, items: int, panel: int, accuracy: float) -> float:
    """Dollars spent after the panel until that share of the items is classified rightly."""
    rng = np.random.default_rng(seed)
    domains = {f"i{i}": ("maths", "law")[i % 2] for i in range(items + panel)}
    truth = {name: int(rng.integers(0, 2)) for name in domains}
    costs = {name: float(row[0]) for name, row in world.items()}
    answer = {
        (item, expert): truth[item] ^ int(rng.random() > world[expert][1 + (domain == "law")])
        for item, domain in domains.items()
        for expert in world
    }
    labels = [Label(item, expert, answer[item, expert]) for item in list(domains)[items:] for expert in world]
    spent = 0.0
    for step in range(200):
        found, experts = believe(labels, domains, costs, 2, sweeps=150)
        right = [
            0.5 if x.posterior[0] == x.posterior[1] else float(int(x.posterior.argmax()) == truth[x.name])
            for x in found[:items]
        ]
        if np.mean(right) >= accuracy:
            return spent
        # The panel's items are done: neither policy spends on them.
        for purchase in policy(found[:items], experts, 60.0, 1_000 * seed + step):
            labels.append(Label(purchase.item, purchase.expert, answer[purchase.item, purchase.expert]))
            spent += purchase.cost
    raise AssertionError(f"accuracy {accuracy} was not reached")


def _share_of_money(world: dict, seeds: range, items: int, panel: int) -> float:
    routed, uniform = (
        sum(_money_until(policy, world, s, items=items, panel=panel, accuracy=0.9) for s in seeds)
        for policy in (_ask_routed, _ask_uniformly)
    )
    return routed / uniform


def test_routing_saves_two_fifths_of_the_money() -> None:
    assert _share_of_money(SPECIALISTS, range(3), items=80, panel=40) <= 0.6


@pytest.mark.slow
@pytest.mark.parametrize("world", [SPECIALISTS, LADDER], ids=["specialists", "ladder"])
def test_routing_saves_two_fifths_of_the_money_long(world: dict) -> None:
    assert _share_of_money(world, range(10, 20), items=120, panel=40) <= 0.6


def test_labels_are_plain_json(tmp_path: Path) -> None:
    write_labels(tmp_path / "x.jsonl", [Label("a", "b", 1)])
    assert json.loads((tmp_path / "x.jsonl").read_text())["value"] == 1
