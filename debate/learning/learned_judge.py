"""A judge that is learned: a reward model trained on preferences by TRL's `RewardTrainer`.

The reward model reads a case and one option, and gives one number r. Training minimises the Bradley–Terry loss
−log σ(r(right) − r(wrong)) (Bradley & Terry 1952; as in 2203.02155). As a judge it gives P(option) = softmax of the
options' rewards over a temperature: with two options exactly Bradley–Terry, with more its extension by Luce (1959).

So its probabilities are those of *being preferred by the labels it saw*. They are neither calibrated (fit `temperature`
on held-out labels, see `judges.statistics.calibration`) nor proof against debaters that train against it: like every
judge that pays rewards it needs a certificate from the charter.

The options are listed in the order of their texts, and each is scored in an answer of its own, so the verdict does not
depend on the order in which a case names them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from debate.engines.adapters import AdapterSpec
from debate.engines.chat_format import ChatFormat, Format
from debate.errors import UserError
from debate.learning.trl_trainers import Settings, train_reward
from debate.models import resolve
from debate.play import Arena
from debate.transcript import Episode
from judges.judges.prompt import PROMPT_VERSION, build_prompt
from judges.judges.rubric import DEFAULT_RUBRIC, Rubric, read_rubric
from judges.types import Case, Cost, Verdict

ASK = "Which option is right? Answer with its text."
RECORD = "judge.json"
DEFAULT = Settings()


def labelled_cases(arena: Arena, episodes: Iterable[Episode]) -> list[tuple[Case, int]]:
    """(case, true option) of every match that was played to its end on a question whose answer is known."""
    found = []
    for episode in episodes:
        label = arena.questions[episode.transcript.question_id].label
        if episode.transcript.error is None and label is not None:
            found.append((episode.transcript.case(), label))
    return found


def case_ids(case: Case, option: int, chat: Format, rubric: Rubric | str = DEFAULT_RUBRIC) -> list[int]:
    """What the reward model reads: the case as a conversation, and the option's text as the answer.

    Raises:
        ValueError: fewer than two options, or text that cannot be encoded.
    """
    order = sorted(range(len(case.options)), key=lambda o: case.options[o])
    prompt = build_prompt(case, read_rubric(rubric), order, ASK, "single")
    return [*chat.encode(prompt.messages), *chat.continuation(case.options[option])]


def judge_rows(
    cases: Iterable[tuple[Case, int]], chat: Format, rubric: Rubric | str = DEFAULT_RUBRIC
) -> list[dict[str, list[int]]]:
    """Rows {chosen_ids, rejected_ids}: the true option of each case against every other one.

    Raises:
        ValueError: a label that is none of the options, or a case that cannot be rendered.
    """
    rows = []
    for case, label in cases:
        if not 0 <= label < len(case.options):
            raise ValueError(f"case {case.question[:60]!r}: label {label} is none of its {len(case.options)} options")
        chosen = case_ids(case, label, chat, rubric)
        rows += [
            {"chosen_ids": chosen, "rejected_ids": case_ids(case, other, chat, rubric)}
            for other in range(len(case.options))
            if other != label
        ]
    return rows


def load_reward_model(name: str, device: str = "cpu") -> tuple[Any, Any]:
    """A model with a scalar head, and its tokenizer; over a causal language model the head is new.

    The head starts at zero, so that an untrained judge finds all options equally likely (and no seed is needed).

    Args:
        name: a pulled model, a folder, or a hub id (`debate.models.resolve`).
        device: "cpu" or "cuda".

    Raises:
        UserError: no such model or device.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    from debate.engines.local import device_named

    where, path = device_named(device), resolve(name)
    trained = any("ForSequenceClassification" in a for a in AutoConfig.from_pretrained(path).architectures or [])
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    model = AutoModelForSequenceClassification.from_pretrained(
        path, num_labels=1, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    )
    if not trained:
        torch.nn.init.zeros_(model.score.weight)
    return model.to(where).eval(), tokenizer


def train_judge(
    model: Any,
    tokenizer: Any,
    cases: Sequence[tuple[Case, int]],
    name: str = "learned",
    spec: AdapterSpec | None = None,
    settings: Settings = DEFAULT,
    rubric: Rubric | str = DEFAULT_RUBRIC,
) -> tuple[LearnedJudge, tuple[dict[str, float], ...]]:
    """Trains a reward model on labelled cases and returns it as a judge, with TRL's log.

    What TRL does by itself: it tokenises texts. What is passed: ids made by the engine's format, past that step, so
    that the judge later reads what it was trained on.

    Args:
        model: a sequence classifier with one output (`load_reward_model`); it is trained in place.
        tokenizer: its tokenizer, with a chat template.
        cases: (case, true option), from `labelled_cases` or made otherwise.
        name: the judge's.
        spec: train a LoRA adapter of this shape and the head, then merge it; None: all weights.
        settings: how to step; a row is a pair.
        rubric: what the judge is told to look at.

    Raises:
        UserError: no TRL of the pinned version, or no chat template.
        ValueError: no cases, or one that cannot be rendered.
    """
    chat = ChatFormat(tokenizer)
    trained, log = train_reward(model, tokenizer, judge_rows(cases, chat, rubric), spec, settings)
    return LearnedJudge(trained, tokenizer, name, rubric), log


@dataclass(frozen=True, eq=False)
class LearnedJudge:
    """A reward model as a judge (`judges.types.Judge`).

    Scores of a verdict: "reward/0", "reward/1", … of each option, and the counts of attempts to manipulate of
    `judges.judges.prompt`.

    Attributes:
        model: a sequence classifier with one output.
        tokenizer: its tokenizer.
        name: the judge's.
        rubric: what it is told to look at.
        temperature: rewards are divided by it.
        version: of the weights, for the certificate; their hash where empty.
    """

    model: Any
    tokenizer: Any
    name: str = "learned"
    rubric: Rubric | str = DEFAULT_RUBRIC
    temperature: float = 1.0
    version: str = ""
    _chat: Format = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Reads the chat template and hashes the weights.

        Raises:
            UserError: no chat template.
            ValueError: a model with another head, or a temperature that is not above 0.
        """
        if self.model.config.num_labels != 1 or not self.temperature > 0:
            raise ValueError(
                f"LearnedJudge: expected one output and a temperature > 0, got {self.model.config.num_labels} and "
                f"{self.temperature}"
            )
        object.__setattr__(self, "_chat", ChatFormat(self.tokenizer))
        if not self.version:
            object.__setattr__(self, "version", weights_hash(self.model))

    @property
    def identity(self) -> dict[str, str]:
        """What a certificate binds (`judges.judges.identity`)."""
        return {
            "model": self.model.config.name_or_path or self.model.config.model_type,
            "version": self.version,
            "prompt": f"{PROMPT_VERSION}/reward",
            "rubric": read_rubric(self.rubric).hash,
            "decoding": f"softmax of rewards, temperature {self.temperature}",
            "parser": "none",
            "scale": "probabilities over options",
        }

    async def __call__(self, case: Case) -> Verdict:
        """The verdict on one case; a failure is a verdict with status error. It does not depend on other calls."""
        if len(case.options) < 2:
            return Verdict.failed(self.name, f"a case with {len(case.options)} options", "abstain")
        try:
            rows = [case_ids(case, option, self._chat, self.rubric) for option in range(len(case.options))]
        except (ValueError, TypeError) as error:  # the tokenizer's word for text that is no Unicode is TypeError
            return Verdict.failed(self.name, f"the case cannot be read: {error}")
        cost = Cost(len(rows), sum(map(len, rows)))
        longest, context = max(map(len, rows)), self.model.config.max_position_embeddings
        if longest > context:
            return Verdict.failed(self.name, f"the case has {longest} tokens, the context is {context}", cost=cost)
        rewards = self._rewards(rows)
        if not all(map(math.isfinite, rewards)):
            return Verdict.failed(self.name, f"rewards {rewards} are not finite", cost=cost)
        weights = [math.exp((reward - max(rewards)) / self.temperature) for reward in rewards]
        order = range(len(rows))
        scores = {f"reward/{option}": reward for option, reward in enumerate(rewards)}
        scores |= build_prompt(case, read_rubric(self.rubric), list(order), ASK, "single").scores
        return Verdict(self.name, tuple(w / math.fsum(weights) for w in weights), scores, cost=cost)

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict a case, in order. Cases are read one by one: a padded batch would change their last bits."""
        return [await self(case) for case in cases]

    def _rewards(self, rows: Sequence[Sequence[int]]) -> list[float]:
        import torch

        device = next(self.model.parameters()).device
        self.model.eval()
        with torch.inference_mode():
            return [
                float(self.model(input_ids=torch.tensor([list(row)], device=device), use_cache=False).logits[0, 0])
                for row in rows
            ]

    def save(self, folder: Path) -> None:
        """Writes weights (safetensors), tokenizer and `judge.json`."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        record = {"name": self.name, "temperature": self.temperature, "version": self.version}
        record["rubric"] = self.rubric if isinstance(self.rubric, str) else self.rubric.text()
        record["rubric_hash"] = read_rubric(self.rubric).hash
        (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def load_judge(folder: Path, rubric: Rubric | str = DEFAULT_RUBRIC, device: str = "cpu") -> LearnedJudge:
    """A judge that `LearnedJudge.save` wrote.

    Raises:
        UserError: nothing there, weights that changed, or another rubric than the one it was trained with.
    """
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder}: no {RECORD}; expected a judge as LearnedJudge.save writes it")
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    if read_rubric(rubric).hash != record["rubric_hash"]:
        raise UserError(f"{folder}: the judge was trained with another rubric: {record['rubric'][:80]!r}")
    model, tokenizer = load_reward_model(str(folder), device)
    judge = LearnedJudge(model, tokenizer, record["name"], rubric, record["temperature"])
    if judge.version != record["version"]:
        raise UserError(f"{folder}: the weights are not those that were saved")
    return judge


def weights_hash(model: Any) -> str:
    """SHA-256 of all weights, by name."""
    digest = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
