"""The judge's commands: gauge, attack, label, audit. Everything heavy is imported by the command that runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

NOT_GRANTED = 1  # the command did its work, and the certificate was refused or revoked
JUDGE = "naive_evidence, constant, longer_output, human, simulated:ACCURACY, or a model"
CASES = "cases: a file of JSON lines, llmbar (in the folder DEBATE_DATA), or the folder of a run"


def add_judge_commands(commands: Any) -> None:
    """Adds the judge's commands to the sub-parsers of the command line."""
    gauge = commands.add_parser("gauge", help="measure a judge against labels; bless or refuse it, with the reasons")
    gauge.add_argument("judge", help=JUDGE)
    gauge.add_argument("--labels", required=True, metavar="CASES", help=CASES)
    gauge.add_argument(
        "--ratings", action="append", default=[], metavar="FILE", help="the panel's ratings: a ledger, or label JSONL"
    )
    gauge.add_argument(
        "--blind", action="store_true", help="declare that the panel rated blind, as `debate label` does"
    )
    gauge.add_argument(
        "--no-own-texts", action="store_true", help="declare that the judge's own model wrote none of the texts"
    )
    gauge.add_argument("--gate", action="append", default=[], metavar="NAME=VALUE", help="a threshold of your own")
    gauge.add_argument("--seals", type=Path, metavar="FILE", help="the book of who has seen which split")
    gauge.add_argument("--certificate", type=Path, metavar="FILE", help="write the certificate; exit code 1 if refused")
    gauge.add_argument("--report", type=Path, metavar="FILE", help="write the report (Markdown) as well")
    _judge_arguments(gauge)
    gauge.set_defaults(run=_gauge)

    attack = commands.add_parser("attack", help="attack a judge; a table of what passed")
    attack.add_argument("judge", help=JUDGE)
    attack.add_argument("--labels", required=True, metavar="CASES", help=CASES)
    attack.add_argument("--attack", action="append", default=[], metavar="NAME", help="only this attack")
    _judge_arguments(attack)
    attack.set_defaults(run=_attack)

    label = commands.add_parser("label", help="label cases at the terminal, blind; import, export, or buy labels")
    label.add_argument("cases", help=CASES)
    label.add_argument("--ledger", type=Path, required=True, metavar="FILE", help="where labels are kept, append-only")
    label.add_argument("--expert", default="", metavar="NAME", help="who labels now")
    label.add_argument("--cost", type=_dollars, default=None, help="dollars a label (default: what the last one cost)")
    label.add_argument("--repeats", type=_share, default=0.1, help="share shown again, unannounced (default 0.1)")
    label.add_argument("--limit", type=_count, default=None, help="most cases, from all domains in turn")
    label.add_argument("--seed", type=_whole, default=0, help="of the order of cases and options")
    label.add_argument("--buy", type=_dollars, default=None, metavar="DOLLARS", help="route this much money first")
    label.add_argument("--price", action="append", default=[], metavar="EXPERT=DOLLARS", help="who may be asked")
    forms = ["jsonl", "label_studio", "argilla"]
    label.add_argument("--import", dest="read", type=Path, metavar="FILE", help="enter the labels of a file")
    label.add_argument("--export", dest="write", type=Path, metavar="FILE", help="write labels, or tasks for a tool")
    label.add_argument("--format", default="jsonl", choices=forms, help="of the file (default jsonl)")
    label.add_argument("--question", default="", help="name of the tool's question, where it has several")
    label.add_argument("--simulate", type=_count, default=None, metavar="EXPERTS", help="a SIMULATED panel, for trials")
    label.add_argument("--accuracy", type=_share, default=0.98, help="of simulated experts (default 0.98)")
    label.set_defaults(run=_label)

    audit = commands.add_parser("audit", help="audit the holder of a certificate; revoke it where evidence demands it")
    audit.add_argument("certificate", type=Path, help="the file that debate gauge wrote")
    audit.add_argument("cases", help="the folder of a run, or cases that the judge is asked about")
    audit.add_argument("--judge", default="", help=f"the judge as it is now: {JUDGE}")
    audit.add_argument(
        "--ratings", action="append", default=[], metavar="FILE", help="what people say: ledger or JSONL"
    )
    audit.add_argument("--draw", type=Path, metavar="FILE", help="write the drawn cases that wait for a label")
    audit.add_argument("--checkpoint", type=_whole, default=None, help="the policy checkpoint that is judged now")
    audit.add_argument("--panel", action="append", default=[], metavar="JUDGE", help="compare with another judge")
    audit.add_argument("--attacks", action="store_true", help="attack the judge again")
    audit.add_argument("--seed", type=_whole, default=0, help="of the draw")
    _model_arguments(audit)
    audit.set_defaults(run=_audit)


def _judge_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--limit", type=_count, default=None, help="most cases, from all domains in turn")
    _model_arguments(command)


def _model_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--rubric", default="Which answer is right?", help="of a language-model judge")
    command.add_argument("--one-order", action="store_true", help="judge one order of the options only")
    command.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    command.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    command.add_argument("--rows", type=_count, default=16, help="most conversations in one forward")
    command.add_argument(
        "--cache", type=Path, metavar="FILE", help="keep the model's answers; asked again, they are read"
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def _share(text: str) -> float:
    return _number(text, 1.0, "a share between 0 and 1")


def _dollars(text: str) -> float:
    return _number(text, float("inf"), "a number of dollars")


def _number(text: str, most: float, wanted: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= most or value == float("inf"):
        raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}")
    return value


def _settings(arguments: argparse.Namespace, progress: Any = None) -> Any:
    from debate.judging_tools.named import JudgeSettings
    from debate.progress import Silent

    return JudgeSettings(
        arguments.rubric,
        not arguments.one_order,
        arguments.device,
        arguments.dtype,
        arguments.rows,
        arguments.cache,
        progress or Silent(),
    )


def _gauge(arguments: argparse.Namespace) -> int:
    from debate.judging_tools.gauging import check_writable, gauge_judge, gauge_lines, write_certificate
    from debate.progress import progress
    from judges.charter.certificate import Certificate

    check_writable(arguments.certificate)
    check_writable(arguments.report)
    with progress() as shown:
        report, outcome, seconds = gauge_judge(
            arguments.judge,
            arguments.labels,
            arguments.ratings,
            arguments.limit,
            arguments.gate,
            True if arguments.blind else None,
            arguments.no_own_texts,
            arguments.seals,
            _settings(arguments, shown),
        )
    lines = gauge_lines(report, outcome, seconds)
    print("\n".join(lines))
    if arguments.report is not None:
        arguments.report.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if arguments.certificate is None:
        return 0
    if not isinstance(outcome, Certificate):
        return NOT_GRANTED
    write_certificate(arguments.certificate, outcome)
    print(f"certificate: {arguments.certificate}")
    return 0


def _attack(arguments: argparse.Namespace) -> int:
    from debate.judging_tools.gauging import attack_judge
    from debate.progress import progress

    with progress() as shown:
        settings = _settings(arguments, shown)
        lines = attack_judge(arguments.judge, arguments.labels, arguments.limit, arguments.attack, settings)
    print("\n".join(lines))
    return 0


def _label(arguments: argparse.Namespace) -> int:
    from debate.judging_tools.cases import read_cases
    from debate.judging_tools.label_command import label

    items = read_cases(arguments.cases, arguments.limit)
    for line in label(items, arguments):
        print(line)
    return 0


def _audit(arguments: argparse.Namespace) -> int:
    from debate.judging_tools.auditing import AuditOptions, audit
    from debate.progress import progress

    with progress() as shown:
        options = AuditOptions(
            arguments.judge,
            arguments.ratings,
            arguments.panel,
            arguments.attacks,
            arguments.draw,
            arguments.checkpoint,
            arguments.seed,
            _settings(arguments, shown),
        )
        lines, found = audit(arguments.certificate, arguments.cases, options)
    print("\n".join(lines))
    return 0 if found is None else NOT_GRANTED
