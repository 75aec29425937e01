"""Writes an analysis into a folder: what other programs read, what people look at, and a manifest of both."""

from __future__ import annotations

import csv
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from games.analysis.tables import equilibrium_record, payoff_columns, plain
from games.empirical.samples import EmpiricalGame
from games.normal_form import NormalFormGame

if TYPE_CHECKING:
    from games.analysis.analyse import Analysis

FIGURES = (
    "heatmap",
    "response_graph",
    "simplex",
    "logit_path",
    "payoff_polytope",
    "pareto",
    "preferences",
    "convergence",
    "ratings",
    "judge_noise",
)
_PACKAGES = ("debate-trainer", "numpy", "scipy", "matplotlib", "pyarrow")


def export(
    analysis: Analysis,
    folder: Path,
    provenance: Mapping[str, Any] | None = None,
    figures: Sequence[str] = FIGURES,
) -> dict[str, Any]:
    """Writes data and figures; what does not apply is left out, with the reason in the manifest.

    Files: `game.nfg` and `game.efg` (the scalarised means), `payoffs.csv`, `payoffs.parquet`, `equilibria.json`,
    `analysis.json`, for each figure of `FIGURES` `<name>.svg` and `<name>.png`, and `manifest.json` last: a folder with
    one is complete.

    Args:
        analysis: what to write.
        folder: where; made if missing. Files of an earlier export are replaced, and the earlier manifest removed first.
        provenance: anything else the manifest should say (judge and policy versions, commit, run id).
        figures: which of `FIGURES` to draw.

    Returns:
        The manifest as written.

    Raises:
        OSError: the folder cannot be written.
        ValueError: an unknown figure.
    """
    unknown = sorted(set(figures) - set(FIGURES))
    if unknown:
        raise ValueError(f"figures: expected names among {FIGURES}, got {unknown}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").unlink(missing_ok=True)
    left_out = dict(analysis.left_out)
    files = []
    for name, write in (("game.nfg", _write_nfg), ("game.efg", _write_efg)):
        try:
            write(analysis.scalar, folder / name)
            files.append(name)
        except ValueError as error:  # a strategy name that the format cannot hold
            left_out[name] = str(error)
            (folder / name).unlink(missing_ok=True)
    columns = payoff_columns(analysis.empirical)
    _write_csv(columns, folder / "payoffs.csv")
    _write_parquet(columns, folder / "payoffs.parquet")
    _write_json(_equilibria(analysis), folder / "equilibria.json")
    _write_json(_numbers(analysis), folder / "analysis.json")
    files += ["payoffs.csv", "payoffs.parquet", "equilibria.json", "analysis.json"]
    from games.analysis.figures.style import NotApplicable, save

    for name in FIGURES:
        draw = import_module(f"games.analysis.figures.{name}").draw
        try:
            if name not in figures:
                raise NotApplicable("not asked for")
            figure = draw(analysis)
        except NotApplicable as reason:
            left_out[f"figure {name}"] = str(reason)
            for suffix in ("svg", "png"):
                (folder / f"{name}.{suffix}").unlink(missing_ok=True)
            continue
        save(figure, folder / name)
        files += [f"{name}.svg", f"{name}.png"]
    manifest = plain(
        {
            "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files},
            "left_out": left_out,
            "settings": dict(analysis.settings),
            "samples": {
                "sha256": samples_hash(analysis.empirical),
                "matches": len(analysis.empirical.profiles),
                "clusters": analysis.empirical.num_clusters,
                "failed_rewards": int(analysis.empirical.failures().sum()),
            },
            "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
            "provenance": dict(provenance or {}),
        }
    )
    _write_json(manifest, folder / "manifest.json")
    return dict(manifest)


def _write_nfg(game: NormalFormGame, path: Path) -> None:
    from games.files.nfg import write_nfg

    write_nfg(game, path)


def _write_efg(game: NormalFormGame, path: Path) -> None:
    from games.analysis.simultaneous import as_tree
    from games.files.efg import write_efg

    write_efg(as_tree(game), path)


def samples_hash(empirical: EmpiricalGame) -> str:
    """SHA-256 of profiles, rewards, clusters and names: two analyses with one hash saw the same matches."""
    digest = hashlib.sha256()
    for array in (empirical.profiles, empirical.rewards, empirical.clusters):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(json.dumps([empirical.players, empirical.objectives, empirical.strategies]).encode())
    return digest.hexdigest()


def _equilibria(analysis: Analysis) -> list[dict[str, Any]]:
    found = [*analysis.equilibria, *analysis.correlated.values()]
    if analysis.alpharank is not None:
        found.append(analysis.alpharank)
    records = [equilibrium_record(equilibrium, analysis.scalar) for equilibrium in found]
    if analysis.bootstrap is not None:
        resampled = analysis.bootstrap
        records[0]["bootstrap"] = {
            "level": resampled.level,
            "resamples": resampled.resamples,
            "failures": dict(resampled.failures),
            "intervals": dict(resampled.intervals),
            "support_inclusion": dict(zip(analysis.scalar.players, resampled.support_inclusion, strict=False)),
        }
    records[0]["nash_conv_bounds"] = analysis.bounds
    return records


def _numbers(analysis: Analysis) -> dict[str, Any]:
    """Ratings, judge noise and front: what the figures show, as numbers."""
    from games.vector.pareto import pareto_front

    out: dict[str, Any] = {"weights": analysis.weights}
    if analysis.ratings is not None:
        out["ratings"] = vars(analysis.ratings)
    if analysis.judge_noise is not None:
        out["judge_noise"] = vars(analysis.judge_noise)
    if analysis.game.num_objectives > 1:
        flat = analysis.game.payoffs.reshape(analysis.game.num_players, analysis.game.num_objectives, -1)
        names = [
            [analysis.game.strategies[i][k] for i, k in enumerate(cell)] for cell in np.ndindex(*analysis.game.shape)
        ]
        out["pareto_profiles"] = {
            player: [names[n] for n in np.flatnonzero(pareto_front(points.T))]
            for player, points in zip(analysis.game.players, flat, strict=True)
        }
    return out


def _write_csv(columns: Mapping[str, list[Any]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow(["" if isinstance(value, float) and np.isnan(value) else value for value in row])


def _write_parquet(columns: Mapping[str, list[Any]], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    arrays = {name: pyarrow.array(values, from_pandas=True) for name, values in columns.items()}  # NaN becomes null
    pyarrow.parquet.write_table(pyarrow.table(arrays), path)


def _write_json(value: Any, path: Path) -> None:
    path.write_text(json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
