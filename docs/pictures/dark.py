"""Has a plot follow the reader's dark mode, as the drawings do: on a ground of its own, in the same colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

STYLE = """<style>
@media (prefers-color-scheme: dark) {
  [style*="fill: #ffffff"] { fill: #14181f !important; }
  [style*="stroke: #000000"] { stroke: #a9b6c4 !important; }
  [style*="stroke: #b0b0b0"], [style*="stroke: #cccccc"] { stroke: #55606d !important; }
  text { fill: #e6ebf1; }
}
</style>
"""


def follow_dark_mode(picture: Path) -> None:
    """Add to a picture that matplotlib wrote, in black on white, what its black and white are in dark mode."""
    text = picture.read_text(encoding="utf-8")
    picture.write_text(text.replace(" <defs>\n", f"{STYLE} <defs>\n", 1), encoding="utf-8")
