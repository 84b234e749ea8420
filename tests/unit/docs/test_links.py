"""Links and pictures lead to files and headings that are there, and each page is led to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.docs.pages import CHINESE, DOCS, ROOT, anchor, headings, links, tables

PAGES = [ROOT / path for pair in CHINESE.items() for path in pair] + [
    ROOT / "CONTRIBUTING.md",
    ROOT / "metacontroller" / "chart" / "README.md",
    ROOT / "lib" / "vpc_emulator" / "README.md",
]


def targets(path: Path) -> list[tuple[Path, str]]:
    """Return the files to which a page's links lead, and the headings in them."""
    found = [link.partition("#") for link in links(path.read_text(encoding="utf-8")) if "://" not in link]
    return [(Path(os.path.normpath(path.parent / file)) if file else path, title) for file, _, title in found]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target, title in targets(path):
        assert target.exists(), target
        if title:
            assert title in {anchor(text) for _, text in headings(target.read_text(encoding="utf-8"))}, title


@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_page_is_listed_by_its_folder_and_by_the_readme(language: str) -> None:
    readme = {target for target, _ in targets(ROOT / {"en": "README.md", "zh": "README.zh-CN.md"}[language])}
    for index in (DOCS / language).glob("*/index.md"):
        pages = set(index.parent.glob("*.md")) - {index}
        assert {target for target, _ in targets(index) if target.parent == index.parent} == pages
        assert pages <= readme


def test_readme_is_read_in_five_minutes() -> None:
    for path in ("README.md", "README.zh-CN.md"):
        assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) <= 200


def test_nothing_is_told_twice() -> None:
    seen: dict[str, str] = {}
    for path in CHINESE:
        text = (ROOT / path).read_text(encoding="utf-8")
        rows = [row for table in tables(text) for row in table[2:]]
        paragraphs = [part.strip() for part in text.split("\n\n") if not part.strip().startswith(("```", "|", "#"))]
        for told in [one for one in [*rows, *paragraphs] if len(one) > 90]:
            assert told not in seen, f"{path} and {seen.get(told)}: {told}"
            seen[told] = path
