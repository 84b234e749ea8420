"""How memory, the start and hook calls grow with the number of PodDNATs: ``python -m tests.bench.sizes 5000 20000``.

Twenty gateways, and 20 calls at a time: as many as Metacontroller makes with 20 workers.
"""

import json
import sys

from tests.bench import hook_calls, plots
from tests.bench.plots import BUILD

SIZES = (1000, 5000, 20_000, 50_000)
GATEWAYS, AT_ONCE = 20, 20


def measure(poddnats: int) -> dict[str, float]:
    """Run the server with so many PodDNATs."""
    hooks = hook_calls.measure(poddnats, gateways=GATEWAYS, at_once=AT_ONCE)
    return {
        "poddnats": poddnats,
        "rss_mb": hooks.rss_mb,
        "peak_mb": hooks.peak_mb,
        "start_seconds": hooks.start_seconds,
        "pod_sync_p50_ms": hook_calls.percentile(hooks.pod_ms, 50),
        "pod_sync_p99_ms": hook_calls.percentile(hooks.pod_ms, 99),
        "poddnat_first_sync_p50_ms": hook_calls.percentile(hooks.poddnat_first_ms, 50),
        "poddnat_first_sync_p99_ms": hook_calls.percentile(hooks.poddnat_first_ms, 99),
        "poddnat_sync_p50_ms": hook_calls.percentile(hooks.poddnat_ms, 50),
        "poddnat_sync_p99_ms": hook_calls.percentile(hooks.poddnat_ms, 99),
        "cpu_ms_per_call": hooks.cpu_ms,
        "writes_at_rest": hooks.writes_at_rest,
    }


def main() -> None:
    measured = []
    for size in map(int, sys.argv[1:]) if sys.argv[1:] else SIZES:
        measured.append(measure(size))
        print(json.dumps(measured[-1], indent=2))  # noqa: T201
    BUILD.mkdir(exist_ok=True)
    (BUILD / "sizes.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    plots.memory(measured, BUILD / "sizes.png")


if __name__ == "__main__":
    main()
