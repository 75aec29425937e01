"""What README and docs say can be typed, can be typed; their Python runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from debate.cli import main, parser
from debate.recipe import read_recipe

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NEEDS_MORE = (
    "human",
    "models",
    "gauge",
    "label",
    "audit",
    "attack",
    "bless",
)  # a person, a network, or a test of its own


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


def commands(page):
    for block in [*blocks(page, ""), *blocks(page, "sh"), *blocks(page, "bash")]:
        for line in block.splitlines():
            if not re.match(r"(\w+=\S+ )*debate ", line):
                continue
            words = shlex.split(line, comments=True)
            while words and "=" in words[0]:
                words = words[1:]
            if words and words[0] == "debate":
                yield words[1:]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with what the pages speak of: the recipes and a game file."""
    import games

    (tmp_path / "runs").symlink_to(ROOT / "runs")
    games.write_nfg(games.NormalFormGame.bimatrix([[2, 0], [0, 1]], [[1, 0], [0, 2]]), tmp_path / "game.nfg")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands(page, place, tmp_path):
    for words in commands(page):
        arguments = parser().parse_args(words)
        if any(word in " ".join(words) for word in NEEDS_MORE):
            continue
        if words[0] == "train" and "--dry-run" not in words:
            read_recipe(Path(arguments.recipe), arguments.set, arguments.seed)
        elif words[0] in ("tournament", "report", "judge", "export", "import"):
            continue  # needs a finished run: tests/debate/test_cli.py, tests/debate/test_tournament_docs.py
        else:
            if "--out" in words:
                place_of = words.index("--out") + 1
                words[place_of] = str(tmp_path / f"out{Path(words[place_of]).suffix}")
            assert main(words) == 0, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python(page, place):
    for block in blocks(page, "python"):
        # The pages are our own, read from the repository: running them is the test.
        exec(compile(block, page.name, "exec"), {"__name__": page.stem})


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_recipe_is_valid():
    for path in sorted((ROOT / "runs").glob("*.yaml")):
        assert read_recipe(path).name == path.stem
