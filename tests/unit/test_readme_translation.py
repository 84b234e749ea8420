"""README.zh-CN.md has what README.md has: the same headings, code blocks and tables, in the same order."""

from __future__ import annotations

import re
from itertools import groupby, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def headings(text: str) -> list[tuple[int, str]]:
    """Return the headings' levels and texts."""
    found = re.findall(r"^(#+) (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return [(len(marks), title) for marks, title in found]


def tables(text: str) -> list[list[str]]:
    """Return the rows of each table, head and rule included."""
    lines = BLOCK.sub("", text).splitlines()
    return [list(rows) for is_row, rows in groupby(lines, lambda line: line.startswith("|")) if is_row]


def row_codes(rows: Sequence[str]) -> list[list[str]]:
    """Return what each row has between backticks; words around it, and so its order, differ by language."""
    return [sorted(re.findall(r"`([^`]+)`", row)) for row in rows]


def anchor(title: str) -> str:
    """Return the name by which GitHub links to a heading: letters of any script stay, punctuation goes."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_headings_have_the_same_levels() -> None:
    for number, (english, chinese) in enumerate(zip_longest(headings(ENGLISH), headings(CHINESE)), start=1):
        same = english and chinese and english[0] == chinese[0]
        assert same, f"heading {number}: README.md has {english}, README.zh-CN.md has {chinese}"


def test_code_blocks_are_identical() -> None:
    pairs = zip_longest(BLOCK.findall(ENGLISH), BLOCK.findall(CHINESE))
    for number, (english, chinese) in enumerate(pairs, start=1):
        assert english == chinese, f"code block {number} differs; README.md has:\n{english}"


def test_tables_have_the_same_rows() -> None:
    none: list[str] = []
    pairs = zip_longest(tables(ENGLISH), tables(CHINESE), fillvalue=none)
    for number, (english, chinese) in enumerate(pairs, start=1):
        head = english[0] if english else "nothing"
        sizes = f"README.md has {len(english)} lines, README.zh-CN.md has {len(chinese)}"
        assert len(english) == len(chinese), f"table {number} ({head}): {sizes}"


def test_table_rows_name_the_same_code() -> None:
    for number, (english, chinese) in enumerate(zip(tables(ENGLISH), tables(CHINESE), strict=False), start=1):
        for row, ours, theirs in zip(english, row_codes(english), row_codes(chinese), strict=False):
            assert ours == theirs, f"table {number} names other code in the row of README.md:\n{row}"


def test_chinese_links_within_lead_to_chinese_headings() -> None:
    links = set(re.findall(r"\]\(#([^)]+)\)", CHINESE))
    assert links
    assert links <= {anchor(title) for _, title in headings(CHINESE)}


def test_other_links_are_the_same_and_each_file_leads_to_the_other() -> None:
    elsewhere = re.compile(r"\]\(([^)#]+)\)")
    english, chinese = set(elsewhere.findall(ENGLISH)), set(elsewhere.findall(CHINESE))
    assert english - chinese == {"README.zh-CN.md"}
    assert chinese - english == {"README.md"}
