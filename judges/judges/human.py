"""A person as judge, at a terminal or behind any pair of functions that ask and show."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from judges.judges.prompt import PROMPT_VERSION, build_prompt, option_labels
from judges.judges.rubric import DEFAULT_RUBRIC, Rubric
from judges.types import Case, Verdict

_ANSWER = re.compile(r"([A-Za-z])(?:\s+(0?\.\d+|1(?:\.0*)?|\d{1,3}%))?")


@dataclass(frozen=True)
class HumanJudge:
    """Shows a case and asks for an option and how sure the person is.

    Answers: "A" (certain), "A 0.8" or "A 80%", "skip" to abstain, then the reason on a line of its own. The case is
    shown exactly as a language-model judge sees it: the same anonymous speakers, the same neutralised text, so that
    nothing in a speech can drive the terminal.

    Attributes:
        name: the judge's name.
        ask: shows a question and returns the answer.
        show: shows text.
        rubric: what to look at.
        attempts: how often an unreadable answer is asked again.
    """

    name: str = "human"
    ask: Callable[[str], str] = input
    show: Callable[[str], object] = print
    rubric: Rubric = DEFAULT_RUBRIC
    attempts: int = 3

    @property
    def identity(self) -> dict[str, str]:
        """What a certificate binds."""
        shown = {"prompt": PROMPT_VERSION, "rubric": self.rubric.hash, "decoding": "typed", "parser": "1"}
        return {"model": f"person:{self.name}", "version": "person", **shown, "scale": "probabilities over options"}

    async def __call__(self, case: Case) -> Verdict:
        """The person's verdict; a closed terminal or no readable answer is an error verdict."""
        return await asyncio.to_thread(self.judge, case)

    def judge(self, case: Case) -> Verdict:
        """The same without awaiting."""
        try:
            return self._judge(case)
        except EOFError:
            return Verdict.failed(self.name, "the input ended before a verdict was given")
        except (OSError, ValueError) as error:
            return Verdict.failed(self.name, f"{type(error).__name__}: {error}")

    def _judge(self, case: Case) -> Verdict:
        labels = option_labels(len(case.options))
        prompt = build_prompt(case, self.rubric, range(len(labels)), "")
        self.show("\n\n".join(message.text for message in prompt.messages if message.text))
        for _ in range(self.attempts):
            text = self.ask(f"Answer ({'/'.join(labels)}, with a probability if unsure, or skip): ").strip()
            if text.lower() == "skip":
                return Verdict.failed(self.name, self.ask("Why? ").strip() or "skipped", "abstain")
            read = read_person(text, labels)
            if read is not None:
                option, p = read
                rest = (1.0 - p) / (len(labels) - 1)
                probabilities = tuple(p if k == option else rest for k in range(len(labels)))
                return Verdict(self.name, probabilities, prompt.scores, self.ask("Why? ").strip())
            self.show(f"Not readable: {text!r}")
        return Verdict.failed(self.name, f"no readable answer in {self.attempts} attempts")


def read_person(text: str, labels: tuple[str, ...]) -> tuple[int, float] | None:
    """The option and its probability in "B", "B 0.7" or "B 70%"; None where the text is anything else.

    >>> read_person("b 70%", ("A", "B"))
    (1, 0.7)
    """
    match = _ANSWER.fullmatch(text)
    if match is None or match[1].upper() not in labels:
        return None
    p = 1.0 if match[2] is None else int(match[2][:-1]) / 100 if match[2].endswith("%") else float(match[2])
    return (labels.index(match[1].upper()), p) if 0.0 <= p <= 1.0 else None
