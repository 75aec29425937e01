"""Records survive JSON exactly."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debate.errors import UserError
from debate.run import codec
from debate.transcript import Episode, Failure, Match, Transcript, Turn
from judges.rewards import Rewards
from judges.types import Choice, Completion, Cost, Quote, Statement, Verdict

text = st.text(max_size=8)
floats = st.floats()  # NaN, infinities, subnormals and -0.0 included
counts = st.integers(0, 1 << 62)
ids = st.lists(st.integers(0, 200_000), max_size=4).map(tuple)
maybe = st.none
costs = st.builds(Cost, counts, counts, counts, floats)
quotes = st.builds(Quote, text, maybe() | st.tuples(counts, counts), maybe() | st.booleans())
quote_lists = st.lists(quotes, max_size=2).map(tuple)
statements = st.builds(Statement, text, text, text, text, quote_lists)
turns = st.builds(
    Turn,
    seat=text,
    role=text,
    phase=text,
    slot=counts,
    policy=text,
    public=text,
    private=text,
    quotes=quote_lists,
    option=maybe() | counts,
    legal=maybe() | st.booleans(),
    prompt_tokens=maybe() | ids,
    tokens=maybe() | ids,
    logprobs=maybe() | st.lists(floats, max_size=3).map(tuple),
    choices=maybe() | st.lists(ids, max_size=3).map(tuple),
    probabilities=st.lists(floats, max_size=3).map(tuple),
    fresh=st.booleans(),
    stop_reason=st.sampled_from(["stop", "length", "choice", "error"]),
    cost=costs,
)
matches = st.builds(
    Match, text, text, text, st.dictionaries(text, text, max_size=2), st.dictionaries(text, counts, max_size=2), text
)
transcripts = st.builds(
    Transcript,
    id=text,
    protocol=text,
    question_id=text,
    seed=counts,
    seats=st.dictionaries(text, text, max_size=2),
    answers=st.dictionaries(text, maybe() | counts, max_size=2),
    question=text,
    options=st.lists(text, max_size=3).map(tuple),
    turns=st.lists(turns, max_size=2).map(tuple),
    released=st.lists(statements, max_size=2).map(tuple),
    material=text,
    error=maybe() | st.builds(Failure, text, text, text),
)


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict:
    scores = draw(st.dictionaries(text, floats, max_size=2))
    status = draw(st.sampled_from(["ok", "abstain", "error"]))
    p = draw(st.floats(0, 1))
    return Verdict(draw(text), (p, 1 - p) if status == "ok" else None, scores, draw(text), status, draw(costs))


@st.composite
def rewards(draw: st.DrawFn) -> Rewards:
    seats, criteria = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    status = [[draw(st.sampled_from(["ok", "abstain", "error"])) for _ in range(criteria)] for _ in range(seats)]
    finite = st.floats(allow_nan=False, allow_infinity=False)
    values = [[draw(finite) if s == "ok" else math.nan for s in row] for row in status]
    names = tuple(f"c{i}" for i in range(criteria))
    array = np.array(values, dtype=float).reshape(seats, criteria)
    return Rewards(array, names, tuple(map(tuple, status)), tuple(f"s{i}" for i in range(seats)))


completions = st.builds(
    Completion,
    text=text,
    tokens=maybe() | ids,
    logprobs=maybe() | st.lists(floats, max_size=3).map(tuple),
    prompt_tokens=maybe() | ids,
    choices=maybe() | st.lists(st.builds(Choice, text, maybe() | ids, floats), max_size=2).map(tuple),
    stop_reason=st.sampled_from(["stop", "length", "error"]),
    cost=costs,
    error=maybe() | text,
)


def same(a: object, b: object) -> bool:
    """Equality in which NaN equals NaN, 0.0 differs from -0.0 and 1 from 1.0: `repr` writes floats exactly."""
    return repr(a) == repr(b)


def same_rewards(a: Rewards, b: Rewards) -> bool:
    known = ~np.isnan(a.values)
    return (
        a.values.dtype == b.values.dtype == np.float64
        and np.array_equal(np.isnan(a.values), np.isnan(b.values))
        and a.values[known].tobytes() == b.values[known].tobytes()
        and (a.criteria, a.status, a.seats) == (b.criteria, b.status, b.seats)
    )


@given(matches)
def test_matches_survive(match: Match) -> None:
    assert same(codec.decode_match(codec.encode_match(match)), match)


@settings(deadline=None)
@given(transcripts)
def test_transcripts_survive(transcript: Transcript) -> None:
    assert same(codec.decode_transcript(codec.encode_transcript(transcript)), transcript)


@given(verdicts())
def test_verdicts_survive(verdict: Verdict) -> None:
    assert same(codec.decode_verdict(codec.encode_verdict(verdict)), verdict)


@given(rewards())
def test_rewards_survive(value: Rewards) -> None:
    assert same_rewards(codec.decode_rewards(codec.encode_rewards(value)), value)


@given(completions)
def test_completions_survive(completion: Completion) -> None:
    assert same(codec.decode_completion(codec.encode_completion(completion)), completion)


@settings(deadline=None, max_examples=30)
@given(matches, transcripts, st.lists(verdicts(), max_size=2).map(tuple), st.none() | rewards())
def test_episodes_survive_as_one_line(m: Match, t: Transcript, v: tuple[Verdict, ...], r: Rewards | None) -> None:
    line = codec.encode_episode(Episode(m, t, v, r))
    assert "\n" not in line
    back = codec.decode_episode(line)
    assert same((back.match, back.transcript, back.verdicts), (m, t, v))
    assert (back.rewards is None) == (r is None)
    if r is not None and back.rewards is not None:
        assert same_rewards(back.rewards, r)


@given(st.recursive(floats | text | maybe() | st.booleans(), lambda x: st.lists(x, max_size=3)))
def test_what_is_written_is_json_for_everybody(value: object) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    json.loads(codec.dumps({"value": value}), parse_constant=refuse)


def test_numpy_numbers_are_written_as_what_they_hold() -> None:
    assert codec.dumps([np.float32(0.1), np.int64(3), np.float64("nan"), np.float32("inf")]) == (
        '[0.10000000149011612,3,null,"inf"]'
    )


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="set"):
        codec.dumps({"a": {1, 2}})


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_told(version: object) -> None:
    row = json.loads(codec.encode_match(Match("m", "a", "q", {})))
    row["version"] = version
    with pytest.raises(UserError, match=r"store: match m: written in format version .* reads version 1"):
        codec.decode_match(json.dumps(row), "store: match m")


def test_damage_is_told_with_its_place() -> None:
    with pytest.raises(UserError, match=r"match m: not JSON .* at character \d+"):
        codec.decode_match(codec.encode_match(Match("m", "a", "q", {}))[:-4], "match m")
    with pytest.raises(UserError, match="expected a JSON object, got list"):
        codec.decode_match("[]")
