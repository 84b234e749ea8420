"""The pictures in docs/pictures show what there is, in both languages and both modes."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.unit.docs.pages import CHINESE, DOCS, ROOT, links, page

PICTURES = DOCS / "pictures"


def draw() -> Any:
    """Load the program that draws them."""
    spec = importlib.util.spec_from_file_location("draw", PICTURES / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines(path: str) -> list[str]:
    """Return the lines that a picture shows."""
    return [element.text or "" for element in ET.parse(PICTURES / path).iter() if element.tag.endswith("}text")]  # noqa: S314


def shape(printed: list[str]) -> list[str]:
    """Leave out of lines what differs from run to run: made-up names, and who got which port."""
    bare = (re.sub(r"(lobby|fwd-emu)[a-z0-9-]+", r"\1", line) for line in printed)
    return sorted(" ".join(re.sub(r"\d+", "0", line).replace("─", "").split()) for line in bare if line.strip())


def test_drawings_are_those_of_the_program() -> None:
    for name, content in draw().drawn().items():
        assert (PICTURES / name).read_text(encoding="utf-8") == content, "run docs/pictures/draw.py"


def test_screen_shows_what_the_demo_prints() -> None:
    (recipe,) = re.findall(r"^demo: .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    program, *arguments = recipe.replace("\\\n", " ").split()
    assert program == "@$(bin)/poddnat"
    command = [sys.executable, "-m", "poddnat", *arguments]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    first, *rest = lines("demo.svg")
    assert first == "$ make demo"
    assert shape(rest) == shape(ran.stdout.splitlines()), "run docs/pictures/draw.py"


def test_plots_have_the_figures_of_the_page() -> None:
    rows = re.findall(r"in the per-object way[^|]*\| ([\d.]+); ([\d.]+) \|", page("maintainers/performance"))
    figures = [f"{float(figure):.2f}" for row in rows for figure in row]
    assert len(figures) == 4
    assert set(figures) <= set(lines("bench.svg")), "run docs/pictures/bench.py"


def test_panels_are_those_of_the_dashboard() -> None:
    dashboard = json.loads((ROOT / "metacontroller" / "monitoring" / "dashboard.json").read_text(encoding="utf-8"))
    drawn = {re.sub(r" \((?:s|per s)\)$", "", line) for line in lines("dashboard.svg")}
    assert len(drawn & {panel["title"] for panel in dashboard["panels"]}) == 8, "run docs/pictures/dashboard.py"


def test_each_picture_is_in_a_page() -> None:
    shown = {
        link.rpartition("/")[2]
        for pair in CHINESE.items()
        for path in pair
        for link in links((ROOT / path).read_text(encoding="utf-8"))
    }
    assert {path.name for path in PICTURES.glob("*.svg")} <= shown


each_picture = pytest.mark.parametrize("path", sorted(PICTURES.glob("*.svg")), ids=lambda path: path.name)


@each_picture
def test_pictures_follow_dark_mode(path: Any) -> None:
    assert "@media (prefers-color-scheme: dark)" in path.read_text(encoding="utf-8")


@each_picture
def test_pictures_need_nothing_from_elsewhere(path: Any) -> None:
    text = path.read_text(encoding="utf-8")
    assert "url(" not in re.sub(r"url\(#", "", text)
    assert "<script" not in text
    assert not re.search(r'(?:href|src)="(?!#)', text)
