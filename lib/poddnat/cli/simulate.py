"""Try manifests without a cluster or a cloud, in a local cluster whose gateways are as the values file names them."""

import dataclasses
import ipaddress
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from metacontroller_standin.api import ApiError
from metacontroller_standin.kinds import ServedKind
from metacontroller_standin.memory_store import random_suffix
from metacontroller_standin.workloads import add_pods, create
from poddnat.api import Fixed, annotations, pod_facts, stable_owner_of, working_ports
from poddnat.cli.intervals import SIMULATION_POLL, SIMULATION_TIMEOUT
from poddnat.cli.local_cluster import LocalCluster
from poddnat.cli.manifests import Manifests, ManifestsError, count_pods
from poddnat.config import AccessKey, Values, ValuesError
from vpc_emulator import ForwardEntry, World

Manifest = dict[str, Any]

EXTRA_KINDS = (
    ServedKind("apps", ("v1",), "daemonsets", "DaemonSet"),
    ServedKind("batch", ("v1",), "jobs", "Job"),
    ServedKind("batch", ("v1",), "cronjobs", "CronJob"),
    ServedKind("apps.kruise.io", ("v1beta1", "v1alpha1"), "statefulsets", "StatefulSet"),
)
_KEY = AccessKey("simulated-key", "simulated-secret")
_NETWORK = ipaddress.IPv4Network("172.16.0.0/12")
_MADE_UP = (ipaddress.IPv4Network("198.51.100.0/24"), ipaddress.IPv4Network("198.18.0.0/15"))
"""Addresses for documentation (RFC 5737) and, for very many gateways, for benchmarks (RFC 2544)."""
_EMULATED_SETTLE_SECONDS = 0.2
_MOST_GATEWAYS = 256
"""So many networks of 4096 addresses the simulated VPC has."""
_FIRST_ADDRESS = 10
_PODS_PER_GATEWAY = 2000


def world_of(values: Values) -> World:
    """Make a cloud in which the values file is right: each gateway with a vSwitch of its own that routes to it."""
    subnets = _subnets(values)
    eips = _eips(values)
    return World.from_dict(
        {
            "regions": [values.region_id],
            "credentials": [{"access_key_id": _KEY.key_id, "access_key_secret": _KEY.secret}],
            "vpcs": [{"id": values.vpc_id, "cidr": str(_NETWORK)}],
            "route_tables": [
                {"id": f"vtb-{gid}", "vpc": values.vpc_id, "default_route": {"type": "NatGateway", "id": gid}}
                for gid in subnets
            ],
            "vswitches": [
                {
                    "id": f"vsw-{gid}",
                    "vpc": values.vpc_id,
                    "zone": _zone(values, gid),
                    "cidr": str(subnet),
                    "route_table": f"vtb-{gid}",
                }
                for gid, subnet in subnets.items()
            ],
            "nat_gateways": [
                {
                    "id": gid,
                    "vpc": values.vpc_id,
                    "vswitch": f"vsw-{gid}",
                    "writes_at_once": 4,
                    "settle_seconds": _EMULATED_SETTLE_SECONDS,
                    "settle_jitter": 0.3,
                    "eips": eips[gid],
                }
                for gid in subnets
            ],
            "network_interfaces": [
                {"id": f"eni-{gid}", "vswitch": f"vsw-{gid}", "private_ips": str(_pod_range(subnet))}
                for gid, subnet in subnets.items()
            ],
        }
    )


def _zone(values: Values, gateway_id: str) -> str:
    return next(entry.zone_id for entry in values.pool if entry.gateway_id == gateway_id)


def _eips(values: Values) -> dict[str, list[str]]:
    """Give each gateway the EIPs that are listed for it, but each EIP to the first one only: it is on one in a cloud.

    Where the values leave the choice to the gateway, it gets two made-up ones that nobody lists.
    """
    holders: dict[str, str] = {}
    for entry in values.pool:
        for eip in entry.eips or ():
            holders.setdefault(eip, entry.gateway_id)
    made_up = (eip for network in _MADE_UP for eip in map(str, network.hosts()) if eip not in holders)
    found: dict[str, list[str]] = {}
    for gateway_id in values.gateway_ids:
        if any(entry.eips for entry in values.entries_of(gateway_id)):
            found[gateway_id] = [eip for eip, holder in holders.items() if holder == gateway_id]
        else:
            found[gateway_id] = list(itertools.islice(made_up, 2))
    return found


def _pod_range(subnet: ipaddress.IPv4Network) -> ipaddress.IPv4Network:
    return next(itertools.islice(subnet.subnets(new_prefix=21), 1, None))


def _subnets(values: Values) -> dict[str, ipaddress.IPv4Network]:
    return dict(zip(values.gateway_ids, _NETWORK.subnets(new_prefix=20), strict=False))


def _pod_addresses(values: Values) -> Iterator[str]:
    """Give pods addresses of all vSwitches in turn, as a scheduler that spreads them would."""
    ranges = [_pod_range(subnet) for subnet in _subnets(values).values()]
    for offset in range(_FIRST_ADDRESS, _FIRST_ADDRESS + _PODS_PER_GATEWAY):
        yield from (str(part[offset]) for part in ranges)


@dataclass(frozen=True)
class Exposed:
    """One pod as it came out."""

    namespace: str
    name: str
    ip: str
    status: str
    poddnat: Manifest | None

    @property
    def ready(self) -> bool:
        """Whether it can be reached."""
        return self.status == annotations.READY

    def as_dict(self) -> Manifest:
        """Write it for programs."""
        addresses = working_ports(self.poddnat.get("status") or {}) if self.poddnat else ()
        result = json.loads(annotations.format_result(addresses))
        return {
            "namespace": self.namespace,
            "name": self.name,
            "podIP": self.ip,
            "status": self.status,
            "addresses": result,
        }


class Event(NamedTuple):
    """A warning, as it is attached to an object in a cluster."""

    about: str
    reason: str
    message: str


class Simulation:
    """A cluster and a cloud of its own: ``with Simulation(values) as simulation``."""

    def __init__(self, values: Values) -> None:
        """Play what the values file names.

        Raises:
            ValuesError: it names more gateways than the simulated network has room for.
        """
        if (count := len(values.gateway_ids)) > _MOST_GATEWAYS:
            text = f"the simulated network has room for {_MOST_GATEWAYS}; leave some out"
            raise ValuesError("the values file", [f"networkController.natGwPool: {count} NAT gateways, but {text}"])
        self._values = dataclasses.replace(values, credential=_KEY)
        self._cluster = LocalCluster(self._values, world_of(values), _pod_addresses(values), kinds=EXTRA_KINDS)
        self._workloads: list[Manifest] = []

    def __enter__(self) -> Self:
        self._cluster.__enter__()
        self.api, self.emulator = self._cluster.api, self._cluster.emulator
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.__exit__()

    def run(self, manifests: Manifests) -> list[Exposed]:
        """Create workloads and wait until every annotated pod is Ready or refused.

        Raises:
            ManifestsError: they ask for more pods than the simulated network has addresses for, or for one twice.
        """
        count, limit = sum(map(count_pods, manifests.workloads)), _PODS_PER_GATEWAY * len(self._values.gateway_ids)
        if count > limit:
            text = f"the simulated network of this pool has room for {limit}; lower the replicas"
            raise ManifestsError(f"the manifests ask for {count} pods, but {text}")
        for manifest in (*manifests.namespaces, *manifests.workloads):
            self._create(_named(manifest))
        self._wait(lambda: all(pod.status for pod in self.pods()))
        return self.pods()

    def _create(self, manifest: Manifest) -> None:
        try:
            create(self.api, manifest)
        except ApiError as error:
            what = f"{manifest['kind']} {manifest['metadata']['name']}"
            raise ManifestsError(f"{what} can't be created: {error}; give one of the two another name") from error
        if manifest["kind"] != "Namespace":
            self._workloads.append(manifest)

    def events(self) -> list[Event]:
        """Show the warnings that pods and PodDNATs have got."""
        found = self._list("v1", "events")
        return sorted(
            (Event(f"{e['involvedObject']['kind']} {e['involvedObject']['name']}", e["reason"], e["message"]))
            for e in found
            if e["type"] == "Warning"
        )

    def pods(self) -> list[Exposed]:
        """Show the annotated pods as they are now."""
        poddnats = {_name(item): item for item in self._list("alibabacloud.com/v1", "poddnats")}
        served = self._values.installation.serves
        asking = [pod for pod in self._list("v1", "pods") if _asks(pod) and served(pod["metadata"])]
        return [
            Exposed(
                *_name(pod),
                ip=pod.get("status", {}).get("podIP", ""),
                status=pod_facts.annotations_of(pod).get(annotations.STATUS, ""),
                poddnat=poddnats.get(_name(pod)),
            )
            for pod in sorted(asking, key=_name)
        ]

    def replace_one(self) -> tuple[Exposed, Exposed] | None:
        """Delete a pod with a fixed address and let its StatefulSet make a new one; None: there is no such pod.

        Returns the pod before and after.
        """
        fixed = {_name(item) for item in self._list("alibabacloud.com/v1", "poddnats") if Fixed.read(item["metadata"])}
        before = next((pod for pod in self.pods() if pod.ready and (pod.namespace, pod.name) in fixed), None)
        if before is None:
            return None
        pods = self.api.resource("v1", "pods")
        owner = stable_owner_of(self.api.get(pods, before.name, before.namespace))
        if owner is None or owner.kind != "StatefulSet":
            return None
        workload = self.api.get(self.api.resource(owner.api_version, "statefulsets"), owner.name, before.namespace)
        self.api.delete(pods, before.name, before.namespace, grace_period=0)
        self._wait(lambda: before.ip not in {entry.internal_ip for entry in self.entries()})
        add_pods(self.api, workload, 1)

        def after() -> Exposed | None:
            return next((pod for pod in self.pods() if pod.name == before.name and pod.ready), None)

        self._wait(lambda: after() is not None)
        found = after()
        return (before, found) if found is not None else None

    def entries(self) -> list[ForwardEntry]:
        """Show the forward tables of all gateways."""
        found = [entry for gid in self._values.gateway_ids for entry in self.emulator.forward_entries(gid)]
        return sorted(found, key=lambda entry: (entry.gateway_id, entry.external_ip, entry.external_port))

    def clear(self) -> bool:
        """Delete the workloads and tell whether nothing is left of them, in the cluster or the cloud."""
        for workload in self._workloads:
            resource = self.api.resource_of(workload)
            metadata = workload["metadata"]
            self.api.delete(resource, metadata["name"], metadata.get("namespace", "default"))
        for poddnat in self._list("alibabacloud.com/v1", "poddnats"):
            fixed = Fixed.read(poddnat["metadata"])
            if fixed is not None and not fixed.release_strategy.follows:
                # It outlives its workload, as it should: here its user deletes it.
                namespace, name = _name(poddnat)
                self.api.delete(self.api.resource("alibabacloud.com/v1", "poddnats"), name, namespace)
        return self._wait(lambda: not (self._list("alibabacloud.com/v1", "poddnats") or self.entries()))

    def _list(self, api_version: str, plural: str) -> list[Manifest]:
        items: list[Manifest] = self.api.list(self.api.resource(api_version, plural))["items"]
        return items

    def _wait(self, condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + SIMULATION_TIMEOUT
        while not (reached := condition()) and time.monotonic() < deadline:
            self._cluster.check()
            time.sleep(SIMULATION_POLL)
        return reached


def _named(manifest: Manifest) -> Manifest:
    """Give an object a name that only says how its name begins."""
    metadata = manifest["metadata"]
    name = metadata.get("name") or f"{metadata['generateName']}{random_suffix()}"
    return {**manifest, "metadata": {**metadata, "name": name}}


def _name(manifest: Manifest) -> tuple[str, str]:
    return manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _asks(pod: Manifest) -> bool:
    value = pod_facts.annotations_of(pod).get(annotations.POD_DNAT)
    return value is not None and value.strip().lower() != "false"
