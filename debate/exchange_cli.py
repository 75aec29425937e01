"""The commands on stored transcripts: judge, export, import."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from debate.judge_cli import JUDGE, _model_arguments, _settings


def add_exchange_commands(commands: Any) -> None:
    """Adds the commands to the sub-parsers of the command line."""
    judge = commands.add_parser("judge", help="judge the stored debates of a run again, without playing them again")
    judge.add_argument("folder", type=Path, help="the folder of a run")
    judge.add_argument("--judge", action="append", required=True, metavar="JUDGE", help=JUDGE)
    judge.add_argument(
        "--as", dest="alias", default="", metavar="NAME", help="the judge's name beside the old verdicts"
    )
    judge.add_argument("--out", type=Path, default=None, help="a new folder: the run with the new verdicts and rewards")
    judge.add_argument("--matches", default="", metavar="PREFIX", help="only matches whose id starts so (tour/, eval/)")
    _model_arguments(judge)
    judge.set_defaults(run=_judge)

    export = commands.add_parser("export", help="write the transcripts of a run to a file, losing nothing")
    export.add_argument("folder", type=Path, help="the folder of a run")
    export.add_argument("--format", default="jsonl", choices=["jsonl", "parquet"], help="of the file (default jsonl)")
    export.add_argument("--out", type=Path, default=None, help="the file (default transcripts.FORMAT in the folder)")
    export.add_argument("--matches", default="", metavar="PREFIX", help="only matches whose id starts so")
    export.set_defaults(run=_export)

    read = commands.add_parser("import", help="make a run of exported transcripts, to judge, solve or report")
    read.add_argument("file", type=Path, help="what debate export wrote")
    read.add_argument("--out", type=Path, required=True, help="the new run's folder")
    read.set_defaults(run=_import)


def _judge(arguments: argparse.Namespace) -> int:
    from debate.rejudge import rejudge_run

    for line in rejudge_run(
        arguments.folder, arguments.judge, arguments.alias, _settings(arguments), arguments.out, arguments.matches
    ):
        print(line)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from debate.exchange import export_run

    place, count = export_run(arguments.folder, arguments.format, arguments.out, arguments.matches)
    print(f"{place}: {count:,} episodes")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from debate.exchange import import_file

    count = import_file(arguments.file, arguments.out)
    print(f"{arguments.out}: {count:,} episodes")
    return 0
