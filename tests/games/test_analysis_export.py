"""The analysis of an empirical game and its export: files, figures, reasons for what is left out."""

import csv
import hashlib
import json

import numpy as np
import pytest

from games import EmpiricalGame, NormalFormGame, analyse, nash_conv, read_efg, read_nfg
from games.analysis.export import FIGURES
from games.analysis.figures.style import short
from games.analysis.polytope import payoff_polygon
from games.analysis.ratings import rate
from games.analysis.simultaneous import as_tree


def debates(k: int = 3, matches: int = 30, seed: int = 0) -> EmpiricalGame:
    """A win-rate table of k policies in both seats."""
    rng = np.random.default_rng(seed)
    win = rng.uniform(0.2, 0.8, size=(k, k))
    profiles = np.repeat(np.argwhere(win > 0), matches, axis=0)
    won = (rng.uniform(size=len(profiles)) < win[tuple(profiles.T)]).astype(float)
    names = [f"policy {i}" for i in range(k)]
    return EmpiricalGame.from_samples(
        profiles,
        np.stack([won, 1 - won], axis=1),
        np.tile(np.arange(matches), k * k),
        players=["first", "second"],
        objectives=["win"],
        strategies=[names, names],
    )


def vectors(objectives: int = 2, seed: int = 1) -> EmpiricalGame:
    rng = np.random.default_rng(seed)
    mean = rng.uniform(size=(2, 3, 2, objectives))
    profiles = np.repeat(np.argwhere(np.ones((2, 3))), 12, axis=0)
    rewards = mean[np.arange(2)[None], :, :][0][:, profiles[:, 1] % 3, profiles[:, 0]].transpose(1, 0, 2)
    rewards = np.clip(rewards + rng.normal(size=rewards.shape) * 0.1, 0, 1)
    rewards[3, 0, 0] = np.nan
    return EmpiricalGame.from_samples(
        profiles, rewards, np.tile(np.arange(12), 6), objectives=["win", "truth", "brevity"][:objectives]
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analysis")
    trace = {"iterations": [1, 10, 100], "model_calls": [64, 640, 6400], "nash_conv": [0.9, 0.3, 0.05]}
    analysis = analyse(debates(), resamples=60, trace=trace)
    return analysis, folder, analysis.export(folder, provenance={"judge": "scripted", "commit": None})


def test_every_figure_is_there_or_says_why(exported):
    _, folder, manifest = exported
    for name in FIGURES:
        drawn = (folder / f"{name}.svg").exists() and (folder / f"{name}.png").exists()
        assert drawn != (f"figure {name}" in manifest["left_out"])
    assert "constant-sum" in manifest["left_out"]["figure payoff_polytope"]
    assert "two objectives" in manifest["left_out"]["figure pareto"]


def test_svg_is_text_and_png_is_an_image(exported):
    _, folder, _ = exported
    assert "policy 0" in (folder / "heatmap.svg").read_text()
    assert (folder / "heatmap.png").read_bytes().startswith(b"\x89PNG")


def test_manifest_hashes_its_files(exported):
    _, folder, manifest = exported
    assert manifest == json.loads((folder / "manifest.json").read_text())
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert set(manifest["files"]) | {"manifest.json"} == {path.name for path in folder.iterdir()}
    assert manifest["provenance"] == {"judge": "scripted", "commit": None}
    assert manifest["settings"]["seed"] == 0
    assert manifest["samples"]["matches"] == 270


def test_game_files_are_the_game(exported):
    analysis, folder, _ = exported
    np.testing.assert_array_equal(read_nfg(folder / "game.nfg").payoffs, analysis.scalar.payoffs)
    back = read_efg(folder / "game.efg").to_normal_form()
    np.testing.assert_allclose(back.payoffs, analysis.scalar.payoffs)


def test_payoff_tables_agree_with_the_samples(exported):
    import pyarrow.parquet

    analysis, folder, _ = exported
    with (folder / "payoffs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 * 2
    table = pyarrow.parquet.read_table(folder / "payoffs.parquet").to_pylist()
    mean, error = analysis.empirical.mean(), analysis.empirical.standard_error()
    for row, same in zip(rows, table, strict=True):
        i = ["first", "second"].index(row["player"])
        cell = tuple(int(row[f"strategy_{p}"][-1]) for p in ("first", "second"))
        assert float(row["mean"]) == same["mean"] == mean[(i, 0, *cell)]
        assert float(row["standard_error"]) == error[(i, 0, *cell)]
        assert int(row["n"]) == 30
        assert float(row["covariance_win"]) == pytest.approx(analysis.empirical.covariance()[(i, 0, 0, *cell)])


def test_equilibria_are_named_and_verified(exported):
    analysis, folder, _ = exported
    records = json.loads((folder / "equilibria.json").read_text())
    first = records[0]
    assert first["concept"] == "nash"
    profile = [[first["profile"][p][s] for s in ("policy 0", "policy 1", "policy 2")] for p in ("first", "second")]
    assert nash_conv(analysis.scalar, profile) < 1e-9
    low, high = first["nash_conv_bounds"]
    assert 0 <= low <= high
    assert sum(first["bootstrap"]["support_inclusion"]["first"]) >= 1
    assert {r["concept"] for r in records} >= {"nash", "ce", "cce", "alpharank"}


def test_exporting_twice_gives_the_same_bytes(exported, tmp_path):
    analysis, _, manifest = exported
    again = analysis.export(tmp_path, figures=["heatmap", "simplex"])
    assert "heatmap.svg" in again["files"]
    assert again["left_out"]["figure ratings"] == "not asked for"
    assert again["files"] == {name: manifest["files"][name] for name in again["files"]}
    with pytest.raises(ValueError, match="figures"):
        analysis.export(tmp_path, figures=["pie"])


def test_table_has_a_row_for_each_strategy(exported):
    table = exported[0].table()
    assert table[0][:3] == ["player", "strategy", "equilibrium"]
    assert [row[:2] for row in table[1:]] == [[p, f"policy {k}"] for p in ("first", "second") for k in range(3)]
    assert sum(float(row[2]) for row in table[1:4]) == pytest.approx(1, abs=2e-3)
    assert {len(row) for row in table} == {7}


@pytest.mark.parametrize("objectives", [2, 3])
def test_vector_games_get_fronts_and_preference_maps(objectives, tmp_path):
    analysis = analyse(vectors(objectives), resamples=20)
    wanted = ("pareto", "preferences", "payoff_polytope")
    manifest = analysis.export(tmp_path, figures=[*wanted, "judge_noise", "convergence"])
    for name in wanted:
        assert f"{name}.svg" in manifest["files"], manifest["left_out"]
    assert manifest["samples"]["failed_rewards"] == 1
    assert "constant-sum" in manifest["left_out"]["figure judge_noise"]
    assert "no trace" in manifest["left_out"]["figure convergence"]
    numbers = json.loads((tmp_path / "analysis.json").read_text())
    assert set(numbers["pareto_profiles"]) == {"0", "1"}


def test_three_players_are_exported_with_reasons(tmp_path):
    rng = np.random.default_rng(0)
    profiles = np.repeat(np.argwhere(np.ones((2, 2, 2))), 5, axis=0)
    game = EmpiricalGame.from_samples(profiles, rng.uniform(size=(40, 3)), np.tile(np.arange(5), 8))
    manifest = analyse(game, resamples=10).export(tmp_path, figures=["heatmap", "ratings"])
    assert "two players" in manifest["left_out"]["figure heatmap"]
    assert "ratings.png" in manifest["files"]


def test_one_cluster_leaves_the_bootstrap_out(tmp_path):
    profiles = np.repeat(np.argwhere(np.ones((2, 2))), 3, axis=0)
    won = np.tile([1.0, 0.0, 1.0], 4)
    game = EmpiricalGame.from_samples(profiles, np.stack([won, 1 - won], axis=1), np.zeros(12, int))
    analysis = analyse(game)
    assert analysis.bootstrap is None
    assert "two clusters" in analysis.left_out["bootstrap"]
    manifest = analysis.export(tmp_path, figures=["heatmap"])
    assert "heatmap.svg" in manifest["files"]
    assert json.loads((tmp_path / "manifest.json").read_text())["left_out"]["bootstrap"]


def test_unplayed_cells_stop_an_analysis():
    with pytest.raises(ValueError, match="unplayed"):
        analyse(EmpiricalGame.from_samples([[0, 0], [1, 1]], [[1.0, 0.0], [1.0, 0.0]]))


def test_simultaneous_ratings_cover_better_than_single_ones():
    """The family's critical value exceeds the normal 1.96, so intervals are wider than single ones."""
    game = debates(k=6, matches=60)
    ratings = rate(game, [np.full(6, 1 / 6)] * 2, resamples=400)
    width = ratings.uniform_interval[0][1] - ratings.uniform_interval[0][0]
    single = np.sqrt(np.mean(game.standard_error()[0, 0] ** 2, axis=1) / 6)
    assert (width / 2 > 1.96 * single * 0.8).all()
    np.testing.assert_allclose(ratings.uniform[0], game.mean()[0, 0].mean(axis=1))
    np.testing.assert_allclose(ratings.uniform[0], ratings.equilibrium[0])


@pytest.mark.slow
def test_simultaneous_intervals_cover_together():
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(4, 80))
        profiles = np.repeat(np.arange(4), 80)[:, None]
        game = EmpiricalGame.from_samples(profiles, x.reshape(-1)[:, None], np.tile(np.arange(80), 4))
        interval = rate(game, [np.full(4, 0.25)], resamples=300, seed=seed).uniform_interval[0]
        covered += bool((interval[0] <= 0).all() and (interval[1] >= 0).all())
    assert 0.90 <= covered / 200 <= 0.99


def test_payoff_polygon_of_chicken_holds_the_max_welfare_equilibrium():
    """Welfare 10.5 is the most a correlated equilibrium of this game of chicken reaches."""
    game = NormalFormGame.bimatrix([[0, 7], [2, 6]], [[0, 2], [7, 6]])
    corners = payoff_polygon(game, coarse=False, directions=64)
    assert corners.sum(axis=1).max() == pytest.approx(10.5)
    assert payoff_polygon(game, coarse=True).sum(axis=1).max() >= 10.5 - 1e-9


def test_as_tree_keeps_the_game():
    game = debates().normal_form()
    np.testing.assert_allclose(as_tree(game).to_normal_form().payoffs, game.payoffs)


def test_long_names_lose_their_middle():
    assert short("policy-with-a-long-name@step1200", 18) == "policy-w…@step1200"
    assert len(short("x" * 50, 18)) == 18
