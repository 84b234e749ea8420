"""A cluster, the controller and the cloud in virtual time: everything between Metacontroller and the wire is real.

The cluster is a few dictionaries, and Metacontroller is played by a loop; the controller is the whole `Service` with
its threads, and it talks to the emulator over HTTP by the real SDK. A process can be killed anywhere, several can be
active at once, and calls can be cut off with their request still on its way.
"""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import itertools
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from poddnat.annotations import READY, STATUS
from poddnat.annotations import parse as parse_annotations
from poddnat.cloud import Cloud
from poddnat.cloud_errors import NO_ANSWER, CloudError, Meaning
from poddnat.cluster import Cluster, ClusterError
from poddnat.ownership import Ownership
from poddnat.poddnat_object import entry_ids, parse_spec, spec_of
from poddnat.progress import Later
from poddnat.service import Service
from poddnat.values import Values, parse
from tests.faults.virtual import Condition, Pool, Scheduler
from tests.hushed import KEY_SECRET
from vpc_emulator import Emulator, EmulatorServer, ForwardEntry, ManualClock
from vpc_emulator import World as EmulatedWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from poddnat.poddnat_status import PodDNATAnswer

Json = dict[str, Any]

GATEWAYS = ("ngw-1", "ngw-2")
EIPS = {"ngw-1": ("203.0.113.10", "203.0.113.11"), "ngw-2": ("203.0.113.20",)}
FIRST_PORT, LAST_PORT = 512, 523
POD_IPS = tuple(f"172.16.1.{number}" for number in range(1, 7))
KEY = "key"
ROUTE_TABLE = "vtb-1"
OWNERSHIP = Ownership("c-test")
REFRESH = 300.0
READ_TIMEOUT = 10.0
MOST_CALLS = 250
"""How many calls are too many for a minute in these small worlds."""
_BIRTH = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
_MODULES = (
    "poddnat.gateway",
    "poddnat.fleet",
    "poddnat.network",
    "poddnat.cluster",
    "poddnat.followed",
    "poddnat.absences",
)


class BrokenInvariantError(AssertionError):
    """Something that must hold whatever happens did not; the text tells what, and what was called."""


@dataclass(frozen=True)
class Size:
    """How large a world is: small, so that histories meet its limits, or large, to measure what many pods cost."""

    last_port: int = LAST_PORT
    private_ips: str = "172.16.1.0/28"
    quota: int = 100


def values(url: str, size: Size = Size()) -> Values:
    """Read a values file whose pool has both gateways."""
    pool = [
        {
            "natgwId": gateway,
            "zoneId": "cn-hangzhou-j",
            "portRangeStart": FIRST_PORT,
            "portRangeEnd": size.last_port,
            "eips": list(EIPS[gateway]),
        }
        for gateway in GATEWAYS
    ]
    return parse(
        {
            "clusterID": "c-test",
            "regionID": "cn-hangzhou",
            "vpcID": "vpc-1",
            "enableControllers": ["natgw"],
            "networkController": {"natGwPool": pool},
            "credential": {"accessKey": KEY, "accessSecret": KEY_SECRET},
            "endpoints": {"vpc": url, "ecs": url},
        }
    )


def emulated(
    clock: ManualClock, *, settle: float, at_once: int, routed: bool, seed: int, size: Size = Size()
) -> Emulator:
    """Make a cloud with two gateways; replies leave by the first one, unless no route can be read at all."""
    world = {
        "regions": ["cn-hangzhou"],
        "credentials": [{"access_key_id": KEY, "access_key_secret": KEY_SECRET}],
        "vpcs": [{"id": "vpc-1", "cidr": "172.16.0.0/12"}],
        "route_tables": [
            {"id": ROUTE_TABLE, "vpc": "vpc-1", "default_route": {"type": "NatGateway", "id": GATEWAYS[0]}}
        ],
        "vswitches": [
            {
                "id": "vsw-1",
                "vpc": "vpc-1",
                "zone": "cn-hangzhou-j",
                "cidr": "172.16.0.0/20",
                "route_table": ROUTE_TABLE,
            }
        ],
        "nat_gateways": [
            {
                "id": gateway,
                "vpc": "vpc-1",
                "vswitch": "vsw-1",
                "eips": list(EIPS[gateway]),
                "writes_at_once": at_once,
                "settle_seconds": settle,
                "settle_jitter": 0.3,
                "quota": size.quota,
            }
            for gateway in GATEWAYS
        ],
        "network_interfaces": [{"id": "eni-1", "vswitch": "vsw-1", "private_ips": size.private_ips}],
    }
    emulator = Emulator(EmulatedWorld.from_dict(world), clock=clock, seed=seed)
    if not routed:
        hidden = {"vpc:DescribeRouteTableList", "vpc:DescribeRouteEntryList"}
        emulator.world.credentials[KEY] = _without(emulator, hidden)
        emulator.restore_credential(KEY)
    return emulator


def _without(emulator: Emulator, actions: set[str]) -> Any:
    emulator.set_allowed_actions(KEY, sorted(emulator.credentials[KEY].actions - actions))
    return emulator.credentials[KEY]


@dataclass
class Network:
    """What lies between a process and the cloud: it takes time, and may cut calls off."""

    scheduler: Scheduler
    random: random.Random
    latency: float = 0.02
    cuts: list[tuple[str, float]] = field(default_factory=list)
    """Calls to cut off: an action (* for any), and when the request arrives all the same, in seconds; inf: never."""
    cut_off: Counter[str] = field(default_factory=Counter)

    def pass_through(self) -> None:
        """Take the time of one way."""
        self.scheduler.sleep(self.latency * self.random.uniform(0.5, 1.5))

    def cut(self, action: str) -> float | None:
        """Tell whether to cut a call off, and use that up."""
        for index, (wanted, arrival) in enumerate(self.cuts):
            if wanted in {"*", action}:
                del self.cuts[index]
                self.cut_off[action] += 1
                return arrival
        return None


class DistantCloud(Cloud):
    """The cloud behind that network."""

    def __init__(self, read: Values, network: Network) -> None:
        super().__init__(read)
        self._network = network

    def _call(self, action: str, call: Callable[[Any, Any], Any], request: object) -> Any:
        network = self._network
        arrival = network.cut(action)
        if arrival is not None:
            return self._cut_off(action, arrival, lambda: super(DistantCloud, self)._call(action, call, request))
        network.pass_through()
        try:
            return super()._call(action, call, request)
        finally:
            network.pass_through()

    def _cut_off(self, action: str, arrival: float, arrive: Callable[[], object]) -> Any:
        scheduler = self._network.scheduler

        def request() -> None:
            scheduler.sleep(arrival)
            with contextlib.suppress(CloudError):  # Nobody reads the answer.
                arrive()

        if not math.isinf(arrival):
            scheduler.spawn(request, "late-request", owner=self._network)
        scheduler.sleep(READ_TIMEOUT)
        raise CloudError(Meaning.UNKNOWN, action=action, code=NO_ANSWER, message="timed out")


class SmallCluster(Cluster):
    """Pods and PodDNATs in dictionaries, with the calls of the real class."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.pods: dict[str, Json] = {}
        self.dnats: dict[str, Json] = {}
        self.events: dict[tuple[str, str, str], float] = {}
        self.writes: Counter[str] = Counter()
        self.told_ids: set[str] = set()
        """Ids of entries that a PodDNAT's status has ever held."""
        self.changed: Callable[[str, str], None] = lambda _kind, _name: None
        self._away = False
        self._scheduler = scheduler
        self._log: list[tuple[str, Json]] = []
        self._news = Condition(scheduler)
        self._uids = itertools.count(1)

    # What the controller calls.

    def pod(self, namespace: str, name: str) -> Json | None:  # noqa: ARG002
        self._ask_nothing_away()
        return copy.deepcopy(self.pods.get(name))

    def node(self, name: str) -> Json | None:
        return {"metadata": {"name": name}}

    def poddnats(self) -> tuple[list[Json], str]:
        self._ask_nothing_away()
        return copy.deepcopy(list(self.dnats.values())), str(len(self._log))

    def delete_poddnat(self, namespace: str, name: str, uid: str, *, resource_version: str | None = None) -> None:  # noqa: ARG002
        self._ask_nothing_away()
        dnat = self.dnats.get(name)
        if dnat is not None and dnat["metadata"]["uid"] == uid:
            self.start_deleting(name)

    def warn(self, regarding: Mapping[str, Any], reason: str, message: str) -> None:
        self.events.setdefault((regarding["metadata"]["uid"], reason, message), self._scheduler.clock.now)

    def pods_metadata(self) -> tuple[list[Json], str]:
        return [], "0"  # No pod here has a fixed address.

    def watch_pods(self, resource_version: str, on_event: Callable[[str, Json], None]) -> str:  # noqa: ARG002
        Condition(self._scheduler).wait()
        return resource_version

    def watch_poddnats(self, resource_version: str, on_event: Callable[[str, Json], None]) -> str:
        seen = int(resource_version)
        self._news.wait_for(lambda: self._away or len(self._log) > seen)
        self._ask_nothing_away()
        for kind, item in copy.deepcopy(self._log[seen:]):
            seen += 1
            on_event(kind, item)
        return str(seen)

    def _ask_nothing_away(self) -> None:
        if self._away:
            raise ClusterError("the API server is away")

    # What everybody else does.

    def set_away(self, *, away: bool) -> None:
        """Let the API server go or come back; while it is away, Metacontroller has nothing to call hooks for."""
        self._away = away
        self._news.notify_all()

    @property
    def away(self) -> bool:
        return self._away

    def new_uid(self) -> str:
        """Give a uid that nothing else has had."""
        return f"uid-{next(self._uids)}"

    def put(self, kind: str, dnat: Json) -> None:
        """Store a PodDNAT that is new or changed."""
        self.dnats[dnat["metadata"]["name"]] = dnat
        self.told_ids.update(entry_ids(dnat.get("status") or {}))
        self._tell(kind, dnat)

    def start_deleting(self, name: str) -> None:
        """Delete a PodDNAT: it goes once it is finalized."""
        dnat = self.dnats[name]
        if "deletionTimestamp" not in dnat["metadata"]:
            dnat["metadata"]["deletionTimestamp"] = "now"
            self._tell("MODIFIED", dnat)

    def remove(self, name: str) -> None:
        """Take a PodDNAT away at once."""
        self._tell("DELETED", self.dnats.pop(name))

    def _tell(self, kind: str, dnat: Json) -> None:
        self.writes["PodDNAT"] += 1
        self._log.append((kind, copy.deepcopy(dnat)))
        self._news.notify_all()
        self.changed("PodDNAT", dnat["metadata"]["name"])
        self.changed("Pod", dnat["metadata"]["name"])


class Metacontroller:
    """Calls the hooks of whichever process is active, when something changed or it was asked to."""

    def __init__(self, scheduler: Scheduler, cluster: SmallCluster, pick: Callable[[], Service | None]) -> None:
        self._scheduler = scheduler
        self._cluster = cluster
        self._pick = pick
        self._due: dict[tuple[str, str], float] = {}
        self._wake = Condition(scheduler)
        self.hooks: Counter[str] = Counter()
        cluster.changed = self.changed

    def changed(self, kind: str, name: str) -> None:
        """Call an object's hook soon."""
        self._again(kind, name, 0.01)

    def _again(self, kind: str, name: str, seconds: float) -> None:
        at = self._scheduler.clock.now + seconds
        self._due[kind, name] = min(at, self._due.get((kind, name), math.inf))
        self._wake.notify()

    def run(self) -> None:
        while True:
            (kind, name), at = min(self._due.items(), key=lambda item: item[1], default=(("", ""), math.inf))
            if at > self._scheduler.clock.now:
                self._wake.wait(None if math.isinf(at) else at - self._scheduler.clock.now)
                continue
            del self._due[kind, name]
            service = self._pick()
            if service is None or not service.ready or self._cluster.away:
                self._again(kind, name, 1.0)
                continue
            self.hooks[kind] += 1
            seconds = (self._pod if kind == "Pod" else self._dnat)(service, name)
            if seconds > 0:
                self._again(kind, name, seconds)

    def _pod(self, service: Service, name: str) -> float:
        pod = self._cluster.pods.get(name)
        if pod is None:
            return 0.0
        existing = self._cluster.dnats.get(name)
        mine = existing is not None and existing["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
        answer = service.pods.sync(copy.deepcopy(pod), copy.deepcopy(existing) if mine else None)
        if isinstance(answer, Later):
            return answer.seconds
        carried = pod["metadata"]["annotations"]
        for key, value in answer.annotations.items():
            assert carried.get(key) != value, "an annotation written though nothing changes"
            self._cluster.writes["Pod"] += 1
            if value is None:
                carried.pop(key, None)
            else:
                carried[key] = value
        if answer.annotations:
            self.changed("Pod", name)
        if not self._apply(pod, existing, answer.attachments, mine=mine):
            return 1.0
        return answer.resync_after

    def _apply(self, pod: Json, existing: Json | None, desired: list[Json], *, mine: bool) -> bool:
        if not desired:
            if mine and existing is not None:
                self._cluster.start_deleting(existing["metadata"]["name"])
            return True
        (wanted,) = desired
        if existing is None:
            owner = {"kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"], "controller": True}
            about = {"uid": self._cluster.new_uid(), "generation": 1, "ownerReferences": [owner]}
            self._cluster.put("ADDED", {**wanted, "metadata": {**wanted["metadata"], **about}})
        elif not mine:
            return False
        elif existing["spec"] != wanted["spec"] and "deletionTimestamp" not in existing["metadata"]:
            existing["spec"] = wanted["spec"]
            existing["metadata"]["generation"] += 1
            self._cluster.put("MODIFIED", existing)
        return True

    def _dnat(self, service: Service, name: str) -> float:
        dnat = self._cluster.dnats.get(name)
        if dnat is None:
            return 0.0
        finalizing = "deletionTimestamp" in dnat["metadata"]
        ask = service.mappings.finalize if finalizing else service.mappings.sync
        answer: PodDNATAnswer | Later = ask(copy.deepcopy(dnat))
        if isinstance(answer, Later):
            return answer.seconds
        if answer.finalized:
            self._cluster.remove(name)
            return 0.0
        status = {**answer.status, "observedGeneration": dnat["metadata"]["generation"]}
        if dnat.get("status") != status:
            dnat["status"] = status
            self._cluster.put("MODIFIED", dnat)
        return answer.resync_after


class Process:
    """One run of the controller, from its start until it is killed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock_jump = 0.0
        scheduler = world.scheduler
        scheduler.owner = self
        self.service = Service(
            world.values,
            world.cluster,
            world.cloud(world),
            clock=lambda: scheduler.clock.now + self.clock_jump,
            today=lambda: _BIRTH + dt.timedelta(seconds=scheduler.clock.now + world.wall_jump),
            refresh_interval=REFRESH,
        )
        self.service.start()
        scheduler.owner = None


class World:
    """Everything, and short words for what happens to it."""

    def __init__(
        self,
        server: EmulatorServer,
        scheduler: Scheduler,
        *,
        latency: float = 0.02,
        seed: int = 0,
        size: Size = Size(),
        cloud: Callable[[World], Cloud] | None = None,
    ) -> None:
        """``cloud`` makes a process' way to the cloud; the network's own when left out."""
        self.emulator = server.emulator
        self.scheduler = scheduler
        self.values = values(server.url, size)
        self.cloud = cloud or (lambda world: DistantCloud(world.values, world.network))
        self.random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self.network = Network(scheduler, self.random, latency)
        self.cluster = SmallCluster(scheduler)
        self.processes: list[Process] = []
        self.wall_jump = 0.0
        self.killed = False
        """Whether a process was ever killed, and what it had seen of entries forgotten."""
        self.foreign: dict[str, ForwardEntry] = {}
        """Entries that nobody may touch but who made them."""
        self.metacontroller = Metacontroller(scheduler, self.cluster, self._active)
        scheduler.spawn(self.metacontroller.run, "metacontroller", owner=self.metacontroller)

    def _active(self) -> Service | None:
        return self.random.choice(self.processes).service if self.processes else None

    # Time and processes.

    def pass_time(self, seconds: float) -> None:
        self.scheduler.run(lambda: False, seconds)
        self.check_foreign()
        self.check_pace()

    def start(self) -> None:
        self.processes.append(Process(self))

    def kill(self) -> None:
        """Kill the oldest process."""
        if self.processes:
            self.killed = True
            self.scheduler.kill(self.processes.pop(0))

    # Pods.

    def add_pod(self, name: str, ip: str, ports: str = "80", protocol: str = "tcp") -> None:
        """Add a running pod; one of that name that is there already, or one of that IP, goes."""
        self.delete_pod(name)
        for other in [n for n, pod in self.cluster.pods.items() if pod["status"]["podIP"] == ip]:
            self.delete_pod(other)
        self.cluster.pods[name] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "default",
                "uid": self.cluster.new_uid(),
                "annotations": exposing(ports, protocol),
            },
            "spec": {"nodeName": "node-1"},
            "status": {"phase": "Running", "podIP": ip},
        }
        self.metacontroller.changed("Pod", name)

    def edit_pod(self, name: str, ports: str, protocol: str = "tcp") -> None:
        if name in self.cluster.pods:
            self.cluster.pods[name]["metadata"]["annotations"].update(exposing(ports, protocol))
            self.metacontroller.changed("Pod", name)

    def delete_pod(self, name: str, *, forced: bool = False) -> None:
        """Delete a pod; the garbage collector deletes its PodDNAT. Forced: that goes without being finalized."""
        pod, dnat = self.cluster.pods.pop(name, None), self.cluster.dnats.get(name)
        if dnat is None or (pod is None and not forced):
            return
        if forced:
            self.cluster.remove(name)
        else:
            self.cluster.start_deleting(name)

    # The cloud, behind our back.

    def entries(self) -> list[ForwardEntry]:
        there = [gateway for gateway in GATEWAYS if gateway in self.emulator.gateways]
        return [entry for gateway in there for entry in self.emulator.forward_entries(gateway)]

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
                    )
                except ValueError:
                    return
                self.foreign[added.id] = added

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
        dnats = [dnat for dnat in self.cluster.dnats.values() if not self.killed or _owner_uid(dnat) in pods]
        return {held for dnat in dnats for held in entry_ids(dnat.get("status") or {})}

    # The invariants.

    def check_foreign(self) -> None:
        """Nobody touches an entry that isn't ours."""
        there = {entry.id: entry for entry in self.entries()}
        for entry in list(self.foreign.values()):
            # One of ours that was renamed may still get into its PodDNAT's status, which proves it to be ours.
            if entry.gateway_id not in self.emulator.gateways or entry.id in self.cluster.told_ids:
                del self.foreign[entry.id]
            elif there.get(entry.id) != entry:
                self.fail([f"the foreign entry {entry} was touched"])

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
            if dnat is None or dnat["metadata"]["ownerReferences"][0]["uid"] != pod["metadata"]["uid"]:
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
        """Find entries of ours that no PodDNAT's status holds."""
        held = self.live_ids()
        dying = [f"PodDNAT {name} is not gone" for name in self.cluster.dnats if name not in self.cluster.pods]
        return dying + [f"{entry} is nobody's" for entry in self.ours() if entry.id not in held]

    def _shared(self) -> list[str]:
        slots: Counter[tuple[str, str, str]] = Counter()
        for dnat in self.cluster.dnats.values():
            wanted = parse_spec(spec_of(dnat))
            slots.update({(r.external_ip, str(r.external_ports), r.protocol.value) for r in wanted.rules})
        return [f"several PodDNATs have {slot}" for slot, count in slots.items() if count > 1]

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


def _owner_uid(dnat: Json) -> str:
    uid: str = dnat["metadata"]["ownerReferences"][0]["uid"]
    return uid


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


@contextlib.contextmanager
def running(
    *,
    settle: float = 0.5,
    at_once: int = 1,
    latency: float = 0.02,
    routed: bool = True,
    seed: int = 0,
    started: bool = True,
    size: Size = Size(),
    cloud: Callable[[World], Cloud] | None = None,
) -> Iterator[World]:
    """Run a world with one process in it."""
    clock = ManualClock(1000.0)
    scheduler = Scheduler(clock)
    emulator = emulated(clock, settle=settle, at_once=at_once, routed=routed, seed=seed, size=size)
    pool = lambda size, **about: Pool(scheduler, size, **about)  # noqa: E731
    with (
        EmulatorServer(emulator) as server,
        scheduler.installed(*_MODULES),
        patch("poddnat.gateway.ThreadPoolExecutor", pool),
        patch("poddnat.network.time.sleep", scheduler.sleep),
    ):
        world = World(server, scheduler, latency=latency, seed=seed, size=size, cloud=cloud)
        try:
            if started:
                world.start()
            yield world
        finally:
            scheduler.kill()
    assert emulator.bugs == []
