"""Draws the benchmark's plots for the pages: `PYTHONPATH=lib:. .venv/bin/python docs/pictures/bench.py`.

What entries cost on an old gateway is drawn from the page's table, and how a gateway is found out, from a run in
virtual time.
"""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl

from docs.pictures.dark import follow_dark_mode
from tests.bench import plots
from tests.bench.in_virtual_time import learning

HERE = Path(__file__).parent
PAGE = HERE.parent / "en" / "maintainers" / "performance.md"


def costs() -> tuple[list[float], list[float]]:
    """Read the page's table: time against the gateway's own, and calls for each entry; each ours, then the other's."""
    rows = re.findall(r"in the per-object way[^|]*\| ([\d.]+); ([\d.]+) \|", PAGE.read_text(encoding="utf-8"))
    time, calls = ([float(figure) for figure in row] for row in rows)
    return time, calls


def main() -> None:
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "poddnat", "savefig.facecolor": "white"})
    time, calls = costs()
    panels = {
        "time, where the gateway's own is 1": dict(zip(["poddnat", "per object"], time, strict=True)),
        "calls for each entry": dict(zip(["poddnat", "per object"], calls, strict=True)),
    }
    plots.costs(panels, HERE / "bench.svg")
    learned = learning()
    plots.learning(learned.bears, learned.limits, HERE / "learning.svg")
    for name in ("bench.svg", "learning.svg"):
        follow_dark_mode(HERE / name)


if __name__ == "__main__":
    main()
