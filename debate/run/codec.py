"""Records ↔ compact JSON, exactly: what is decoded equals what was encoded, floats bit for bit.

Fields that hold their default are left out, so that a store stays small and old records stay readable when a field is
added. NaN ("not known") is written as null; an infinite number, which JSON cannot say, as the string "inf" or "-inf".
Encoders build plain lists and dictionaries by hand: `dataclasses.asdict` copies recursively and is ten times slower.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from debate.errors import UserError
from debate.transcript import VERSION, Episode, Failure, Match, Transcript, Turn
from judges.rewards import Rewards
from judges.types import Choice, Completion, Cost, Quote, Statement, Verdict

_FREE = Cost()
_TURN_DEFAULTS: tuple[tuple[str, Any], ...] = (
    ("private", ""),
    ("option", None),
    ("legal", None),
    ("fresh", False),
    ("cut", 0),
    ("forged", 0),
    ("excess", 0),
    ("where", 0),
)

# --- text ------------------------------------------------------------------------------------------------------


def dumps(value: Any) -> str:
    """Compact JSON. NaN becomes null, ±infinity a string; numpy scalars become the Python number they hold."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_scalar)
    except ValueError:  # rare: a number JSON has no word for
        return json.dumps(_sayable(value), allow_nan=False, separators=(",", ":"), default=_scalar)


def loads(text: str, what: str) -> dict[str, Any]:
    """The JSON object of a record.

    Raises:
        UserError: `text` is no JSON object, or was written by another version of the format.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{what}: not JSON ({error.msg} at character {error.pos}); the record is damaged") from None
    if not isinstance(value, dict):
        raise UserError(f"{what}: expected a JSON object, got {type(value).__name__}")
    version = value.get("version")
    if version != VERSION:
        raise UserError(f"{what}: written in format version {version!r}; this program reads version {VERSION}")
    return value


def _scalar(value: Any) -> Any:
    if isinstance(value, np.generic):
        return _sayable(value.item())
    raise TypeError(f"a record may hold text, numbers and lists of them, got {type(value).__name__}: {value!r}")


def _sayable(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, Mapping):
        return {key: _sayable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sayable(item) for item in value]
    return value


def _number(value: Any) -> Any:
    """The number that `dumps` wrote: null was NaN, a string was infinite."""
    return math.nan if value is None else float(value) if isinstance(value, str) else value


def _numbers(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(map(_number, values))


# --- parts -----------------------------------------------------------------------------------------------------


def _cost(cost: Cost) -> list[float]:
    return [cost.calls, cost.prompt_tokens, cost.tokens, cost.usd]


def _read_cost(row: Mapping[str, Any]) -> Cost:
    if "cost" not in row:
        return _FREE
    calls, prompt_tokens, tokens, usd = row["cost"]
    return Cost(calls, prompt_tokens, tokens, _number(usd))


def _quote(quote: Quote) -> list[Any]:
    return [quote.text, quote.span, quote.verified]


def _read_quotes(rows: Sequence[Sequence[Any]]) -> tuple[Quote, ...]:
    return tuple(Quote(text, None if span is None else tuple(span), verified) for text, span, verified in rows)


def _statement(statement: Statement) -> list[Any]:
    head = [statement.seat, statement.role, statement.phase, statement.text]
    return [*head, [_quote(q) for q in statement.quotes]] if statement.quotes else head


def _read_statement(row: Sequence[Any]) -> Statement:
    return Statement(row[0], row[1], row[2], row[3], _read_quotes(row[4]) if len(row) > 4 else ())


def _turn(turn: Turn) -> dict[str, Any]:
    row: dict[str, Any] = {
        "seat": turn.seat,
        "role": turn.role,
        "phase": turn.phase,
        "slot": turn.slot,
        "policy": turn.policy,
        "public": turn.public,
    }
    for name, default in _TURN_DEFAULTS:
        value = getattr(turn, name)
        if value != default:
            row[name] = value
    if turn.quotes:
        row["quotes"] = [_quote(q) for q in turn.quotes]
    if turn.prompt_tokens is not None:
        row["prompt_tokens"] = turn.prompt_tokens
    if turn.tokens is not None:
        row["tokens"] = turn.tokens
    if turn.logprobs is not None:
        row["logprobs"] = turn.logprobs
    if turn.choices is not None:
        row["choices"] = turn.choices
    if turn.probabilities:
        row["probabilities"] = turn.probabilities
    if turn.stop_reason != "stop":
        row["stop_reason"] = turn.stop_reason
    if turn.cost != _FREE:
        row["cost"] = _cost(turn.cost)
    return row


def _read_turn(row: Mapping[str, Any]) -> Turn:
    def ids(name: str) -> tuple[int, ...] | None:
        return tuple(row[name]) if name in row else None

    return Turn(
        seat=row["seat"],
        role=row["role"],
        phase=row["phase"],
        slot=row["slot"],
        policy=row["policy"],
        public=row["public"],
        private=row.get("private", ""),
        quotes=_read_quotes(row["quotes"]) if "quotes" in row else (),
        option=row.get("option"),
        legal=row.get("legal"),
        prompt_tokens=ids("prompt_tokens"),
        tokens=ids("tokens"),
        logprobs=_numbers(row["logprobs"]) if "logprobs" in row else None,
        choices=tuple(map(tuple, row["choices"])) if "choices" in row else None,
        probabilities=_numbers(row.get("probabilities", ())),
        fresh=row.get("fresh", False),
        stop_reason=row.get("stop_reason", "stop"),
        cost=_read_cost(row),
        cut=row.get("cut", 0),
        forged=row.get("forged", 0),
        excess=row.get("excess", 0),
        where=row.get("where", 0),
    )


# --- whole records ---------------------------------------------------------------------------------------------


def encode_match(match: Match) -> str:
    """A planned pairing as JSON."""
    row: dict[str, Any] = {
        "version": VERSION,
        "id": match.id,
        "arena": match.arena,
        "question_id": match.question_id,
        "seats": dict(match.seats),
    }
    if match.answers:
        row["answers"] = dict(match.answers)
    if match.group:
        row["group"] = match.group
    return dumps(row)


def decode_match(text: str, what: str = "match") -> Match:
    """The match of `encode_match`.

    Raises:
        UserError: damaged, or of another format version (`what` says which record).
    """
    row = loads(text, what)
    return Match(
        row["id"], row["arena"], row["question_id"], row["seats"], row.get("answers", {}), row.get("group", "")
    )


def encode_transcript(transcript: Transcript) -> str:
    """A transcript as JSON, private words and token ids included."""
    row: dict[str, Any] = {
        "version": transcript.version,
        "id": transcript.id,
        "protocol": transcript.protocol,
        "question_id": transcript.question_id,
        "seed": transcript.seed,
        "seats": dict(transcript.seats),
        "answers": dict(transcript.answers),
        "question": transcript.question,
        "options": transcript.options,
        "turns": [_turn(turn) for turn in transcript.turns],
        "released": [_statement(s) for s in transcript.released],
    }
    if transcript.material:
        row["material"] = transcript.material
    if transcript.asked:
        row["asked"] = transcript.asked
    if transcript.offered:
        row["offered"] = transcript.offered
    if transcript.error is not None:
        row["error"] = [transcript.error.kind, transcript.error.where, transcript.error.message]
    return dumps(row)


def decode_transcript(text: str, what: str = "transcript") -> Transcript:
    """The transcript of `encode_transcript`.

    Raises:
        UserError: damaged, or of another format version (`what` says which record).
    """
    row = loads(text, what)
    return Transcript(
        id=row["id"],
        protocol=row["protocol"],
        question_id=row["question_id"],
        seed=row["seed"],
        seats=row["seats"],
        answers=row["answers"],
        question=row["question"],
        options=tuple(row["options"]),
        turns=tuple(map(_read_turn, row["turns"])),
        released=tuple(map(_read_statement, row["released"])),
        material=row.get("material", ""),
        error=Failure(*row["error"]) if "error" in row else None,
        version=row["version"],
        asked=row.get("asked", ""),
        offered=tuple(row.get("offered", ())),
    )


def encode_verdict(verdict: Verdict) -> str:
    """A verdict as JSON."""
    row: dict[str, Any] = {
        "version": VERSION,
        "judge": verdict.judge,
        "status": verdict.status,
        "probabilities": verdict.probabilities,
    }
    if verdict.scores:
        row["scores"] = dict(verdict.scores)
    if verdict.rationale:
        row["rationale"] = verdict.rationale
    if verdict.cost != _FREE:
        row["cost"] = _cost(verdict.cost)
    return dumps(row)


def decode_verdict(text: str, what: str = "verdict") -> Verdict:
    """The verdict of `encode_verdict`.

    Raises:
        UserError: damaged, or of another format version (`what` says which record).
    """
    row = loads(text, what)
    probabilities = row["probabilities"]
    return Verdict(
        judge=row["judge"],
        probabilities=None if probabilities is None else _numbers(probabilities),
        scores={name: _number(value) for name, value in row.get("scores", {}).items()},
        rationale=row.get("rationale", ""),
        status=row["status"],
        cost=_read_cost(row),
    )


def encode_rewards(rewards: Rewards) -> str:
    """Rewards as JSON; a number that is not known is null."""
    # NaN is common here (every status but "ok" has it), so it is turned into null without the slow path of `dumps`.
    values = [[None if x != x else x for x in row] for row in rewards.values.tolist()]
    row: dict[str, Any] = {
        "version": VERSION,
        "seats": rewards.seats,
        "criteria": rewards.criteria,
        "values": values,
        "status": rewards.status,
    }
    return dumps(row)


def decode_rewards(text: str, what: str = "rewards") -> Rewards:
    """The rewards of `encode_rewards`.

    Raises:
        UserError: damaged, or of another format version (`what` says which record).
    """
    row = loads(text, what)
    shape = (len(row["seats"]), len(row["criteria"]))
    values = np.array([[_number(x) for x in line] for line in row["values"]], dtype=np.float64).reshape(shape)
    return Rewards(values, tuple(row["criteria"]), tuple(map(tuple, row["status"])), tuple(row["seats"]))


def encode_completion(completion: Completion) -> str:
    """An engine's answer as JSON."""
    row: dict[str, Any] = {"version": VERSION, "text": completion.text, "stop_reason": completion.stop_reason}
    for name in ("tokens", "logprobs", "prompt_tokens", "error"):
        value = getattr(completion, name)
        if value is not None:
            row[name] = value
    if completion.choices is not None:
        row["choices"] = [[choice.text, choice.tokens, choice.logprob] for choice in completion.choices]
    if completion.cost != _FREE:
        row["cost"] = _cost(completion.cost)
    return dumps(row)


def decode_completion(text: str, what: str = "completion") -> Completion:
    """The completion of `encode_completion`.

    Raises:
        UserError: damaged, or of another format version (`what` says which record).
    """
    row = loads(text, what)
    choices = row.get("choices")
    return Completion(
        text=row["text"],
        tokens=tuple(row["tokens"]) if "tokens" in row else None,
        logprobs=_numbers(row["logprobs"]) if "logprobs" in row else None,
        prompt_tokens=tuple(row["prompt_tokens"]) if "prompt_tokens" in row else None,
        choices=None
        if choices is None
        else tuple(Choice(text, None if ids is None else tuple(ids), _number(p)) for text, ids, p in choices),
        stop_reason=row["stop_reason"],
        cost=_read_cost(row),
        error=row.get("error"),
    )


def encode_episode(episode: Episode) -> str:
    """A whole episode as one line of JSON, for export."""
    parts = {
        "match": encode_match(episode.match),
        "transcript": encode_transcript(episode.transcript),
        "verdicts": "[" + ",".join(map(encode_verdict, episode.verdicts)) + "]",
        "rewards": "null" if episode.rewards is None else encode_rewards(episode.rewards),
    }
    return f'{{"version":{VERSION},' + ",".join(f'"{name}":{text}' for name, text in parts.items()) + "}"


def decode_episode(text: str, what: str = "episode") -> Episode:
    """The episode of `encode_episode`.

    Raises:
        UserError: damaged, or of another format version (`what` says which record).
    """
    row = loads(text, what)
    return Episode(
        decode_match(json.dumps(row["match"]), what),
        decode_transcript(json.dumps(row["transcript"]), what),
        tuple(decode_verdict(json.dumps(v), what) for v in row["verdicts"]),
        None if row["rewards"] is None else decode_rewards(json.dumps(row["rewards"]), what),
    )
