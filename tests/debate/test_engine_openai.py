"""OpenAI-compatible endpoints over real sockets: every fault a server can make, and no answer lost or paid twice."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debate.engines.openai.completer import ChatCompleter, ChatSettings
from debate.engines.openai.endpoint import Endpoint
from debate.engines.openai.fault_server import FaultServer, chat_answer
from debate.engines.openai.limits import MINUTE, RateLimit, Retry, retry_after
from debate.engines.openai.prices import Price, read_price, read_prices
from debate.errors import EngineUnavailable, UserError
from debate.run.cache import CachingCompleter
from debate.run.store import Store
from judges.judges.llm import LLMJudge
from judges.types import Case, Message, Request, Sampling, Unsupported

FAST = Retry(attempts=5, first=0.01, longest=0.05)
KEY = "sk-a-very-secret-key-0123456789"


def completer(server: FaultServer, **changes: Any) -> ChatCompleter:
    settings = {"retry": FAST, "timeout": 1.0, **changes}
    return ChatCompleter(Endpoint(server.url, **settings), ChatSettings("small", price=Price(0.5, 2.0)))


def ask(text: str, seed: int = 0, **changes: Any) -> Request:
    return Request((Message("system", "s"), Message("user", text)), Sampling(16), seed=seed, **changes)


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        "reset",
        "truncate",
        "garbage",
        "list",
        "wrong_model",
        ("status", 500, {}, "boom"),
        ("status", 503, {}, "overloaded"),
        ("status", 429, {"Retry-After": "0"}, "too many"),
        ("answer", {"model": "small", "choices": []}),
        ("answer", {"model": "small", "choices": ["text"]}),
        ("answer", {"model": "small", "choices": {"0": 1}}),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again_and_no_answer_is_lost(fault: Any) -> None:
    with FaultServer(lambda n, body: fault if n % 3 != 2 else None) as server:
        engine = completer(server, retry=Retry(attempts=12, first=0.01, longest=0.02))
        answers = asyncio.run(engine([ask(f"question {i}", i) for i in range(12)]))
        assert [a.text for a in answers] == [f"question {i}"[::-1] for i in range(12)]
        assert all(a.error is None and a.stop_reason == "stop" for a in answers)
        assert engine.endpoint.retried > 0


def test_a_slow_answer_is_given_up_and_asked_for_again() -> None:
    with FaultServer(lambda n, body: "slow" if n == 0 else None, slow=3.0) as server:
        started = time.monotonic()
        (answer,) = asyncio.run(completer(server, timeout=0.3)([ask("now")]))
        assert answer.text == "won" and time.monotonic() - started < 2.5


def test_an_answer_that_comes_letter_by_letter_is_given_up_too() -> None:
    with FaultServer(lambda n, body: "trickle" if n == 0 else None, slow=0.1) as server:
        (answer,) = asyncio.run(completer(server, timeout=0.4)([ask("now")]))
        assert answer.text == "won" and len(server.bodies) == 2


def test_numbers_that_are_none_are_an_error_of_that_answer() -> None:
    def odd(body: dict[str, Any]) -> dict[str, Any]:
        return chat_answer(body, usage={"prompt_tokens": "many", "completion_tokens": []})

    with FaultServer(answer=odd) as server:
        (answer,) = asyncio.run(completer(server)([ask("x")]))
    assert answer.error is not None and "unexpected shape" in answer.error and math.isnan(answer.cost.usd)


def test_a_server_that_never_answers_rightly_stops_the_work_and_nothing_is_recorded(tmp_path: Path) -> None:
    def plan(n: int, body: dict[str, Any]) -> Any:
        return ("status", 500, {}, "boom") if "bad" in str(body) else None

    with FaultServer(plan) as server, Store(tmp_path / "s.sqlite") as store:
        cached = CachingCompleter(completer(server), store, "test")
        with pytest.raises(EngineUnavailable, match=r"boom.*attempt 5 of 5"):
            asyncio.run(cached([ask("good 1"), ask("bad"), ask("good 2")]))
        before = len(server.bodies)
        # What was answered before the end was kept, and is not paid for again.
        kept = asyncio.run(cached([ask("good 1")]))
        assert kept[0].text == "1 doog" and len(server.bodies) == before
    with pytest.raises(EngineUnavailable, match="ConnectError"):
        asyncio.run(completer(server)([ask("nobody is there")]))


def test_calls_that_wait_are_not_sent_after_one_failed_for_good() -> None:
    def plan(n: int, body: dict[str, Any]) -> Any:
        return ("status", 401, {}, "bad key") if n == 0 else None

    with FaultServer(plan) as server:
        with pytest.raises(EngineUnavailable, match="status 401: bad key"):
            asyncio.run(completer(server, concurrency=1)([ask(f"q{i}") for i in range(20)]))
        assert len(server.bodies) <= 2


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_call_that_is_wrong_in_itself_fails_alone(status: int) -> None:
    with FaultServer(lambda n, b: ("status", status, {}, "prompt too long") if "long" in str(b) else None) as server:
        first, second = asyncio.run(completer(server)([ask("short"), ask("long")]))
        assert first.text == "trohs"
        assert second.error == f"status {status}: prompt too long" and second.stop_reason == "error"
        assert len(server.bodies) == 2


def test_an_answer_without_words_is_an_error_and_costs_what_it_cost() -> None:
    def filtered(body: dict[str, Any]) -> dict[str, Any]:
        answer = chat_answer(body)
        answer["choices"][0]["finish_reason"] = "content_filter"
        return answer

    with FaultServer(answer=filtered) as server:
        (answer,) = asyncio.run(completer(server)([ask("x")]))
        assert answer.error is not None and "content_filter" in answer.error
        assert answer.cost.usd == pytest.approx((10 * 0.5 + 4 * 2.0) / 1e6)


# --- limits ---------------------------------------------------------------------------------------------------------


def test_never_more_calls_in_flight_than_allowed() -> None:
    with FaultServer(lambda n, body: "slow", slow=0.05) as server:
        engine = completer(server, concurrency=3)

        async def both() -> None:  # two batches at once share the limit
            await asyncio.gather(engine([ask(f"a{i}") for i in range(8)]), engine([ask(f"b{i}") for i in range(8)]))

        asyncio.run(both())
        assert len(server.bodies) == 16 and server.most <= 3


def test_retry_after_is_honoured() -> None:
    with FaultServer(lambda n, body: ("status", 429, {"Retry-After": "1"}, "later") if n == 0 else None) as server:
        asyncio.run(completer(server)([ask("x")]))
        assert server.times[1] - server.times[0] >= 0.95


def test_retry_after_beyond_patience_stops_the_work() -> None:
    with FaultServer(lambda n, body: ("status", 429, {"Retry-After": "86400"}, "quota spent")) as server:
        with pytest.raises(EngineUnavailable, match="quota spent"):
            asyncio.run(completer(server)([ask("x")]))
        assert len(server.bodies) == 1


def test_retry_after_may_be_a_date() -> None:
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now=lambda: 1445412480.0 - 30) == 30.0
    assert retry_after("7") == 7.0 and retry_after("-3") == 0.0
    assert retry_after("soon") is None and retry_after(None) is None and retry_after("nan") is None


@given(st.integers(1, 40), st.floats(0, 1, exclude_max=True), st.one_of(st.none(), st.floats(0, 100)))
def test_waits_grow_stay_bounded_and_never_undercut_the_server(failures: int, unit: float, asked: float | None) -> None:
    retry = Retry(first=1.0, longest=60.0)
    wait = retry.delay(failures, unit, asked)
    step = min(60.0, 2.0 ** (failures - 1))
    assert max(step / 2, asked or 0.0) <= wait <= max(step, asked or 0.0)


@given(
    st.integers(0, 5),
    st.integers(0, 50),
    st.lists(st.tuples(st.floats(0, 40), st.integers(1, 50)), min_size=1, max_size=40),
)
def test_no_minute_holds_more_calls_or_tokens_than_allowed(
    calls: int, tokens: int, arrivals: list[tuple[float, int]]
) -> None:
    now = 0.0
    limit = RateLimit(calls, tokens, clock=lambda: now)
    starts: list[tuple[float, int]] = []
    for gap, size in arrivals:
        now += gap
        if tokens and size > tokens:
            with pytest.raises(ValueError, match="can never start"):
                limit.reserve(size)
            continue
        starts.append((now + limit.reserve(size), size))
    for begin, _ in starts:
        window = [size for when, size in starts if begin <= when < begin + MINUTE - 1e-6]
        assert not calls or len(window) <= calls
        assert not tokens or sum(window) <= tokens


# --- keys -----------------------------------------------------------------------------------------------------------


def test_a_key_comes_from_the_environment_and_appears_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)

    def plan(n: int, body: dict[str, Any]) -> Any:
        return ("status", 401, {}, f"Incorrect API key provided: {KEY}") if "bad" in str(body) else None

    with FaultServer(plan) as server, Store(tmp_path / "store.sqlite") as store:
        engine = completer(server, key="SOME_KEY")
        cached = CachingCompleter(engine, store, f"openai:{server.url}:small")
        asyncio.run(cached([ask("fine")]))
        assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
        with pytest.raises(EngineUnavailable) as caught:
            asyncio.run(cached([ask("bad")]))
        import traceback

        shown = "".join(traceback.format_exception(caught.value))
        assert "[key]" in shown and KEY not in shown
        assert KEY not in repr(engine.endpoint)
        assert KEY not in str({**vars(engine.endpoint), "settings": engine.settings})
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    with pytest.raises(UserError, match="OTHER_KEY is not set"):
        Endpoint(server.url, key="OTHER_KEY")
    with pytest.raises(UserError, match="name an environment variable"):
        Endpoint(f"https://user:{KEY}@example.org/v1")


# --- what is said ---------------------------------------------------------------------------------------------------


def test_dated_names_and_named_ones_are_the_same_model() -> None:
    def named(body: dict[str, Any], model: str) -> dict[str, Any]:
        return chat_answer(body, model=model)

    for name, fine in (("small-2026-01-31", True), ("small-20260131", True), ("small-mini", False), ("large", False)):
        with FaultServer(answer=lambda body, name=name: named(body, name)) as server:
            engine = completer(server, retry=Retry(attempts=1))
            if fine:
                assert asyncio.run(engine([ask("x")]))[0].error is None
            else:
                with pytest.raises(EngineUnavailable, match=f"asked was the model 'small', '{name}' answered"):
                    asyncio.run(engine([ask("x")]))


def test_ids_and_log_probabilities_are_recorded_where_the_server_gives_them() -> None:
    def generous(body: dict[str, Any]) -> dict[str, Any]:
        answer = chat_answer(body, prompt_token_ids=[5, 6, 7])
        answer["choices"][0] |= {
            "token_ids": [1, 2],
            "logprobs": {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5}]},
        }
        return answer

    with FaultServer(answer=generous) as server:
        (answer,) = asyncio.run(completer(server)([ask("x")]))
        assert (answer.tokens, answer.logprobs, answer.prompt_tokens) == ((1, 2), (-0.5, -1.5), (5, 6, 7))
    with FaultServer() as server:
        (answer,) = asyncio.run(completer(server)([ask("x")]))
        assert answer.tokens is None and answer.logprobs is None


def test_requests_say_what_was_asked() -> None:
    with FaultServer() as server:
        endpoint = Endpoint(server.url, retry=FAST)
        settings = ChatSettings("small", limit_field="max_completion_tokens", logprobs=True, extra={"effort": "low"})
        engine = ChatCompleter(endpoint, settings)
        asyncio.run(engine([ask("x", seed=(1 << 40) + 5, policy="")]))
        (body,) = server.bodies
    assert body["max_completion_tokens"] == 16 and "max_tokens" not in body
    assert body["messages"] == [{"role": "system", "content": "s"}, {"role": "user", "content": "x"}]
    assert body["effort"] == "low" and body["logprobs"] is True and body["seed"] == 5 and body["temperature"] == 1.0
    assert body["_path"] == "/v1/chat/completions"


def test_choices_cannot_be_scored_and_weights_cannot_be_given() -> None:
    with FaultServer() as server:
        engine = completer(server)
        with pytest.raises(Unsupported, match="votes"):
            asyncio.run(engine([ask("x", choices=("A", "B"))]))
        with pytest.raises(Unsupported, match="takes no weights"):
            engine.publish("ada-v1", {"a": 1})
        assert not server.bodies


# --- prices ---------------------------------------------------------------------------------------------------------


def test_prices() -> None:
    assert Price(1.0, 4.0, 0.1).usd(1000, 100, cached=400) == pytest.approx((600 * 1 + 400 * 0.1 + 100 * 4) / 1e6)
    assert Price(1.0, 4.0).usd(1000, 100, cached=400) == pytest.approx((1000 + 400) / 1e6)
    assert math.isnan(Price().usd(1, 1))


def test_price_tables(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("small: {input: 0.15, output: 0.6}\nlarge: {input: 2, output: 8, cached: 0.5}\n")
    assert read_prices(tmp_path / "p.yaml", "large") == Price(2.0, 8.0, 0.5)
    with pytest.raises(UserError, match="no price of 'smal' \\(did you mean \"small\""):
        read_prices(tmp_path / "p.yaml", "smal")
    for wrong, what in (({"input": 1}, "output"), ({"input": -1, "output": 1}, "input"), ({"inputs": 1}, "unknown")):
        with pytest.raises(UserError, match=what):
            read_price(wrong, "here")


# --- judges ---------------------------------------------------------------------------------------------------------


def test_a_judge_by_votes_and_an_outage_that_is_no_verdict() -> None:
    def says_a(body: dict[str, Any]) -> dict[str, Any]:
        answer = chat_answer(body)
        answer["choices"][0]["message"]["content"] = '{"reason": "it is", "answer": "A"}'
        return answer

    cases = [Case("Is it?", ("yes", "no")), Case("Is it not?", ("yes", "no"))]
    with FaultServer(answer=says_a) as server:
        judge = LLMJudge(completer(server), swap=True, mode="votes", samples=3, sampling=Sampling(64))
        verdicts = asyncio.run(judge.judge_many(cases))
        assert [v.status for v in verdicts] == ["ok", "ok"]
        assert verdicts[0].probabilities == (0.5, 0.5) and verdicts[0].scores["first_position"] == 1.0
        assert verdicts[0].cost.calls == 6 and verdicts[0].cost.usd > 0
        assert Counter(body["seed"] for body in server.bodies) == {0: 4, 1: 4, 2: 4}
    with pytest.raises(EngineUnavailable):
        asyncio.run(judge.judge_many(cases))


# --- a whole run ----------------------------------------------------------------------------------------------------

RECIPE = """\
name: served
trust: unblessed
agents:
  ada: &speaker {{kind: openai, model: small, url: "{url}", key: SOME_KEY, timeout: 2, attempts: 4, concurrency: 4,
                  prices: prices.yaml, max_tokens: 16}}
  ben: *speaker
arenas:
  debate:
    protocol: debate_simultaneous
    parameters: {{rounds: 2, words: 20, tokens: 8, judge_sees: [question, public]}}
    seats: {{A: ada, B: ben}}
    judge: {{kind: llm, engine: openai, model: referee, url: "{url}", key: SOME_KEY, read: votes, samples: 3,
             prices: {{input: 1, output: 2}}}}
    data: {{path: questions.jsonl}}
training: {{updates: 0, groups: 1, group_size: 2, baseline: group}}
league: {{questions: 1}}
tournament: {{questions: 2, resamples: 10}}
evaluation: {{questions: 4}}
"""


def answering(body: dict[str, Any]) -> dict[str, Any]:
    answer = chat_answer(body)
    if body["model"] == "referee":
        answer["choices"][0]["message"]["content"] = '{"reason": "clear", "answer": "A"}'
    return answer


def test_a_run_over_a_bad_server_that_dies_is_resumed_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from debate.cli import main
    from debate.run.folder import RunFolder

    monkeypatch.setenv("SOME_KEY", KEY)
    monkeypatch.setattr("debate.engines.openai.limits.Retry.delay", lambda *a, **k: 0.01)
    rows = [{"id": f"q{i}", "question": f"{i}?", "options": ["yes", "no"], "label": 0} for i in range(40)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "prices.yaml").write_text("small: {input: 0.5, output: 2.0}\n")
    good: Counter[str] = Counter()

    def faults(dies: int) -> Any:
        def plan(n: int, body: dict[str, Any]) -> Any:
            if n >= dies:
                return "reset"
            fault = {1: "reset", 3: ("status", 500, {}, f"boom {KEY}"), 5: "truncate", 7: "garbage"}.get(n % 11)
            if fault is None:
                good[json.dumps([body["model"], body["messages"], body["seed"]])] += 1
            return fault

        return plan

    out = tmp_path / "run"
    with FaultServer(faults(dies=25), answering) as server:
        port = int(server.url.split(":")[2].split("/")[0])
        (tmp_path / "recipe.yaml").write_text(RECIPE.format(url=server.url))
        assert main(["train", str(tmp_path / "recipe.yaml"), "--out", str(out)]) == 1
    shown = capfd.readouterr()
    assert "attempt 4 of 4" in shown.err and "ada plays in arena debate and is not trained" in shown.out + shown.err
    with FaultServer(faults(dies=10**9), answering, port=port):
        assert main(["train", str(tmp_path / "recipe.yaml"), "--out", str(out), "--resume"]) == 0
    run = RunFolder.open(out)
    assert run.read_summary()["failures"] == {}
    with run.store(read_only=True) as store:
        episodes = list(store.episodes())
        cost = store.completions_cost()
    assert episodes and all(e.failure is None for e in episodes)
    assert set(good.values()) == {1}, "an answer was paid for twice"
    asked = {"small": 0, "referee": 0} | Counter(json.loads(key)[0] for key in good)
    assert cost.calls == sum(asked.values())
    dollars = asked["small"] * (10 * 0.5 + 4 * 2) + asked["referee"] * (10 * 1 + 4 * 2)
    assert cost.usd == pytest.approx(dollars / 1e6)
    shown_too = capfd.readouterr()
    assert KEY not in shown.out + shown.err + shown_too.out + shown_too.err
    assert all(KEY.encode() not in path.read_bytes() for path in out.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("judge.read=logprobs", "does not score"),
        ("judge.url=ftp://x", "http"),
        ("agent.api_key=sk-1", "does not belong into a recipe"),
        ("agent.extra={model: x}", "set by the engine"),
        ("agent.prices={input: cheap}", "US dollars"),
        ("agent.key=NO_SUCH_KEY", "NO_SUCH_KEY is not set"),
    ],
)
def test_a_recipe_that_cannot_be_served_says_what_is_wrong(
    change: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from debate.cli import main

    monkeypatch.setenv("SOME_KEY", KEY)
    (tmp_path / "questions.jsonl").write_text(
        "".join(
            json.dumps({"id": f"q{i}", "question": f"{i}?", "options": ["yes", "no"], "label": 0}) + "\n"
            for i in range(40)
        )
    )
    (tmp_path / "prices.yaml").write_text("small: {input: 0.5, output: 2.0}\n")
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(url="http://127.0.0.1:9/v1"))
    where = "arenas.debate.judge" if change.startswith("judge.") else "agents.ada"
    setting = f"{where}.{change.split('.', 1)[1]}"
    assert main(["train", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "o"), "--set", setting]) == 2
    assert what in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_picks_are_made_in_words_and_an_unreadable_one_fails_its_match_alone() -> None:
    from debate.agents.agent import Agent
    from debate.agents.language import LanguageSpeaker
    from debate.data import load_questions
    from debate.learning.samples import gather
    from debate.play import Arena, play
    from debate.protocol.load import load_protocol
    from debate.transcript import Match, Policy
    from judges.judges.evidence import NaiveEvidenceJudge
    from judges.rules import make_rule

    def picks(body: dict[str, Any]) -> dict[str, Any]:
        answer = chat_answer(body)
        offered = body["messages"][-1]["content"].split("Pick one of: ")[1].split("\n")[0].split(", ")
        answer["choices"][0]["message"]["content"] = f"I choose {offered[0]}."
        return answer

    questions = load_questions({"adapter": "evidence", "n": 4, "split": "train", "limit": 2}, seed=0)
    protocol = load_protocol("evidence_debate", {"k": 1})
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    arena = Arena("debate", protocol, {q.id: q for q in questions}, (NaiveEvidenceJudge(),), rules)
    with FaultServer(answer=picks) as server:
        engine = completer(server)
        engine.publish("ada-v0", None)
        cast = {"ada-v0": Agent(Policy("ada", 0, "small"), LanguageSpeaker(engine, said=True))}
        matches = [Match(f"m{i}", "debate", q.id, {"A": "ada-v0", "B": "ada-v0"}) for i, q in enumerate(questions)]
        good = asyncio.run(play(arena, matches, cast, seed=0))
        assert all(e.failure is None and e.rewards is not None for e in good)
        assert all(t.option == 0 and t.tokens is None for e in good for t in e.transcript.turns)
        samples, excluded = gather(good, "ada-v0")
        assert not samples and excluded == {"no_tokens": 4}
        server.answer = lambda body: {**picks(body), **chat_answer(body)}
        bad = asyncio.run(play(arena, matches[:1], cast, seed=0))
    assert bad[0].failure is not None and bad[0].failure.kind == "unreadable"
