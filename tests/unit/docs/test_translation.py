"""Each Chinese page has what the English one has: headings, code blocks, tables and links, in the same order."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING

import pytest

from tests.unit.docs.pages import BLOCK, CHINESE, DOCS, anchor, headings, links, page, tables

if TYPE_CHECKING:
    from collections.abc import Sequence

each_pair = pytest.mark.parametrize(("english", "chinese"), CHINESE.items(), ids=lambda path: path)


def row_codes(rows: Sequence[str]) -> list[list[str]]:
    """Return what each row has between backticks; words around it, and so its order, differ by language."""
    return [sorted(re.findall(r"`([^`]+)`", row)) for row in rows]


def test_both_languages_have_the_same_pages() -> None:
    names = {path.relative_to(DOCS / "zh").as_posix() for path in (DOCS / "zh").rglob("*.md")}
    assert names == {path.relative_to(DOCS / "en").as_posix() for path in (DOCS / "en").rglob("*.md")}


@each_pair
def test_headings_have_the_same_levels(english: str, chinese: str) -> None:
    pairs = zip_longest(headings(page(english)), headings(page(chinese)))
    for number, (ours, theirs) in enumerate(pairs, start=1):
        same = ours and theirs and ours[0] == theirs[0]
        assert same, f"heading {number}: {english} has {ours}, {chinese} has {theirs}"


@each_pair
def test_code_blocks_are_identical(english: str, chinese: str) -> None:
    pairs = zip_longest(BLOCK.finditer(page(english)), BLOCK.finditer(page(chinese)))
    for number, (ours, theirs) in enumerate(pairs, start=1):
        same = ours and theirs and ours[0] == theirs[0]
        assert same, f"code block {number} differs; {english} has:\n{ours and ours[0]}"


@each_pair
def test_tables_have_the_same_rows(english: str, chinese: str) -> None:
    none: list[str] = []
    pairs = zip_longest(tables(page(english)), tables(page(chinese)), fillvalue=none)
    for number, (ours, theirs) in enumerate(pairs, start=1):
        head = ours[0] if ours else "nothing"
        sizes = f"{english} has {len(ours)} lines, {chinese} has {len(theirs)}"
        assert len(ours) == len(theirs), f"table {number} ({head}): {sizes}"
        for row, code, other in zip(ours, row_codes(ours), row_codes(theirs), strict=True):
            assert code == other, f"table {number} names other code in the row of {english}:\n{row}"


@each_pair
def test_lists_have_as_many_items(english: str, chinese: str) -> None:
    ours, theirs = (
        len(re.findall(r"^(?:-|\d+\.) ", BLOCK.sub("", page(path)), re.MULTILINE)) for path in (english, chinese)
    )
    assert ours == theirs


@each_pair
def test_links_lead_to_the_same_places(english: str, chinese: str) -> None:
    ours, theirs = ([_place(path, link) for link in links(page(path))] for path in (english, chinese))
    assert sorted(ours) == sorted(theirs)


def _place(path: str, link: str) -> str:
    """Tell where a link leads, whichever the language: headings by their number, pages by their English name."""
    file, _, title = link.partition("#")
    if "://" in file:
        return link
    for chinese, english in (("docs/zh/", "docs/en/"), (".zh.svg", ".en.svg"), ("README.zh-CN.md", "README.md")):
        file = file.replace(chinese, english)
    if not title:
        return file
    target = DOCS.parent / path if not file else (DOCS.parent / path).parent / link.partition("#")[0]
    titles = [anchor(text) for _, text in headings(target.read_text(encoding="utf-8"))]
    return f"{file}#{titles.index(title)}"
