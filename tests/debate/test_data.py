"""Data adapters: what each makes of its rows, how splits and limits work, and what is said of bad rows."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from debate.data import ADAPTERS, data_hashes, load_questions
from debate.errors import UserError
from debate.questions import Question


def evidence(seed: int = 0, **settings: Any) -> list[Question]:
    return load_questions({"adapter": "evidence", **settings}, seed)


def write(path: Path, rows: list[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# --- the evidence generator --------------------------------------------------------------------------------------


def test_evidence_questions_are_the_sign_of_a_sum_that_is_never_zero() -> None:
    questions = evidence(n=12, split="train", limit=2000)
    assert len(questions) == 2000
    for question in questions:
        weights = [int(item) for item in question.items]
        assert len(weights) == 12
        assert {abs(w) for w in weights} <= {1, 2, 4, 8, 16}
        assert all(item[0] in "+-" for item in question.items)
        assert question.options == ("positive", "negative")
        assert sum(weights) != 0
        assert question.label == (0 if sum(weights) > 0 else 1)
    drawn = np.array([[int(item) for item in q.items] for q in questions])
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [-16, -8, -4, -2, -1, 1, 2, 4, 8, 16]
    # Each of the ten weights has probability .1; 24,000 draws, so five standard errors are .0097.
    assert np.abs(counts / drawn.size - 0.1).max() < 0.0097


@given(st.integers(0, 2**31), st.integers(2, 6))
def test_held_out_and_training_questions_never_coincide_in_any_order(seed: int, n: int) -> None:
    def sets(split: str) -> set[tuple[str, ...]]:
        return {tuple(sorted(q.items)) for q in evidence(seed, n=n, split=split, limit=40)}

    assert not sets("train") & sets("test")


def test_the_same_seed_gives_the_same_questions_whatever_the_limit() -> None:
    assert evidence(3, split="test", limit=50)[:20] == evidence(3, split="test", limit=20)
    assert evidence(3, split="test", limit=20) != evidence(4, split="test", limit=20)
    both = evidence(3, limit=40)
    assert {q.id for q in both} == {q.id for s in ("train", "test") for q in evidence(3, split=s, limit=20)}
    assert {i.lstrip("+-") for q in evidence(powers=[0, 3], n=4, split="train", limit=50) for i in q.items} == {
        "1",
        "8",
    }


def test_optimal_play_on_evidence_questions_reaches_the_known_accuracy() -> None:
    """With k = 2 the judge ends at the sign of (two greatest + two least), a tie being ½: right in .841 of them."""
    accuracy = []
    for question in evidence(n=12, split="test", limit=4000):
        weights = sorted(int(item) for item in question.items)
        shown = sum(weights[:2]) + sum(weights[-2:])
        accuracy.append(0.5 if shown == 0 else float((shown > 0) == (question.label == 0)))
    assert abs(np.mean(accuracy) - 0.841) < 5 * np.std(accuracy) / np.sqrt(len(accuracy))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0, "limit": 1}, "n must be whole numbers from 1"),
        ({"n": 2.5, "limit": 1}, "n must be whole numbers"),
        ({"powers": [], "limit": 1}, "powers must be a list"),
        ({"powers": [-1], "limit": 1}, "powers must be whole numbers from 0"),
        ({}, "give limit"),
        ({"limit": 0}, "limit must be a whole number above 0"),
        ({"split": "validation", "limit": 1}, "split must be train or test"),
        ({"path": "x", "limit": 1}, "reads no path"),
        ({"power": [1], "limit": 1}, r"no setting 'power' \(did you mean \"powers\"\?\)"),
        ({"n": 1, "powers": [5], "split": "train", "limit": 1}, "finds no train question"),
    ],
)
def test_bad_settings_of_the_generator_are_told(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        evidence(**settings)


# --- splits, limits, paths -----------------------------------------------------------------------------------------


def native(path: Path, count: int) -> Path:
    return write(
        path,
        [{"id": f"q{i}", "question": f"Is {i} even?", "options": ["yes", "no"], "label": i % 2} for i in range(count)],
    )


def test_native_files_are_read_and_split_by_the_question_itself(tmp_path: Path) -> None:
    path = str(native(tmp_path / "q.jsonl", 200))
    whole = load_questions({"path": path})
    train, test = (load_questions({"path": path, "split": split}) for split in ("train", "test"))
    assert sorted(q.id for q in train + test) == sorted(q.id for q in whole)
    assert 0.1 < len(test) / len(whole) < 0.3
    assert load_questions({"path": path, "split": "test"}, seed=99) == test, "the run's seed does not move the split"
    assert load_questions({"path": path, "split": "test", "limit": 5}) == test[:5]
    native(tmp_path / "q.jsonl", 100)
    assert {q.id for q in load_questions({"path": path, "split": "test"})} <= {q.id for q in test}


def test_each_split_may_have_its_own_file(tmp_path: Path) -> None:
    native(tmp_path / "train.jsonl", 10)
    native(tmp_path / "test.jsonl", 7)
    for split, count in (("train", 10), ("test", 7)):
        assert len(load_questions({"path": "{split}.jsonl", "split": split}, beside=tmp_path)) == count
    with pytest.raises(UserError, match="a file for each split; give split"):
        load_questions({"path": "{split}.jsonl"}, beside=tmp_path)
    native(tmp_path / "one.jsonl", 1)
    results = []
    for split in ("train", "test"):
        try:
            results.append(len(load_questions({"path": "one.jsonl", "split": split}, beside=tmp_path)))
        except UserError as error:
            assert "none of its 1 questions falls into this split" in str(error)
            results.append(0)
    assert sorted(results) == [0, 1]


def test_a_variable_that_is_not_set_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native(tmp_path / "q.jsonl", 3)
    monkeypatch.setenv("MY_DATA", str(tmp_path))
    assert len(load_questions({"path": "${MY_DATA}/q.jsonl"})) == 3
    assert list(data_hashes({"path": "${MY_DATA}/q.jsonl"})) == ["${MY_DATA}/q.jsonl"]
    monkeypatch.delenv("MY_DATA")
    with pytest.raises(UserError, match=r"environment variable MY_DATA is not set"):
        load_questions({"path": "${MY_DATA}/q.jsonl"})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"adapter": "bolq"}, r'unknown adapter \'bolq\' \(did you mean "boolq"\?\)'),
        ({"adapter": "boolq"}, "adapter 'boolq' needs a path"),
        ({"adapter": "boolq", "path": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
        ({"path": 3}, "path and split must be texts"),
        ({"path": "x", "limit": True}, "limit must be a whole number"),
    ],
)
def test_bad_specifications_are_told(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_questions(spec)


# --- rows of each adapter -----------------------------------------------------------------------------------------


def load(adapter: str, path: Path, seed: int = 0, **settings: Any) -> list[Question]:
    return load_questions({"adapter": adapter, "path": str(path), **settings}, seed)


def test_gsm8k_takes_the_final_number(tmp_path: Path) -> None:
    answers = ["so 2+2=<<2+2=4>>4\n#### 4", "#### 1,234", "#### -5", "#### 0.5"]
    path = write(tmp_path / "g.jsonl", [{"question": f"Q{i}?", "answer": a} for i, a in enumerate(answers)])
    assert [q.gold for q in load("gsm8k", path)] == ["4", "1234", "-5", "0.5"]
    assert load("gsm8k", path)[0] == Question("g-00000", "Q0?", gold="4")


def test_gsm8k_pairs_shuffle_right_and_wrong(tmp_path: Path) -> None:
    def row(i: int, *marks: bool) -> dict[str, Any]:
        models = {f"m{k}": {"is_correct": ok, "solution": f"{ok} by <<1+1=2>>m{k}"} for k, ok in enumerate(marks)}
        return {"question": f"Q{i}?", "ground_truth": "A: 1", **models}

    rows = [row(i, True, False, False, True) for i in range(60)] + [row(60, True, True), row(61, False, False)]
    path = write(tmp_path / "p.jsonl", rows)
    questions = load("gsm8k_pairs", path)
    assert len(questions) == 60, "questions without a right and a wrong solution are left out"
    for question in questions:
        assert question.options == ("Answer 1", "Answer 2")
        first, second = question.material.split("\n\nAnswer 2:\n")
        shown = [first.removeprefix("Answer 1:\n"), second]
        assert question.label is not None
        assert shown[question.label].startswith("True")
        assert shown[1 - question.label].startswith("False")
        assert "<<" not in question.material
    assert 15 <= sum(q.label == 0 for q in questions) <= 45
    assert load("gsm8k_pairs", path) == questions
    assert load("gsm8k_pairs", path, seed=1) != questions


def test_boolq_hides_the_passage_in_the_material(tmp_path: Path) -> None:
    rows = [{"question": "is ice cold", "passage": "Ice is cold.", "answer": True}]
    rows.append({"question": "is fire cold?", "passage": "Fire is hot.", "answer": False})
    assert load("boolq", write(tmp_path / "b.jsonl", rows)) == [
        Question("b-00000", "Is ice cold?", ("yes", "no"), 0, "Ice is cold."),
        Question("b-00001", "Is fire cold?", ("yes", "no"), 1, "Fire is hot."),
    ]


def test_truthfulqa_sets_the_best_against_an_incorrect_answer(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [f'Q{i}?,"Best, {i}","Best, {i}; wrong a; wrong b;"' for i in range(60)]
    path.write_text("\ufeffQuestion,Best Answer,Incorrect Answers\n" + "\n".join(lines), encoding="utf-8")
    questions = load("truthfulqa", path)
    for i, question in enumerate(questions):
        assert question.label is not None
        assert question.options[question.label] == f"Best, {i}"
        assert question.options[1 - question.label] in ("wrong a", "wrong b")
    assert 15 <= sum(q.label == 0 for q in questions) <= 45


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_any_columns_of_any_local_file(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"stem": "What is red?", "a": "sky", "b": "blood", "key": "B"},
        {"stem": "What is wet?", "a": "water", "b": "fire", "key": "A"},
    ]
    path = tmp_path / f"x.{suffix}"
    if suffix == "jsonl":
        write(path, rows)
    elif suffix == "json":
        path.write_text(json.dumps(rows))
    elif suffix == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        separator = "," if suffix == "csv" else "\t"
        path.write_text("\n".join(separator.join(r) for r in [list(rows[0]), *(list(r.values()) for r in rows)]))
    columns = {"question": "stem", "options": ["a", "b"], "label": "key"}
    assert load("hf", path, columns=columns, labels=["A", "B"]) == [
        Question("x-all-000000", "What is red?", ("sky", "blood"), 1),
        Question("x-all-000001", "What is wet?", ("water", "fire"), 0),
    ]


def test_nested_columns_constant_options_and_label_forms(tmp_path: Path) -> None:
    rows = [{"id": 7, "q": "?", "c": {"text": ["u", "v"]}, "label": "v", "n": "1", "t": True}]
    path = write(tmp_path / "x.jsonl", rows)
    nested = {"id": "id", "question": "q", "options": "c.text", "label": "label"}
    assert load("hf", path, columns=nested) == [Question("7", "?", ("u", "v"), 1)]
    assert load("hf", path, columns={"question": "q", "label": "n"}, choices=["no", "yes"])[0].label == 1
    boolean = load("hf", path, columns={"question": "q", "label": "t"}, choices=[True, False], labels=[True, False])[0]
    assert (boolean.options, boolean.label) == (("yes", "no"), 0)


HUB = """
import sys
from debate.data import load_questions
from debate.errors import UserError
spec = {"adapter": "hf", "path": sys.argv[1], "columns": {"question": "q", "label": "a"}, "choices": ["yes", "no"]}
for split in ("train", "test"):
    questions = load_questions({**spec, "split": split})
    print(split, *(f"{q.id}:{q.question}:{q.options[q.label]}" for q in questions))
try:
    load_questions({**spec, "path": "nobody/nothing", "split": "train"})
except UserError as error:
    print(str(error).partition(" (")[0])
"""


def test_a_data_set_of_the_datasets_package_is_read_by_its_own_splits(tmp_path: Path) -> None:
    """A folder laid out as on the hub, opened through the package `datasets`, in a process of its own and offline."""
    pytest.importorskip("datasets")
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder / "train.jsonl", [{"q": f"t{i}?", "a": ("yes", "no")[i % 2]} for i in range(3)])
    write(folder / "test.jsonl", [{"q": "e0?", "a": "no"}, {"q": "e1?", "a": "yes"}])
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", HUB, str(folder)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == [
        "train mine-train-000000:t0?:yes mine-train-000001:t1?:no mine-train-000002:t2?:yes",
        "test mine-test-000000:e0?:no mine-test-000001:e1?:yes",
        "data: nobody/nothing: cannot be loaded by the package datasets",
    ], done.stderr


BAD_ROWS = [
    ("gsm8k", {"question": "Q?"}, "field 'answer' is missing; the row has question"),
    ("gsm8k", {"question": "Q?", "answer": "four"}, "field 'answer': expected it to end in '#### number'"),
    ("gsm8k", {"question": " ", "answer": "#### 1"}, "field 'question': expected a text that is not empty"),
    ("gsm8k_pairs", {"question": "Q?", "m": {"solution": "x"}}, "m: field 'is_correct' is missing"),
    ("boolq", {"question": "q", "passage": "p", "answer": "yes"}, "field 'answer': expected true or false, got 'yes'"),
    ("hf", {"q": "x"}, "field 'question' is missing"),
]


@pytest.mark.parametrize(("adapter", "row", "message"), BAD_ROWS)
def test_a_bad_row_is_told_with_file_line_and_field(
    tmp_path: Path, adapter: str, row: dict[str, Any], message: str
) -> None:
    good = {
        "gsm8k": {"question": "Q?", "answer": "#### 1"},
        "gsm8k_pairs": {"question": "Q?"},
        "boolq": {"question": "q", "passage": "p", "answer": True},
        "hf": {"question": "q"},
    }[adapter]
    path = write(tmp_path / "rows.jsonl", [good, row])
    with pytest.raises(UserError, match=r"rows\.jsonl:2") as caught:
        load(adapter, path)
    assert message in str(caught.value)


def test_damaged_files_are_told(tmp_path: Path) -> None:
    cases = {
        "a.jsonl": "{",
        "a.json": "{}",
        "b.json": "[1]",
        "c.json": "[",
        "a.csv": 'a,b\n"x',
        "a.parquet": "no",
        "a.txt": "",
    }
    for name, content in cases.items():
        (tmp_path / name).write_text(content)
        adapter = "boolq" if name == "a.txt" else "hf"
        with pytest.raises(UserError, match=name):
            load(adapter, tmp_path / name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": {"options": "a"}}, "'question' among them"),
        ({"columns": {"question": "q", "lable": "a"}}, "columns.lable: no such field"),
        ({"columns": {"question": 3}}, "columns.question: expected the name of a column"),
        ({"columns": {"question": "q", "options": "a"}, "choices": ["x"]}, "not both"),
        ({"columns": {"question": "q", "label": "l"}, "choices": ["x", "y"], "labels": [5]}, "label 'z' is none of"),
    ],
)
def test_bad_column_settings_are_told(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "x.jsonl", [{"q": "?", "a": ["x"], "l": "z"}])
    with pytest.raises(UserError, match=message):
        load("hf", path, **settings)


# --- the real files -----------------------------------------------------------------------------------------------

needs_data = pytest.mark.skipif("DEBATE_DATA" not in os.environ, reason="DEBATE_DATA is not set: no real data to read")
REAL = [
    ("gsm8k", "gsm8k_test.jsonl", 1319),
    ("gsm8k", "gsm8k_train.jsonl", 7473),
    ("gsm8k_pairs", "gsm8k_model_solutions.jsonl", 731),
    ("boolq", "boolq_dev.jsonl", 3270),
    ("truthfulqa", "truthfulqa.csv", 813),
]


@needs_data
@pytest.mark.parametrize(("adapter", "name", "count"), REAL)
def test_published_files_are_read_whole(adapter: str, name: str, count: int) -> None:
    questions = load_questions({"adapter": adapter, "path": "${DEBATE_DATA}/" + name})
    assert len(questions) == count
    if questions[0].options:
        share = sum(q.label == 0 for q in questions) / count
        assert 0.4 < share < 0.7, "the order of the answers tells nothing (BoolQ: 62 % of its answers are yes)"


def test_every_adapter_has_a_reader() -> None:
    for adapter in ADAPTERS.values():
        assert callable(adapter.read)
