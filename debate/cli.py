"""The command line. Every heavy import waits until its command runs, so that `debate --help` answers at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debate.errors import Failed, UserError
from debate.exchange_cli import add_exchange_commands
from debate.judge_cli import add_judge_commands
from debate.learn.cli import add_learn_commands

if TYPE_CHECKING:
    from debate.recipe import Recipe

USER_ERROR = 2
FAILED = 1
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code: 0 done, 1 it failed, 2 the user's mistake, 130 interrupted."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments) or 0)
    except UserError as error:
        print(f"debate: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("debate: interrupted; what was acknowledged is stored, go on with --resume", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return 0
    except Failed as error:
        print(f"debate: {error}", file=sys.stderr)
        return FAILED


def parser() -> argparse.ArgumentParser:
    """The whole grammar of the command line."""
    top = argparse.ArgumentParser(
        prog="debate", description="Train language-model agents in debate games, and solve the games they form."
    )
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="run a recipe: train, evaluate, tournament, solve, report")
    _recipe_arguments(train)
    train.add_argument("--resume", action="store_true", help="go on with the run in the folder, or start it")
    train.add_argument("--dry-run", action="store_true", help="count matches, calls and tokens; run nothing")
    _ray_arguments(train, "play and learn")
    train.set_defaults(run=_train)

    for name, text in (
        ("tournament", "play a tournament (matches already played are kept) and solve its game"),
        ("report", "write the report of a run again"),
    ):
        stage = commands.add_parser(name, help=text)
        _target_arguments(stage)
        stage.set_defaults(run=_tournament if name == "tournament" else _report)
        if name == "tournament":
            stage.add_argument("--resume", action="store_true", help="go on with the tournament in the folder")
            stage.add_argument(
                "--budget", action="append", default=[], metavar="NAME=VALUE", help="tokens, calls, usd or seconds"
            )
            _ray_arguments(stage, "play and judge")

    solve = commands.add_parser("solve", help="solve a game: FILE.nfg, FILE.efg, payoffs.csv, a recipe or a run")
    _target_arguments(solve)
    solve.add_argument("--concept", default="nash", choices=["nash", "ce", "cce"], help="of a game file (default nash)")
    solve.set_defaults(run=_solve)

    play = commands.add_parser("play", help="play one match of a protocol and show it")
    play.add_argument("protocol", help="a shipped protocol or a file ending in .yaml")
    play.add_argument(
        "--agent",
        default="",
        help="who sits in every seat: a script, nano, human, a model (default: the protocol's example)",
    )
    play.add_argument("--seat", action="append", default=[], metavar="SEAT=AGENT", help="who sits in one seat")
    play.add_argument("--judge", default="", help="naive_evidence, constant, human, or a model")
    play.add_argument("--data", default="", help="question JSONL (default: the example's, or drawn evidence)")
    play.add_argument("--question", default="", help="id of the question (default: the first)")
    play.add_argument("--seed", type=int, default=0)
    play.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the protocol")
    play.set_defaults(run=_play)

    protocols = commands.add_parser("protocols", help="list, show, check or draw protocols")
    protocols.set_defaults(run=_protocols_list)
    actions = protocols.add_subparsers(metavar="ACTION")
    actions.add_parser("list", help="the shipped protocols").set_defaults(run=_protocols_list)
    for action, function, text in (
        ("show", _protocols_show, "who speaks when, and what is rewarded"),
        ("check", _protocols_check, "whether a file is a valid protocol, and can be meant"),
        ("draw", _protocols_draw, "who speaks when and who sees what, as a picture"),
    ):
        sub = actions.add_parser(action, help=text)
        sub.add_argument("protocol")
        sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the protocol")
        sub.set_defaults(run=function)
        if action == "draw":
            sub.add_argument("--out", type=Path, default=None, metavar="FILE", help="an .svg, .png or .pdf file")
    schema = actions.add_parser("schema", help="the grammar of protocol files as a JSON Schema, for editors")
    schema.set_defaults(run=_protocols_schema)

    experiment = commands.add_parser("experiment", help="run an experiment: its figure, its table, every point")
    experiment.add_argument("name", nargs="?", default="", help="of runs/experiments, or a YAML file; none: list them")
    experiment.add_argument("--out", type=Path, default=None, help="default runs/out/experiments/NAME")
    experiment.add_argument("--workers", type=int, default=1, help="processes side by side (default 1)")
    experiment.add_argument("--check", action="store_true", help="fail unless the points are the published ones")
    experiment.set_defaults(run=_experiment)

    add_judge_commands(commands)
    add_exchange_commands(commands)
    add_learn_commands(commands)

    plans = commands.add_parser("options", help="play and solve the game of an arena's plan moves; priors for agents")
    _target_arguments(plans)
    plans.add_argument("--questions", type=int, default=8, help="on which every joint plan is played (default 8)")
    plans.add_argument("--repeats", type=int, default=1, help="matches of each plan and question (default 1)")
    plans.add_argument("--cells", type=int, default=1024, help="most joint plans (default 1024)")
    plans.set_defaults(run=_options)

    theory = commands.add_parser("theory", help="a game of debate whose answer is known: its numbers and figure")
    theory.add_argument("name", help="evidence, parity, qbf, talk, obfuscation, doubly_efficient or goodhart")
    theory.add_argument("--out", type=Path, default=None, help="folder for NAME.json and NAME.svg (default: none)")
    theory.add_argument("--seed", type=_seed, default=0, help="of what is simulated")
    theory.set_defaults(run=_theory)

    models = commands.add_parser("models", help="fetch models")
    actions = models.add_subparsers(required=True, metavar="ACTION")
    pull = actions.add_parser("pull", help="fetch a model and store it")
    pull.add_argument("name")
    pull.set_defaults(run=_models_pull)
    return top


def _recipe_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("recipe", type=Path, help="a recipe (YAML)")
    command.add_argument("--seed", type=_seed, default=None, help="instead of the recipe's")
    command.add_argument("--out", type=Path, default=None, help="run folder (default runs/out/<recipe>)")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a recipe field")


def _ray_arguments(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("--ray", default="", metavar="ADDRESS", help=f"{what} on Ray: local, auto or HOST:PORT")
    command.add_argument(
        "--ray-workers", type=int, default=0, help="rollout workers (default: as many as there is room)"
    )


def _target_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("target", type=Path, help="a recipe, or the folder of its run")
    command.add_argument("--seed", type=_seed, default=None, help="instead of the recipe's")
    command.add_argument("--out", type=Path, default=None, help="folder (default runs/out/<recipe>)")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a recipe field")


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def _out(arguments: argparse.Namespace, recipe: Recipe) -> Path:
    return arguments.out or Path("runs/out") / recipe.name


def _train(arguments: argparse.Namespace) -> int:
    from debate.recipe import read_recipe

    recipe = read_recipe(arguments.recipe, arguments.set, arguments.seed)
    out = _out(arguments, recipe)
    if arguments.dry_run:
        from debate.dry_run import estimate

        for line in estimate(recipe):
            print(line)
        return 0
    if arguments.resume:
        from debate.run.folder import finished

        summary = finished(out, recipe.text, recipe.seed, recipe.protocols)
        if summary is not None:
            return _show(summary, out)
    from debate.progress import progress
    from debate.scale.cluster import scale_of
    from debate.train import train

    scale = scale_of(arguments.ray, arguments.ray_workers)
    with progress() as shown:
        summary = train(recipe, out, arguments.resume, shown, scale=scale)
    return _show(summary, out)


def _show(summary: dict[str, Any], out: Path) -> int:
    """The headline numbers, and where the rest is; the exit code, 1 where training had to stop early."""
    from debate.headline import headline

    for line in headline(summary):
        print(line)
    print(f"report: {out / 'report.html'}")
    return FAILED if summary.get("stopped") else 0


def _run_of(arguments: argparse.Namespace) -> tuple[Recipe, Path]:
    """The recipe and folder of an existing run, named by its recipe or by its folder."""
    from debate.recipe import read_recipe
    from debate.run.folder import RunFolder
    from debate.run_questions import Origin

    if arguments.target.is_dir():
        folder = RunFolder.open(arguments.target)
        return Origin.of(folder).recipe(), folder.path
    recipe = read_recipe(arguments.target, arguments.set, arguments.seed)
    out = _out(arguments, recipe)
    RunFolder.open(out)  # a stage can only be redone where there is a run
    return recipe, out


def _tournament(arguments: argparse.Namespace) -> int:
    from debate.tournaments.cli import tournament

    code = tournament(arguments)
    if code is not None:
        return code
    from debate.conclude import redo_tournament
    from debate.progress import progress
    from debate.scale.cluster import scale_of
    from debate.session import open_session

    recipe, out = _run_of(arguments)
    scale = scale_of(getattr(arguments, "ray", ""), getattr(arguments, "ray_workers", 0))
    with progress() as shown, open_session(recipe, out, resume=True, progress=shown, scale=scale) as session:
        summary, analysis = redo_tournament(session)
    rows = analysis.table() if analysis is not None else []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    _show(summary, out)
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from debate.report import write_report
    from debate.run.folder import RunFolder

    recipe, out = _run_of(arguments)
    folder = RunFolder.open(out)
    summary = folder.read_summary()
    if summary is not None and summary.get("judge_accuracy"):  # people may have labelled debates since
        from debate.judge_facts import human_accuracy

        judged = {k: v for k, v in summary["judge_accuracy"].items() if not k.startswith("human")}
        summary["judge_accuracy"] = {**judged, **human_accuracy(out, recipe.main.name)}
        folder.write_summary(summary)
    print(write_report(folder))
    return 0


def _solve(arguments: argparse.Namespace) -> int:
    if arguments.target.suffix in (".nfg", ".efg", ".csv"):
        from debate.solve_file import solve_file

        out = arguments.out or Path("runs/out") / arguments.target.stem
        for line in solve_file(arguments.target, arguments.concept, out, arguments.seed or 0):
            print(line)
        return 0
    return _tournament(arguments)


def _play(arguments: argparse.Namespace) -> int:
    from debate.play_one import play_one

    try:
        for line in play_one(
            arguments.protocol,
            arguments.set,
            arguments.agent,
            arguments.seat,
            arguments.judge,
            arguments.data,
            arguments.question,
            arguments.seed,
        ):
            print(line)
    except KeyboardInterrupt:
        print("\ndebate: interrupted; a match on the terminal is not stored", file=sys.stderr)
        return INTERRUPTED
    return 0


def _experiment(arguments: argparse.Namespace) -> int:
    from debate.experiments.command import default_out, experiment_command
    from debate.experiments.spec import read_experiment, shipped
    from debate.progress import progress

    if not arguments.name:
        for name in shipped():
            print(f"{name:<22} {read_experiment(name).title}")
        return 0
    if arguments.workers < 1:
        raise UserError(f"--workers: expected at least 1, got {arguments.workers}")
    experiment = read_experiment(arguments.name)
    out = arguments.out or default_out(experiment)
    with progress() as shown:
        for line in experiment_command(experiment, out, shown, arguments.workers, arguments.check):
            print(line)
    return 0


def _options(arguments: argparse.Namespace) -> int:
    from debate.options.command import options
    from debate.progress import progress
    from debate.recipe import read_recipe
    from debate.session import open_session

    for name in ("questions", "repeats", "cells"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name}: expected at least 1, got {getattr(arguments, name)}")
    if arguments.target.is_dir():
        recipe, out = _run_of(arguments)
    else:
        recipe = read_recipe(arguments.target, arguments.set, arguments.seed)
        out = _out(arguments, recipe)
    with progress() as shown, open_session(recipe, out, resume=True, progress=shown) as session:
        lines = list(options(session, arguments.questions, arguments.repeats, arguments.cells))
    for line in lines:
        print(line)
    return 0


def _theory(arguments: argparse.Namespace) -> int:
    from debate.theory.show import theory

    for line in theory(arguments.name, arguments.out, arguments.seed):
        print(line)
    return 0


def _protocols_list(arguments: argparse.Namespace) -> int:
    from debate.protocol.load import load_protocol, shipped

    for name in shipped():
        protocol = load_protocol(name)
        print(f"{name:<21} {protocol.title:<32} {', '.join(protocol.seats)}")
    return 0


def _protocol(arguments: argparse.Namespace) -> Any:
    """The protocol that is named, with the parameters that are set."""
    import yaml

    from debate.protocol.load import load_protocol

    settings = dict(setting.partition("=")[::2] for setting in arguments.set)
    return load_protocol(arguments.protocol, {key: yaml.safe_load(value) for key, value in settings.items()})


def _protocols_show(arguments: argparse.Namespace) -> int:
    from debate.protocol.describe import describe

    for line in describe(_protocol(arguments)):
        print(line)
    return 0


def _protocols_check(arguments: argparse.Namespace) -> int:
    from debate.protocol.check import check_protocol

    protocol = _protocol(arguments)
    findings = check_protocol(protocol)
    for finding in findings:
        print(f"{protocol.name}: {finding}")
    if any(finding.level == "error" for finding in findings):
        return 2
    print(f"{protocol.name}: valid; {len(protocol.slots)} slots, seats {', '.join(protocol.seats)}")
    return 0


def _protocols_draw(arguments: argparse.Namespace) -> int:
    protocol = _protocol(arguments)
    if arguments.out is None:
        from debate.protocol.draw_text import draw_text

        for line in draw_text(protocol):
            print(line)
        return 0
    from debate.protocol.draw import draw

    print(draw(protocol, arguments.out))
    return 0


def _protocols_schema(arguments: argparse.Namespace) -> int:
    import json

    from debate.protocol.schema import protocol_schema

    print(json.dumps(protocol_schema(), indent=2, ensure_ascii=False))
    return 0


def _models_pull(arguments: argparse.Namespace) -> int:
    from debate.models import pull

    print(pull(arguments.name))
    return 0
