"""The direction of the house: games ← judges ← debate; heavy libraries stay lazy; what is banned stays out."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_NOT_IMPORT = {
    "games": {"judges", "debate", "torch", "transformers"},
    "judges": {"debate", "torch", "transformers"},
    "debate": set(),
}
ONLY_IN = {"pyspiel": {"games/interop.py"}, "open_spiel": {"games/interop.py"}, "pygambit": {"games/interop.py"}}
LAZY_EVERYWHERE = {
    "torch",
    "transformers",
    "peft",
    "trl",
    "vllm",
    "ray",
    "matplotlib",
    "pyarrow",
    "datasets",
    "math_verify",
}


def sources(package):
    return sorted((ROOT / package).rglob("*.py"))


def imports(tree):
    """(top-level name of the imported package, whether it is loaded with the module itself)."""
    lazy = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lazy.update(id(child) for child in ast.walk(node))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            lazy.update(id(child) for child in ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], id(node) not in lazy
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0], id(node) not in lazy


@pytest.mark.parametrize("package", MAY_NOT_IMPORT)
def test_arrows_point_one_way(package):
    for path in sources(package):
        found = {name for name, _ in imports(ast.parse(path.read_text(encoding="utf-8")))}
        assert not found & MAY_NOT_IMPORT[package], path


@pytest.mark.parametrize("package", MAY_NOT_IMPORT)
def test_peers_are_imported_in_one_place_only(package):
    for path in sources(package):
        found = {name for name, _ in imports(ast.parse(path.read_text(encoding="utf-8")))}
        for name in found & set(ONLY_IN):
            assert path.relative_to(ROOT).as_posix() in ONLY_IN[name], f"{path} imports {name}"


@pytest.mark.parametrize("package", MAY_NOT_IMPORT)
def test_heavy_libraries_are_imported_where_they_are_needed(package):
    for path in sources(package):
        heavy = {n for n, eager in imports(ast.parse(path.read_text(encoding="utf-8"))) if eager} & LAZY_EVERYWHERE
        inside_the_engines = package == "debate" and path.relative_to(ROOT).parts[1] in ("engines", "learning")
        assert not heavy or inside_the_engines, f"{path} imports {sorted(heavy)} at module level"


BANNED_CALLS = {"eval", "exec", "yaml.load", "pickle.load", "pickle.loads", "torch.load", "os.system", "marshal.loads"}


JAIL = ROOT / "judges" / "sandbox" / "inside"  # runs untrusted programs, in a jail: that is what it is for


@pytest.mark.parametrize("package", MAY_NOT_IMPORT)
def test_dangerous_calls_are_banned(package):
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or path.is_relative_to(JAIL):
                continue
            assert ast.unparse(node.func) not in BANNED_CALLS, f"{path}:{node.lineno}"
            for keyword in node.keywords:
                true = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
                assert not (keyword.arg in ("shell", "trust_remote_code") and true), f"{path}:{node.lineno}"


@pytest.mark.parametrize("package", ["games", "judges", "debate", "debate.cli"])
def test_importing_loads_nothing_heavy(package):
    heavy = "['torch', 'transformers', 'scipy.optimize', 'matplotlib', 'pyarrow', 'pyspiel', 'pygambit']"
    code = f"import {package}, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
