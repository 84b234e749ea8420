"""The benchmarks' pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

BUILD = Path("build")
Steps = list[tuple[float, int]]


def costs(panels: dict[str, dict[str, float]], path: Path) -> None:
    """Draw what an old gateway's entries cost in several ways, a panel for each measure."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the choice of a backend that needs no screen

    figure, row = plt.subplots(1, len(panels), figsize=(9, 2.5))
    for axes, (measure, bars) in zip(row, panels.items(), strict=True):
        axes.bar_label(axes.barh(list(bars), list(bars.values())), fmt="%.2f", padding=2)
        axes.set_xlabel(measure)
        axes.margins(x=0.2)
        axes.invert_yaxis()
    figure.tight_layout()
    figure.savefig(path)


def learning(bears: Steps, learned: Steps, path: Path) -> None:
    """Draw what a gateway bore over time, and what it was taken to bear."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the choice of a backend that needs no screen

    figure, axes = plt.subplots(figsize=(7, 3))
    for points, label in ((bears, "what the gateway bears"), (learned, "what poddnat has learned")):
        axes.step([at for at, _ in points], [value for _, value in points], where="post", label=label)
    axes.set_xlabel("seconds, with about 5 s until an entry is Available")
    axes.set_ylabel("writes at once")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def times(sizes: Sequence[dict[str, Any]], runners: Sequence[str], path: Path) -> None:
    """Draw how long pods take with the number of pods, a panel for each who calls the hooks."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the choice of a backend that needs no screen

    figure, (row,) = plt.subplots(1, len(runners), figsize=(9, 3), sharey=True, squeeze=False)
    pods = [size["pods"] for size in sizes]
    for axes, runner in zip(row, runners, strict=True):
        for hooks, label in (("floor", "hooks that answer at once"), ("ours", "poddnat")):
            for what, style in (("ready", "o-"), ("gone", "s--")):
                seconds = [size[runner][hooks][f"{what}_seconds"] for size in sizes]
                axes.plot(
                    pods, seconds, style, label=f"{label}: until {what}", color="C0" if hooks == "floor" else "C1"
                )
        axes.set_title(runner)
        axes.set_xlabel("pods")
    row[0].set_ylabel("seconds")
    row[-1].legend(loc="upper left", fontsize="small")
    figure.tight_layout()
    figure.savefig(path)


def memory(sizes: Sequence[dict[str, float]], path: Path) -> None:
    """Draw how much memory the server takes with the number of PodDNATs."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the choice of a backend that needs no screen

    figure, axes = plt.subplots(figsize=(7, 3))
    axes.plot([size["poddnats"] for size in sizes], [size["peak_mb"] for size in sizes], "o-")
    axes.set_xlabel("PodDNATs")
    axes.set_ylabel("MiB at the peak")
    axes.set_ylim(bottom=0)
    figure.tight_layout()
    figure.savefig(path)
