"""Run the benchmarks: a table on the terminal, a plot, and ``build/bench.json`` with the figures by name."""

import json
from pathlib import Path

import matplotlib as mpl
from rich.console import Console
from rich.table import Table

from tests.bench import allocation, gateways, hook_calls, in_virtual_time
from tests.bench.in_virtual_time import Learning

BUILD = Path("build")
PODDNATS = 5000
CYCLES = 50_000


def main() -> None:
    console = Console(highlight=False)
    BUILD.mkdir(exist_ok=True)
    figures: dict[str, float] = {}
    with console.status("hooks with 5,000 PodDNATs …"):
        hooks = hook_calls.measure(PODDNATS)
    figures |= {
        "hook_p50_ms": hook_calls.percentile(hooks.pod_ms + hooks.poddnat_ms, 50),
        "hook_p99_ms": hook_calls.percentile(hooks.slow_cloud_ms, 99),
        "pod_sync_p50_ms": hook_calls.percentile(hooks.pod_ms, 50),
        "pod_sync_p99_ms": hook_calls.percentile(hooks.pod_ms, 99),
        "poddnat_sync_p50_ms": hook_calls.percentile(hooks.poddnat_ms, 50),
        "poddnat_sync_p99_ms": hook_calls.percentile(hooks.poddnat_ms, 99),
        "start_seconds": hooks.start_seconds,
        "rss_mb": hooks.rss_mb,
    }
    with console.status("an address with 60,000 ports in use …"):
        figures |= allocation.measure()
    with console.status("an old gateway, 200 entries …"):
        serial = gateways.ours(mappings=200, at_once=1, settle=gateways.EXACT_SETTLE)
    with console.status("the same in the per-object way …"):
        naive = gateways.per_object(mappings=60)
    with console.status("a new gateway, 400 entries …"):
        parallel = gateways.ours(mappings=400, at_once=8, settle=gateways.EXACT_SETTLE, jitter=0.1)
        uneven = gateways.ours(mappings=400, at_once=8, settle=gateways.EXACT_SETTLE)
    with console.status("eight old gateways, 50 entries each …"):
        one = gateways.ours(mappings=50, at_once=1)
        eight = gateways.ours(mappings=50, at_once=1, gateways=8)
    with console.status("the account's rate limit as the bottleneck …"):
        share, refusals = gateways.rate_limited(calls=40, seconds=3.0, windows=5)
    with console.status("5,000 mappings at rest …"):
        rest_writes, rest_reads = gateways.at_rest(mappings=PODDNATS, interval=5.0, intervals=3)
    figures |= {
        "serial_wall_ratio": serial.ratio,
        "serial_calls_per_mapping": serial.calls,
        "per_object_factor": naive.ratio / serial.ratio,
        "per_object_calls_per_mapping": naive.calls,
        "parallel_capacity_share": 1 / parallel.ratio,
        "parallel_writes_per_mapping": parallel.writes,
        "parallel_reads_per_mapping": parallel.reads,
        "parallel_capacity_share_jitter30": 1 / uneven.ratio,
        "parallel_writes_per_mapping_jitter30": uneven.writes,
        "parallel_reads_per_mapping_jitter30": uneven.reads,
        "eight_gateways_ratio": 8 * one.seconds / eight.seconds,
        "rate_limited_share": share,
        "rate_limited_refusals_per_window": refusals,
        "rest_writes": rest_writes + hooks.writes_at_rest,
        "rest_reads_per_interval": rest_reads,
    }
    with console.status("50 entries deleted at once …"):
        deleted = gateways.ours(mappings=50, at_once=1, release=True)
    with console.status("a workload that starts while another one goes …"):
        creating = gateways.sharing(mappings=40, others=160, release=False)
        deleting = gateways.sharing(mappings=40, others=160, release=True)
    with console.status("pods that wait for their turn …"):
        lags = {pods: in_virtual_time.ready_lag(pods, at_once=at_once) for pods, at_once in ((1, 1), (50, 1), (500, 8))}
    with console.status("a gateway that changes its mind …"):
        learning = in_virtual_time.learning()
    with console.status(f"{CYCLES:,} pods come and go …"):
        growth = in_virtual_time.memory_growth(CYCLES)
    figures |= {
        "delete_create_ratio": deleted.seconds / one.seconds,
        "fairness_create_ratio": creating,
        "fairness_delete_ratio": deleting,
        **{f"ready_lag_{pods}_s": lag for pods, lag in lags.items()},
        "refusals_until_serial": learning.refused_until_serial,
        "refusals_until_eight": learning.refused_until_eight,
        "rss_growth_mb_50000_cycles": growth,
    }
    (BUILD / "bench.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    table = Table(title="poddnat benchmarks", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:.2f}")
    console.print(table)
    _plot({"gateway's capacity": 1.0, "poddnat": serial.ratio, "per object": naive.ratio}, BUILD / "bench.png")
    _plot_learning(learning, BUILD / "learning.png")


def _plot(bars: dict[str, float], path: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the choice of a backend that needs no screen

    figure, axes = plt.subplots(figsize=(6, 3))
    axes.barh(list(bars), list(bars.values()))
    axes.set_xlabel("time for 200 entries on an old gateway, against what the gateway itself needs")
    axes.invert_yaxis()
    figure.tight_layout()
    figure.savefig(path)


def _plot_learning(learning: Learning, path: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the choice of a backend that needs no screen

    figure, axes = plt.subplots(figsize=(7, 3))
    for points, label in ((learning.bears, "what the gateway bears"), (learning.limits, "what poddnat has learned")):
        axes.step([at for at, _ in points], [value for _, value in points], where="post", label=label)
    axes.set_xlabel("seconds, with about 5 s until an entry is Available")
    axes.set_ylabel("writes at once")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
