"""Run the benchmarks: a table on the terminal, plots, and ``build/bench.json`` with the figures by name.

Each part's figures are written as soon as they are there, so a run that is cut short leaves what it measured. What
runs in virtual time, where this machine's pace has no part in it, does so in a process of its own, beside what is
measured on the clock; hook calls are measured before that, with the machine to themselves.
"""

import json
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console
from rich.table import Table

from tests.bench import (
    allocation,
    gateways,
    hook_calls,
    in_virtual_time,
    large_cluster,
    plots,
    whole_controller,
    worlds,
)
from tests.bench.gateways import EXACT_SETTLE, SETTLE
from tests.bench.in_virtual_time import CYCLES
from tests.bench.plots import BUILD

PODDNATS = 5000

Figures = dict[str, float]
Part = tuple[str, str, Callable[[], Figures]]
"""What is measured, under which conditions, and how."""


class Report:
    """The figures so far, on the terminal and in the file."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._figures: Figures = {}
        self._rows: list[tuple[str, float, str]] = []
        BUILD.mkdir(exist_ok=True)

    def add(self, part: str, conditions: str, stats: Figures) -> None:
        self._figures |= stats
        self._rows += [(name, value, conditions) for name, value in stats.items()]
        (BUILD / "bench.json").write_text(json.dumps(self._figures, indent=2) + "\n", encoding="utf-8")
        shown = ", ".join(f"{name} {value:.2f}" for name, value in stats.items())
        self._console.print(f"[{time.monotonic() - self._began:4.0f} s] {part}: {shown}", markup=False)

    def __getitem__(self, name: str) -> float:
        return self._figures[name]

    def table(self) -> Table:
        table = Table(title="poddnat benchmarks", title_justify="left")
        table.add_column("figure")
        table.add_column("value", justify="right")
        table.add_column("measured")
        for name, value, conditions in self._rows:
            table.add_row(name, f"{value:.2f}", conditions)
        return table


def _measure(report: Report, part: Part) -> None:
    title, conditions, work = part
    report.add(title, conditions, work())


def _hooks() -> Figures:
    hooks = hook_calls.measure(PODDNATS)
    return {
        "hook_p50_ms": hook_calls.percentile(hooks.pod_ms + hooks.poddnat_ms, 50),
        "hook_p99_ms": hook_calls.percentile(hooks.slow_cloud_ms, 99),
        "pod_sync_p50_ms": hook_calls.percentile(hooks.pod_ms, 50),
        "pod_sync_p99_ms": hook_calls.percentile(hooks.pod_ms, 99),
        "poddnat_first_sync_p50_ms": hook_calls.percentile(hooks.poddnat_first_ms, 50),
        "poddnat_first_sync_p99_ms": hook_calls.percentile(hooks.poddnat_first_ms, 99),
        "poddnat_sync_p50_ms": hook_calls.percentile(hooks.poddnat_ms, 50),
        "poddnat_sync_p99_ms": hook_calls.percentile(hooks.poddnat_ms, 99),
        "start_seconds": hooks.start_seconds,
        "rss_mb": hooks.rss_mb,
        "hook_writes_at_rest": hooks.writes_at_rest,
    }


def _old_gateway() -> Figures:
    serial = gateways.ours(mappings=200, at_once=1, settle=EXACT_SETTLE)
    naive = gateways.per_object(mappings=40)
    return {
        "serial_wall_ratio": serial.ratio,
        "serial_calls_per_mapping": serial.calls,
        "per_object_factor": naive.ratio / serial.ratio,
        "per_object_calls_per_mapping": naive.calls,
    }


def _new_gateway() -> Figures:
    parallel = gateways.ours(mappings=400, at_once=8, settle=EXACT_SETTLE, jitter=0.1)
    return {
        "parallel_capacity_share": 1 / parallel.ratio,
        "parallel_writes_per_mapping": parallel.writes,
        "parallel_reads_per_mapping": parallel.reads,
    }


def _eight_gateways() -> Figures:
    # Even delays, or it would be measured which of the eight has the worst luck.
    one = gateways.ours(mappings=40, at_once=1, jitter=0.1)
    eight = gateways.ours(mappings=40, at_once=1, gateways=8, jitter=0.1)
    return {"eight_gateways_ratio": 8 * one.seconds / eight.seconds}


def _rate_limited() -> Figures:
    share, refusals = gateways.rate_limited(calls=40, seconds=3.0, windows=5)
    return {"rate_limited_share": share, "rate_limited_refusals_per_window": refusals}


def _at_rest() -> Figures:
    writes, reads = gateways.at_rest(mappings=PODDNATS, seconds=60.0)
    return {"rest_writes": writes, "rest_reads_a_minute": reads}


_ALONE: list[Part] = [
    ("hook calls", f"{PODDNATS:,} PodDNATs", _hooks),
    ("choosing ports", f"{allocation.IN_USE:,} in use", allocation.measure),
    ("a large cluster", f"{large_cluster.PODS:,} pods, {large_cluster.ASKING:,} ask for ports", large_cluster.measure),
]
_ON_THE_CLOCK: list[Part] = [
    ("an old gateway, 200 entries", f"{EXACT_SETTLE} s ± 30 %", _old_gateway),
    ("a new gateway, 400 entries", f"{EXACT_SETTLE} s ± 10 %", _new_gateway),
    ("eight old gateways, 40 entries each", f"{SETTLE} s ± 10 %", _eight_gateways),
    ("an action's rate limit as the bottleneck", "40 calls in 3 s", _rate_limited),
    (f"{PODDNATS:,} mappings at rest", "always due to be read", _at_rest),
]
_IN_VIRTUAL_TIME: list[Part] = [
    ("a new gateway, uneven", "virtual, 0.5 s ± 30 %", in_virtual_time.uneven),
    ("both at a real gateway's pace", "virtual, 5 s ± 30 %; ± 10 %", in_virtual_time.full_delays),
    ("deletes and creates side by side", "virtual, 5 s ± 30 %", in_virtual_time.fairness),
    ("a gateway that changes its mind", "virtual, 5 s ± 30 %", in_virtual_time.changing_minds),
    ("pods that wait for their turn", "virtual, 5 s ± 30 %", in_virtual_time.lags),
    *worlds.PARTS,
    *whole_controller.PARTS,
    (f"{CYCLES:,} pods come and go", "virtual", in_virtual_time.memory),
]


def main() -> None:
    console = Console(highlight=False)
    report = Report(console)
    for part in _ALONE:
        _measure(report, part)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as beside:
        virtual = [(title, conditions, beside.submit(work)) for title, conditions, work in _IN_VIRTUAL_TIME]
        for part in _ON_THE_CLOCK:
            _measure(report, part)
            while virtual and virtual[0][2].done():
                title, conditions, future = virtual.pop(0)
                report.add(title, conditions, future.result())
        for title, conditions, future in virtual:
            report.add(title, conditions, future.result())
    console.print(report.table())
    ours = report["serial_wall_ratio"]
    times = {"the gateway itself": 1.0, "poddnat": ours, "per object": ours * report["per_object_factor"]}
    calls = {"poddnat": report["serial_calls_per_mapping"], "per object": report["per_object_calls_per_mapping"]}
    panels = {"time, where the gateway's own is 1": times, "calls for each entry": calls}
    plots.costs(panels, BUILD / "bench.png")


if __name__ == "__main__":
    main()
