"""Records that others wrote: every field is checked against the types of the dataclasses before it is believed."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from debate.errors import UserError
from debate.run.codec import decode_episode, decode_verdict
from debate.transcript import Episode
from judges.types import Verdict

NAME_LENGTH = 1000


@dataclass(frozen=True, eq=False)
class Record:
    """An episode with the verdicts given later, each with its repeat."""

    episode: Episode
    later: tuple[tuple[int, Verdict], ...]


def read_record(row: Mapping[str, Any], where: str) -> Record:
    """The record of a row `{episode, later}`, or of an episode alone.

    Raises:
        UserError: something is missing, of the wrong type, or contradicts itself; the message says where.
    """
    if "episode" in row:
        extra = sorted(set(row) - {"episode", "later"})
        if extra:
            raise UserError(f"{where}: unknown field {extra[0]!r}; expected episode, later")
        given, later = row["episode"], row.get("later", [])
    else:
        given, later = row, []
    if not isinstance(given, dict) or not isinstance(later, list):
        raise UserError(f"{where}: expected an episode as an object and 'later' as a list")
    try:
        episode = decode_episode(json.dumps(given), where)
        verdicts = tuple(
            (one["repeat"], decode_verdict(json.dumps(one["verdict"]), f"{where}: later verdict")) for one in later
        )
    except UserError:
        raise
    except KeyError as error:
        raise UserError(f"{where}: field {error.args[0]!r} is missing") from None
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(f"{where}: not an episode ({error})") from None
    for name, part in (("match", episode.match), ("transcript", episode.transcript), ("verdicts", episode.verdicts)):
        annotation = tuple[Verdict, ...] if name == "verdicts" else type(part)
        check_type(part, annotation, f"{where}: {name}")
    for repeat, verdict in verdicts:
        check_type(repeat, int, f"{where}: later.repeat")
        check_type(verdict, Verdict, f"{where}: later.verdict")
        if repeat < 0:
            raise UserError(f"{where}: later.repeat: expected 0 or more, got {repeat}")
    _check_sense(episode, where)
    for _, verdict in verdicts:
        plain_name(verdict.judge, f"{where}: later.verdict.judge")
    return Record(episode, verdicts)


def _check_sense(episode: Episode, where: str) -> None:
    match, transcript, rewards = episode.match, episode.transcript, episode.rewards
    names = {"match.id": match.id, "match.arena": match.arena, "match.question_id": match.question_id}
    names |= {f"verdicts[{i}].judge": verdict.judge for i, verdict in enumerate(episode.verdicts)}
    for field, name in names.items():
        plain_name(name, f"{where}: {field}")
    if transcript.id != match.id or transcript.question_id != match.question_id:
        raise UserError(f"{where}: transcript {transcript.id!r} does not belong to match {match.id!r}")
    if dict(transcript.seats) != dict(match.seats):
        raise UserError(f"{where}: transcript.seats are not those of the match")
    for k, turn in enumerate(transcript.turns):
        if turn.seat not in transcript.seats and turn.role != "chance":
            raise UserError(f"{where}: transcript.turns[{k}].seat: {turn.seat!r} is no seat of the match")
    for seat, answer in transcript.answers.items():
        if answer is not None and not 0 <= answer < max(1, len(transcript.options)):
            raise UserError(f"{where}: transcript.answers.{seat}: no option {answer}")
    for i, verdict in enumerate(episode.verdicts):
        count = None if verdict.probabilities is None else len(verdict.probabilities)
        options = transcript.offered or transcript.options
        if count is not None and options and count != len(options):
            raise UserError(f"{where}: verdicts[{i}].probabilities: {count} for {len(options)} options")
    if rewards is not None and not set(rewards.seats) <= set(match.seats):
        raise UserError(f"{where}: rewards.seats are not those of the match")


def plain_name(text: str, where: str) -> None:
    """Refuses an id that is empty, too long, or holds characters that cannot be printed.

    Raises:
        UserError: saying which.
    """
    if not text or len(text) > NAME_LENGTH or not text.isprintable():
        shown = ascii(text[:80])
        raise UserError(f"{where}: expected 1 to {NAME_LENGTH} printable characters, got {shown}")


def check_type(value: Any, annotation: Any, where: str) -> None:
    """Holds a value to an annotation: dataclasses field by field, containers item by item.

    Raises:
        UserError: naming the field.
    """
    origin = get_origin(annotation)
    if annotation is Any:
        return
    if origin in (Union, types.UnionType):
        if value is None and type(None) in get_args(annotation):
            return
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        if len(kinds) == 1:
            check_type(value, kinds[0], where)
            return
        if not any(_fits(value, kind) for kind in kinds):
            raise _wrong(value, annotation, where)
        return
    if origin is Literal:
        if value not in get_args(annotation):
            raise UserError(f"{where}: expected one of {', '.join(map(str, get_args(annotation)))}, got {_show(value)}")
        return
    if origin is tuple:
        inner = get_args(annotation)
        if not isinstance(value, tuple):
            raise _wrong(value, annotation, where)
        kinds = [inner[0]] * len(value) if len(inner) == 2 and inner[1] is Ellipsis else list(inner)
        if len(kinds) != len(value):
            raise _wrong(value, annotation, where)
        if kinds and all(kind in (int, float) for kind in kinds):  # ids and log-probabilities: many, so all at once
            if not all(_fits(item, kinds[0]) for item in value):
                raise _wrong(value, annotation, where)
            return
        for k, (item, kind) in enumerate(zip(value, kinds, strict=True)):
            check_type(item, kind, f"{where}[{k}]")
        return
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        key, item = get_args(annotation)
        if not isinstance(value, Mapping):
            raise _wrong(value, annotation, where)
        for name, part in value.items():
            check_type(name, key, f"{where} (a name)")
            check_type(part, item, f"{where}.{name}")
        return
    if isinstance(annotation, type) and is_dataclass(annotation):
        if not isinstance(value, annotation):
            raise _wrong(value, annotation, where)
        for name, kind in _hints(annotation).items():
            check_type(getattr(value, name), kind, f"{where}.{name}")
        return
    if not _fits(value, annotation):
        raise _wrong(value, annotation, where)


def _fits(value: Any, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}


def _wrong(value: Any, annotation: Any, where: str) -> UserError:
    name = getattr(annotation, "__name__", str(annotation))
    return UserError(f"{where}: expected {name if isinstance(annotation, type) else annotation}, got {_show(value)}")


def _show(value: Any) -> str:
    return f"{type(value).__name__} {value!a}"[:80]
