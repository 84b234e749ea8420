"""The README and the pages in docs/, in both languages, as their tests read them."""

from __future__ import annotations

import re
import shlex
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
CHINESE = {"README.md": "README.zh-CN.md"} | {
    f"docs/en/{path.relative_to(DOCS / 'en')}": f"docs/zh/{path.relative_to(DOCS / 'en')}"
    for path in sorted((DOCS / "en").rglob("*.md"))
}
"""For each English page, the Chinese one; paths from the top folder."""

BLOCK = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def page(path: str) -> str:
    """Return a page's text; `path` is from the top folder, or from docs/en without `.md`."""
    return (ROOT / path if path.endswith(".md") else DOCS / "en" / f"{path}.md").read_text(encoding="utf-8")


def everything() -> str:
    """Return all English pages, one after the other."""
    return "\n".join(page(path) for path in CHINESE)


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of one language, indented ones too."""
    return [found[1] for found in re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)]


def commands(text: str) -> list[list[str]]:
    """Return the commands in a text's blocks of shell, as arguments; those with pipes and the like are the shell's."""
    lines = "\n".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    return [command for line in lines if (command := shlex.split(line, comments=True))]


def section(text: str, title: str) -> str:
    """Return what stands under a heading, up to the next one of its level or a higher one."""
    bare = BLOCK.sub(lambda block: re.sub("^#", " ", block[0], flags=re.MULTILINE), text)
    (found,) = re.finditer(rf"^(#+) {re.escape(title)}$", bare, re.MULTILINE)
    end = re.search(rf"^#{{1,{len(found[1])}}} ", bare[found.end() :], re.MULTILINE)
    return text[found.end() :][: end.start() if end else None]


def headings(text: str) -> list[tuple[int, str]]:
    """Return the headings' levels and texts."""
    found = re.findall(r"^(#+) (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return [(len(marks), title) for marks, title in found]


def tables(text: str) -> list[list[str]]:
    """Return the rows of each table, head and rule included."""
    lines = BLOCK.sub("", text).splitlines()
    return [list(rows) for is_row, rows in groupby(lines, lambda line: line.startswith("|")) if is_row]


def first_cells(text: str) -> set[str]:
    """Return the code that the tables' first columns name."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def anchor(title: str) -> str:
    """Return the name by which GitHub links to a heading: letters of any script stay, punctuation goes."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def links(text: str) -> list[str]:
    """Return where a page's links and pictures lead, those in code left out."""
    return LINK.findall(re.sub(r"`[^`\n]*`", "", BLOCK.sub("", text)))
