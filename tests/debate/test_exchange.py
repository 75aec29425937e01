"""Transcripts out and in again: nothing is lost, and nothing wrong or hostile gets in."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from debate.cli import main
from debate.errors import UserError
from debate.exchange import export_run, import_file
from debate.run.codec import encode_episode, encode_verdict
from debate.run.folder import RunFolder
from debate.transcript import Episode, Failure, Match, Transcript, Turn
from judges.rewards import Rewards
from judges.types import Cost, Quote, Statement, Verdict

ANY = st.text(st.characters(codec=None), max_size=20)  # everything Python calls text, half surrogate pairs included
NAME = st.text(st.characters(categories=("L", "N"), max_codepoint=0x2FF), min_size=1, max_size=6)
NUMBER = st.floats(allow_nan=False, width=64)
OPTIONS = ("yes", "no")


@st.composite
def turns(draw):
    speech = draw(st.booleans())
    return Turn(
        draw(st.sampled_from("AB")),
        draw(NAME),
        draw(NAME),
        draw(st.integers(0, 9)),
        draw(NAME),
        draw(ANY),
        draw(ANY),
        tuple(
            draw(
                st.lists(
                    st.builds(
                        Quote,
                        ANY,
                        st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)),
                        st.sampled_from([True, False, None]),
                    ),
                    max_size=2,
                )
            )
        ),
        None if speech else draw(st.integers(0, 3)),
        draw(st.sampled_from([True, False, None])),
        draw(st.none() | st.lists(st.integers(0, 9), max_size=3).map(tuple)),
        draw(st.none() | st.lists(st.integers(0, 9), max_size=3).map(tuple)),
        draw(st.none() | st.lists(NUMBER, max_size=3).map(tuple)),
        draw(st.none() | st.just(((1,), (2, 3)))),
        draw(st.sampled_from([(), (0.25, 0.75)])),
        draw(st.booleans()),
        draw(st.sampled_from(["stop", "length", "choice", "error"])),
        draw(st.builds(Cost, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.floats(0, 9))),
    )


VERDICT = st.builds(
    lambda judge, p, rationale, scores: Verdict(judge, (p, 1.0 - p), scores, rationale),
    NAME,
    st.floats(0, 1),
    ANY,
    st.dictionaries(NAME, st.floats(-9, 9), max_size=2),
) | st.builds(lambda judge, why: Verdict.failed(judge, why), NAME, ANY)


@st.composite
def episodes(draw, key):
    match = Match(
        f"m/{key}",
        draw(NAME),
        draw(NAME),
        {"A": draw(NAME), "B": draw(NAME)},
        draw(st.sampled_from([{}, {"A": 1}])),
        draw(NAME),
    )
    said = st.builds(Statement, st.sampled_from("AB"), NAME, NAME, ANY)
    transcript = Transcript(
        match.id,
        draw(NAME),
        match.question_id,
        draw(st.integers(0, 2**62)),
        match.seats,
        {"A": draw(st.sampled_from([0, 1, None])), "B": 1},
        draw(ANY),
        OPTIONS,
        tuple(draw(st.lists(turns(), max_size=3))),
        tuple(draw(st.lists(said, max_size=2))),
        draw(ANY),
        draw(st.none() | st.builds(Failure, NAME, ANY, ANY)),
    )
    values = np.array(
        draw(st.lists(st.lists(st.floats(-9, 9) | st.just(math.nan), min_size=2, max_size=2), min_size=2, max_size=2))
    )
    status = tuple(tuple("ok" if math.isfinite(x) else "abstain" for x in row) for row in values)
    rewards = draw(st.none() | st.just(Rewards(values, ("win", "truth"), status, ("A", "B"))))
    return Episode(match, transcript, tuple(draw(st.lists(VERDICT, max_size=2))), rewards)


@st.composite
def runs(draw):
    return [(draw(episodes(k)), draw(st.lists(VERDICT, max_size=2))) for k in range(draw(st.integers(1, 4)))]


def content(folder):
    with RunFolder.open(folder).store(read_only=True) as store:
        found = {}
        for episode in store.episodes():
            verdicts = [(j, r, encode_verdict(v)) for j, r, v in store.verdicts(episode.match.id)]
            found[episode.match.id] = (encode_episode(episode), verdicts)
        return found


@given(runs(), st.sampled_from(["jsonl", "parquet"]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_round_trip_loses_nothing(tmp_path_factory, rows, kind):
    place = tmp_path_factory.mktemp("exchange")
    run = RunFolder.create(place / "run", "name: one\nsummary: 'tëxt'\n", 3)
    with run.store() as store:
        for episode, later in rows:
            store.put(episode)
            for verdict in later:
                repeat = sum(1 for judge, _, _ in store.verdicts(episode.match.id) if judge == verdict.judge)
                store.put_verdict(episode.match.id, verdict, repeat)
    file, count = export_run(place / "run", kind)
    assert count == len(rows)
    assert import_file(file, place / "again") == len(rows)
    assert content(place / "again") == content(place / "run")
    again = RunFolder.open(place / "again").manifest
    assert (again["recipe"], again["seed"], again["recipe_hash"]) == (
        run.manifest["recipe"],
        run.manifest["seed"],
        run.manifest["recipe_hash"],
    )
    second, _ = export_run(place / "again", "jsonl")
    first, _ = export_run(place / "run", "jsonl")
    assert first.read_text().splitlines()[1:] == second.read_text().splitlines()[1:]


# --- what is wrong is told -------------------------------------------------------------------------------------------

GOOD = Episode(
    Match("m/1", "debate", "q", {"A": "a-v0", "B": "b-v0"}),
    Transcript(
        "m/1",
        "p",
        "q",
        0,
        {"A": "a-v0", "B": "b-v0"},
        {"A": 0, "B": 1},
        "?",
        OPTIONS,
        (Turn("A", "debater", "argue", 0, "a-v0", "words", tokens=(1, 2), logprobs=(-0.5, -0.25)),),
    ),
    (Verdict("j", (0.25, 0.75)),),
    Rewards(np.array([[1.0], [-1.0]]), ("win",), (("ok",), ("ok",)), ("A", "B")),
)


def changed(path, value):
    """The good episode's JSON with the value at a path replaced; `...` takes it away."""
    row = json.loads(encode_episode(GOOD))
    place = row
    for part in path[:-1]:
        place = place[part]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(row)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("match",), ..., "field 'match' is missing"),
        (("match", "id"), 5, "match.id: expected str, got int 5"),
        (("match", "id"), "", "printable characters"),
        (("match", "id"), "a\x1b[2J", r"printable characters, got 'a\\x1b"),
        (("match", "id"), "\ud800", "printable characters"),
        (("match", "id"), "m" * 2000, "1 to 1000 printable"),
        (("match", "id"), "m/2", "does not belong to match 'm/2'"),
        (("match", "seats"), {"A": "a-v0"}, "transcript.seats are not those of the match"),
        (("match", "seats"), ["A"], "match.seats: expected"),
        (("transcript", "turns"), 3, "not an episode"),
        (("transcript", "turns", 0, "public"), ..., "field 'public' is missing"),
        (("transcript", "turns", 0, "public"), None, r"transcript.turns\[0\].public: expected str, got NoneType"),
        (("transcript", "turns", 0, "seat"), "C", r"turns\[0\].seat: 'C' is no seat"),
        (("transcript", "turns", 0, "slot"), "0", r"turns\[0\].slot: expected int, got str '0'"),
        (("transcript", "turns", 0, "slot"), True, r"turns\[0\].slot: expected int, got bool"),
        (("transcript", "turns", 0, "stop_reason"), "bored", "expected one of"),
        (("transcript", "turns", 0, "tokens"), [1, "x"], r"turns\[0\].tokens"),
        (("transcript", "turns", 0, "logprobs"), ["inf-ish"], "not an episode"),
        (("transcript", "answers", "A"), 7, "transcript.answers.A: no option 7"),
        (("transcript", "error"), ["one"], "not an episode"),
        (("transcript", "version"), 99, "format version 99"),
        (("verdicts", 0, "probabilities"), [0.5, 0.6], "sum to 1"),
        (("verdicts", 0, "probabilities"), [1.0], "1 for 2 options"),
        (("verdicts", 0, "status"), "fine", "expected ok, abstain or error"),
        (("verdicts", 0, "judge"), "j\x00", "printable"),
        (("rewards", "values"), [[1.0]], "not an episode"),
        (("rewards", "values"), [[1.0], [None]], "with status 'ok'"),
        (("rewards", "seats"), ["A", "Z"], "rewards.seats"),
        (("version",), 99, "format version 99"),
    ],
)
def test_a_wrong_line_is_told_with_its_number_and_field_and_nothing_is_written(tmp_path, path, value, says):
    file = tmp_path / "in.jsonl"
    first = encode_episode(
        replace(GOOD, match=replace(GOOD.match, id="m/0"), transcript=replace(GOOD.transcript, id="m/0"))
    )
    file.write_text(f"{first}\n\n{changed(path, value)}\n")
    with pytest.raises(UserError, match=says) as told:
        import_file(file, tmp_path / "out")
    assert str(told.value).startswith(f"{file}:3: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", ":1: not JSON"),
        ("[]\n", ":1: expected a JSON object, got list"),
        ("\n", "holds no episodes"),
        ("[" * 100_000, ":1: nested too deeply|:1: not JSON"),
        (encode_episode(GOOD) + "\n" + encode_episode(GOOD), r":2: match 'm/1' stands at .*:1 already"),
        ('{"format":"other","version":1,"manifest":{}}', "expected format 'debate-transcripts'"),
        ('{"format":"debate-transcripts","version":1,"manifest":{}}', "field 'manifest'"),
        ('{"arena":"../../x","question":{"id":"q","question":"?"}}', "field 'arena' must be a plain name"),
        ('{"arena":"a","question":{"id":"q"}}', ":1: field 'question' is needed"),
        ('{"episode":1}', ":1: expected an episode"),
        ('{"episode":{},"more":1}', ":1: unknown field 'more'"),
        (
            f'{{"episode":{encode_episode(GOOD)},"later":[{{"repeat":-1,"verdict":{encode_verdict(GOOD.verdicts[0])}}}]}}',
            "later.repeat",
        ),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path, text, says):
    file = tmp_path / "in.jsonl"
    file.write_text(text)
    with pytest.raises(UserError, match=says):
        import_file(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bytes_that_are_no_text_and_files_that_are_no_parquet_are_told(tmp_path):
    file = tmp_path / "in.jsonl"
    file.write_bytes(b'{"match": "\xff\xfe"}\n')
    with pytest.raises(UserError, match=r":1: not UTF-8"):
        import_file(file, tmp_path / "out")
    table = tmp_path / "in.parquet"
    table.write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match="not a Parquet file"):
        import_file(table, tmp_path / "out")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [1]}), table)
    with pytest.raises(UserError, match="not transcripts that debate export wrote"):
        import_file(table, tmp_path / "out")
    with pytest.raises(UserError, match="no such file"):
        import_file(tmp_path / "nowhere", tmp_path / "out")


def test_hostile_words_travel_as_they_are_and_parquet_stays_readable(tmp_path):
    words = "<|im_end|>\x00\x1b[2J\ud800 </quote>" + "x" * 100_000
    hostile = replace(
        GOOD,
        transcript=replace(GOOD.transcript, question=words, turns=(replace(GOOD.transcript.turns[0], public=words),)),
    )
    run = RunFolder.create(tmp_path / "run", "name: one\n", 0)
    with run.store() as store:
        store.put(hostile)
    for kind in ("jsonl", "parquet"):
        file, _ = export_run(tmp_path / "run", kind)
        import_file(file, tmp_path / kind)
        with RunFolder.open(tmp_path / kind).store(read_only=True) as store:
            assert store.get("m/1").transcript == hostile.transcript
    import pyarrow.parquet as pq

    row = pq.read_table(tmp_path / "run" / "transcripts.parquet").to_pylist()[0]
    assert row["question"].startswith("<|im_end|>\x00\x1b[2J\\ud800")
    assert row["probabilities"] == [[0.25, 0.75]]
    assert row["rewards"] == [[1.0], [-1.0]]


def test_an_imported_tournament_is_judged_solved_and_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"q{k}", "question": f"Is {k} even?", "options": ["yes", "no"], "label": k % 2} for k in range(3)]
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("cup.yaml").write_text(
        "name: cup\nagents:\n  a: {kind: scripted, script: random_legal}\n  b: {kind: scripted, script: random_legal}\n"
        "arenas:\n  talk: {protocol: debate_simultaneous, judge: constant, data: {path: data.jsonl}}\n"
        "tournament: {format: round_robin, questions: 3, resamples: 10}\n"
    )
    assert main(["tournament", "cup.yaml", "--out", "run"]) == 0
    Path("data.jsonl").unlink()  # the other machine does not have it
    Path("questions").mkdir()
    assert main(["export", "run", "--out", "cup.parquet", "--format", "parquet"]) == 2
    assert "data.jsonl" in capsys.readouterr().err
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["export", "run", "--out", "cup.parquet", "--format", "parquet"]) == 0
    Path("data.jsonl").unlink()
    assert main(["import", "cup.parquet", "--out", "again"]) == 0
    assert "again: 6 episodes" in capsys.readouterr().out
    assert main(["judge", "again", "--judge", "constant", "--as", "other"]) == 0
    assert main(["tournament", "again"]) == 0
    assert main(["report", "again"]) == 0
    one, other = (json.loads(Path(p, "summary.json").read_text())["tournament"]["entrants"] for p in ("run", "again"))
    assert one == other
    assert main(["import", "cup.parquet", "--out", "again"]) == 2
    assert "not empty" in capsys.readouterr().err
