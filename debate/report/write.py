"""Writes report.html: one file that holds everything it shows, opens without a network, and runs no script."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import yaml

from debate.report import curves, learners, sections
from debate.report.markup import Markup, join, tag, void
from debate.report.tournament import headline, tournament
from debate.report.transcripts import show_transcripts
from debate.run.files import write_atomic
from debate.run.folder import RunFolder
from debate.run.store import Store

# Nothing is fetched, nothing runs, even if a text in it were not what it seems.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write_report(run_folder: RunFolder | str | Path) -> Path:
    """Writes the report of a run from what its folder holds.

    Args:
        run_folder: the run; it needs a manifest, and may lack anything else (a run that is not finished).

    Returns:
        The path of report.html.

    Raises:
        UserError: no run is there, or a file in it is damaged.
        StoreError: the store cannot be read.
    """
    folder = run_folder if isinstance(run_folder, RunFolder) else RunFolder.open(run_folder)
    page = build_page(folder)
    write_atomic(folder.report_path, page)
    return folder.report_path


def build_page(folder: RunFolder) -> str:
    """The page as HTML."""
    found = folder.read_summary()
    summary = found or {}
    rows = list(folder.read_log())
    recipe = yaml.safe_load(folder.manifest["recipe"])
    title, about = (recipe.get("name"), recipe.get("summary")) if isinstance(recipe, dict) else (None, None)
    title = title or folder.path.resolve().name
    parts = {
        "Tournament": tournament(summary),
        "Judge accuracy": sections.judge_accuracy(summary),
        "Learning": join([curves.learning(rows), sections.rewards(summary)]),
        "Told preferences": learners.preferences(summary),
        "Alarms": learners.alarms(rows),
        "Guard": learners.guard(rows),
        "Exploiters": learners.exploiters(summary),
        "The game between the agents": sections.game(summary, rows, folder.path / "analysis"),
        "Training in detail": curves.health(rows),
        "Failures": sections.failures(summary),
        "Transcripts": _transcripts(folder),
        "How it was made": sections.how_it_was_made(folder.manifest),
    }
    if parts["Tournament"]:  # its judge's numbers stand there, and nothing was trained
        parts = {name: content for name, content in parts.items() if name not in ("Judge accuracy", "Learning")}
    shown = {name: content for name, content in parts.items() if content}
    anchors = {name: name.lower().replace(" ", "-") for name in shown}
    unfinished = tag("p", tag("strong", "This run is not finished: "), "there is no summary yet.")
    body = [
        tag("h1", title),
        tag("p", about, class_="soft") if about else Markup(),
        Markup() if found is not None else unfinished,
        tag("nav", *(tag("a", name, href=f"#{anchor}") for name, anchor in anchors.items())),
        headline(summary) if parts["Tournament"] else sections.headline(summary),
        *(join([tag("h2", name, id=anchors[name]), content]) for name, content in shown.items()),
    ]
    style = files("debate.report").joinpath("report.css").read_text(encoding="utf-8")
    head = [
        void("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} – debate report"),
        tag("style", Markup(style)),
    ]
    page = tag("html", tag("head", *head), tag("body", tag("main", *body)), lang="en")
    return f"<!doctype html>\n{page}\n"


def _transcripts(folder: RunFolder) -> Markup:
    if not folder.store_path.is_file():
        return tag("p", "No match was played.", class_="soft")
    with Store(folder.store_path, read_only=True) as store:
        return show_transcripts(store)
