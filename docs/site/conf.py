"""How Sphinx builds the site from docs/en and docs/zh: once for each language, by `make docs`.

The pages are plain Markdown, to be read on a forge as well. So nothing in them is Sphinx's own: what it needs beyond
them is put in here, while it reads.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "poddnat"
copyright = "the authors of poddnat"  # noqa: A001
extensions = ["myst_parser"]
myst_heading_anchors = 4
templates_path = ["templates"]
html_theme = "pydata_sphinx_theme"
html_title = "poddnat"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {
    "navbar_end": ["language", "theme-switcher"],
    "footer_start": [],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
}
html_sidebars: dict[str, list[str]] = {"index": [], "**": ["sidebar-nav-bs"]}
# The text of the demo and of log lines is in no language that Pygments knows.
highlight_language = "none"


def setup(app: Sphinx) -> None:
    app.connect("source-read", _with_tree)
    app.connect("source-read", _with_files)


def _with_tree(_app: Sphinx, name: str, source: list[str]) -> None:
    """Have the pages that an index lists be those below it."""
    if name.rpartition("/")[2] == "index":
        listed = re.findall(r"^- \[[^\]]+\]\(([^)]+)\)", source[0], re.MULTILINE)
        source[0] += "\n```{toctree}\n:hidden:\n\n" + "\n".join(listed) + "\n```\n"


def _with_files(_app: Sphinx, name: str, source: list[str]) -> None:
    """Let links to Markdown files outside the site be links to files, which the site then has."""
    out = re.escape("../" * (name.count("/") + 1))
    source[0] = re.sub(rf"\]\(({out}[^)#]+\.md)(?:#[^)]*)?\)", r"](path:\1)", source[0])
