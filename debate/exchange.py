"""Transcripts out of a run and into a new one, as JSON lines or Parquet, without losing anything.

A file holds a header (the run's manifest), the questions, and the episodes: each with its match, its transcript
(private words and token ids included), the panel's verdicts, the rewards, and verdicts given later. In Parquet each
episode is a row with columns to filter by; `record` is the line that the JSON form has, and header and questions stand
in the file's metadata.

Import checks every line before anything is written, and says file, line and field where something is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from debate.errors import UserError
from debate.questions import Question, question_from
from debate.run.codec import dumps, encode_episode, encode_verdict
from debate.run.files import sync_folder, write_atomic
from debate.run.folder import RunFolder
from debate.run.record_check import Record, read_record
from debate.run.store import Store
from debate.transcript import Episode

FORMAT, VERSION = "debate-transcripts", 1
METADATA = b"debate-transcripts"
ROWS = 1024


# --- export ----------------------------------------------------------------------------------------------------------


def export_run(path: Path, kind: str, out: Path | None = None, prefix: str = "") -> tuple[Path, int]:
    """Writes a run's transcripts to a file, whole or not at all.

    Args:
        path: the run's folder.
        kind: "jsonl" or "parquet".
        out: the file; by default `transcripts.KIND` in the run's folder.
        prefix: of the match ids.

    Returns:
        The file, and how many episodes it holds.

    Raises:
        UserError: no run there, or the file cannot be written.
    """
    run = RunFolder.open(path)
    place = out or run.path / f"transcripts.{kind}"
    beside = place.with_name(f".{place.name}.part")
    try:
        with run.store(read_only=True) as store:
            questions = _questions(run, store, prefix)
            count = (_write_parquet if kind == "parquet" else _write_jsonl)(run, store, questions, prefix, beside)
        beside.replace(place)
        sync_folder(place.parent)
    except OSError as error:
        raise UserError(f"{place}: cannot be written ({error.strerror})") from None
    finally:
        beside.unlink(missing_ok=True)
    return place, count


def _header(run: RunFolder) -> dict[str, Any]:
    return {"format": FORMAT, "version": VERSION, "manifest": run.manifest}


def _questions(run: RunFolder, store: Store, prefix: str) -> dict[str, list[Question]]:
    """Arena → its questions, as far as the run's data is to be found; those never played in training are left out."""
    from debate.run_questions import arena_questions, recipe_of

    recipe = recipe_of(run)
    if recipe is None:
        return {}
    played: dict[str, set[str]] = {spec.name: set() for spec in recipe.arenas}
    for match_id in store.ids(prefix):
        match = store.match(match_id)
        assert match is not None, "a played match was planned"
        played.setdefault(match.arena, set()).add(match.question_id)
    found = {}
    for spec in recipe.arenas:
        everything = arena_questions(run.path, spec, recipe)
        keep_all = not recipe.training.updates
        found[spec.name] = [q for q in everything if keep_all or q.id in played[spec.name]]
    return found


def _question_row(arena: str, question: Question) -> dict[str, Any]:
    row = {key: value for key, value in asdict(question).items() if value not in (None, "", ())}
    return {"arena": arena, "question": {"id": question.id, "question": question.question, **row}}


def _line(store: Store, episode: Episode) -> str:
    """One episode with the verdicts that were given later, as a line of JSON."""
    seen: dict[str, int] = {}
    for verdict in episode.verdicts:
        seen[verdict.judge] = seen.get(verdict.judge, 0) + 1
    later = [
        f'{{"repeat":{repeat},"verdict":{encode_verdict(verdict)}}}'
        for judge, repeat, verdict in store.verdicts(episode.match.id)
        if repeat >= seen.get(judge, 0)
    ]
    return f'{{"episode":{encode_episode(episode)},"later":[{",".join(later)}]}}'


def _write_jsonl(
    run: RunFolder, store: Store, questions: Mapping[str, list[Question]], prefix: str, place: Path
) -> int:
    import os

    count = 0
    with place.open("w", encoding="ascii") as file:
        file.write(dumps(_header(run)) + "\n")
        for arena, rows in questions.items():
            file.writelines(dumps(_question_row(arena, question)) + "\n" for question in rows)
        for episode in store.episodes(prefix):
            file.write(_line(store, episode) + "\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def _write_parquet(
    run: RunFolder, store: Store, questions: Mapping[str, list[Question]], prefix: str, place: Path
) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_question_row(arena, question) for arena, some in questions.items() for question in some]
    head = dumps({"header": _header(run), "questions": rows}).encode()
    texts = ("id", "arena", "protocol", "question_id", "question", "seats", "answers", "failure")
    columns = [(name, pa.string()) for name in texts]
    columns += [("turns", pa.int32()), ("probabilities", pa.list_(pa.list_(pa.float64())))]
    columns += [
        ("criteria", pa.list_(pa.string())),
        ("rewards", pa.list_(pa.list_(pa.float64()))),
        ("record", pa.string()),
    ]
    schema = pa.schema(columns, metadata={METADATA: head})
    count = 0
    with pq.ParquetWriter(place, schema, compression="zstd") as writer:
        batch: list[dict[str, Any]] = []
        for episode in store.episodes(prefix):
            batch.append(_parquet_row(store, episode))
            count += 1
            if len(batch) == ROWS:
                writer.write_table(pa.Table.from_pylist(batch, schema))
                batch = []
        if batch:
            writer.write_table(pa.Table.from_pylist(batch, schema))
    return count


def _parquet_row(store: Store, episode: Episode) -> dict[str, Any]:
    transcript, rewards = episode.transcript, episode.rewards
    return {
        "id": episode.match.id,
        "arena": episode.match.arena,
        "protocol": _plain(transcript.protocol),
        "question_id": episode.match.question_id,
        "question": _plain(transcript.question),
        "seats": dumps(dict(episode.match.seats)),
        "answers": dumps(dict(transcript.answers)),
        "failure": None if episode.failure is None else _plain(episode.failure.kind),
        "turns": len(transcript.turns),
        "probabilities": [None if v.probabilities is None else list(v.probabilities) for v in episode.verdicts],
        "criteria": None if rewards is None else list(rewards.criteria),
        "rewards": None
        if rewards is None
        else [[None if x != x else x for x in row] for row in rewards.values.tolist()],
        "record": _line(store, episode),
    }


def _plain(text: str) -> str:
    """Text that any reader of UTF-8 accepts: half surrogate pairs are escaped. The record keeps them as they were."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


# --- import ----------------------------------------------------------------------------------------------------------


def import_file(path: Path, out: Path) -> int:
    """A new run from exported transcripts; how many episodes it holds.

    Args:
        path: the file; Parquet where it ends in `.parquet`, JSON lines otherwise. A file of JSON lines may lack header
            and questions: its matches can then be judged again, but there are no labels and no rules to pay by.
        out: the new run's folder.

    Raises:
        UserError: no such file, a line that is wrong (file, line and field), or a folder that is there already.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected transcripts that debate export wrote")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out {out}: is not empty; expected a new folder")
    # 1. Everything is checked before anything is written.
    header: dict[str, Any] | None = None
    questions: dict[str, dict[str, Question]] = {}
    first: dict[str, str] = {}
    for where, row in _rows(path):
        if "format" in row:
            if first or questions or header is not None:
                raise UserError(f"{where}: a header stands at the beginning of a file, and once")
            header = _checked_header(row, where)
        elif "question" in row:
            arena, question = _checked_question(row, where)
            if question.id in questions.setdefault(arena, {}):
                raise UserError(f"{where}: question {question.id!r} of arena {arena!r} occurs twice")
            questions[arena][question.id] = question
        else:
            record = read_record(row, where)
            name = record.episode.match.id
            if name in first:
                raise UserError(f"{where}: match {name!r} stands at {first[name]} already")
            first[name] = where
    if not first:
        raise UserError(f"{path}: holds no episodes")
    # 2. The folder, and then the episodes, in commits of some hundred.
    run = _make_run(path, out, header)
    for arena, some in questions.items():
        folder = out / "questions"
        folder.mkdir(exist_ok=True)
        lines = [dumps(_question_row(arena, question)["question"]) + "\n" for question in some.values()]
        write_atomic(folder / f"{arena}.jsonl", "".join(lines))
    with run.store() as store:
        batch: list[Record] = []
        for where, row in _rows(path):
            if "format" not in row and "question" not in row:
                batch.append(read_record(row, where))
            if len(batch) == 256:
                _put(store, batch)
                batch = []
        _put(store, batch)
        return len(store)


def _put(store: Store, batch: list[Record]) -> None:
    with store.batch():
        store.put_many(record.episode for record in batch)
        for record in batch:
            for repeat, verdict in record.later:
                store.put_verdict(record.episode.match.id, verdict, repeat)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file:line, object) of every row; of Parquet, the header and questions first."""
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield f"{path}:{number}", _object(line, f"{path}:{number}")


def _object(text: str | bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 ({error.reason} at byte {error.start})") from None
    except RecursionError:
        raise UserError(f"{where}: nested too deeply") from None
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error})") from None
    if not isinstance(row, dict):
        raise UserError(f"{where}: expected a JSON object, got {type(row).__name__}")
    return row


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        head = (file.schema_arrow.metadata or {}).get(METADATA)
        if head is None or "record" not in file.schema_arrow.names:
            raise UserError(f"{path}: not transcripts that debate export wrote (no column 'record', or no header)")
        found = _object(head, f"{path}: header")
        yield f"{path}: header", found.get("header", {})
        for number, row in enumerate(found.get("questions", []), 1):
            yield f"{path}: question {number}", row
        number = 0
        for batch in file.iter_batches(ROWS, columns=["record"]):
            for text in batch.column(0).to_pylist():
                number += 1
                yield f"{path}: row {number}", _object(text or "", f"{path}: row {number}")
    except pa.ArrowException as error:
        raise UserError(f"{path}: not a Parquet file that can be read ({error})") from None


def _checked_header(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    if row.get("format") != FORMAT or row.get("version") != VERSION:
        raise UserError(
            f"{where}: expected format {FORMAT!r} of version {VERSION}, "
            f"got {row.get('format')!r} of version {row.get('version')!r}"
        )
    manifest = row.get("manifest")
    if not isinstance(manifest, dict) or not isinstance(manifest.get("recipe"), str):
        raise UserError(f"{where}: field 'manifest' must be a run's manifest, with its recipe as text")
    if isinstance(manifest.get("seed"), bool) or not isinstance(manifest.get("seed"), int):
        raise UserError(f"{where}: field 'manifest.seed' must be a whole number, got {manifest.get('seed')!r}")
    return manifest


def _checked_question(row: Mapping[str, Any], where: str) -> tuple[str, Question]:
    from debate.run.record_check import plain_name

    arena, question = row.get("arena"), row.get("question")
    if not isinstance(arena, str) or not isinstance(question, dict):
        raise UserError(f"{where}: expected a question as {{arena, question: {{id, question, …}}}}")
    plain_name(arena, f"{where}: field 'arena'")
    if "/" in arena or arena.startswith("."):
        raise UserError(f"{where}: field 'arena' must be a plain name, got {arena!r}")
    return arena, question_from(question, where)


def _make_run(path: Path, out: Path, header: Mapping[str, Any] | None) -> RunFolder:
    manifest = header or {"recipe": "name: imported\n", "seed": 0}
    models, data, kept = manifest.get("models"), manifest.get("data"), manifest.get("protocols")
    return RunFolder.create(
        out,
        manifest["recipe"],
        manifest["seed"],
        models=models if isinstance(models, dict) else None,
        data=data if isinstance(data, dict) else None,
        protocols=kept if isinstance(kept, dict) else None,
    )
