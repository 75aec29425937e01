"""One seat of a debate for TRL's `GRPOTrainer`: its rollout function plays that seat against frozen opponents.

    rollout = as_trl_rollout_func("debate_simultaneous", "A", questions, {"B": opponent}, judges)
    trainer = GRPOTrainer(
        model=model, processing_class=tokenizer, args=GRPOConfig(reward_weights=[1.0, 0.5], …),
        train_dataset=Dataset.from_list(trl_prompts(questions)),
        reward_funcs=trl_rewards(["win", "truth"]), rollout_func=rollout,
    )

TRL's contract (1.16, `GRPOTrainer._generate`): the function gets the prompts of this process, each already repeated as
often as a group has members, and the trainer. It returns lists of exactly `len(prompts)` in their order: `prompt_ids`,
`completion_ids`, `logprobs`; `env_mask`, 1 on tokens the model wrote; every other list goes to the reward functions.

What GRPOTrainer is not: it trains one policy, and it scores every token over the whole vocabulary. A pick is played
over its choices alone, so its gradient has a further term, that of the probability of all choices together. It vanishes
in expectation at the first pick of a group and not after it; our own learners score picks as they are played.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from debate.agents.agent import Agent
from debate.agents.language import LanguageSpeaker
from debate.engines.chat_format import ChatFormat
from debate.engines.local import LocalCompleter
from debate.engines.policies import require
from debate.engines.shapes import Shapes
from debate.errors import UserError
from debate.learning.rows import rows_of
from debate.learning.samples import moves_of
from debate.play import Arena, play
from debate.protocol.load import load_protocol
from debate.protocol.spec import DebateProtocol
from debate.questions import Question, unique
from debate.seeds import derive
from debate.transcript import Episode, Match, Policy
from judges.rewards import RewardRule
from judges.rules import make_rule
from judges.types import Judge

Columns = dict[str, list[Any]]
RolloutFunc = Callable[[list[Any], Any], Columns]
TRAINED = Policy("trained", 0, "trl")
SHAPES = Shapes(16, 1, False)


def as_trl_rollout_func(
    protocol: DebateProtocol | str,
    seat: str,
    questions: Iterable[Question],
    opponents: Mapping[str, Agent] | None = None,
    judges: Sequence[Judge] = (),
    rules: Mapping[str, RewardRule] | None = None,
    seed: int = 0,
    max_tokens: int = 128,
    shapes: Shapes = SHAPES,
) -> RolloutFunc:
    """A rollout function that plays one trained seat through `debate.play`.

    The trained policy is the trainer's model as it is at the call, sampled at the trainer's temperature without
    truncation (`top_p`, `top_k` and the like of its arguments have no effect; nor has `max_completion_length`, a slot's
    own limit or `max_tokens` has). Rewards come as columns `reward_<criterion>`, None where not known (see
    `trl_rewards`); a failed match has no reward, and no token of it is trained on. All members of a group defend the
    same answers. A step's plays depend on `seed`, the trainer's step and its weights alone.

    Args:
        protocol: what is played, or its name.
        seat: the seat that is trained.
        questions: what prompts may name, by id or by text.
        opponents: every other seat → the agent in it; they never change.
        judges: who decides, where the protocol leaves it to judges.
        rules: criterion → reward rule; the protocol's own where None.
        seed: of all plays.
        max_tokens: most tokens of a speech in a slot that sets no limit.
        shapes: how the trained model's requests are batched.

    Raises:
        UserError: no such seat, a seat without an opponent, opponents that share a policy id, a judge that is missing,
            or a seat whose view does not only grow (an ephemeral slot), which TRL's one row an episode cannot hold.
    """
    spec = load_protocol(protocol) if isinstance(protocol, str) else protocol
    others = dict(opponents or {})
    if seat not in spec.seats:
        raise UserError(f"protocol {spec.name} has no seat {seat!r}; it has {', '.join(spec.seats)}")
    if set(others) != set(spec.seats) - {seat}:
        wanted = ", ".join(s for s in spec.seats if s != seat) or "none"
        raise UserError(f"opponents: expected an agent for each of the seats {wanted}, got {sorted(others)}")
    taken = {agent.policy.id: agent for agent in others.values()}
    if TRAINED.id in taken or any(taken[agent.policy.id] != agent for agent in others.values()):
        raise UserError(f"opponents: each agent needs a policy id of its own, other than {TRAINED.id!r}")
    if spec.decision.by == "judge" and not judges:
        raise UserError(f"protocol {spec.name} is decided by judges: give at least one")
    if any(seat in slot.seats and (slot.visibility == "ephemeral" or slot.recall) for slot in spec.slots):
        raise UserError(
            f"seat {seat!r} of {spec.name} has ephemeral, drafted or recalled slots; "
            "its play is more than one row, TRL takes one"
        )
    given = rules if rules is not None else {c.name: make_rule(c.rule, **c.params) for c in spec.rewards}
    asked = unique(questions, "questions")
    arena = Arena("trl", spec, {q.id: q for q in asked}, tuple(judges), given)
    return _Rollout(arena, seat, others, seed, max_tokens, shapes)


def trl_prompts(questions: Iterable[Question]) -> list[dict[str, str]]:
    """Rows for the trainer's data set: the prompt is the question's id; what the seat reads is the protocol's."""
    return [{"prompt": question.id} for question in questions]


def trl_rewards(criteria: Sequence[str]) -> list[Callable[..., list[float | None]]]:
    """One reward function a criterion, which reads the column that the rollout brought; TRL logs it by that name."""
    return [_reward(criterion) for criterion in criteria]


def _reward(criterion: str) -> Callable[..., list[float | None]]:
    def reward(**columns: Any) -> list[float | None]:
        name = f"reward_{criterion}"
        if name not in columns:
            known = sorted(c.removeprefix("reward_") for c in columns if c.startswith("reward_"))
            raise UserError(f"the debate has no criterion {criterion!r}; it has {', '.join(known)}")
        values: list[float | None] = columns[name]
        return values

    reward.__name__ = criterion
    return reward


@dataclass(eq=False)
class _Rollout:
    """The rollout function with what it keeps between calls: the completer over the trainer's model."""

    arena: Arena
    seat: str
    opponents: Mapping[str, Agent]
    seed: int
    max_tokens: int
    shapes: Shapes
    _trainer: Any = None
    _speaker: LanguageSpeaker | None = None
    _texts: dict[str, list[str]] = field(default_factory=dict)
    _last: tuple[str, int] = ("", -1)
    _calls: int = 0

    def __post_init__(self) -> None:
        for question in self.arena.questions.values():
            self._texts.setdefault(question.question, []).append(question.id)

    def __call__(self, prompts: list[Any], trainer: Any) -> Columns:
        """Plays one match a prompt; see the module for what is returned."""
        mode = "train" if trainer.model.training else "eval"
        step = int(trainer.state.global_step)
        self._calls = self._calls + 1 if self._last == (mode, step) else 0
        self._last = (mode, step)
        size = trainer.num_generations if mode == "train" else trainer.num_generations_eval
        first = trainer.accelerator.process_index * len(prompts)
        call = f"trl/{mode}/{step:06d}/{self._calls}"
        matches = [
            self._match(call, first + i, (first + i) // size, self._find(prompt)) for i, prompt in enumerate(prompts)
        ]
        cast = {agent.policy.id: agent for agent in self.opponents.values()}
        cast[TRAINED.id] = Agent(TRAINED, self._speak(trainer))
        episodes = _run(play(self.arena, matches, cast, self.seed))
        return self._columns(episodes, trainer)

    def _find(self, prompt: Any) -> str:
        """The id of the question a prompt names."""
        text = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        if text in self.arena.questions:
            return str(text)
        found = self._texts.get(text, [])
        if len(found) != 1:
            what = "no question" if not found else f"{len(found)} questions"
            raise UserError(f"prompt {text!r} names {what}; use trl_prompts(questions) as the data set")
        return found[0]

    def _match(self, call: str, number: int, group: int, question: str) -> Match:
        """One planned match; drawn answers are drawn once a group."""
        seats = {s: agent.policy.id for s, agent in self.opponents.items()} | {self.seat: TRAINED.id}
        options = len(self.arena.questions[question].options)
        drawn = [s for role in self.arena.protocol.roles if role.answers == "random" for s in role.seats]
        answers = {s: derive(self.seed, call, group, s) % options for s in drawn if options}
        return Match(f"{call}/{number:05d}", "trl", question, seats, answers, f"{call}/{group:05d}")

    def _speak(self, trainer: Any) -> LanguageSpeaker:
        """The speaker of the trainer's model, made once a trainer."""
        if self._speaker is None or self._trainer is not trainer:
            if trainer.use_vllm or trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
                raise UserError("the bridge samples from the trainer's own model: use_vllm, FSDP and DeepSpeed are out")
            tokenizer = getattr(trainer.processing_class, "tokenizer", trainer.processing_class)
            chat = ChatFormat(tokenizer, stops=trainer.eos_token_ids)
            if not chat.prefix_preserving:
                raise UserError("the chat template renders earlier messages anew, but TRL takes one growing row")
            completer = LocalCompleter(_TrainersModel(trainer), chat, self.shapes)
            self._speaker = LanguageSpeaker(completer, "chat", self.max_tokens, trainer.args.temperature)
            self._trainer = trainer
        return self._speaker

    def _columns(self, episodes: Sequence[Episode], trainer: Any) -> Columns:
        """What TRL reads, one entry an episode, in order."""
        out: Columns = {"prompt_ids": [], "completion_ids": [], "logprobs": [], "env_mask": []}
        out |= {f"reward_{name}": [] for name in self.arena.rules}
        for episode in episodes:
            turns = moves_of(episode, self.seat)
            if episode.failure is None and turns:
                (row,) = rows_of(turns, f"match {episode.match.id!r}, seat {self.seat!r}")
                cut = row.prompt
                parts = (row.ids[:cut], row.ids[cut:], row.logprobs[cut:], row.mask[cut:])
            else:  # TRL wants a row in every place: one token, masked
                end = int(trainer.eos_token_ids[0])
                parts = ([end], [end], [0.0], [0])
            for name, part in zip(("prompt_ids", "completion_ids", "logprobs", "env_mask"), parts, strict=True):
                out[name].append(part)
            for name in self.arena.rules:
                out[f"reward_{name}"].append(_known(episode, self.seat, name))
        return out


def _known(episode: Episode, seat: str, criterion: str) -> float | None:
    rewards = episode.rewards
    if episode.failure is not None or rewards is None:
        return None
    s, c = rewards.seats.index(seat), rewards.criteria.index(criterion)
    return float(rewards.values[s, c]) if rewards.status[s][c] == "ok" else None


@dataclass(frozen=True, eq=False)
class _TrainersModel:
    """The trainer's model as the one policy of an engine (`debate.engines.policies.Policies`)."""

    trainer: Any

    def ids(self) -> tuple[str, ...]:
        return ("", TRAINED.id)

    def publish(self, policy: str, state: Mapping[str, Any]) -> None:
        raise UserError("the trainer's model is its only policy")

    def retire(self, policy: str) -> None:
        raise UserError("the trainer's model is its only policy")

    @contextmanager
    def use(self, policy: str) -> Iterator[Any]:
        """The causal language model with the adapter that is trained, dropout off."""
        require(policy, self.ids())
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        training = model.training
        model.eval()
        try:
            yield model.get_base_model() if hasattr(model, "get_base_model") else model
        finally:
            model.train(training)


def _run(plays: Coroutine[Any, Any, list[Episode]]) -> list[Episode]:
    """The episodes of a coroutine, in a thread of its own where a loop runs already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(plays)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, plays).result()
