"""Agents that follow a script: baselines with known strength, and what drives every command without a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from debate.agents.agent import Ask, Reply
from debate.errors import UserError, did_you_mean
from debate.protocol.kernel import Move, State, answers, choices, hidden, legal
from debate.seeds import derive, unit
from debate.views import Style

Script = Callable[[State, str, int], Move]


def random_legal(state: State, seat: str, seed: int) -> Move:
    """Picks uniformly among hidden items (equal items count each) or legal choices; a speech is a fixed phrase."""
    offered = choices(state)
    if not offered:
        return Move(f"I am {seat}, and this is my {state.current.phase}.")  # type: ignore[union-attr]
    left = hidden(state)
    reveal = bool(state.current and state.current.reveal)
    weights = [left[text] if reveal else int(fair) for text, fair in zip(offered, legal(state), strict=True)]
    weights = [max(0, weight) for weight in weights]
    if not any(weights):  # nothing legal is left: the least bad is the first choice, recorded as illegal
        return Move(option=0)
    mark, total = unit(derive(seed, "pick")) * sum(weights), 0.0
    for option, weight in enumerate(weights):
        total += weight
        if mark < total:
            return Move(option=option)
    return Move(option=max(i for i, w in enumerate(weights) if w))


def greedy_evidence(state: State, seat: str, seed: int) -> Move:
    """Reveals the hidden number that helps the seat's own answer most: optimal play of the evidence games."""
    offered = choices(state)
    sign = 1.0 if answers(state)[seat] in (0, None) else -1.0
    fair = [i for i, ok in enumerate(legal(state)) if ok] or [0]
    return Move(option=max(fair, key=lambda i: (sign * float(offered[i]), -i)))


SCRIPTS: Mapping[str, Script] = {"random_legal": random_legal, "greedy_evidence": greedy_evidence}


def find_script(name: str) -> Script:
    """The script of that name.

    Raises:
        UserError: there is none.
    """
    if name not in SCRIPTS:
        raise UserError(f"no script {name!r}{did_you_mean(name, SCRIPTS)}; expected one of {', '.join(SCRIPTS)}")
    return SCRIPTS[name]


@dataclass(frozen=True)
class ScriptedSpeaker:
    """Speaks by a script; for decisions it is certain of its pick."""

    script: Script
    style: Style = "compact"

    async def __call__(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """One reply an ask."""
        return [self._reply(ask) for ask in asks]

    def _reply(self, ask: Ask) -> Reply:
        move = self.script(ask.state, ask.seat, ask.seed)
        if move.option is None:
            return Reply(move.text)
        count = len(choices(ask.state))
        certain = tuple(float(i == move.option) for i in range(count))
        return Reply(move.text, move.option, move.probabilities or certain, stop_reason="choice")
