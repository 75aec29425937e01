"""Judges whose answers are written down beforehand: for tests, baselines and games with known answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from judges.types import Case, Verdict

Answer = int | Sequence[float] | Verdict | None
Script = Answer | Mapping[str, Answer] | Callable[[Case], Answer]


def case_seed(seed: int, case: Case) -> int:
    """A seed that depends on the run's seed and the case alone, never on the order in which cases are judged."""
    digest = hashlib.sha256(f"{seed}\x00{case!r}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")


@dataclass(frozen=True)
class ScriptedJudge:
    """Answers from a script.

    Attributes:
        script: one answer for every case, a table question → answer, or a function of the case. An answer is the index
            of an option, a distribution over the options, a whole verdict, or None to abstain.
        name: the judge's name.
        noise: probability that a verdict goes to another option instead (its distribution is rotated by a random
            number of places); the draw depends on `seed` and the case alone.
        seed: seed of the noise.
    """

    script: Script
    name: str = "scripted"
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses a noise that is not a probability.

        Raises:
            ValueError: noise outside [0, 1].
        """
        if not 0.0 <= self.noise <= 1.0:
            raise ValueError(f"ScriptedJudge.noise: expected a probability, got {self.noise}")

    @property
    def identity(self) -> dict[str, str]:
        """What a certificate binds (`judges.charter.identity`); a function is known by its name only."""
        script = getattr(self.script, "__qualname__", None) if callable(self.script) else repr(self.script)
        return {
            "model": "scripted",
            "version": f"{self.name}:{hashlib.sha256(str(script).encode()).hexdigest()[:16]}",
            "prompt": "none",
            "rubric": "none",
            "decoding": f"noise={self.noise} seed={self.seed}",
            "parser": "none",
            "scale": "probabilities over options",
        }

    def again(self, number: int) -> ScriptedJudge:
        """The judge with noise of its own for each number."""
        return replace(self, seed=self.seed + number)

    async def __call__(self, case: Case) -> Verdict:
        """The scripted verdict; a script that raises, or has no such answer, is an error verdict."""
        return self.judge(case)

    def judge(self, case: Case) -> Verdict:
        """The same without awaiting."""
        try:
            verdict = self._verdict(case, self._answer(case))
        except Exception as error:  # the boundary: whatever fails in a script is a judge that failed
            return Verdict.failed(self.name, f"{type(error).__name__}: {error}")
        if self.noise == 0.0 or verdict.probabilities is None or len(verdict.probabilities) < 2:
            return verdict
        rng = np.random.default_rng(case_seed(self.seed, case))
        if rng.random() >= self.noise:
            return verdict
        shift = int(rng.integers(1, len(verdict.probabilities)))
        rotated = verdict.probabilities[-shift:] + verdict.probabilities[:-shift]
        return Verdict(verdict.judge, rotated, verdict.scores, verdict.rationale, "ok", verdict.cost)

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict a case, in order."""
        return [self.judge(case) for case in cases]

    def _answer(self, case: Case) -> Answer:
        if callable(self.script):
            return self.script(case)
        if isinstance(self.script, Mapping):
            if case.question not in self.script:
                raise LookupError(f"the script has no answer to {case.question!r}")
            return self.script[case.question]
        return self.script

    def _verdict(self, case: Case, answer: Answer) -> Verdict:
        if isinstance(answer, Verdict):
            return answer
        if answer is None:
            return Verdict.failed(self.name, "the script says to abstain", "abstain")
        count = len(case.options)
        if isinstance(answer, (int, np.integer)):
            if not 0 <= answer < count:
                raise IndexError(f"the script answers option {answer} of {count}")
            return Verdict(self.name, tuple(float(i == answer) for i in range(count)))
        if len(answer) != count:
            raise ValueError(f"the script gives {len(answer)} probabilities for {count} options")
        return Verdict(self.name, tuple(float(p) for p in answer))


def constant_judge(option: int | None = None, name: str = "constant") -> ScriptedJudge:
    """The judge that reads nothing: always the same option, or the uniform distribution when `option` is None.

    Its score belongs beside every other judge's: what it reaches is what an unbalanced set of items gives away.
    """
    if option is not None:
        return ScriptedJudge(option, name)

    def uniform(case: Case) -> Answer:
        return [1.0 / len(case.options)] * len(case.options)

    return ScriptedJudge(uniform, name)
