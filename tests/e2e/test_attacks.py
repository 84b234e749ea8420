"""What a user tries on a real API server who may write pods and PodDNATs, statuses too, in one namespace.

Each attack is told why it came to nothing, and nothing of anybody else's is exposed, taken or lost. The same and more,
step by step, in tests/unit/hooks/test_attacks.py.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.api import Api, ApiError
from metacontroller_standin.apply import owner_reference
from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.waiting import wait_until
from poddnat.api import FIXED, OWN_ENTRIES, UNNAMED
from poddnat.api.annotations import RELEASE_STRATEGY
from poddnat.api.fixed import OWNER, STRATEGY
from tests.e2e import world
from tests.e2e.conftest import runner_of
from tests.e2e.world import Cluster
from tests.hushed import OTHER_TOKEN
from tests.unit.hooks.world import EIP, EXPOSE_80, GATEWAY, PORTS, STATUS, poddnat_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.controlplane import ControlPlane
    from vpc_emulator import ForwardEntry

Json = dict[str, Any]

pytestmark = pytest.mark.controlplane

VICTIMS = "victims"
MALLORYS = "mallorys"
NODE_IP, API_SERVER_IP = "172.16.1.14", "10.0.0.1"
ROLE = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]},
    {"apiGroups": ["alibabacloud.com"], "resources": ["poddnats", "poddnats/status"], "verbs": ["*"]},
]
CONTAINERS = [{"name": "web", "image": "nginx"}]


def conditions(poddnat: Json | None) -> list[Json]:
    """Read what a PodDNAT, if there is one, is told."""
    found: list[Json] = ((poddnat or {}).get("status") or {}).get("conditions") or []
    return found


@dataclass
class Arena:
    """Victims with a pod and a mapping that is kept, entries of others on the gateway, and Mallory."""

    cluster: Cluster
    """Mallory's namespace."""
    mallory: Api
    victims: Cluster
    others: list[ForwardEntry]
    """All entries that are not Mallory's."""
    kept: Json
    """The PodDNAT that is kept for a fixed pod of the victims'."""

    def pod(self, name: str, annotations: dict[str, str] | None = None, **spec: Any) -> Json:
        """Have Mallory create a pod, and wait until it runs."""
        metadata = {"name": name, "namespace": MALLORYS, "annotations": annotations or {}}
        made = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": CONTAINERS, **spec}}
        self.mallory.create(self.mallory.resource("v1", "pods"), made)
        wait_until(lambda: self.cluster.pod(name)["status"].get("podIP"), 10, f"pod {name} to run")
        return self.cluster.pod(name)

    def poddnat(self, name: str, *, owner: Json | None = None, port: str = "700", **spec: Any) -> Json:
        """Have Mallory create a PodDNAT."""
        mapping = {"externalPort": port, "internalPort": "80"}
        wanted = {"tableId": GATEWAY, "externalIP": EIP, "internalIP": "172.16.1.99", "portMapping": [mapping], **spec}
        metadata: Json = {"name": name, "namespace": MALLORYS, "annotations": dict([UNNAMED.attached_by])}
        if owner is not None:
            metadata["ownerReferences"] = [owner_reference(owner)]
        poddnat = {"apiVersion": "alibabacloud.com/v1", "kind": "PodDNAT", "metadata": metadata, "spec": wanted}
        return self.mallory.create(self.poddnats, poddnat)

    @property
    def poddnats(self) -> Any:
        return self.mallory.resource("alibabacloud.com/v1", "poddnats")

    def verdict(self, name: str) -> tuple[str, str]:
        """Wait until one of Mallory's PodDNATs is judged; return reason and sentence."""
        wait_until(lambda: conditions(self.cluster.poddnat(name)), 10, f"PodDNAT {name} to be judged")
        (condition,) = conditions(self.cluster.poddnat(name))
        return condition["reason"], condition["message"]

    def told(self, name: str, reason: str) -> None:
        """Wait until there is a Warning about one of Mallory's objects."""
        seen = [f"--field-selector=involvedObject.name={name},type=Warning", "--output=jsonpath={.items[*].reason}"]
        wait_until(lambda: reason in self.cluster.kubectl("get", "events", *seen).split(), 10, f"the event {reason}")

    def all_is_well(self) -> None:
        """See that the others have what they had, and that Mallory has nothing but port 80 of her own pods."""
        entries = self.cluster.entries()
        assert [entry for entry in entries if entry in self.others] == self.others
        own = [pod["status"].get("podIP") for pod in self.cluster.api.list(self.pods, MALLORYS)["items"]]
        hers = [entry for entry in entries if entry not in self.others]
        assert [entry for entry in hers if entry.internal_ip not in own or entry.internal_port != "80"] == []
        assert (self.victims.poddnat("arena-0") or {})["spec"] == self.kept["spec"]

    @property
    def pods(self) -> Any:
        return self.mallory.resource("v1", "pods")


@pytest.fixture(scope="module", params=["stand-in", "metacontroller"])
def arena(
    request: pytest.FixtureRequest, installed: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Arena]:
    runner = runner_of(request.param, installed)
    for namespace in (VICTIMS, MALLORYS):
        make_namespace(installed, namespace)
    token = mallorys_token(installed)
    addresses = (f"172.16.1.{number}" for number in range(1, 14))
    folder = tmp_path_factory.mktemp("attacks")
    with (
        Kubelet(installed.api, addresses, node="node-1"),
        world.running(installed, runner, MALLORYS, folder) as cluster,
        installed.client(token) as mallory,
    ):
        victims = Cluster(installed, VICTIMS, cluster.emulator, cluster.server)
        kept = with_a_mapping_that_is_kept(victims)
        victims.create_pod("web", EXPOSE_80)
        victims.wait_ready("web")
        for name, port in (("bastion", 600), ("poddnat_another-cluster_uid-1", 601)):
            cluster.emulator.add_entry(
                GATEWAY, external_ip=EIP, external_port=port, internal_ip="172.16.0.9", internal_port=port, name=name
            )
        yield Arena(cluster, mallory, victims, cluster.entries(), kept)
    for namespace in (VICTIMS, MALLORYS):
        installed.clear_namespace(namespace)


def make_namespace(controlplane: ControlPlane, name: str) -> None:
    """Make a namespace; one of that name may still be ending."""
    namespaces = controlplane.api.resource("v1", "namespaces")
    wait_until(lambda: not controlplane.api.exists(namespaces, name), 30, f"namespace {name} to end")
    controlplane.api.create(namespaces, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def mallorys_token(controlplane: ControlPlane) -> str:
    """Make the user, who has a Role in her namespace and no other right."""
    where = {"name": "mallory", "namespace": MALLORYS}
    rbac = "rbac.authorization.k8s.io"
    controlplane.put({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": where})
    controlplane.put({"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": where, "rules": ROLE})
    binding = {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": where}
    subjects = [{"kind": "ServiceAccount", **where}]
    controlplane.put(
        {**binding, "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "mallory"}, "subjects": subjects}
    )
    token = controlplane.service_account_token(MALLORYS, "mallory")
    poddnats = controlplane.api.resource("alibabacloud.com/v1", "poddnats")
    controlplane.wait_allowed(token, "create", poddnats, MALLORYS)
    return token


def with_a_mapping_that_is_kept(victims: Cluster) -> Json:
    """Expose a pod whose ports are kept forever, and take it away."""
    victims.create_stateful_set({**EXPOSE_80, FIXED: "true", RELEASE_STRATEGY: "Never"})
    victims.wait_all_ready(1)
    victims.kubectl("scale", "statefulset/arena", "--replicas=0")

    def is_away() -> bool:
        kept = victims.poddnat("arena-0")
        return kept is not None and not kept["spec"]["internalIP"] and not victims.entries()

    wait_until(is_away, 15, "the pod to be away")
    kept = victims.poddnat("arena-0")
    assert kept is not None
    return kept


def test_another_pods_address_is_not_exposed(arena: Arena) -> None:
    ip = arena.victims.pod("web")["status"]["podIP"]
    arena.poddnat("other-pod", owner=arena.pod("other-pod"), internalIP=ip)
    assert arena.verdict("other-pod")[0] == "NotAllowed"
    assert f"pod other-pod does not have the IP {ip}" in arena.verdict("other-pod")[1]
    arena.told("other-pod", "NotAllowed")
    arena.all_is_well()


@pytest.mark.parametrize("ip", [NODE_IP, API_SERVER_IP], ids=["node", "api-server"])
def test_address_of_a_node_or_the_api_server_is_not_exposed(arena: Arena, ip: str) -> None:
    name = f"at-{ip}"
    arena.poddnat(name, owner=arena.pod(name), internalIP=ip)
    assert arena.verdict(name)[0] == "NotAllowed"
    assert f"does not have the IP {ip}" in arena.verdict(name)[1]
    arena.all_is_well()


def test_pod_on_its_nodes_network_exposes_nothing(arena: Arena) -> None:
    arena.pod("host", EXPOSE_80, hostNetwork=True)
    wait_until(lambda: STATUS in arena.cluster.annotations("host"), 10, "the pod to be told")
    assert arena.cluster.annotations("host")[STATUS].startswith("HostNetwork: ")
    arena.told("host", "HostNetwork")
    arena.all_is_well()


def test_pod_of_another_namespace_named_as_the_owner_allows_nothing(arena: Arena) -> None:
    web = arena.victims.pod("web")
    arena.poddnat("web", owner=web, internalIP=web["status"]["podIP"])

    def is_refused() -> bool:
        poddnat = arena.cluster.poddnat("web")
        if poddnat is None:
            return True  # Kubernetes' garbage collector takes it for one whose owner is gone, sooner or later.
        return [condition["reason"] for condition in conditions(poddnat)] == ["NotAllowed"]

    wait_until(is_refused, 10, "the PodDNAT to be refused")
    arena.all_is_well()


def test_own_poddnats_that_are_edited_get_nothing_by_it(arena: Arena) -> None:
    (kept,) = arena.kept["spec"]["portMapping"]
    edits: dict[str, Json] = {
        "port-not-annotated": {"portMapping": [{"externalPort": "700", "internalPort": "22"}]},
        "port-of-a-foreign-entry": {"portMapping": [{"externalPort": "600", "internalPort": "80"}]},
        "port-kept-in-another-namespace": {"portMapping": [{**kept, "internalPort": "80"}]},
        "address-outside-the-pool": {"externalIP": "203.0.113.99"},
    }
    for name in edits:
        arena.pod(name, EXPOSE_80)
    for name in edits:
        arena.cluster.wait_ready(name)
    for name, changes in edits.items():
        arena.mallory.patch(arena.poddnats, name, {"spec": changes}, MALLORYS)

    def are_put_right() -> bool:
        now = {name: (arena.cluster.poddnat(name) or {}).get("spec", {}) for name in edits}
        right = all({**now[name], **changes} != now[name] for name, changes in edits.items())
        return right and all(arena.cluster.annotations(name).get(STATUS) == "Ready" for name in edits)

    wait_until(are_put_right, 20, "the PodDNATs to be put right")
    arena.all_is_well()


@pytest.mark.parametrize(
    ("port", "ip", "reason"),
    [
        pytest.param("700", "203.0.113.99", "NotInPool", id="address"),
        pytest.param("22", EIP, "NotInPool", id="port"),
    ],
)
def test_public_side_outside_the_pool_is_not_had(arena: Arena, port: str, ip: str, reason: str) -> None:
    name = f"outside-{port}"
    arena.poddnat(name, owner=arena.pod(name), port=port, externalIP=ip)
    assert arena.verdict(name)[0] == reason
    arena.told(name, reason)
    arena.all_is_well()


def test_entries_of_others_named_in_the_status_stay(arena: Arena) -> None:
    """As in a PodDNAT copied from another cluster."""
    arena.poddnat("copied")
    claimed = [{"forwardEntryId": entry.id, "externalIP": EIP} for entry in arena.others]
    arena.mallory.patch(arena.poddnats, "copied", {"status": {"entries": claimed}}, MALLORYS, "status")
    assert arena.verdict("copied")[0] == "NotAllowed"
    arena.mallory.delete(arena.poddnats, "copied", MALLORYS)
    wait_until(lambda: arena.cluster.poddnat("copied") is None, 15, "the PodDNAT to go")
    arena.all_is_well()


def test_forged_poddnat_of_a_fixed_pod_keeps_no_ports(arena: Arena) -> None:
    metadata = {"name": "hoard", "namespace": MALLORYS, "annotations": {OWNER: "apps/v1 X x 1", STRATEGY: "Never"}}
    spec = {
        "tableId": GATEWAY,
        "externalIP": EIP,
        "portMapping": [{"externalPort": "800/900", "internalPort": "1/101"}],
    }
    forged = {"apiVersion": "alibabacloud.com/v1", "kind": "PodDNAT", "metadata": metadata, "spec": spec}
    with pytest.raises(ApiError, match="only poddnat itself keeps public ports for fixed pods") as refused:
        arena.mallory.create(arena.poddnats, forged)
    assert refused.value.code == 403
    arena.poddnat("to-be-marked")
    with pytest.raises(ApiError, match="only poddnat itself keeps public ports"):
        arena.mallory.patch(arena.poddnats, "to-be-marked", {"metadata": {"annotations": {OWNER: "a b c d"}}}, MALLORYS)


def test_entry_of_another_is_recorded_as_a_poddnats_own_by_nobody_but_the_server(arena: Arena) -> None:
    arena.poddnat("greedy")
    ids = ",".join(entry.id for entry in arena.others)
    with pytest.raises(
        ApiError, match="only poddnat itself records which forward entries are a PodDNAT's own"
    ) as refused:
        arena.mallory.patch(arena.poddnats, "greedy", {"metadata": {"annotations": {OWN_ENTRIES: ids}}}, MALLORYS)
    assert refused.value.code == 403
    arena.all_is_well()


@pytest.mark.parametrize("token", ["", OTHER_TOKEN], ids=["no token", "another token"])
@pytest.mark.parametrize("path", ["/poddnat/finalize", "/poddnat/sync"])
def test_forged_hook_call_does_nothing(arena: Arena, token: str, path: str) -> None:
    victim = arena.victims.poddnat("web")
    assert victim is not None
    body = json.dumps(poddnat_request(victim, finalizing=True)).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(f"{arena.cluster.server.url}{path}", body, headers), timeout=10)
    with refused.value as answer:
        assert (answer.status, answer.read().decode().partition(":")[0]) == (401, "no valid bearer token")
    arena.all_is_well()


def test_mistake_in_an_annotation_is_told(arena: Arena) -> None:
    """That an attacker's pod asks for too much is no attack, but a mistake."""
    arena.pod("greedy", {**EXPOSE_80, PORTS: "1-65535"})
    wait_until(lambda: STATUS in arena.cluster.annotations("greedy"), 10, "the pod to be told")
    arena.all_is_well()
