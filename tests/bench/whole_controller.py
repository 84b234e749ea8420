"""The whole controller in virtual time, in accounts that others use as well: large tables, shared limits, long outages.

Delays are a real gateway's, about 5 s until an entry is Available. All actions have the account's usual limit of 200
calls a minute each.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from unittest.mock import patch

from poddnat.api import ready_since
from tests.bench.emulated import EmulatedCloud, account, gateway_ids
from tests.bench.hook_calls import resident_mb
from tests.bench.in_virtual_time import DirectCloud
from tests.faults.steps import CREATE, DELETE, LIST
from tests.faults.world import World, playing
from vpc_emulator import Emulator, Fault, ManualClock
from vpc_emulator import World as Account
from vpc_emulator.assets import RateLimit

SETTLE, JITTER = 5.0, 0.1
MINUTE, HOUR = 60.0, 3600.0
LIMIT = RateLimit(200, MINUTE)
GATEWAYS, ENTRIES, OURS = 10, 5000, 50
CHURN = 3.0
"""Seconds after which others have replaced one of their entries on each gateway."""
ROLLED, MANY, MANY_GATEWAYS = 1000, 3000, 20
NEW = 30
"""How many new pods are measured."""
LEASE = 15.0
"""Seconds from the active replica's end until another one takes over."""


@contextmanager
def _playing(gateways: int, *, at_once: int, others: int, settle: float = SETTLE) -> Iterator[World]:
    """Run a world of so many gateways, on each of which others have so many entries; there is no process yet."""
    clock = ManualClock(1000.0)
    entries = {number: [_of_others(other) for other in range(others)] for number in range(gateways)}
    world = account(gateways, at_once=at_once, settle=settle, jitter=JITTER, entries=entries)
    emulator = Emulator(Account.from_dict(world), clock=clock, seed=1)
    values = EmulatedCloud("http://127.0.0.1:1", gateway_ids(gateways)).values
    with playing(emulator, clock, values, cloud=DirectCloud) as played:
        yield played


def _of_others(number: int) -> dict[str, str]:
    port = str(1 + number)
    return {
        "external_ip": "198.51.100.1",
        "external_port": port,
        "internal_ip": "172.31.0.1",
        "internal_port": port,
        "name": "others",
    }


def _ip(gateway: int, number: int) -> str:
    return f"172.{16 + gateway}.{number // 250}.{number % 250 + 1}"


def _is_ready(world: World, pod: str) -> bool:
    dnat = world.cluster.dnats.get(pod)
    return dnat is not None and ready_since(dnat.get("status") or {}) is not None


def _wait(world: World, until: Callable[[], bool], limit: float, what: str) -> float:
    """Let time pass until a condition holds, and return the seconds that it took."""
    began = world.scheduler.clock.now
    if not world.scheduler.run(until, limit):
        raise RuntimeError(f"not so within {limit:.0f} s: {what}")
    return world.scheduler.clock.now - began


def _ready_after(world: World, pods: dict[str, str]) -> list[float]:
    """Make pods, all at once: for each, the seconds until it is Ready."""
    began, waits = world.scheduler.clock.now, dict[str, float]()
    for name, ip in pods.items():
        world.add_pod(name, ip)

    def all_ready() -> bool:
        now = world.scheduler.clock.now
        waits.update({name: now - began for name in pods if name not in waits and _is_ready(world, name)})
        return len(waits) == len(pods)

    _wait(world, all_ready, HOUR, "new pods are Ready")
    return [*waits.values()]


def ten_gateways() -> dict[str, float]:
    """Have two replicas serve ten gateways of 5,000 entries: reads at rest, and how long new pods wait."""
    with _playing(GATEWAYS, at_once=16, others=ENTRIES - OURS, settle=0.0) as world:
        emulator, scheduler = world.emulator, world.scheduler
        world.start()
        _ready_after(world, {f"old-{g}-{n}": _ip(g, n) for g in range(GATEWAYS) for n in range(OURS)})
        for gateway in gateway_ids(GATEWAYS):
            emulator.set_settle(gateway, SETTLE, JITTER)
            emulator.set_writes_at_once(gateway, 8)
            emulator.set_churn(gateway, entries=1, seconds=CHURN)
        emulator.set_rate_limit(LIMIT)
        standby = world.start(active=False)
        _wait(world, lambda: all(g.loaded for g in standby.service.fleet.gateways()), 6 * HOUR, "the standby is warm")
        emulator.reset_calls()
        scheduler.run(lambda: False, HOUR)
        reads = emulator.calls.count("DescribeForwardTableEntries") / (HOUR / MINUTE)
        at_rest = []
        for number in range(NEW):
            at_rest += _ready_after(world, {f"new-{number}": _ip(number % GATEWAYS, OURS + number)})
            scheduler.run(lambda: False, CHURN * 7)
        world.kill()
        scheduler.run(lambda: False, LEASE)
        standby.take_over()
        failover = _ready_after(world, {f"next-{n}": _ip(n % GATEWAYS, OURS + NEW + n) for n in range(NEW)})
    return {
        "ten_gateways_reads_a_minute": reads,
        "ten_gateways_ready_s": median(at_rest),
        "ten_gateways_failover_ready_s": median(failover),
        "ten_gateways_failover_longest_s": max(failover),
    }


def rolling_restart() -> dict[str, float]:
    """Replace 1,000 pods that are all there are, and 1,000 of 3,000: how much longer that takes.

    The account's limit of calls decides, so that anything that large tables cost besides would show.
    """
    alone, among_many = (_rolled(pods) for pods in (ROLLED, MANY))
    return {
        "rolling_restart_alone_s": alone,
        "rolling_restart_among_many_s": among_many,
        "rolling_restart_ratio": among_many / alone,
    }


def _rolled(pods: int) -> float:
    with _playing(MANY_GATEWAYS, at_once=16, others=0, settle=0.0) as world:
        emulator = world.emulator
        world.start()
        names = [(f"pod-{number}", _ip(number % MANY_GATEWAYS, number // MANY_GATEWAYS)) for number in range(pods)]
        for some in range(0, pods, ROLLED):
            _ready_after(world, dict(names[some : some + ROLLED]))
        for gateway in gateway_ids(MANY_GATEWAYS):
            emulator.set_settle(gateway, SETTLE, JITTER)
            emulator.set_writes_at_once(gateway, 8)
        emulator.set_rate_limit(LIMIT)
        world.scheduler.run(lambda: False, MINUTE)
        for name, _ in names[:ROLLED]:
            world.delete_pod(name)
        at = pods // MANY_GATEWAYS
        new = {f"new-{n}": _ip(n % MANY_GATEWAYS, at + n // MANY_GATEWAYS) for n in range(ROLLED)}
        return max(_ready_after(world, new))


def burst() -> dict[str, float]:
    """Have another client use up the limits for a minute: the seconds in which our next 50 creates are done.

    The cloud tells when it wants to be called again; what becomes of us if it didn't is measured as well.
    """
    figures = {}
    for name, tells in (("fifty_creates_after_a_burst_s", True), ("fifty_creates_after_an_untold_burst_s", False)):
        with _playing(1, at_once=16, others=0, settle=0.0) as world:
            emulator = world.emulator
            emulator.set_rate_limit(RateLimit(LIMIT.calls, LIMIT.seconds, tell_time_left=tells))
            world.start()
            _ready_after(world, {"first": _ip(0, 0)})
            emulator.reset_calls()
            for action in (CREATE, DELETE, LIST):
                emulator.use_up_rate(action)
            for number in range(1, 51):
                world.add_pod(f"pod-{number}", _ip(0, number))
            made = partial(emulator.calls.count, CREATE, "OK")
            figures[name] = _wait(world, lambda: made() == 50, HOUR, "50 creates")  # noqa: B023
    return figures


def slipped_rows() -> dict[str, float]:
    """Have each page of each listing miss a row for some hours, often one of ours: how many statuses change."""
    with _playing(1, at_once=16, others=120, settle=0.0) as world:
        emulator, cluster = world.emulator, world.cluster
        world.start()
        _ready_after(world, {f"pod-{number}": _ip(0, number) for number in range(100)})
        world.scheduler.run(lambda: False, HOUR / 6)
        emulator.add_fault(Fault("slip-row", times=None))
        emulator.reset_calls()
        writes = cluster.writes.total()
        world.scheduler.run(lambda: False, 6 * HOUR)
        doubted = sum("ForwardEntryId" in call.parameters for call in emulator.calls.list(LIST))
        if not doubted:
            raise RuntimeError("no row of ours has slipped")
    return {"slipped_rows_of_ours": doubted, "slipped_rows_status_changes": cluster.writes.total() - writes}


_WRITES_REFUSED = (
    "IncorretForwardEntryStatus",
    "IncorrectStatus.ForwardEntry",
    "OperationUnsupported.EipInBinding",
    "IdempotentParameterMismatch",
    "OperationUnsupported.ForwardEntry",
    "QuotaExceeded",
    "InvalidForwardEntryId.NotFound",
    "InvalidIp.NotInNatgw",
    "MissingParameter",
)
_ALL_REFUSED = ("InternalError", "Invalid.natgwNotExist", "Forbidden.RAM", "NobodyKnowsThisCode")
"""A code for each thing that an error can mean, and each scope that it can have."""


def _outages() -> Iterator[tuple[str, list[Fault]]]:
    """Give what may be the matter for a day, each with its name."""
    for code in _ALL_REFUSED:
        yield code, [Fault("error", code=code, times=None)]
    for code in _WRITES_REFUSED:
        yield code, [Fault("error", action=action, code=code, times=None) for action in (CREATE, DELETE)]
    yield "silence", [Fault("lose-request", times=None)]
    yield "throttling", [Fault("throttle", seconds=20.0, times=None)]
    yield "throttling, untold", [Fault("throttle", times=None)]


def a_day() -> dict[str, float]:
    """Have the cloud refuse, be silent or throttle for a day, each in turn: the seconds until all is well again."""
    seconds, grown = dict[str, float](), []
    for what, faults in _outages():
        # The reminder looks each half second whether hooks have been away, and nothing else costs as much in a day.
        with patch("poddnat.controllers.reminder.REMIND_EVERY", MINUTE), _playing(1, at_once=8, others=120) as world:
            seconds[what], megabytes = _after_a_day(world, faults, what)
            grown.append(megabytes)
    return {
        "after_a_day_of_refusals_s": max(seconds.values()),
        "after_a_day_of_refusals_grown_mb": max(grown[1:]),  # The first one warms up.
    }


def _after_a_day(world: World, faults: list[Fault], what: str) -> tuple[float, float]:
    """Have pods come and go in a day of faults: the seconds until all is well afterwards, and MiB that are left."""
    emulator, scheduler = world.emulator, world.scheduler
    emulator.set_churn(gateway_ids(1)[0], entries=1, seconds=CHURN)
    world.start()
    _ready_after(world, {f"old-{number}": _ip(0, number) for number in range(3)})
    before = _remembered(world)
    for fault in faults:
        emulator.add_fault(fault)
    world.delete_pod("old-0")
    for number in range(3, 5):
        world.add_pod(f"new-{number}", _ip(0, number))
    by_hour = []
    for _ in range(24):
        scheduler.run(lambda: False, HOUR)
        by_hour.append(_resident(world))  # Cleared each hour: a day of the emulator's own calls would take the most.
    megabytes = by_hour[-1] - by_hour[0]
    emulator.clear_faults()
    names = {"old-1", "old-2", "new-3", "new-4"}
    seconds = _wait(
        world,
        lambda: world.cluster.dnats.keys() == names and all(_is_ready(world, name) for name in names),
        HOUR,
        f"all is well after {what}",
    )
    _wait(world, lambda: _remembered(world) == before, HOUR, f"as before after {what}: {_remembered(world)}, {before}")
    return seconds, megabytes


def _remembered(world: World) -> dict[str, object]:
    """Tell how many threads there are, and what the drivers have to do or count."""
    (process,) = world.processes
    (gateway,) = process.service.fleet.gateways()
    stats, state = gateway.stats(), gateway._reconciler._state
    return {
        "threads": sorted(task.name for task in world.scheduler._tasks if task.owner is process),
        "counters": (stats.waiting, stats.watching, stats.in_flight, stats.unsettled),
        "kept": (len(state.desired), len(state._watching), len(state.queue)),
    }


def _resident(world: World) -> float:
    """Measure this process in MiB; what the emulator and the played cluster keep is not ours."""
    world.emulator.calls.clear()
    world.cluster.forget_the_past()
    gc.collect()
    return resident_mb(Path("/proc/self/statm"))


PARTS: list[tuple[str, str, Callable[[], dict[str, float]]]] = [
    ("ten gateways, two replicas", f"virtual, {ENTRIES:,} entries on each", ten_gateways),
    (f"{ROLLED:,} pods replaced", f"virtual, {MANY:,} PodDNATs, {MANY_GATEWAYS} gateways", rolling_restart),
    ("another client's burst", "virtual, 200 calls a minute", burst),
    ("rows that listings miss", "virtual, 5 pages, six hours", slipped_rows),
    ("a day of refusals, silence, throttling", "virtual, whole controller", a_day),
]
