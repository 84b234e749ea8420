"""A cluster, the controller and the cloud in virtual time: everything between Metacontroller and the wire is real.

The cluster is a few dictionaries, and Metacontroller is played by a loop; the controller is the whole `Service` with
its threads, and it talks to the emulator over HTTP by the real SDK. A process can be killed anywhere, several can be
active at once, and calls can be cut off with their request still on its way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import logging
import random
from collections import Counter
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from poddnat import backoff
from poddnat.api import FIXED, MOVE_AWAY, Fixed, PodDNAT, entry_ids, observed_condition, parse_spec, pod_uid_of, spec_of
from poddnat.api.annotations import READY, RELEASE_STRATEGY, RESULT, STATUS
from poddnat.api.annotations import parse as parse_annotations
from poddnat.gateway import Ownership
from poddnat.model import Ports
from poddnat.service import Service
from tests.faults.cloud import (
    EIPS,
    FIRST_PORT,
    GATEWAYS,
    LAST_PORT,
    NOBODY,
    OTHERS_EIPS,
    SMALL,
    DistantCloud,
    Network,
    Others,
    Size,
    emulated,
    values,
)
from tests.faults.cluster import SET, Metacontroller, SmallCluster, is_away, is_fixed
from tests.faults.virtual import Pool, Scheduler
from vpc_emulator import Emulator, EmulatorServer, ForwardEntry, ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from poddnat.cloud import CloudClient
    from poddnat.config import Values

Json = dict[str, Any]

OWNERSHIP = Ownership("c-test")
REFRESH = 300.0
MOST_CALLS = 250
"""How many calls are too many for a minute in these small worlds."""
_BIRTH = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
_MODULES = (
    "poddnat.gateway.driver",
    "poddnat.gateway.fleet",
    "poddnat.placement.locator",
    "poddnat.kube.client",
    "poddnat.kube.informer",
    "poddnat.controllers.lifecycle",
    "poddnat.controllers.poddnat_queue",
    "poddnat.controllers.reminder",
)


class BrokenInvariantError(AssertionError):
    """Something that must hold whatever happens did not; the text tells what, and what was called."""


class Process:
    """One run of the controller, from its start until it is killed."""

    def __init__(self, world: World, *, active: bool = True) -> None:
        """``active``: whether it has the lease at once; otherwise it is a standby until ``take_over``."""
        self.world = world
        self.active = active
        self.clock_jump = 0.0
        scheduler = world.scheduler
        scheduler.owner = self
        self.service = Service(
            world.values,
            world.cluster,
            world.cloud(world),
            may_write=lambda: self.active,
            clock=lambda: scheduler.clock.now + self.clock_jump,
            wall_clock=lambda: _BIRTH + dt.timedelta(seconds=scheduler.clock.now + world.wall_jump),
        )
        self.service.start()
        scheduler.owner = None

    def take_over(self) -> None:
        """Become the active one."""
        self.active = True
        self.world.scheduler.spawn(self.service.take_over, "leader-election", owner=self)


class World:
    """Everything, and short words for what happens to it."""

    def __init__(
        self,
        emulator: Emulator,
        scheduler: Scheduler,
        values: Values,
        *,
        latency: float = 0.02,
        seed: int = 0,
        others: Others = NOBODY,
        cloud: Callable[[World], CloudClient] | None = None,
    ) -> None:
        """``cloud`` makes a process' way to the cloud; the network's own when left out."""
        self.emulator = emulator
        self.scheduler = scheduler
        self.values = values
        self.cloud = cloud or (lambda world: DistantCloud(world.values, world.network))
        self.random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self.network = Network(scheduler, self.random, latency)
        self.cluster = SmallCluster(scheduler)
        self.processes: list[Process] = []
        self.wall_jump = 0.0
        self.killed = False
        """Whether a process was ever killed, and what it had seen of entries forgotten."""
        self.others = others
        self.foreign: dict[str, ForwardEntry] = {}
        """Entries on our addresses that nobody may touch but who made them."""
        self._renamed: dict[str, list[Process]] = {}
        """Entries of ours that got a foreign name before a status told of them, and who may have seen them before."""
        self.unsteady: set[tuple[str, int]] = set()
        """External ports that an operator or somebody else took away, perhaps only for a while."""
        self.cluster.judge_change = self.judge_change
        self.metacontroller = Metacontroller(scheduler, self.cluster, self._active)
        scheduler.spawn(self.metacontroller.run, "metacontroller", owner=self.metacontroller)

    def _active(self) -> Service | None:
        active = [process for process in self.processes if process.active]
        return self.random.choice(active).service if active else None

    # Time and processes.

    def pass_time(self, seconds: float) -> None:
        self.scheduler.run(lambda: False, seconds)
        self.check_foreign()
        self.check_pace()

    def start(self, *, active: bool = True) -> Process:
        self.processes.append(Process(self, active=active))
        return self.processes[-1]

    def kill(self) -> None:
        """Kill the oldest process."""
        if self.processes:
            self.killed = True
            self.scheduler.kill(self.processes.pop(0))
            self._disown()

    # Pods.

    def add_pod(self, name: str, ip: str, ports: str = "80", protocol: str = "tcp") -> None:
        """Add a running pod; one of that name that is there already, or one of that IP, goes."""
        self._put_pod(name, ip, exposing(ports, protocol))

    def add_fixed(
        self, number: int, ip: str, ports: str = "80", protocol: str = "tcp", release: str = "Follow"
    ) -> None:
        """Add a fixed pod of the StatefulSet, which is scaled up for it if need be."""
        name = f"{SET}-{number}"
        if not self.cluster.wants(name):
            self.cluster.scale(number + 1)
        workload = self.cluster.workload_there
        assert workload is not None
        owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": SET, "uid": workload["metadata"]["uid"]}
        annotations = {**exposing(ports, protocol), FIXED: "true", RELEASE_STRATEGY: release}
        self._put_pod(name, ip, annotations, ownerReferences=[{**owner, "controller": True}])

    def _put_pod(self, name: str, ip: str, annotations: dict[str, str], **about: Any) -> None:
        self.delete_pod(name)
        for other in [n for n, pod in self.cluster.pods.items() if pod["status"]["podIP"] == ip]:
            self.delete_pod(other)
        metadata = {"name": name, "namespace": "default", "uid": self.cluster.new_uid(), "annotations": annotations}
        self.cluster.put_pod(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**metadata, **about},
                "spec": {"nodeName": "node-1"},
                "status": {"phase": "Running", "podIP": ip},
            }
        )

    def return_pod(self, pod: Json, ip: str) -> None:
        """Let a pod that has gone come back with another IP."""
        metadata = pod["metadata"]
        asked = {key: text for key, text in metadata["annotations"].items() if key not in {STATUS, RESULT}}
        self._put_pod(metadata["name"], ip, asked, ownerReferences=metadata["ownerReferences"])

    def edit_pod(self, name: str, ports: str, protocol: str = "tcp") -> None:
        if (pod := self.cluster.pods.get(name)) is not None:
            pod["metadata"]["annotations"].update(exposing(ports, protocol))
            self.cluster.put_pod(pod)

    def delete_pod(self, name: str, *, forced: bool = False) -> None:
        """Delete a pod; the garbage collector deletes its PodDNAT. Forced: that goes without being finalized."""
        self.cluster.remove_pod(name)
        if forced and name in self.cluster.dnats:
            self.cluster.remove(name)

    def outsides(self) -> dict[str, tuple[str, str, list[str]]]:
        """Tell for each fixed pod that is there where it can be reached from outside."""
        kept = (dnat for name, dnat in self.cluster.dnats.items() if is_fixed(name) and name in self.cluster.pods)
        found = {dnat["metadata"]["name"]: parse_spec(spec_of(dnat)) for dnat in kept}
        return {
            name: (dnat.gateway_id, dnat.external_ip, [str(mapping.external) for mapping in dnat.mappings])
            for name, dnat in found.items()
        }

    # The cloud, behind our back.

    def entries(self) -> list[ForwardEntry]:
        """List all entries on our addresses."""
        there = [gateway for gateway in GATEWAYS if gateway in self.emulator.gateways]
        return [entry for gateway in there for entry in self.emulator.forward_entries(gateway, EIPS[gateway])]

    def ours(self) -> list[ForwardEntry]:
        return [entry for entry in self.entries() if entry.id not in self.foreign]

    def add_foreign(self, external_ip: str, port: int, internal_ip: str, internal_port: int, name: str = "ops") -> None:
        """Add somebody's entry by hand; nothing happens where the cloud would not take it."""
        for gateway in GATEWAYS:
            if external_ip in EIPS[gateway] and gateway in self.emulator.gateways:
                try:
                    added = self.emulator.add_entry(
                        gateway,
                        external_ip=external_ip,
                        external_port=port,
                        internal_ip=internal_ip,
                        internal_port=internal_port,
                        name=name,
                        lasting=True,
                    )
                except ValueError:
                    return
                self.foreign[added.id] = added
                self.unsteady.add((external_ip, port))

    def rename(self, entry: ForwardEntry, name: str) -> None:
        """Give an entry of ours another name.

        Who saw it under our name may go on dealing with it as ours; a later process must not, unless a status tells.
        """
        self.emulator.rename_entry(entry.gateway_id, entry.id, name)
        self.unsteady |= _outside(entry.external_ip, Ports.parse(entry.external_port))
        self._renamed.pop(entry.id, None)
        if OWNERSHIP.owner_in(name) is None and entry.id not in self.cluster.told_ids:
            self._renamed[entry.id] = list(self.processes)
            self._disown()

    def _disown(self) -> None:
        """Call foreign what nobody is left to know as ours, unless a request of theirs is still on its way."""
        for entry in self.entries():
            knew = self._renamed.get(entry.id)
            if knew is not None and not any(process in self.processes for process in knew):
                del self._renamed[entry.id]
                on_its_way_out = entry.status == "Deleting" or entry.fails or self.network.late
                if entry.id not in self.cluster.told_ids and not on_its_way_out:
                    self.foreign[entry.id] = entry

    def take_eips(self, gateway: str, addresses: Iterable[str]) -> None:
        """Take addresses off a gateway."""
        for address in addresses:
            self.unsteady |= _outside(address, Ports(FIRST_PORT, LAST_PORT))
            self.emulator.remove_eip(gateway, address)

    def drop_foreign(self, entry: ForwardEntry) -> None:
        """Delete an entry by hand."""
        del self.foreign[entry.id]
        self.emulator.delete_entry(entry.gateway_id, entry.id)

    def live_ids(self) -> set[str]:
        """List the ids that PodDNATs' statuses hold: they prove an entry to be ours, whatever its name."""
        return {held for dnat in self.cluster.dnats.values() for held in entry_ids(dnat.get("status") or {})}

    def provable_ids(self) -> set[str]:
        """List the ids that prove a renamed entry to be ours: its pod is there, or a process saw it work."""
        pods = {pod["metadata"]["uid"] for pod in self.cluster.pods.values()}
        dnats = [
            dnat for dnat in self.cluster.dnats.values() if not self.killed or pod_uid_of(dnat["metadata"]) in pods
        ]
        return {held for dnat in dnats for held in entry_ids(dnat.get("status") or {})}

    # The invariants.

    def check_foreign(self) -> None:
        """Nobody touches an entry that isn't ours."""
        there = {entry.id: entry for entry in self.entries()}
        for entry in list(self.foreign.values()):
            # One of ours that was renamed may still get into its PodDNAT's status, which proves it to be ours.
            if entry.gateway_id not in self.emulator.gateways or entry.id in self.cluster.told_ids:
                del self.foreign[entry.id]
            elif _settled(there.get(entry.id)) != _settled(entry):
                self.fail([f"the foreign entry {entry} was touched: {there.get(entry.id)}"])
        for gateway in self.emulator.gateways:
            left = len(self.emulator.forward_entries(gateway, [OTHERS_EIPS[gateway]]))
            if left != self.others.entries:
                self.fail([f"others had {self.others.entries} entries on {gateway}, and have {left}"])

    def check_pace(self) -> None:
        """Nobody asks the cloud in a hot loop."""
        times = [call.time for call in self.emulator.calls]
        for first, last in zip(times, times[MOST_CALLS:], strict=False):
            if last - first < 60:
                self.fail([f"{MOST_CALLS} calls between {first:.2f} and {last:.2f}"])

    def problems(self) -> list[str]:
        """Tell what differs from how it has to be in the end."""
        return [*self._missing(), *self._leftovers(), *self._shared()]

    def _missing(self) -> list[str]:
        found = []
        for name, pod in self.cluster.pods.items():
            exposed = parse_annotations(pod["metadata"]["annotations"])
            dnat = self.cluster.dnats.get(name)
            if exposed is None:
                if dnat is not None:
                    found.append(f"{name} opted out and has a PodDNAT")
                continue
            if dnat is None or pod_uid_of(dnat["metadata"]) != pod["metadata"]["uid"]:
                found.append(f"{name} has no PodDNAT: {pod['metadata']['annotations']}")
                continue
            found += self._differences(name, pod, dnat, len(exposed.items))
        return found

    def _differences(self, name: str, pod: Json, dnat: Json, items: int) -> list[str]:
        wanted = parse_spec(spec_of(dnat))
        status = dnat.get("status") or {}
        ready = [condition for condition in status.get("conditions", ()) if condition["status"] == "True"]
        if not ready or status.get("observedGeneration") != dnat["metadata"]["generation"]:
            return [f"{name} is not Ready: {status.get('conditions')}"]
        shown = status["entries"]
        told = {(e["externalIP"], e["externalPort"], i) for e in shown for i in e["forwardEntryId"].split(",")}
        there = {
            (entry.external_ip, entry.external_port, entry.id)
            for entry in self.entries()
            if entry.status == "Available"
            and entry.gateway_id == wanted.gateway_id
            and any(
                (entry.external_ip, entry.external_port, entry.internal_ip, entry.internal_port, entry.protocol)
                == (r.external_ip, str(r.external_ports), r.internal_ip, str(r.internal_ports), r.protocol.value)
                for r in wanted.rules
            )
        }
        if told != there or len(shown) != items or wanted.internal_ip != pod["status"]["podIP"]:
            return [f"{name} (wants {items} of {wanted}) is told {told}, and the cloud has {there}"]
        if pod["metadata"]["annotations"].get(STATUS) != READY:
            return [f"{name}'s pod is not told that it is ready: {pod['metadata']['annotations']}"]
        return []

    def _leftovers(self) -> list[str]:
        """Find PodDNATs without a pod that should not be there, and entries that no PodDNAT's status holds."""
        held = self.live_ids()
        absent = (dnat for name, dnat in self.cluster.dnats.items() if name not in self.cluster.pods)
        found = [f"PodDNAT {dnat['metadata']['name']} is not gone" for dnat in absent if not self._is_kept(dnat)]
        return found + [f"{entry} is nobody's" for entry in self.ours() if entry.id not in held]

    def _is_kept(self, dnat: Json) -> bool:
        """Whether a PodDNAT is kept for a fixed pod, as it should be."""
        fixed, status = Fixed.read(dnat["metadata"]), dnat.get("status") or {}
        wanted = fixed is not None and (not fixed.release_strategy.follows or self.cluster.wants(fixed.pod_name))
        told = observed_condition(status)
        return wanted and is_away(dnat) and not entry_ids(status) and told is not None and told.reason == "PodAway"

    def _shared(self) -> list[str]:
        slots: Counter[tuple[str, str, str]] = Counter()
        for dnat in self.cluster.dnats.values():
            wanted = parse_spec(spec_of(dnat), absent=is_away(dnat))
            slots.update({(r.external_ip, str(r.external_ports), r.protocol.value) for r in wanted.rules})
        return [f"several PodDNATs have {slot}" for slot, count in slots.items() if count > 1]

    def judge_change(self, before: Json, after: Json | None) -> None:
        """Assert that a fixed pod is not deprived of its address and ports by the controller without a reason."""
        fixed, name = Fixed.read(before["metadata"]), before["metadata"]["name"]
        if fixed is None or "deletionTimestamp" in before["metadata"]:
            return
        pod = self.cluster.pods.get(name)
        if after is None:
            opted_out = pod is not None and parse_annotations(pod["metadata"]["annotations"]) is None
            if not opted_out and (not fixed.release_strategy.follows or self.cluster.wants(name)):
                self.fail([f"PodDNAT {name} was given up"])
            return
        old, new = (parse_spec(spec_of(dnat), absent=True) for dnat in (before, after))
        told = observed_condition(before.get("status") or {})
        if told is not None and told.reason in MOVE_AWAY:
            return
        had, has = _outside_by_item(old), _outside_by_item(new)
        lost = {port for item, ports in had.items() if has.get(item, ports) != ports for port in ports}
        if lost and not self.unsteady.intersection(lost):
            self.fail([f"{name} had {had} and gets {has}, after {told}"])

    def settles(self, within: float) -> None:
        """Assert that everything is as it has to be after a while."""
        self.scheduler.run(lambda: not self.problems(), within)
        self.check_foreign()
        if problems := self.problems():
            self.fail([f"not so within {within:.0f} seconds:", *problems])

    def writes(self) -> int:
        """Count what was written anywhere."""
        calls = self.emulator.calls
        cloud = calls.count("CreateForwardEntry") + calls.count("DeleteForwardEntry")
        return cloud + self.cluster.writes.total()

    def stays_quiet(self, seconds: float) -> None:
        """Assert that nothing is written while nothing changes, and that all stays as it is."""
        before = self.writes()
        self.pass_time(seconds)
        if problems := self.problems():
            self.fail(["it was well, and no longer is:", *problems])
        if self.writes() != before:
            self.fail([f"{self.writes() - before} writes though nothing changed"])

    def fail(self, problems: list[str]) -> None:
        """Fail with the calls that the cloud has seen."""
        raise BrokenInvariantError("\n".join([*problems, "", f"now: {self.scheduler.clock.now:.2f}", *self.story()]))

    def story(self) -> list[str]:
        """Tell all calls, one a line."""
        return [
            f"{call.time:9.2f} {call.action} {_told(call.parameters)} -> {call.outcome}"
            f"{'' if call.answered else ' (never answered)'}"
            for call in self.emulator.calls.list()[-200:]
        ]


def _settled(entry: ForwardEntry | None) -> ForwardEntry | None:
    """Leave out that an entry becomes Available by itself."""
    if entry is None or entry.status != "Pending":
        return entry
    return dataclasses.replace(entry, status="Available", due=None)


def _outside_by_item(dnat: PodDNAT) -> dict[str, frozenset[tuple[str, int]]]:
    return {str(mapping.item): _outside(dnat.external_ip, mapping.external) for mapping in dnat.mappings}


def _outside(external_ip: str, ports: Ports) -> frozenset[tuple[str, int]]:
    return frozenset((external_ip, port) for port in range(ports.first, ports.last + 1))


def exposing(ports: str, protocol: str) -> dict[str, str]:
    """Write a pod's request; no ports: none."""
    return {
        "k8s.aliyun.com/pod-dnat": "true" if ports else "false",
        "k8s.aliyun.com/pod-dnat-expose-port": ports,
        "k8s.aliyun.com/pod-dnat-expose-protocol": protocol,
    }


def _told(parameters: Mapping[str, str]) -> str:
    dull = {"RegionId", "PageNumber", "PageSize", "VpcId", "ForwardTableId"}
    return " ".join(f"{key}={value[:40]}" for key, value in parameters.items() if key not in dull)


class _Errors(logging.Handler):
    """Notes the exceptions that the controller survives, but did not expect."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(logging.Formatter().format(record))

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        logger = logging.getLogger("poddnat")
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)


@contextlib.contextmanager
def running(
    *,
    settle: float = 0.5,
    at_once: int = 1,
    latency: float = 0.02,
    routed: bool = True,
    seed: int = 0,
    started: bool = True,
    size: Size = SMALL,
    others: Others = NOBODY,
    cloud: Callable[[World], CloudClient] | None = None,
) -> Iterator[World]:
    """Run a world of two gateways with one process in it."""
    clock = ManualClock(1000.0)
    emulator = emulated(clock, settle=settle, at_once=at_once, routed=routed, seed=seed, size=size, others=others)
    with (
        EmulatorServer(emulator) as server,
        playing(
            emulator, clock, values(server.url, size), latency=latency, seed=seed, others=others, cloud=cloud
        ) as world,
    ):
        if started:
            world.start()
        yield world


@contextlib.contextmanager
def playing(emulator: Emulator, clock: ManualClock, values: Values, *, seed: int = 0, **about: Any) -> Iterator[World]:
    """Run a world in an emulated cloud, with no process in it yet."""
    backoff._RANDOM.seed(seed)  # The jitter of delays is the same in every run.
    scheduler = Scheduler(clock)
    errors = _Errors()
    pool = lambda size, **about: Pool(scheduler, size, **about)  # noqa: E731
    with (
        scheduler.installed(*_MODULES),
        patch("poddnat.gateway.driver.ThreadPoolExecutor", pool),
        patch("poddnat.controllers.lifecycle.ThreadPoolExecutor", pool),
        patch("poddnat.placement.locator.time.sleep", scheduler.sleep),
        errors.noted(),
    ):
        world = World(emulator, scheduler, values, seed=seed, **about)
        try:
            yield world
        finally:
            scheduler.kill()
    assert emulator.bugs == []
    assert errors.found == []
