"""The benchmarks' pictures."""

from pathlib import Path

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
