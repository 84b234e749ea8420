"""Draws the benchmark's plots for the pages: `PYTHONPATH=lib:. .venv/bin/python docs/pictures/bench.py`.

What entries cost on an old gateway, how long pods take, and how much memory, are drawn from the page's tables; how a
gateway is found out, from a run in virtual time.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

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


def times() -> list[dict[str, Any]]:
    """Read the page's table of sizes: for each caller of the hooks, seconds until Ready and gone, and the floor's."""
    rows = re.findall(
        r"^\| ([\d,]+) \|" + r" ([\d.]+) s \(([\d.]+)\) \|" * 4, PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return [
        {
            "pods": int(pods.replace(",", "")),
            "stand-in": _of(*figures[:4]),
            "Metacontroller": _of(*figures[4:]),
        }
        for pods, *figures in rows
    ]


def _of(ready: str, floor_ready: str, gone: str, floor_gone: str) -> dict[str, dict[str, float]]:
    return {
        "ours": {"ready_seconds": float(ready), "gone_seconds": float(gone)},
        "floor": {"ready_seconds": float(floor_ready), "gone_seconds": float(floor_gone)},
    }


def memory() -> list[dict[str, float]]:
    """Read the page's table of memory with the number of PodDNATs."""
    rows = re.findall(r"^\| ([\d,]+) PodDNATs \| ([\d,]+) MiB \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [{"poddnats": float(many.replace(",", "")), "peak_mb": float(mb)} for many, mb in rows]


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
    plots.times(times(), ["stand-in", "Metacontroller"], HERE / "times.svg")
    plots.memory(memory(), HERE / "memory.svg")
    for name in ("bench.svg", "learning.svg", "times.svg", "memory.svg"):
        follow_dark_mode(HERE / name)


if __name__ == "__main__":
    main()
