"""An experiment as its YAML file fixes it: task, seeds and measures, before anything is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debate.errors import UserError, did_you_mean
from debate.experiments.kinds import KINDS
from debate.reader import Fields, read_yaml

HOME = Path("runs/experiments")
LEAST_SEEDS = 5


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured.

    Attributes:
        name: of the number in each row a job returns.
        label: for people.
        log: drawn on a logarithmic axis.
        drawn: whether the figure shows it, or the table alone.
    """

    name: str
    label: str
    log: bool = False
    drawn: bool = True


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two conditions whose difference (first − second, seed by seed) is reported."""

    first: str
    second: str


@dataclass(frozen=True, eq=False)
class Experiment:
    """A whole experiment.

    Attributes:
        name, title: of it.
        question: what it asks, in words.
        expected: what the literature or toys found: context, not a bar.
        kind: which function plays a job (`debate.experiments.kinds`).
        seeds: at least five; every condition runs with each.
        x, x_label: the number on the horizontal axis ("" where each job ends in one number).
        measures: what is reported, the first one first.
        settings: of every job.
        panels: name → settings; the parts of the task (one where there is nothing to tell apart).
        conditions: name → settings; what is compared.
        contrasts: pairs of conditions.
    """

    name: str
    title: str
    question: str
    expected: str
    kind: str
    seeds: tuple[int, ...]
    x: str
    x_label: str
    measures: tuple[Measure, ...]
    settings: Mapping[str, Any]
    panels: Mapping[str, Mapping[str, Any]]
    conditions: Mapping[str, Mapping[str, Any]]
    contrasts: tuple[Contrast, ...]
    folder: Path

    def jobs(self) -> Iterator[tuple[str, str, int]]:
        """Every (panel, condition, seed); a condition may name the panels it is for."""
        for panel in self.panels:
            for condition, settings in self.conditions.items():
                if panel in settings.get("only", [panel]):
                    for seed in self.seeds:
                        yield panel, condition, seed

    def settings_of(self, panel: str, condition: str) -> dict[str, Any]:
        """What a job is run with: the experiment's settings, overlaid by the panel's, then the condition's."""
        merged = {**self.settings, **self.panels[panel], **self.conditions[condition]}
        merged.pop("only", None)
        return merged


def shipped(home: Path = HOME) -> list[str]:
    """Names of the experiments in a folder."""
    return sorted(path.stem for path in home.glob("*.yaml"))


def read_experiment(name: str, home: Path = HOME) -> Experiment:
    """An experiment by name (in `runs/experiments/`), or by the path of its YAML file.

    Raises:
        UserError: no such experiment, or a file that is not one; with file, line, field and what was expected.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else home / f"{name}.yaml"
    if not path.is_file():
        known = shipped(path.parent)
        raise UserError(
            f"no experiment {path}{did_you_mean(path.stem, known)}; in {path.parent}: {', '.join(known) or 'none'}"
        )
    top = Fields(read_yaml(path))
    panels = _named(top, "panels") or {"": {}}
    conditions = _named(top, "conditions")
    if not conditions:
        raise top.error("conditions", "expected at least one condition")
    for condition, settings in conditions.items():
        for panel in settings.get("only", []):
            if panel not in panels:
                raise top.error("conditions", f"{condition}: only: no panel {panel!r}; there are {', '.join(panels)}")
    experiment = Experiment(
        name=path.stem,
        title=top.take("title", str),
        question=top.take("question", str).strip(),
        expected=top.take("expected", str, "").strip(),
        kind=top.take("kind", str, among=KINDS),
        seeds=_seeds(top),
        x=top.take("x", str, ""),
        x_label=top.take("x_label", str, ""),
        measures=_measures(top),
        settings=dict(top.take("settings", dict, {})),
        panels=panels,
        conditions=conditions,
        contrasts=_contrasts(top, conditions),
        folder=path.parent,
    )
    top.done()
    return experiment


def _named(top: Fields, key: str) -> dict[str, dict[str, Any]]:
    found = {}
    for name, value in top.take(key, dict, {}).items():
        if not isinstance(value, dict):
            raise top.error(key, f"{name}: expected a mapping of settings, got {value!r}")
        found[name] = dict(value)
    return found


def _seeds(top: Fields) -> tuple[int, ...]:
    seeds = top.take("seeds", list)
    if not all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in seeds) or len(set(seeds)) < len(
        seeds
    ):
        raise top.error("seeds", f"expected distinct whole numbers from 0, got {seeds}")
    if len(seeds) < LEAST_SEEDS:
        raise top.error("seeds", f"expected at least {LEAST_SEEDS}, so that there is an interval, got {len(seeds)}")
    return tuple(seeds)


def _measures(top: Fields) -> tuple[Measure, ...]:
    measures = []
    for name, fields in top.children("measures"):
        label, log = fields.take("label", str, name), fields.take("log", bool, False)
        measures.append(Measure(name, label, log, fields.take("drawn", bool, True)))
        fields.done()
    if not any(measure.drawn for measure in measures):
        raise top.error("measures", "expected at least one measure that is drawn")
    return tuple(measures)


def _contrasts(top: Fields, conditions: Mapping[str, Any]) -> tuple[Contrast, ...]:
    pairs = []
    for pair in top.take("contrasts", list, []):
        if not isinstance(pair, list) or len(pair) != 2 or any(name not in conditions for name in pair):
            raise top.error("contrasts", f"expected pairs among {', '.join(conditions)}, got {pair}")
        pairs.append(Contrast(*pair))
    return tuple(pairs)
