"""What would take hours on a clock: the whole controller in virtual time, against the emulator.

Delays are a real gateway's here, about 5 s until an entry is Available. What is measured is seconds of that time, or
memory; how busy this machine is has no part in it.
"""

import gc
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from alibabacloud_ecs20140526 import models as ecs_models
from alibabacloud_tea_openapi.utils import Utils
from alibabacloud_vpc20160428 import models as vpc_models

from poddnat.api import ready_since
from poddnat.cloud import CloudClient, CloudError, Meaning
from poddnat.cloud.errors import NO_ANSWER, meaning_of
from tests.bench import plots
from tests.bench.hook_calls import resident_mb
from tests.faults.cloud import GATEWAYS, READ_TIMEOUT, Size
from tests.faults.world import World, running
from tests.unit.gateway.model import LATENCY, ModelGateway
from vpc_emulator.exceptions import ApiError
from vpc_emulator.responses import NoAnswer, Responder

SETTLE = 5.0
CYCLES = 50_000
_SAMPLE = 0.1
_LARGE = Size(last_port=20_000, private_ips="172.16.0.0/20", quota=100_000, calls_a_minute=1_000_000)
_GENERATION = 25


@dataclass(frozen=True)
class Learning:
    """How many writes at once a gateway was taken to bear, over time, and how often it refused one."""

    limits: list[tuple[float, int]]
    bears: list[tuple[float, int]]
    refused_until_serial: int
    refused_until_eight: int


def changing_minds() -> dict[str, float]:
    """Tell how often a gateway that changes what it bears refuses a write until that is known; draws a picture."""
    learned = learning()
    plots.learning(learned.bears, learned.limits, plots.BUILD / "learning.png")
    return {
        "refusals_until_serial": learned.refused_until_serial,
        "refusals_until_eight": learned.refused_until_eight,
    }


def learning(*, mappings: int = 400) -> Learning:
    """Let a gateway bear one write, then eight, then one again, with work enough all the time."""
    gateway = ModelGateway(at_once=1, settle=SETTLE)
    bears, refused = [(0.0, 1)], []
    for number in range(mappings):
        gateway.want(number)
    gateway.run(until=lambda: gateway.calls["written"] >= mappings // 8)
    for at_once, writes in ((8, mappings), (1, mappings // 4)):
        gateway.at_once = at_once
        bears.append((gateway.now, at_once))
        gateway.calls.clear()
        if at_once == 1:
            for number in range(mappings):
                gateway.want(number, release=True)
        gateway.run(until=lambda at_once=at_once: gateway.reconciler._state.concurrency.limit == at_once)  # type: ignore[misc]
        refused.append(gateway.calls["refused"])
        gateway.run(until=lambda writes=writes: gateway.calls["written"] >= writes * 3 // 4)  # type: ignore[misc]
    limits = [(0.0, 1), *gateway.limits, (gateway.now, gateway.reconciler._state.concurrency.limit)]
    return Learning(limits, [*bears, (gateway.now, 1)], refused[1], refused[0])


def uneven() -> dict[str, float]:
    """Have a new gateway make entries whose delays differ much: a tenth of real ones, 30 % more or less."""
    share, writes, reads = _paced(mappings=400, at_once=8, settle=SETTLE / 10, jitter=0.3)
    return {
        "parallel_capacity_share_jitter30": share,
        "parallel_writes_per_mapping_jitter30": writes,
        "parallel_reads_per_mapping_jitter30": reads,
    }


def full_delays() -> dict[str, float]:
    """Have both kinds of gateways make entries at a real one's pace: who waits is told within a second all the same."""
    share, writes, reads = _paced(mappings=200, at_once=1, settle=SETTLE, jitter=0.3)
    stats = {
        "serial_wall_ratio_full_delays": 1 / share,
        "serial_calls_per_mapping_full_delays": writes + reads,
        "serial_refused_writes_per_mapping_full_delays": writes - 1,
    }
    share, writes, reads = _paced(mappings=400, at_once=8, settle=SETTLE, jitter=0.1)
    return stats | {
        "parallel_capacity_share_full_delays": share,
        "parallel_writes_per_mapping_full_delays": writes,
        "parallel_reads_per_mapping_full_delays": reads,
    }


def _paced(*, mappings: int, at_once: int, settle: float, jitter: float) -> tuple[float, float, float]:
    """Return the share of the gateway's capacity, and writes and reads for each mapping: the mean of three runs."""
    runs = []
    for seed in range(3):
        gateway = ModelGateway(at_once=at_once, settle=settle, jitter=jitter, seed=seed)
        for number in range(mappings):
            gateway.want(number)
        gateway.run()
        calls = gateway.calls
        share = mappings * (settle + LATENCY) / at_once / gateway.now
        runs.append((share, (calls["written"] + calls["refused"]) / mappings, calls["read"] / mappings))
    share, writes, reads = (mean(values) for values in zip(*runs, strict=True))
    return share, writes, reads


def fairness(*, mappings: int = 40, others: int = 160) -> dict[str, float]:
    """Tell how long deletes take against creates, and either against running beside four times as many of the other."""
    many = {
        release: mean(_one_after_the_others(200, 0, release=release, seed=seed) for seed in range(3))
        for release in (False, True)
    }
    alone = {release: _one_after_the_others(mappings, 0, release=release) for release in (False, True)}
    beside = {release: _one_after_the_others(mappings, others, release=release) for release in (False, True)}
    return {
        "delete_create_ratio": many[True] / many[False],
        "fairness_create_ratio": beside[False] / alone[False],
        "fairness_delete_ratio": beside[True] / alone[True],
    }


def _one_after_the_others(mappings: int, others: int, *, release: bool, seed: int = 1) -> float:
    """Return the seconds until mappings are made (or gone) on an old gateway where others want the opposite already."""
    gateway = ModelGateway(at_once=1, settle=SETTLE, seed=seed)
    ours, theirs = range(mappings), range(mappings, mappings + max(others, 1))
    for number in ours if release else theirs:  # One as well where there are no others: the pace is known then.
        gateway.want(number)
    gateway.run()
    if others:
        for number in theirs:
            gateway.want(number, release=not release)
    began = gateway.now
    for number in ours:
        gateway.want(number, release=release)
    names = {f"uid-{number}" for number in ours}
    gateway.run(until=lambda: names <= gateway.done_at.keys())
    return gateway.now - began


def lags() -> dict[str, float]:
    """Tell how long after its entry is Available a pod is told so, with few and with many that wait."""
    return {f"ready_lag_{pods}_s": ready_lag(pods, at_once=at_once) for pods, at_once in ((1, 1), (50, 1), (500, 8))}


def ready_lag(pods: int, *, at_once: int) -> float:
    """Let so many pods wait for one gateway: the longest time from an entry's being Available to Ready, in seconds."""
    available: dict[str, float] = {}
    ready: dict[str, float] = {}
    with running(settle=SETTLE, at_once=at_once, size=_LARGE) as world:

        def sample() -> None:
            while True:
                now = world.scheduler.clock.now
                for entry in world.emulator.forward_entries(GATEWAYS[0]):
                    if entry.status == "Available":
                        available.setdefault(entry.internal_ip, now)
                for dnat in world.cluster.dnats.values():
                    if ready_since(dnat.get("status") or {}) is not None:
                        ready.setdefault(dnat["spec"]["internalIP"], now)
                world.scheduler.sleep(_SAMPLE)

        world.scheduler.spawn(sample, "sampler", owner=world)
        for number in range(pods):
            world.add_pod(f"pod-{number}", _ip(number))
        world.scheduler.run(lambda: len(ready) == pods, limit=10 * SETTLE * pods + 100)
    return max(ready[ip] - available[ip] for ip in available)


class DirectCloud(CloudClient):
    """The real SDK's requests and answers without the wire between them, for very many calls."""

    def __init__(self, world: World) -> None:
        super().__init__(world.values)
        self._responder = Responder(world.emulator)
        self._scheduler = world.scheduler

    def _call(self, action: str, call: Any, request: Any) -> Any:  # noqa: ARG002 - the SDK's own way is left out
        self._scheduler.sleep(0.02)
        try:
            answer = self._responder.perform(action, Utils.query(request.to_map()))
        except NoAnswer:
            self._scheduler.sleep(READ_TIMEOUT)
            raise CloudError(Meaning.UNKNOWN, action=action, code=NO_ANSWER, message="timed out") from None
        except ApiError as error:
            wait = getattr(error, "time_left", 0.0) or None
            meaning, scope = meaning_of(error.code, str(error), error.status)
            raise CloudError(
                meaning, scope=scope, action=action, code=error.code, message=str(error), retry_after=wait
            ) from error
        models = ecs_models if action == "DescribeNetworkInterfaces" else vpc_models
        return getattr(models, f"{action}ResponseBody")().from_map(answer)


def memory() -> dict[str, float]:
    """Tell how much memory very many pods leave behind."""
    return {f"rss_growth_mb_{CYCLES}_cycles": memory_growth(CYCLES)}


def memory_growth(cycles: int) -> float:
    """Create and delete pods so many times, some at a time; MiB by which this process grows, after a tenth.

    By then, each port of the pool has been used: of each, it is remembered for how long it has been free.
    """
    with running(settle=0.0, at_once=16, size=replace(_LARGE, last_port=5000), cloud=DirectCloud) as world:
        warm = max(cycles // 10, _GENERATION)
        _cycle(world, warm)
        before = _settled_mb(world)
        _cycle(world, cycles - warm)
        return _settled_mb(world) - before


def _cycle(world: World, cycles: int) -> None:
    for first in range(0, cycles, _GENERATION):
        for number in range(_GENERATION):
            world.add_pod(f"pod-{first + number}", _ip((first + number) % 3000))
        world.scheduler.run(lambda: len(_working(world)) == _GENERATION, limit=600)
        for name in list(world.cluster.pods):
            world.delete_pod(name)
        world.scheduler.run(lambda: not world.cluster.dnats, limit=600)
        if world.cluster.dnats or world.entries():
            raise RuntimeError(f"after {first} cycles something is left: {list(world.cluster.dnats)[:3]}")
        _forget(world)


def _working(world: World) -> list[str]:
    return [name for name, dnat in world.cluster.dnats.items() if ready_since(dnat.get("status") or {}) is not None]


def _forget(world: World) -> None:
    """Let the emulator and the played cluster, which keep all that ever happened, not be taken for ours."""
    world.emulator.calls.clear()
    world.emulator._tokens.clear()
    world.cluster.forget_the_past()


def _settled_mb(world: World) -> float:
    world.pass_time(700.0)
    _forget(world)
    gc.collect()
    return resident_mb(Path("/proc/self/statm"))


def _ip(number: int) -> str:
    return f"172.16.{number // 250}.{number % 250 + 1}"
