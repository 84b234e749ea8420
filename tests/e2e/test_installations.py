"""Two installations on one control plane: each serves its own pods, and touches nothing of the other."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from metacontroller_standin.api import Api, name_of
from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.manifests import is_controller
from metacontroller_standin.waiting import wait_until
from poddnat.api import INSTALLATION, OWN_ENTRIES, UNNAMED, Installation
from poddnat.api.fixed import OWNER
from tests.chart.clone import tree
from tests.e2e import world
from tests.e2e.conftest import ASSETS
from tests.e2e.controlplane import ControlPlane
from tests.e2e.runners import MetacontrollerRunner
from tests.e2e.test_uninstall import FollowingStandIn
from tests.e2e.world import MANIFESTS, SYSTEM, Server
from tests.unit.docs.pages import blocks, commands, page, section
from tests.unit.hooks import world as small
from tests.unit.hooks.world import EXPOSE_80, STATUS
from vpc_emulator import Emulator, EmulatorServer
from vpc_emulator import World as EmulatedWorld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(300)]

EU = Installation("eu")
EU_SYSTEM = "poddnat-eu"
EIPS = {"ngw-1": ("203.0.113.10", "203.0.113.99"), "ngw-2": ("203.0.113.20",)}
FIXED_80 = {**EXPOSE_80, "k8s.aliyun.com/pod-dnat-fixed": "true"}


def two_gateways() -> Emulator:
    """Make a cloud of two gateways, each with a vSwitch that routes to it."""
    numbers = {gateway: index for index, gateway in enumerate(EIPS, 1)}
    return Emulator(
        EmulatedWorld.from_dict(
            {
                "regions": ["cn-hangzhou"],
                "credentials": [{"access_key_id": small.KEY, "access_key_secret": small.SECRET}],
                "vpcs": [{"id": "vpc-1", "cidr": "172.16.0.0/12"}],
                "route_tables": [
                    {"id": f"vtb-{n}", "vpc": "vpc-1", "default_route": {"type": "NatGateway", "id": gateway}}
                    for gateway, n in numbers.items()
                ],
                "vswitches": [
                    {
                        "id": f"vsw-{n}",
                        "vpc": "vpc-1",
                        "zone": "cn-hangzhou-j",
                        "cidr": f"172.16.{16 * (n - 1)}.0/20",
                        "route_table": f"vtb-{n}",
                    }
                    for n in numbers.values()
                ],
                "nat_gateways": [
                    {
                        "id": gateway,
                        "vpc": "vpc-1",
                        "vswitch": f"vsw-{n}",
                        "eips": list(EIPS[gateway]),
                        "writes_at_once": 4,
                        "settle_seconds": 0.2,
                    }
                    for gateway, n in numbers.items()
                ],
                "network_interfaces": [
                    {"id": f"eni-{n}", "vswitch": f"vsw-{n}", "private_ips": f"172.16.{16 * (n - 1) + 1}.0/27"}
                    for n in numbers.values()
                ],
            }
        ),
        seed=1,
    )


def values_of_eu(url: str) -> Json:
    """Write a values file for the second gateway, and for an EIP of the first that the other one has not got."""
    pool = [
        {"natgwId": gateway, "zoneId": "cn-hangzhou-j", "portRangeStart": 512, "portRangeEnd": 1024, "eips": eips}
        for gateway, eips in (("ngw-2", ["203.0.113.20"]), ("ngw-1", ["203.0.113.99"]))
    ]
    values = small.values(url)
    return {**values, "clusterID": "c-eu", "installation": "eu", "networkController": {"natGwPool": pool}}


class Nodes(Kubelet):
    """Gives pods that were made for eu addresses behind the second gateway, others such behind the first."""

    def __init__(self, api: Api) -> None:
        super().__init__(api, iter(()), node="node-1")
        self._pools = [iter([f"{network}.{n}" for n in range(1, 31)]) for network in ("172.16.1", "172.16.17")]

    def _on_change(self, old: Json | None, new: Json | None) -> None:
        if (new or old or {})["metadata"]["namespace"] not in {SYSTEM, EU_SYSTEM}:
            super()._on_change(old, new)

    def _address_of(self, pod: Json) -> str:
        is_behind_second = (pod["metadata"].get("labels") or {}).get("behind") == "eu"
        self._addresses = self._pools[is_behind_second]
        return super()._address_of(pod)


@dataclass
class Two:
    """Two installations, what they are for, and what calls them."""

    plane: ControlPlane
    emulator: Emulator
    servers: dict[str, Server]
    """By the installation's name."""
    overlay: Path

    @property
    def api(self) -> Api:
        return self.plane.api

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.plane.kubectl("--namespace=default", *arguments, stdin=stdin)

    def create(self, name: str, label: str | None = None, annotations: dict[str, str] = EXPOSE_80) -> None:
        labels = {INSTALLATION: label, "behind": label} if label else {}
        metadata = {"name": name, "labels": labels, "annotations": annotations}
        spec = {"containers": [{"name": "web", "image": "nginx"}]}
        self.kubectl(
            "create",
            "-f",
            "-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}),
        )

    def all(self, plural: str) -> dict[str, Json]:
        resource = self.api.resource("v1" if plural == "pods" else "alibabacloud.com/v1", plural)
        return {name_of(one): one for one in self.api.list(resource, "default")["items"]}

    def told(self, pod: str) -> str:
        return str((self.all("pods")[pod]["metadata"].get("annotations") or {}).get(STATUS, ""))

    def wait_ready(self, *pods: str) -> None:
        wait_until(lambda: all(self.told(pod) == "Ready" for pod in pods), 30, f"{pods} to be Ready", interval=0.1)

    def entries(self) -> dict[str, str]:
        """Give the ids of all entries with what they are for: cluster, EIP and the pod's address."""
        found = [entry for gateway in EIPS for entry in self.emulator.forward_entries(gateway)]
        return {e.id: f"{e.name.split('_')[1]} {e.gateway_id} {e.external_ip} {e.internal_ip}" for e in found}

    def address(self, pod: str) -> tuple[str, str, str]:
        """Tell where a pod is reached, and under whose clusterID: cluster, gateway, EIP."""
        ip = self.all("pods")[pod]["status"]["podIP"]
        (only,) = [text for text in self.entries().values() if text.endswith(f" {ip}")]
        cluster, gateway, eip, _ = only.split(" ")
        return cluster, gateway, eip

    def state(self, name: str) -> Json:
        """Take down all that is an installation's: versions of its pods and PodDNATs, its entries, its Lease."""
        label, cluster = name or None, "c-eu" if name else "c-test"
        lease = self.api.get(
            self.api.resource("coordination.k8s.io/v1", "leases"), "poddnat", EU_SYSTEM if name else SYSTEM
        )
        objects = {
            f"{plural}/{one}": found["metadata"]["resourceVersion"]
            for plural in ("pods", "poddnats")
            for one, found in self.all(plural).items()
            if (found["metadata"].get("labels") or {}).get(INSTALLATION) == label
        }
        return {
            **objects,
            "entries": {entry: text for entry, text in self.entries().items() if text.startswith(f"{cluster} ")},
            "lease": [lease["metadata"]["uid"], *map(lease["spec"].get, ("holderIdentity", "leaseTransitions"))],
        }

    def poddnat(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the commands."""
        command = [sys.executable, "-m", "poddnat", *arguments, f"--kubeconfig={self.plane.kubeconfig}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@contextmanager
def two_installations(assets: Path, folder: Path, caller: str) -> Iterator[Two]:
    """Run a control plane of its own with both, as their users install them."""
    program = shutil.which("metacontroller")
    if caller == "metacontroller" and program is None:
        pytest.skip("metacontroller is not on PATH")
    plane = ControlPlane(assets, folder)
    plane.start()
    try:
        world.install(plane)
        overlay = tree(folder) / "sites" / "eu"
        shutil.copytree(MANIFESTS / "examples" / "installation", overlay)
        plane.kubectl("apply", "-k", str(overlay))
        plane.kubectl("scale", "deployment/poddnat", f"--namespace={EU_SYSTEM}", "--replicas=0")
        with EmulatorServer(two_gateways()) as sky, Nodes(plane.api):
            servers = {
                "": _server(plane, small.values(sky.url), folder, SYSTEM),
                "eu": _server(plane, values_of_eu(sky.url), folder, EU_SYSTEM),
            }
            manifests = [
                *filter(is_controller, world.controllers(plane, servers[""].url)),
                *world.controllers(plane, servers["eu"].url, shipped=_applied(plane)),
            ]
            following = FollowingStandIn(plane, manifests) if caller == "stand-in" else None
            if following is None:
                MetacontrollerRunner(plane, str(program)).apply(manifests)
            try:
                yield Two(plane, sky.emulator, servers, overlay)
            finally:
                if following is not None:
                    following.stop()
                for server in servers.values():
                    server.stop()
            assert sky.emulator.bugs == []
        assert written_by_both(plane) == set()
    finally:
        plane.stop()


def _server(plane: ControlPlane, values: Json, folder: Path, namespace: str) -> Server:
    (folder / namespace).mkdir()
    server = Server(plane, values, folder / namespace, lease=f"{namespace}/poddnat", namespace=namespace)
    server.start()
    server.wait_ready()
    return server


def _applied(plane: ControlPlane) -> list[Json]:
    """Take the controllers of eu from the cluster as they were applied: there are no others by now."""
    kinds = "decoratorcontrollers,compositecontrollers"
    items: list[Json] = json.loads(plane.kubectl("get", kinds, "--output=json"))["items"]
    for one in items:
        plane.api.delete(plane.api.resource_of(one), name_of(one))
        one["metadata"] = {key: one["metadata"][key] for key in ("name", "labels")}
    return items


def written_by_both(plane: ControlPlane) -> set[str]:
    """Tell to which pods and PodDNATs both servers have written, but for those that were to change hands."""
    one, other = (
        {
            f"{write.resource.partition('/')[0]}/{write.name}"
            for write in plane.audit_log.writes()
            if write.user == f"system:serviceaccount:{namespace}:poddnat" and write.resource.startswith("pod")
        }
        for namespace in (SYSTEM, EU_SYSTEM)
    )
    return {what for what in one & other if "/moved" not in what}


@pytest.fixture(scope="module", params=["stand-in", "metacontroller"])
def both(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("installations")
    with two_installations(pytestconfig.stash[ASSETS], folder, request.param) as two:
        yield two


@pytest.fixture
def two(both: Two) -> Two:
    """Both, with a pod of each that is exposed."""
    for name, label in (("web", None), ("web-eu", "eu")):
        if name not in both.all("pods"):
            both.create(name, label)
    both.wait_ready("web", "web-eu")
    return both


def settled(two: Two, name: str) -> Json:
    """Take down what is an installation's once nothing about it changes any more."""
    last = (two.state(name), time.monotonic())

    def is_settled() -> bool:
        nonlocal last
        state = two.state(name)
        if state != last[0]:
            last = (state, time.monotonic())
        return time.monotonic() - last[1] > 2

    wait_until(is_settled, 30, "nothing to change any more", interval=0.2)
    return last[0]


def test_pods_of_each_get_ports_of_its_own_pool(two: Two) -> None:
    two.create("nobody", "us")
    assert two.address("web") == ("c-test", "ngw-1", "203.0.113.10")
    assert two.address("web-eu") == ("c-eu", "ngw-2", "203.0.113.20")
    poddnats = two.all("poddnats")
    assert poddnats["web-eu"]["metadata"]["labels"] == EU.labels
    assert poddnats["web-eu"]["metadata"]["finalizers"] == [EU.finalizer]
    assert "labels" not in poddnats["web"]["metadata"]
    told = two.poddnat("explain", "default/nobody", "-o", "json")
    assert json.loads(told.stdout)["brokenLink"] == "controllers", told.stdout
    assert two.told("nobody") == ""
    two.kubectl("delete", "pod", "nobody")


@pytest.mark.parametrize(("killed", "other"), [("eu", ""), ("", "eu")])
def test_who_is_killed_takes_nothing_of_the_other_with_it(two: Two, killed: str, other: str) -> None:
    before = settled(two, other)
    two.servers[killed].kill()
    name = f"web-while-{killed or 'unnamed'}-is-away"
    two.create(name, other or None)
    two.wait_ready(name)
    two.kubectl("delete", "pod", name)
    wait_until(lambda: name not in two.all("poddnats"), 20, "its PodDNAT to go")
    after = settled(two, other)
    assert after == before
    two.servers[killed].start()
    two.servers[killed].wait_ready()
    two.create(f"{name}-again", killed or None)
    two.wait_ready(f"{name}-again")
    assert settled(two, other) == before


def test_pod_that_is_labelled_anew_goes_over(two: Two) -> None:
    two.create("moved")
    two.wait_ready("moved")
    assert two.address("moved") == ("c-test", "ngw-1", "203.0.113.10")
    first = two.all("poddnats")["moved"]["metadata"]["uid"]

    two.kubectl("label", "pod", "moved", f"{INSTALLATION}=eu")
    wait_until(
        lambda: two.all("poddnats").get("moved", {}).get("metadata", {}).get("uid") not in {None, first}, 60, "eu's"
    )
    two.wait_ready("moved")
    # Its address is behind the first gateway, of which eu has an EIP of its own.
    assert two.address("moved") == ("c-eu", "ngw-1", "203.0.113.99")
    assert EU.has(two.all("poddnats")["moved"]["metadata"])

    two.kubectl("label", "pod", "moved", f"{INSTALLATION}-")
    wait_until(
        lambda: two.told("moved") == "Ready" and not EU.has(two.all("poddnats")["moved"]["metadata"]), 60, "back"
    )
    assert two.address("moved") == ("c-test", "ngw-1", "203.0.113.10")

    # Nobody serves it any more: what it had goes, and it is told why.
    two.kubectl("label", "pod", "moved", f"{INSTALLATION}=us")
    wait_until(lambda: "moved" not in two.all("poddnats") and two.told("moved") == "", 60, "its ports to go")
    events = json.loads(two.kubectl("get", "events", "--field-selector=involvedObject.name=moved", "--output=json"))[
        "items"
    ]
    assert "By its label poddnat.alibabacloud.com/installation the pod is for the installation us now" in [
        event["message"].partition(":")[0] for event in events if event["reason"] == "InstallationChanged"
    ]
    two.kubectl("delete", "pod", "moved")


def test_fixed_pods_go_over_with_their_stateful_set(two: Two) -> None:
    def stateful_set(labels: dict[str, str]) -> str:
        labels = {"app": "moved", **labels}
        pod = {"containers": [{"name": "web", "image": "nginx"}]}
        template = {"metadata": {"labels": labels, "annotations": FIXED_80}, "spec": pod}
        spec = {
            "serviceName": "moved",
            "replicas": 1,
            "selector": {"matchLabels": {"app": "moved"}},
            "template": template,
        }
        return json.dumps({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "moved"}, "spec": spec})

    two.kubectl("apply", "-f", "-", stdin=stateful_set({}))
    wait_until(lambda: "moved-0" in two.all("pods"), 20, "the pod")
    two.wait_ready("moved-0")
    assert two.address("moved-0")[0] == "c-test"
    two.kubectl("apply", "-f", "-", stdin=stateful_set(EU.labels | {"behind": "eu"}))
    wait_until(lambda: EU.has(two.all("poddnats").get("moved-0", {"metadata": {}})["metadata"]), 90, "eu to have it")
    two.wait_ready("moved-0")
    assert two.address("moved-0") == ("c-eu", "ngw-2", "203.0.113.20")
    two.kubectl("delete", "statefulset", "moved")
    wait_until(lambda: "moved-0" not in two.all("poddnats"), 60, "its PodDNAT to go")


@pytest.mark.parametrize("label", [f"{INSTALLATION}-", f"{INSTALLATION}=us"])
def test_label_that_somebody_changes_on_a_poddnat_is_put_right_and_nothing_is_lost(two: Two, label: str) -> None:
    before, others = settled(two, "eu"), settled(two, "")
    two.kubectl("label", "poddnat", "web-eu", "--overwrite", label)
    wait_until(lambda: two.all("poddnats")["web-eu"]["metadata"].get("labels") == EU.labels, 20, "the label")
    after = settled(two, "eu")
    assert after["entries"] == before["entries"]
    assert two.all("poddnats")["web-eu"]["metadata"]["finalizers"] == [EU.finalizer]
    assert two.told("web-eu") == "Ready"
    assert settled(two, "") == others


def test_other_installations_label_on_a_poddnat_gives_nothing_away(two: Two) -> None:
    before = settled(two, "")
    two.kubectl("label", "poddnat", "web", f"{INSTALLATION}=eu")
    wait_until(lambda: not two.all("poddnats")["web"]["metadata"].get("labels"), 20, "the label to go")
    wait_until(
        lambda: two.all("poddnats")["web"]["metadata"]["finalizers"] == [Installation().finalizer],
        30,
        "eu's finalizer to go",
    )
    assert settled(two, "")["entries"] == before["entries"]
    assert two.told("web") == "Ready"
    # A label of its own Metacontroller may put back first, by the pod's answer; then nothing is told.
    assert "LabelRestored" in two.kubectl("get", "events", "--output=jsonpath={.items[*].reason}")


def test_users_can_not_make_a_record_of_a_fixed_pod_by_way_of_another_label(two: Two) -> None:
    """Each policy guards all PodDNATs: the label may be nobody's yet, and the mark counts for more than that."""
    account = "--as=system:serviceaccount:default:mallory"
    two.kubectl("create", "serviceaccount", "mallory")
    two.kubectl("create", "role", "poddnats", "--verb=*", "--resource=poddnats.alibabacloud.com")
    two.kubectl("create", "rolebinding", "poddnats", "--role=poddnats", "--serviceaccount=default:mallory")
    made = {"apiVersion": "alibabacloud.com/v1", "kind": "PodDNAT", "spec": {}}
    kept = ({OWNER: "apps/v1 StatefulSet arena uid"}, "only poddnat itself keeps public ports")
    recorded = ({OWN_ENTRIES: "fwd-1"}, "only poddnat itself records")
    for labels, mark in itertools.product(({}, EU.labels, {INSTALLATION: "us"}), (None, UNNAMED, EU)):
        marks = {} if mark is None else dict([mark.attached_by])
        for record, refusal in (kept, recorded):
            metadata = {"name": "hers", "labels": labels, "annotations": record | marks}
            with pytest.raises(Exception, match=refusal):
                two.kubectl(account, "create", "-f", "-", stdin=json.dumps({**made, "metadata": metadata}))
    # One that is kept for an absent pod bears no mark, so that its label says whose it is.
    metadata = {"name": "kept", "labels": {INSTALLATION: "us"}, "annotations": kept[0]}
    two.kubectl("create", "-f", "-", stdin=json.dumps({**made, "metadata": metadata}))
    for label in (f"{INSTALLATION}-", f"{INSTALLATION}=eu"):
        with pytest.raises(Exception, match=kept[1]):
            two.kubectl(account, "label", "poddnat", "kept", "--overwrite", label)
    two.kubectl(account, "label", "poddnat", "kept", "other=label")
    two.kubectl("delete", "poddnat", "kept")


def test_commands_regard_one_installation(two: Two, tmp_path: Path) -> None:
    url = small_url(two)
    for name, values, mine in (("", small.values(url), "default/web"), ("eu", values_of_eu(url), "default/web-eu")):
        file = tmp_path / f"values{name}.yaml"
        file.write_text(yaml.safe_dump(values))
        ports = two.poddnat("ports", f"--values={file}", "--mappings", "-o", "json")
        assert {one["podDNAT"] for one in json.loads(ports.stdout)["mappings"]} - {""} >= {mine}
        others = "default/web" if name else "default/web-eu"
        assert others not in {one["podDNAT"] for one in json.loads(ports.stdout)["mappings"]}
        audit = two.poddnat("audit", f"--values={file}", "-o", "json")
        assert audit.returncode == 0, audit.stdout + audit.stderr
        assert two.poddnat("explain", mine, f"--values={file}").returncode == 0
        told = two.poddnat("explain", others, f"--values={file}", "-o", "json")
        assert json.loads(told.stdout)["brokenLink"] == "annotations"


def test_pods_of_a_namespace_are_labelled_by_the_policy_of_the_page(two: Two) -> None:
    page_of_it = section(page("operators/installations"), "By namespace")
    (policy,) = blocks(page_of_it, "yaml")
    (labelling,) = commands(page_of_it)
    two.kubectl("create", "namespace", "games")
    assert labelling[:4] == ["kubectl", "label", "namespace", "games"]
    two.kubectl(*labelling[1:])
    two.plane.kubectl("apply", "-f", "-", stdin=policy)
    pods = two.api.resource("v1", "pods")
    spec = {"containers": [{"name": "web", "image": "nginx"}]}

    def label_of(namespace: str) -> str | None:
        made = two.api.create(pods, {"metadata": {"generateName": "try-", "namespace": namespace}, "spec": spec})
        two.api.delete(pods, name_of(made), namespace, grace_period=0)
        return (made["metadata"].get("labels") or {}).get(INSTALLATION)

    try:
        wait_until(lambda: label_of("games") == "eu", 30, "the policy to be in force")
        assert label_of("default") is None
    finally:
        two.plane.kubectl("delete", "-f", "-", stdin=policy)
        two.kubectl("delete", "namespace", "games", "--wait=false")


def small_url(two: Two) -> str:
    file = two.overlay.parents[1] / SYSTEM / "values.yaml"
    url: str = yaml.safe_load(file.read_text(encoding="utf-8"))["endpoints"]["vpc"]
    return url


@pytest.mark.parametrize("caller", ["stand-in", "metacontroller"])
def test_draining_and_uninstalling_one_leaves_the_other_as_it_is(
    pytestconfig: pytest.Config, tmp_path: Path, caller: str
) -> None:
    with two_installations(pytestconfig.stash[ASSETS], tmp_path, caller) as two:
        for name, label, annotations in (("web", None, EXPOSE_80), ("web-eu", "eu", EXPOSE_80)):
            two.create(name, label, annotations)
        two.wait_ready("web", "web-eu")
        drain_and_uninstall(two)


def drain_and_uninstall(two: Two) -> None:
    before = settled(two, "")
    done = two.poddnat("drain", "--installation=eu", "--yes", "--timeout=60")
    assert done.returncode == 0, done.stderr
    assert "it is safe to uninstall" in done.stdout
    assert two.state("eu")["entries"] == {}
    assert not [name for name, one in two.all("poddnats").items() if EU.has(one["metadata"])]
    assert two.told("web-eu") == ""
    two.servers["eu"].kill()
    two.plane.kubectl("delete", "-k", str(two.overlay), "--ignore-not-found")
    assert settled(two, "") == before
    kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
    left = two.kubectl("get", f"{kinds},decoratorcontrollers,compositecontrollers,namespaces,crds", "--output=name")
    assert "-eu" not in left
    assert "poddnats.alibabacloud.com" in left
    two.create("later")
    two.wait_ready("later")
