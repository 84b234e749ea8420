"""How fast forward entries are made, against what the emulated gateway bears and against the per-object way.

Delays are a twentieth of a real gateway's (about 5 s until an entry is Available), so are the per-object way's waits.
Where our time is held against the gateway's own, they are a tenth, or the machine's own delays would be measured too.
"""

import statistics
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

from poddnat.cloud import CloudClient, CloudError, EntryFilter, Meaning, RateLimiter
from poddnat.gateway import Done, GatewayDriver, GatewayListener, OwnEntries, Ownership
from poddnat.gateway.read_budget import ReadBudget
from poddnat.model import EntryStatus, ForwardRule
from tests.bench.emulated import CLUSTER, JITTER, EmulatedCloud, emulated_cloud

SETTLE = 0.25
EXACT_SETTLE = 0.5
_PER_OBJECT_SLEEP = 3 / 5
"""Three seconds where an entry settles in five, as a share of its settling."""
_PER_OBJECT_WORKERS = 5
_POLL = 0.02
OWNERSHIP = Ownership(CLUSTER)


@dataclass(frozen=True)
class Outcome:
    """One run: wall time against the gateway's own capacity, and calls for each mapping."""

    ratio: float
    writes: float
    reads: float
    seconds: float

    @property
    def calls(self) -> float:
        return self.writes + self.reads


class Everybody:
    """Says that all PodDNATs exist."""

    has_synced = True

    def is_of_another(self, _uid: str) -> bool:
        return False

    def is_alive(self, _uid: str) -> bool:
        return True

    def gone_of(self, _uids: object) -> set[str]:
        return set()


def ours(
    *,
    mappings: int,
    at_once: int,
    gateways: int = 1,
    settle: float = SETTLE,
    jitter: float = JITTER,
) -> Outcome:
    """Create so many mappings on each gateway with the driver."""
    with (
        emulated_cloud(gateways=gateways, at_once=at_once, settle=settle, jitter=jitter) as emulated,
        _drivers(cloud := CloudClient(emulated.values)) as drivers,
    ):
        wanted = [(driver, *_desired(emulated, g, n)) for g, driver in enumerate(drivers) for n in range(mappings)]
        emulated.reset_calls()
        seconds = _until_done(wanted)
        return _outcome(emulated, cloud, seconds, mappings, at_once, gateways, settle)


def rate_limited(*, calls: int, seconds: float, windows: int) -> tuple[float, float]:
    """Let an action's rate limit be the bottleneck for some windows: the share of it that creates use, and refusals."""
    limit = {"calls": calls, "seconds": seconds, "per": "action", "tell_time_left": True}
    with (
        emulated_cloud(at_once=16, settle=0.02, rate_limit=limit) as emulated,
        _drivers(cloud := CloudClient(emulated.values)) as drivers,
    ):
        del cloud
        wanted = [(drivers[0], *_desired(emulated, 0, number)) for number in range(2 * calls * windows)]
        emulated.reset_calls()
        started_at = time.monotonic()
        for driver, mine, rules in wanted:
            driver.set_desired(mine, rules)
        threading.Event().wait(max(0.0, started_at + windows * seconds - time.monotonic()))
        counts = emulated.calls()
    refused = sum(n for (_, outcome), n in counts.items() if outcome.startswith("Throttling"))
    creates = {outcome: n for (action, outcome), n in counts.items() if action == "CreateForwardEntry"}
    passed = sum(n for outcome, n in creates.items() if not outcome.startswith("Throttling"))
    return passed / (calls * windows), refused / windows


def at_rest(*, mappings: int, seconds: float) -> tuple[int, float]:
    """Watch a settled gateway whose table is always due to be read again: writes, and calls that read it a minute."""
    stub = EmulatedCloud("", ("ngw-bench0",))
    entries = [(stub.rule(0, number), _desired(stub, 0, number)[0].name) for number in range(mappings)]
    with (
        patch("poddnat.gateway.reconciler.poller.REFRESH", 0.0),
        emulated_cloud(settle=SETTLE, entries=entries) as emulated,
        _drivers(cloud := CloudClient(emulated.values)) as drivers,
    ):
        del cloud
        wanted = [(drivers[0], *_desired(emulated, 0, number)) for number in range(mappings)]
        _until_done(wanted)
        emulated.reset_calls()
        _until_done(wanted)
        threading.Event().wait(seconds)
        _until_done(wanted)
        counts = emulated.calls()
    reads = sum(n for (action, _), n in counts.items() if action.startswith("Describe"))
    return sum(counts.values()) - reads, reads / seconds * 60.0


@contextmanager
def _drivers(cloud: CloudClient) -> Iterator[list[GatewayDriver]]:
    rate_limiter = RateLimiter(time.monotonic)
    budget = ReadBudget(lambda: True, clock=time.monotonic)
    drivers = []
    with ExitStack() as stack:
        for info in sorted(cloud.describe_nat_gateways(), key=lambda info: info.gateway_id):
            driver = GatewayDriver(
                info.gateway_id,
                cloud,
                OWNERSHIP,
                rate_limiter,
                budget,
                Everybody(),
                GatewayListener(),
            )
            driver.update(info)
            driver.start()
            stack.callback(driver.stop)
            drivers.append(driver)
        yield drivers


def per_object(*, mappings: int) -> Outcome:
    """Create mappings as per-resource clients do: describe, create, retry after a fixed sleep, describe until there."""
    with emulated_cloud(settle=EXACT_SETTLE) as emulated:
        cloud = CloudClient(emulated.values)
        info = cloud.describe_nat_gateways()[0]
        emulated.reset_calls()
        started_at = time.monotonic()
        with ThreadPoolExecutor(_PER_OBJECT_WORKERS) as workers:
            rules = [emulated.rule(0, number) for number in range(mappings)]
            each = partial(_one_object, cloud, info.gateway_id, info.table_ids[0])
            for _ in workers.map(each, rules):
                pass
        return _outcome(emulated, cloud, time.monotonic() - started_at, mappings, 1, 1, EXACT_SETTLE)


def _one_object(cloud: CloudClient, gateway_id: str, table_id: str, rule: ForwardRule) -> None:
    where = EntryFilter(external_ip=rule.external_ip, external_port=str(rule.external_ports))
    if cloud.describe_forward_table_entries(gateway_id, where=where).entries:
        return
    while True:
        try:
            cloud.create_forward_entry(
                table_id=table_id, rule=rule, name="naive", client_token=uuid.uuid4().hex, port_break=False
            )
            break
        except CloudError as error:
            if error.meaning is not Meaning.BUSY:
                raise
        time.sleep(_PER_OBJECT_SLEEP * EXACT_SETTLE)
    while True:
        listed = cloud.describe_forward_table_entries(gateway_id, where=where).entries
        if listed and listed[0].status is EntryStatus.AVAILABLE:
            return
        time.sleep(_PER_OBJECT_SLEEP * EXACT_SETTLE)


def _desired(emulated: EmulatedCloud, gateway: int, number: int) -> tuple[OwnEntries, tuple[ForwardRule, ...]]:
    uid = f"{gateway:08x}-0000-4000-8000-{number:012x}"
    return OwnEntries(uid, OWNERSHIP.name_of(uid)), (emulated.rule(gateway, number),)


def _until_done(wanted: Sequence[tuple[GatewayDriver, OwnEntries, tuple[ForwardRule, ...]]]) -> float:
    started_at = time.monotonic()
    left = list(wanted)
    while left:
        left = [
            (driver, mine, rules)
            for driver, mine, rules in left
            if not isinstance(driver.set_desired(mine, rules), Done)
        ]
        threading.Event().wait(_POLL)
    return time.monotonic() - started_at


def _outcome(
    emulated: EmulatedCloud,
    cloud: CloudClient,
    seconds: float,
    mappings: int,
    at_once: int,
    gateways: int,
    settle: float,
) -> Outcome:
    counts = emulated.calls()
    reads = sum(n for (action, _), n in counts.items() if action.startswith("Describe"))
    total = mappings * gateways
    # What the gateway itself needs: each entry's settling and the way of the call that asks for it.
    bound = mappings * (settle + _latency(cloud)) / at_once
    return Outcome(seconds / bound, (sum(counts.values()) - reads) / total, reads / total, seconds)


def _latency(cloud: CloudClient) -> float:
    times = []
    for _ in range(21):
        started_at = time.perf_counter()
        cloud.describe_nat_gateways()
        times.append(time.perf_counter() - started_at)
    return statistics.median(times)
