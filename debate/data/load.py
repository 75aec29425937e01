"""`load_questions`: from a data specification to questions, split and limited the same way for every adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from debate.data.source import SPLITS, Source
from debate.errors import UserError, did_you_mean
from debate.questions import Question, unique
from debate.seeds import derive

COMMON = ("adapter", "path", "split", "limit")
TEST_SHARE = 5  # one question in five is held out where both splits share a file


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter: its module under `debate.data`, its own settings, and whether it reads a file or makes questions."""

    module: str
    options: tuple[str, ...] = ()
    generates: bool = False

    @property
    def read(self) -> Callable[[Source], Iterable[Question]]:
        """The adapter's function, loaded when first used."""
        return import_module(f"debate.data.{self.module}").read  # type: ignore[no-any-return]


ADAPTERS: Mapping[str, Adapter] = {
    "jsonl": Adapter("jsonl"),
    "evidence": Adapter("evidence", ("n", "powers"), generates=True),
    "deals": Adapter("deals", generates=True),
    "gsm8k": Adapter("gsm8k"),
    "gsm8k_pairs": Adapter("gsm8k_pairs"),
    "boolq": Adapter("boolq"),
    "truthfulqa": Adapter("truthfulqa"),
    "hf": Adapter("hf", ("config", "columns", "choices", "labels")),
}


def load_questions(spec: Mapping[str, Any], seed: int = 0, beside: Path | None = None) -> list[Question]:
    """The questions of a data specification.

    Args:
        spec: `{adapter, path, split, limit, …}`. `adapter` is a key of `ADAPTERS` ("jsonl" where left out). `path`
            may hold `${NAME}` (an environment variable) and `{split}` (a file for each split). `split` is "train",
            "test" or left out. Where both splits share a file, a question's own text decides its split: no seed and no
            change of the file moves it from one to the other, and equal questions stay together. `limit` takes the
            first questions in the file's order; a generator makes that many.
        seed: of the run.
        beside: folder that relative paths start from; the working directory where None.

    Raises:
        UserError: an unknown adapter or setting, a variable that is not set, no such file, a row with a missing or
            wrong field (file, line, field), or no questions at all.
    """
    source, adapter = parse_source(spec, seed, beside)
    questions = iter(adapter.read(source))
    if source.split and not source.own_file and not adapter.generates:
        questions = _of_split(questions, source)
    return unique(islice(questions, source.limit), _name(source))


def parse_source(spec: Mapping[str, Any], seed: int, beside: Path | None) -> tuple[Source, Adapter]:
    """A data specification, checked.

    Raises:
        UserError: an unknown adapter or setting, or one of the wrong type.
    """
    name = spec.get("adapter", "jsonl")
    if name not in ADAPTERS:
        hint = did_you_mean(str(name), ADAPTERS)
        raise UserError(f"data: unknown adapter {name!r}{hint}; expected one of {', '.join(ADAPTERS)}")
    adapter = ADAPTERS[name]
    known = [*COMMON, *adapter.options]
    for key in spec:
        if key not in known:
            hint = did_you_mean(str(key), known)
            raise UserError(f"data: adapter {name!r} has no setting {key!r}{hint}; it has {', '.join(known)}")
    path, split, limit = spec.get("path", ""), spec.get("split", ""), spec.get("limit")
    if not isinstance(path, str) or not isinstance(split, str):
        raise UserError(f"data: path and split must be texts, got {path!r} and {split!r}")
    options = {key: spec[key] for key in adapter.options if key in spec}
    source = Source(name, path, split, limit, seed, beside or Path(), options)
    if split not in ("", *SPLITS) and not source.hub:
        raise UserError(f"data: split must be {' or '.join(SPLITS)}, or left out, got {split!r}")
    if "{split}" in path and not split:
        raise UserError(f"data: path {path} has a file for each split; give split: {' or '.join(SPLITS)}")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise UserError(f"data: limit must be a whole number above 0, or left out, got {limit!r}")
    if adapter.generates and path:
        raise UserError(f"data: adapter {name!r} makes its questions and reads no path, got {path!r}")
    return source, adapter


def data_hashes(spec: Mapping[str, Any], beside: Path | None = None) -> dict[str, str]:
    """Path as given → SHA-256 of each local file that a specification reads, for the manifest.

    Raises:
        UserError: as `load_questions`.
    """
    from debate.run.manifest import hash_file

    source, adapter = parse_source(spec, 0, beside)
    if adapter.generates or source.hub:
        return {}
    return {source.path.replace("{split}", source.split): hash_file(source.file)}


def _of_split(questions: Iterable[Question], source: Source) -> Iterator[Question]:
    total = found = 0
    for question in questions:
        total += 1
        held_out = derive(0, "split", question.question) % TEST_SHARE == 0
        if held_out == (source.split == "test"):
            found += 1
            yield question
    if total and not found:
        raise UserError(
            f"{_name(source)}: none of its {total} questions falls into this split (one in {TEST_SHARE} is held out); "
            "give more questions, or a file for each split"
        )


def _name(source: Source) -> str:
    parts = [source.path or source.adapter, *([source.split] if source.split else [])]
    return f"data {' '.join(parts)}"
