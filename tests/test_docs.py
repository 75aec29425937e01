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
    """The contents of a page's blocks of one language ("" for plain ones)."""
    found, inside, lines = [], None, []
    for line in page.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.startswith("```"):
            lines.append(line)
        elif inside is None:
            inside, lines = line[3:].strip(), []
        else:
            found += ["".join(lines)] if inside == language else []
            inside = None
    assert inside is None, f"{page.name}: a block does not end"
    return found


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


SHORT = (
    "training.updates=1",
    "training.groups=2",
    "training.group_size=3",
    "league.questions=1",
    "tournament.questions=1",
    "tournament.resamples=10",
    "evaluation.questions=1",
    "exact.data.limit=1",
    "agents.alice.rows=16",
    "agents.bob.rows=16",
    "agents.carol.rows=16",
)


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A finished run of the quickstart, as short as can be."""
    from debate.train import train

    out = tmp_path_factory.mktemp("docs") / "mine"
    train(read_recipe(ROOT / "runs" / "quickstart.yaml", SHORT), out)
    return out


@pytest.fixture
def place(tmp_path, monkeypatch, mine):
    """A folder with what the pages speak of: the recipes, a run and a game file."""
    import games

    (tmp_path / "runs").symlink_to(ROOT / "runs")
    (tmp_path / "mine").symlink_to(mine)
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
            if "--out" in words and words[0] != "learn":  # what is learned goes to a new folder here
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
