"""CONTRIBUTING.md and the page "Tried again when" name what there is: packages, files, functions, intervals."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LIB = ROOT / "lib" / "poddnat"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RETRIES = (ROOT / "docs" / "en" / "maintainers" / "retries.md").read_text(encoding="utf-8")

TREE = dict(
    re.findall(r"^  ([\w.]+/?) +(.+)$", CONTRIBUTING.split("\nlib/poddnat/\n")[1].split("\n```")[0], re.MULTILINE)
)
"""The tree of packages: what each line says."""

ANSWERS = dict(re.findall(r"^… ([^\n]+\?)\n\n((?:\d\. .+\n)+)", CONTRIBUTING, re.MULTILINE))
"""The hops of each answer to "Where do I …"."""

NAMED = re.findall(r"`([\w.]+)` in `([\w/.]+)`", CONTRIBUTING)
"""Functions and classes, with their files."""

INTERVALS = sorted([*LIB.glob("*/intervals.py"), ROOT / "hooks" / "intervals.py"])


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def names(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """List what a module or a class defines; what is in a class has the class's name before it."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield f"{prefix}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from names(node.body, f"{prefix}{node.name}.")
        if isinstance(node, ast.Assign):
            parts = [part for target in node.targets for part in getattr(target, "elts", [target])]
            yield from (f"{prefix}{part.id}" for part in parts if isinstance(part, ast.Name))


def in_tree() -> dict[str, str]:
    """Read the first line of each docstring, of the packages and modules of lib/poddnat."""
    paths = {f"{path.parent.name}/": path for path in LIB.glob("*/__init__.py")}
    paths |= {path.name: path for path in LIB.glob("*.py") if not path.name.startswith("__")}
    return {name: (ast.get_docstring(parsed(path)) or "").split("\n")[0] for name, path in paths.items()}


def test_packages_are_those_of_the_tree_and_each_line_is_the_first_of_its_docstring() -> None:
    assert {name: line.replace("``", "`") for name, line in in_tree().items()} == TREE


def test_packages_stand_in_the_order_of_the_layers() -> None:
    layers = re.search(
        r"^layers =\n((?:    .+\n)+)", (ROOT / ".importlinter").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert layers is not None
    ranks = {
        name.strip().removeprefix("poddnat."): rank
        for rank, line in enumerate(layers[1].splitlines())
        for name in line.split("|")
    }
    told = [ranks[name.rstrip("/").removesuffix(".py")] for name in TREE]
    assert told == sorted(told)


def test_each_question_is_answered_in_three_hops_or_fewer() -> None:
    assert len(ANSWERS) == 5
    assert all(len(hops.splitlines()) <= 3 for hops in ANSWERS.values())
    assert all(" in `" in hops for hops in ANSWERS.values())


@pytest.mark.parametrize(("name", "path"), NAMED)
def test_named_function_or_class_is_in_the_named_file(name: str, path: str) -> None:
    assert name in set(names(parsed(ROOT / path).body))


def test_named_files_and_folders_are_there() -> None:
    named = re.findall(r"`((?:\.?\w[\w.-]*/)+(?:[\w.-]+)?|[\w-]+\.(?:md|toml))`", CONTRIBUTING)
    named += re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", CONTRIBUTING)
    named += re.findall(r"pytest (\S+)", CONTRIBUTING)
    assert len(named) > 20
    folders = {"unit/", "emulator/", "faults/", "e2e/", "bench/"}
    assert {path for path in named if not (ROOT / path).exists()} - folders == set()
    assert {path.name for path in (ROOT / "tests").iterdir()} >= {folder.rstrip("/") for folder in folders}


def test_make_targets_are_those_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make (\.?[a-z][\w/-]*)", CONTRIBUTING):
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("path", INTERVALS, ids=lambda path: path.parent.name)
def test_each_interval_says_why_and_is_told_with_its_package(path: Path) -> None:
    section = RETRIES.split(f"\n## {path.parent.name}\n")[1].split("\n## ")[0]
    body = parsed(path).body
    constants = [name for name in names(body) if not name.startswith("_")]
    assert set(re.findall(r"`([A-Z][A-Z0-9_]+)`", section)) == set(constants)
    after = [node for before, node in pairwise(body) if isinstance(before, ast.Assign)]
    assert len(after) == sum(isinstance(node, ast.Assign) for node in body)
    assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in after)
