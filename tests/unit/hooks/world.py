"""A cloud, a cluster and the hooks between them, all on loopback; and short words for what tests do with them.

Nothing calls the hooks but the test, which plays Metacontroller step by step; `Cluster` lets the stand-in do that.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import yaml

from hooks.app import create_app
from hooks.server import HookServer
from metacontroller_standin.api import Api, ApiError, name_of, namespace_of
from metacontroller_standin.apply import DECORATOR, owner_reference
from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.manifests import point_at
from metacontroller_standin.memory_api import MemoryApi
from metacontroller_standin.standin import StandIn
from metacontroller_standin.waiting import wait_until
from poddnat.cloud import CloudClient
from poddnat.config.values import parse
from poddnat.files import MANIFESTS
from poddnat.gateway.intervals import GATEWAYS_EVERY, MISSING_RECHECK, REFRESH
from poddnat.kube import KubeClient
from poddnat.service import Service
from tests.hushed import KEY_SECRET, leaks
from tests.unit.hooks.lossy import LossyClient
from vpc_emulator import Emulator, EmulatorServer, ForwardEntry
from vpc_emulator import World as EmulatedWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from flask import Response
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from poddnat.config import Values

Json = dict[str, Any]

GATEWAY = "ngw-1"
EIP = "203.0.113.10"
POD_IP = "172.16.1.7"
KEY, OTHER_KEY, SECRET = "key", "other-key", KEY_SECRET

POD_DNAT = "k8s.aliyun.com/pod-dnat"
PORTS = "k8s.aliyun.com/pod-dnat-expose-port"
PROTOCOL = "k8s.aliyun.com/pod-dnat-expose-protocol"
FINALIZER = "metacontroller.io/compositecontroller-poddnat"
STATUS = "k8s.aliyun.com/pod-dnat-status"
RESULT = "k8s.aliyun.com/pod-dnat-result"
POD_DNATS = "PodDNAT.alibabacloud.com/v1"
ADDRESSES = tuple(f"172.16.1.{number}" for number in range(1, 16))
EXPOSE_80 = {POD_DNAT: "true", PORTS: "80"}

# The logic's own waits pass faster: a second between two looks at the table is polite to a cloud, not to a test.
_HASTE = 20
_MOMENT = 0.02


def values(url: str, *, last_port: int = 1024, entry: Json | None = None, network: Json | None = None) -> Json:
    """Write a values file for the gateway of `cloud`, whose API is at this address.

    `entry` has more keys for the pool's entry, `network` for what stands beside the pool.
    """
    ports = {"portRangeStart": 512, "portRangeEnd": last_port}
    pool = {"natgwId": GATEWAY, "zoneId": "cn-hangzhou-j", **ports, "eips": [EIP], **(entry or {})}
    return {
        "clusterID": "c-test",
        "regionID": "cn-hangzhou",
        "vpcID": "vpc-1",
        "enableControllers": ["natgw"],
        "networkController": {"natGwPool": [pool], **(network or {})},
        "credential": {"accessKey": KEY, "accessSecret": SECRET},
        "endpoints": {"vpc": url, "ecs": url},
    }


def cloud(*, settle_seconds: float = 0.0) -> Emulator:
    """Make a cloud in which `values` are right: one gateway, a vSwitch that routes to it, addresses for pods."""
    vswitch = {
        "id": "vsw-1",
        "vpc": "vpc-1",
        "zone": "cn-hangzhou-j",
        "cidr": "172.16.0.0/20",
        "route_table": "vtb-1",
    }
    gateway = {
        "id": GATEWAY,
        "vpc": "vpc-1",
        "vswitch": "vsw-1",
        "eips": [EIP, "203.0.113.99"],
        "writes_at_once": 4,
        "settle_seconds": settle_seconds,
    }
    world = {
        "regions": ["cn-hangzhou"],
        "credentials": [{"access_key_id": key, "access_key_secret": SECRET} for key in (KEY, OTHER_KEY)],
        "vpcs": [{"id": "vpc-1", "cidr": "172.16.0.0/12"}],
        "route_tables": [{"id": "vtb-1", "vpc": "vpc-1", "default_route": {"type": "NatGateway", "id": GATEWAY}}],
        "vswitches": [vswitch],
        "nat_gateways": [gateway],
        "network_interfaces": [
            {"id": "eni-1", "vswitch": "vsw-1", "private_ips": "172.16.1.0/28"},
            {
                "id": "eni-9",
                "vswitch": "vsw-1",
                "instance": "i-9",
                "private_ips": "172.16.2.1",
                "ipv4_prefixes": ["172.16.2.16/28"],
            },
        ],
    }
    return Emulator(EmulatedWorld.from_dict(world), seed=1)


@dataclass
class World:
    """The parts, and what tests do with them."""

    emulator: Emulator
    memory: MemoryApi
    api: Api
    values: Values
    service: Service
    client: FlaskClient
    connection: LossyClient
    """The service's, to the API server."""

    @property
    def operator_warnings(self) -> list[tuple[str, str]]:
        """Return the reasons and sentences that operators were warned with."""
        return self.connection.operator_warnings

    def change_values(self, *, last_port: int = 1024, entry: Json | None = None, network: Json | None = None) -> None:
        """Let other values be in force, as when the file has changed."""
        url = self.values.endpoints.vpc
        assert url is not None
        self.service.apply(parse(values(url, last_port=last_port, entry=entry, network=network)))

    # The cloud

    def entries(self) -> list[ForwardEntry]:
        """Return the gateway's forward table."""
        return self.emulator.forward_entries(GATEWAY)

    def cloud_writes(self) -> int:
        """Count the calls so far that were meant to change something."""
        calls = self.emulator.calls
        return calls.count("CreateForwardEntry") + calls.count("DeleteForwardEntry")

    # The cluster

    def make_pod(self, annotations: dict[str, str], *, name: str = "web-1", ip: str = POD_IP, **spec: Any) -> Json:
        """Create a pod that runs; without an IP, one that does not run yet."""
        pods = self.api.resource("v1", "pods")
        metadata = {"name": name, "namespace": "default", "annotations": annotations}
        spec = {"nodeName": "node-1", "containers": [{"name": "web", "image": "nginx"}], **spec}
        made = self.api.create(pods, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        return self.set_pod_status(made, "Running", ip) if ip else made

    def set_pod_status(self, pod: Json, phase: str, ip: str) -> Json:
        """Let a pod reach a phase."""
        pods = self.api.resource("v1", "pods")
        patch = {"status": {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}]}}
        return self.api.patch(pods, name_of(pod), patch, namespace_of(pod), "status")

    def annotate(self, pod: Json, annotations: dict[str, str | None]) -> Json:
        """Change a pod's annotations; None removes one."""
        pods = self.api.resource("v1", "pods")
        return self.api.patch(pods, name_of(pod), {"metadata": {"annotations": annotations}}, namespace_of(pod))

    def make_poddnat(
        self, spec: Json, *, owner: Json | None = None, name: str = "web-1", record: Json | None = None
    ) -> Json:
        """Create a PodDNAT, as Metacontroller does for a pod, or as anybody may do by hand who knows the mark."""
        annotations = {**(record or {}), DECORATOR: "pod-dnat"}
        metadata: Json = {"name": name, "namespace": "default", "annotations": annotations}
        if owner is not None:
            metadata["ownerReferences"] = [owner_reference(owner)]
        poddnat = {"apiVersion": "alibabacloud.com/v1", "kind": "PodDNAT", "metadata": metadata, "spec": spec}
        return self.api.create(self.poddnats, poddnat)

    def set_status(self, poddnat: Json, status: Json) -> Json:
        """Write a PodDNAT's status as Metacontroller writes what a hook answers: all of it, and nothing of the old."""
        written = {**status, "observedGeneration": poddnat["metadata"]["generation"]}
        while True:
            there = self.api.get(self.poddnats, name_of(poddnat), namespace_of(poddnat))
            try:
                return self.api.update_status(self.poddnats, {**there, "status": written})
            except ApiError as error:
                if not error.conflict:  # else the server has annotated it meanwhile
                    raise

    @property
    def poddnats(self) -> Any:
        """The resource."""
        return self.api.resource("alibabacloud.com/v1", "poddnats")

    def poddnat(self, name: str = "web-1") -> Json | None:
        """Read a PodDNAT."""
        try:
            return self.api.get(self.poddnats, name, "default")
        except ApiError as error:
            if error.not_found:
                return None
            raise

    def warnings(self) -> list[tuple[str, str]]:
        """Return the reasons of Warning events, and the kinds of the objects that they are about."""
        events = self.api.list(self.api.resource("v1", "events"))["items"]
        return [(event["involvedObject"]["kind"], event["reason"]) for event in events if event["type"] == "Warning"]

    # The hooks

    def sync_pod(self, pod: Json, poddnat: Json | None = None) -> TestResponse:
        """Ask what a pod should have."""
        return self.client.post("/pod/sync", json=pod_request(pod, poddnat))

    def opt_out(self, pod: Json) -> TestResponse:
        """Ask what becomes of a pod without the request."""
        return self.client.post("/pod/opt-out", json={**pod_request(pod), "attachments": {}})

    def sync_poddnat(self, poddnat: Json) -> TestResponse:
        """Ask for a PodDNAT's status."""
        return self.client.post("/poddnat/sync", json=poddnat_request(self.stored(poddnat)))

    def delete(self, poddnat: Json) -> None:
        """Begin to delete a PodDNAT, which Metacontroller's finalizer keeps."""
        self.api.patch(
            self.poddnats, name_of(poddnat), {"metadata": {"finalizers": [FINALIZER]}}, namespace_of(poddnat)
        )
        self.api.delete(self.poddnats, name_of(poddnat), namespace_of(poddnat))

    def finalize(self, poddnat: Json) -> TestResponse:
        """Ask whether a PodDNAT may go."""
        there = self.poddnat(name_of(poddnat))
        if there is not None and not there["metadata"].get("deletionTimestamp"):
            self.delete(poddnat)
        shown = self.poddnat(name_of(poddnat)) or poddnat
        return self.client.post("/poddnat/finalize", json=poddnat_request(shown, finalizing=True))

    def finalized(self, poddnat: Json) -> Json:
        """Ask whether a PodDNAT may go, and write what is told meanwhile, until it may or can't; return the answer."""
        while True:
            last = answer(lambda: self.finalize(poddnat))
            if last["finalized"] or condition(last)[1] != "Leaving":
                return last
            self.set_status(poddnat, last["status"])

    def stored(self, poddnat: Json) -> Json:
        """Let the API server have a PodDNAT as it is here: what a caller alone says counts for nothing."""
        there = self.poddnat(name_of(poddnat))
        if there is None or there["metadata"]["uid"] != poddnat["metadata"]["uid"]:
            return poddnat
        for part, write in (("spec", self.api.update), ("status", self.api.update_status)):
            version = {"resourceVersion": there["metadata"]["resourceVersion"]}
            owners = {"ownerReferences": poddnat["metadata"].get("ownerReferences", [])}
            wanted = {**there, "metadata": {**there["metadata"], **version, **owners}}
            wanted.pop(part, None)
            wanted |= {part: poddnat[part]} if part in poddnat else {}
            if (wanted.get(part), owners["ownerReferences"]) != (
                there.get(part),
                there["metadata"].get("ownerReferences", []),
            ):
                try:
                    there = write(self.poddnats, wanted)
                except ApiError as error:
                    if not error.conflict:
                        raise
                    return self.stored(poddnat)  # The server has annotated it meanwhile.
        return there

    def attachment(self, pod: Json, poddnat: Json | None = None) -> Json:
        """Return the PodDNAT that a pod should have."""
        (only,) = answer(lambda: self.sync_pod(pod, poddnat))["attachments"]
        assert isinstance(only, dict)
        return only

    def refusal(self, pod: Json) -> str:
        """Return what a pod is told that gets nothing."""
        reported = answer(lambda: self.sync_pod(pod))
        assert reported["attachments"] == []
        return str(reported["annotations"][STATUS])

    def expose(self, pod: Json) -> Json:
        """Do all that Metacontroller does for a pod until its PodDNAT is Ready; return the PodDNAT."""
        attachment = self.attachment(pod)
        record = attachment["metadata"].get("annotations")
        poddnat = self.make_poddnat(attachment["spec"], owner=pod, name=name_of(pod), record=record)
        response = self.sync_poddnat(poddnat)
        if response.status_code != 429:
            self.set_status(poddnat, answer(lambda: response)["status"])
        wait_until(lambda: "status" in (self.poddnat(name_of(pod)) or {}), 10, "a status to be written")
        exposed = self.poddnat(name_of(pod))
        assert exposed is not None
        assert condition(exposed)[1] == "Ready", exposed
        return exposed


def says_who_acts(text: str) -> bool:
    """Whether a text is one sentence, and says who has to do something about it."""
    who = re.search(r"(the user|an operator) has to|nobody has to act", text)
    return who is not None and text.endswith(".") and not re.search(r"[.] [A-Z]", text)


def pod_request(pod: Json, poddnat: Json | None = None) -> Json:
    """Write the request of a DecoratorController."""
    attachments = {name_of(poddnat): poddnat} if poddnat else {}
    return {
        "controller": {},
        "object": pod,
        "attachments": {POD_DNATS: attachments},
        "related": {},
        "finalizing": False,
    }


def poddnat_request(poddnat: Json, *, finalizing: bool = False) -> Json:
    """Write the request of a CompositeController."""
    return {"controller": {}, "parent": poddnat, "children": {}, "related": {}, "finalizing": finalizing}


def answer(ask: Callable[[], TestResponse], timeout: float = 10.0) -> Json:
    """Ask until the answer is more than "ask again later"."""
    responses: list[TestResponse] = []

    def has_answered() -> bool:
        responses.append(ask())
        return responses[-1].status_code != 429

    wait_until(has_answered, timeout, "an answer of the hook")
    assert responses[-1].status_code == 200, responses[-1].text
    content: Json = responses[-1].get_json()
    return content


def condition(content: Json) -> tuple[str, str, str]:
    """Return status, reason and message of the Ready condition in a hook's answer or in a PodDNAT."""
    (ready,) = content["status"]["conditions"]
    return ready["status"], ready["reason"], ready["message"]


@contextmanager
def running(
    *,
    settle_seconds: float = 0.0,
    last_port: int = 1024,
    haste: float = _HASTE,
    refresh_interval: float | None = None,
    started: bool = True,
    entry: Json | None = None,
    network: Json | None = None,
) -> Iterator[World]:
    """Run a world; `entry` and `network` are as in `values`.

    `started=False` leaves the service as it is before its first list of PodDNATs. Tables and gateways are read again
    after `refresh_interval`.
    """
    with (
        refreshing(refresh_interval),
        EmulatorServer(cloud(settle_seconds=settle_seconds)) as server,
        MemoryApi() as memory,
    ):
        memory.register_crd(yaml.safe_load((MANIFESTS / "crd.yaml").read_text(encoding="utf-8")))
        read = parse(values(server.url, last_port=last_port, entry=entry, network=network))
        serving = _serving(read, memory, haste=haste, started=started)
        with Api(memory.url) as api, serving as (service, connection):
            yield World(server.emulator, memory, api, read, service, _client(service), connection)
            kinds = [("v1", "events"), ("v1", "pods"), ("alibabacloud.com/v1", "poddnats")]
            for event in api.list(api.resource("v1", "events"))["items"]:
                if event["reason"] not in {"InvalidAnnotation", "SyncError"}:
                    assert says_who_acts(event["message"]), event["message"]
            assert leaks(json.dumps([api.list(api.resource(*kind)) for kind in kinds])) == []
        assert server.emulator.bugs == []


@contextmanager
def refreshing(seconds: float | None) -> Iterator[None]:
    """Have tables read again after so many seconds, and gateways as much sooner as is usual (None: all as usual)."""
    usual = {"reconciler.poller.REFRESH": REFRESH}
    usual |= {"fleet.GATEWAYS_EVERY": GATEWAYS_EVERY, "fleet.MISSING_RECHECK": MISSING_RECHECK}
    with ExitStack() as stack:
        for name, interval in usual.items() if seconds is not None else ():
            stack.enter_context(patch(f"poddnat.gateway.{name}", interval / REFRESH * (seconds or 0.0)))
        yield


@contextmanager
def restarted(world: World, *, refresh_interval: float | None = None) -> Iterator[World]:
    """Run the service anew, as another process that knows nothing but what the cluster and the cloud tell."""
    world.service.stop()
    with refreshing(refresh_interval), _serving(world.values, world.memory) as (service, connection):
        yield replace(world, service=service, client=_client(service), connection=connection)


@contextmanager
def beside(world: World, name: str, *, cluster_id: str = "c-other") -> Iterator[World]:
    """Run another installation in the same cluster, over the same pool."""
    url = world.values.endpoints.vpc
    assert url is not None
    read = parse({**values(url), "installation": name, "clusterID": cluster_id})
    with _serving(read, world.memory) as (service, connection):
        yield replace(world, values=read, service=service, client=_client(service), connection=connection)


def _client(service: Service) -> FlaskClient:
    app = create_app(service)
    app.after_request(_without_secrets)
    return app.test_client()


def _without_secrets(response: Response) -> Response:
    assert leaks(response.get_data(as_text=True)) == []
    return response


@contextmanager
def _serving(
    read: Values, memory: MemoryApi, *, haste: float = _HASTE, started: bool = True
) -> Iterator[tuple[Service, LossyClient]]:
    connection = LossyClient(memory.url)
    service = Service(
        read,
        KubeClient(connection),
        CloudClient(read),
        warn_operators=lambda reason, message: connection.operator_warnings.append((reason, message)),
        clock=lambda: time.monotonic() * haste,
    )
    try:
        if started:
            service.start()
            wait_until(lambda: service.ready, 10, "the PodDNATs to be listed")
        yield service, connection
    finally:
        if started:
            service.stop()
        connection.close()  # type: ignore[no-untyped-call]


@dataclass
class Cluster:
    """A world with everything that runs in a cluster: the hook server, Metacontroller's stand-in, a kubelet."""

    world: World
    standin: StandIn


@contextmanager
def cluster(
    world: World, *, patient: bool = False, addresses: Iterable[str] = ADDRESSES, deleted: str = ""
) -> Iterator[Cluster]:
    """Run the rest of a cluster around a world, with the shipped controllers; pods get these addresses, in order.

    Unless it is `patient`, hooks are asked again after a moment where they want that after a second. `deleted` names a
    controller that somebody has deleted.
    """
    shipped = yaml.safe_load_all((MANIFESTS / "controllers.yaml").read_text(encoding="utf-8"))
    controllers = [controller for controller in shipped if controller["metadata"]["name"] != deleted]
    app = world.client.application
    if not patient:
        app.after_request(_at_once)
    with (
        HookServer(app) as hooks,
        StandIn(world.api, point_at(controllers, hooks.url)) as standin,
        Kubelet(world.api, iter(addresses)),
    ):
        yield Cluster(world, standin)


def _at_once(response: Response) -> Response:
    if response.status_code == 429:
        time.sleep(_MOMENT)
        response.headers["Retry-After"] = "0"
    return response
