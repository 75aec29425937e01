"""The grammar of `debate learn`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

HELP = {
    "dpo": "direct preference optimisation on pairs out of judged debates (TRL; hf agents)",
    "sft": "supervised: the best plays, another agent's words, or conversations (TRL; hf agents)",
    "reward": "a reward model on debates with known answers, to be used as a judge (TRL)",
    "expert": "expert iteration: imitate the best plays of every group",
    "stored": "off-policy from stored transcripts, corrected by importance weights, judged again if asked",
}


def add_learn_commands(commands: Any) -> None:
    """Adds `learn` and its ways to the command line."""
    learn = commands.add_parser("learn", help="other ways of learning from what a run has stored")
    ways = learn.add_subparsers(required=True, metavar="WAY")
    for way, text in HELP.items():
        sub = ways.add_parser(way, help=text)
        sub.set_defaults(run=_learn, way=way)
        sub.add_argument("source", type=Path, metavar="RUN", help="folder of a run")
        sub.add_argument("--out", type=Path, required=True, help="a new folder for the result")
        sub.add_argument("--arena", default="", help="whose debates (default: the recipe's first)")
        sub.add_argument("--matches", default="train/", help="prefix of the match ids that are read (default train/)")
        sub.add_argument("--lr", type=_above, default=None, help="step (default: the agent's, or 1e-4 through TRL)")
        sub.add_argument("--epochs", type=_count, default=1, help="passes over the data (default 1)")
        sub.add_argument("--steps", type=int, default=0, help="steps instead of passes")
        sub.add_argument("--rows", type=_count, default=4, help="rows or pairs of one step through TRL (default 4)")
        sub.add_argument("--seed", type=int, default=0, help="of fresh adapters and of the order of rows")
        if way == "reward":
            sub.add_argument("--model", required=True, help="what the reward model starts from")
            sub.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
            sub.add_argument("--name", default="learned", help="the judge's name")
            continue
        sub.add_argument("--agent", required=True, help="who learns")
        sub.add_argument(
            "--start", default="newest", help="weights: newest (kept by the run), first, a version, or a folder"
        )
        sub.add_argument(
            "--judge",
            default="",
            choices=["", "recipe", "constant", "naive_evidence"],
            help="judge the debates again first (default: the stored rewards)",
        )
        if way == "dpo":
            sub.add_argument("--beta", type=_above, default=0.1, help="weight of the pull to the reference")
            sub.add_argument("--margin", type=float, default=0.0, help="least difference of a pair's utilities")
            sub.add_argument("--pairing", default="extremes", choices=["extremes", "all"])
        if way in ("sft", "expert"):
            sub.add_argument("--fraction", type=_above, default=0.25, help="of each group that is imitated (.25)")
        if way == "sft":
            sub.add_argument("--conversations", type=Path, default=None, help="JSONL to imitate instead")
            sub.add_argument("--imitate", default="", metavar="AGENT", help="imitate this agent's words instead")
        if way == "expert":
            sub.add_argument("--least", type=float, default=float("-inf"), help="utility below which nothing is kept")
        if way == "stored":
            sub.add_argument("--level", default="token", choices=["token", "turn", "row"], help="of the correction")
            sub.add_argument("--cap", type=_above, default=2.0, help="where importance weights are cut (default 2)")


def _learn(arguments: argparse.Namespace) -> int:
    from debate.errors import UserError
    from debate.learn.ways import WAYS

    if getattr(arguments, "fraction", 1.0) > 1.0:
        raise UserError(f"--fraction: expected a number in (0, 1], got {arguments.fraction}")
    for line in WAYS[arguments.way](arguments):
        print(line)
    return 0


def _above(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)
