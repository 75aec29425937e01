"""What a recipe would cost, counted without running anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import comb

from debate.protocol.spec import DebateProtocol
from debate.recipe import ArenaSpec, Recipe
from debate.text_games.protocol import GameProtocol

DEFAULT_TOKENS = 128


def estimate(recipe: Recipe) -> Iterator[str]:
    """Line by line: matches, model calls and most tokens of every stage.

    Calls are moves of agents that speak with a model, and verdicts of language-model judges (two orders when they
    swap). Tokens are upper bounds: every speech at its limit, one token a pick.
    """
    total_matches = total_calls = total_tokens = 0
    for stage, arena, matches in stages(recipe):
        calls, tokens = (matches * n for n in per_match(recipe, arena))
        total_matches += matches
        total_calls += calls
        total_tokens += tokens
        yield f"{stage:<28} {matches:>8,} matches  {calls:>9,} calls  at most {tokens:>11,} sampled tokens"
    whole = f"{total_matches:>8,} matches  {total_calls:>9,} calls  at most {total_tokens:>11,} sampled tokens"
    yield f"{'in all':<28} {whole}"


def stages(recipe: Recipe) -> Iterator[tuple[str, ArenaSpec, int]]:
    """(stage, arena, number of matches). League cells are counted with the tournament, which they are part of."""
    training, main = recipe.training, recipe.main
    for arena in recipe.arenas:
        matches = training.updates * training.groups * training.group_size
        yield f"train {arena.name}", arena, matches
        if training.credit.estimator == "branch":
            yield f"branches {arena.name}", arena, matches * forks(recipe, arena)
    for arena in recipe.arenas:
        for audit in (judge.options.get("audit") for judge in arena.judges):
            if audit is not None:
                times = training.updates // audit.every + (training.updates % audit.every > 0)
                yield f"audit {arena.name}", arena, times * audit.items
    for arena in recipe.arenas:
        drawn = sum(len(role.seats) for role in arena.protocol.roles if role.answers == "random")
        matches = recipe.evaluation * (2 if drawn == 1 else 1)
        yield f"evaluate {arena.name}", arena, 2 * matches
        told = [recipe.agent(name).preferences for name in arena.seats.values()]
        points = sum(comb(len(p.over) + p.grid - 1, p.grid) for p in told if p is not None)
        if points:
            yield f"preferences {arena.name}", arena, points * matches
    if len(main.seats) > 1:
        snapshots = 1 + sum(
            1
            for done in range(1, training.updates + 1)
            if done == training.updates or (recipe.league.snapshot_every and done % recipe.league.snapshot_every == 0)
        )
        cells = 1
        for agent in main.seats.values():
            cells *= snapshots if recipe.agent(agent).learns else 1
        yield "tournament", main, cells * max(recipe.tournament.questions, recipe.league.questions)


def forks(recipe: Recipe, arena: ArenaSpec) -> int:
    """At most so many times a match is played on from one of its turns; each such match is counted as a whole one."""
    credit = recipe.training.credit
    turns = Counter(seat for slot in arena.protocol.longest() if not slot.says for seat in slot.seats)
    chosen = sum(min(turns[seat], credit.turns or turns[seat]) for seat in recipe.learners(arena))
    return chosen * (credit.candidates - 1)


def per_match(recipe: Recipe, arena: ArenaSpec) -> tuple[int, int]:
    """(model calls, most sampled tokens) of one match."""
    calls = tokens = 0
    if isinstance(arena.protocol, GameProtocol):
        models = any(recipe.agent(name).speaks for name in arena.seats.values())
        return (arena.protocol.longest_game,) * 2 if models else (0, 0)
    for slot in arena.protocol.longest():
        for seat in slot.seats if slot.kind != "chance" and not slot.says else ():
            agent = recipe.agent(arena.seats[seat])
            if agent.speaks:
                calls += 1
                limit = slot.tokens or int(agent.options.get("max_tokens", DEFAULT_TOKENS))
                tokens += 1 if slot.kind in ("choice", "decision") else limit
    return calls + _verdicts(arena.protocol, arena), tokens


def _verdicts(protocol: DebateProtocol, arena: ArenaSpec) -> int:
    if protocol.decision.by != "judge":
        return 0
    return sum(
        (2 if judge.options.get("swap") else 1)
        * (judge.options.get("samples", 1) if judge.options.get("read", "logprobs") != "logprobs" else 1)
        for judge in arena.judges
        if judge.kind == "llm"
    )
