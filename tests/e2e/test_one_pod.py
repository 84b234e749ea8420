"""What users see of a pod's public ports, with everything real but the cloud and the nodes."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat.controllers.intervals import CALLED_AT_ONCE, CUT_OFF_TRY, REMIND_AFTER
from tests.e2e import world
from tests.e2e.wire import Wire
from tests.e2e.world import EXAMPLES, Cluster
from tests.unit.hooks import openkruisegame as plugin
from tests.unit.hooks.world import EIP, EXPOSE_80, GATEWAY, POD_DNAT, PORTS, RESULT, STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from metacontroller_standin.kubelet import Kubelet
    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.runners import Runner

Json = dict[str, Any]

pytestmark = pytest.mark.controlplane

WITHOUT_SPEC = """
apiVersion: alibabacloud.com/v1
kind: PodDNAT
metadata:
  name: by-hand
"""
BY_HAND = f"""{WITHOUT_SPEC}
spec:
  tableId: ngw-1
  externalIP: 203.0.113.10
  internalIP: 172.16.1.1
  portMapping:
    - externalPort: "600"
      internalPort: "22"
"""


BARRED = 40.0
"""An outage that is long enough to be felt, and too short to be told from nothing to do by the silence alone."""

# For what does not depend on who calls the hooks.
over_the_stand_in = pytest.mark.parametrize("metacontroller", ["stand-in"], indirect=True)


def test_manifests_install_as_they_are(printed: str) -> None:
    created = {line.removesuffix(" created") for line in printed.splitlines() if line.endswith(" created")}
    assert created >= {
        "namespace/poddnat-system",
        "serviceaccount/poddnat",
        "clusterrole.rbac.authorization.k8s.io/poddnat",
        "clusterrolebinding.rbac.authorization.k8s.io/poddnat",
        "role.rbac.authorization.k8s.io/poddnat",
        "rolebinding.rbac.authorization.k8s.io/poddnat",
        "service/poddnat",
        "deployment.apps/poddnat",
        "networkpolicy.networking.k8s.io/poddnat",
        "compositecontroller.metacontroller.k8s.io/poddnat",
        "decoratorcontroller.metacontroller.k8s.io/pod-dnat",
        "decoratorcontroller.metacontroller.k8s.io/pod-dnat-opt-out",
    }


def test_pod_of_the_example_deployment_is_exposed_until_it_is_deleted(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", str(EXAMPLES / "deployment.yaml"))
    (poddnat,) = cluster.wait_all_ready(1)
    pod = cluster.pod(poddnat["metadata"]["name"])
    (entry,) = cluster.entries()
    assert entry.status == "Available"
    assert poddnat["spec"] == {
        "eni": "eni-1",
        "externalIP": EIP,
        "internalIP": pod["status"]["podIP"],
        "portMapping": [{"externalPort": "512", "internalPort": "80"}],
        "protocol": "tcp",
        "tableId": GATEWAY,
        "vswitch": "vsw-1",
        "zoneID": "cn-hangzhou-j",
    }
    assert poddnat["status"]["entries"] == [
        {
            "externalIP": EIP,
            "externalPort": "512",
            "forwardEntryId": entry.id,
            "internalIP": pod["status"]["podIP"],
            "internalPort": "80",
            "ipProtocol": "tcp",
        }
    ]
    assert json.loads(pod["metadata"]["annotations"][RESULT]) == [
        {"externalIP": EIP, "externalPort": "512", "internalPort": "80", "protocol": "tcp"}
    ]
    cluster.kubectl("delete", "-f", str(EXAMPLES / "deployment.yaml"))
    cluster.wait_clear()


def test_poddnat_goes_with_its_pod_and_not_before_its_entries(cluster: Cluster) -> None:
    cluster.create_pod("web", EXPOSE_80)
    metadata = cluster.wait_ready("web")["metadata"]
    pod = cluster.pod("web")
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": pod["metadata"]["uid"]}
    assert metadata["ownerReferences"] == [{**owner, "controller": True, "blockOwnerDeletion": True}]
    assert metadata["finalizers"] == ["metacontroller.io/compositecontroller-poddnat"]
    # A pod with a finalizer could not be deleted while the server is away.
    assert "finalizers" not in pod["metadata"]
    cluster.kubectl("delete", "pod", "web", "--timeout=15s")
    cluster.wait_clear()


def test_pods_of_the_example_statefulset_get_two_udp_ports_each(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", str(EXAMPLES / "statefulset.yaml"))
    poddnats = cluster.wait_all_ready(2)
    assert [poddnat["metadata"]["name"] for poddnat in poddnats] == ["arena-0", "arena-1"]
    for poddnat in poddnats:
        entries = poddnat["status"]["entries"]
        assert [(entry["internalPort"], entry["ipProtocol"]) for entry in entries] == [("7777", "udp"), ("7778", "udp")]
    assert len({entry.external_port for entry in cluster.entries()}) == 4


def test_game_servers_of_the_example_get_a_range_and_both_protocols_as_openkruisegame_reads_them(
    cluster: Cluster,
) -> None:
    cluster.kubectl("apply", "-f", str(EXAMPLES / "game-servers.yaml"))
    cluster.wait_all_ready(2)
    assert len(cluster.entries()) == 2 * 3
    for name in ("match-0", "match-1"):
        shown = json.loads(cluster.kubectl("get", "poddnats.v1beta1.alibabacloud.com", name, "--output=json"))
        assert plugin.is_ready(cluster.pod(name), shown)
        query, voice = plugin.entries(shown)
        port = query["externalPort"]
        assert {e.id for e in cluster.entries() if e.external_port == port} >= set(query["forwardEntryId"].split(","))
        ranges = f"{voice['externalPort'].replace('/', '-')}->9000-9010/udp"
        assert f"{port}->27015/tcpudp,{ranges}" in cluster.kubectl("get", "pdnat", name)
    cluster.kubectl("delete", "-f", str(EXAMPLES / "game-servers.yaml"))
    cluster.wait_clear()


@over_the_stand_in
def test_kubectl_shows_address_ports_and_readiness_under_both_versions(cluster: Cluster) -> None:
    cluster.create_pod("web", EXPOSE_80)
    cluster.wait_ready("web")
    ip = cluster.pod("web")["status"]["podIP"]
    for version in ("v1", "v1beta1"):
        head, line = cluster.kubectl("get", f"poddnats.{version}.alibabacloud.com").splitlines()
        assert head.split() == ["NAME", "EXTERNAL", "PORTS", "POD", "IP", "GATEWAY", "READY", "AGE"]
        assert line.split()[:-1] == ["web", EIP, "512->80/tcp", ip, GATEWAY, "True"]
    v1, v1beta1 = (
        json.loads(cluster.kubectl("get", f"poddnats.{version}.alibabacloud.com", "web", "--output=json"))
        for version in ("v1", "v1beta1")
    )
    assert v1beta1 == {**v1, "apiVersion": "alibabacloud.com/v1beta1"}


def test_typo_is_told_on_the_pod_and_correcting_it_heals(cluster: Cluster) -> None:
    cluster.create_pod("web", {POD_DNAT: "true", PORTS: "http"})
    wait_until(lambda: STATUS in cluster.annotations("web"), 15, "the pod to be told")
    assert cluster.annotations("web")[STATUS].startswith("InvalidAnnotation: ")
    wait_until(lambda: "InvalidAnnotation" in cluster.kubectl("describe", "pod", "web"), 10, "the event")
    assert cluster.poddnats() == []
    assert cluster.entries() == []
    cluster.kubectl("annotate", "pod", "web", "--overwrite", f"{PORTS}=80")
    assert len(cluster.wait_ready("web")["status"]["entries"]) == 1


@over_the_stand_in
def test_lasting_trouble_is_one_event_however_often_the_pod_is_synced(cluster: Cluster) -> None:
    def sync_once_more(number: int) -> None:
        before = cluster.server.pod_syncs()
        cluster.kubectl("annotate", "pod", "web", "--overwrite", f"touched={number}")
        wait_until(lambda: cluster.server.pod_syncs() > before, 10, "another sync")

    cluster.create_pod("web", {**EXPOSE_80, PORTS: "1-600"})
    wait_until(lambda: cluster.annotations("web").get(STATUS, "").startswith("NoFreePorts"), 15, "the pod to be told")
    sync_once_more(1)
    sync_once_more(2)
    cluster.server.kill()
    cluster.server.start()
    cluster.server.wait_ready()
    sync_once_more(3)
    events = cluster.api.list(cluster.api.resource("v1", "events"), cluster.namespace)["items"]
    told = [(event["reason"], event["count"]) for event in events if event["source"].get("component") == "poddnat"]
    assert told == [("NoFreePorts", 1)]


@over_the_stand_in
def test_typo_made_later_takes_the_ports_away(cluster: Cluster) -> None:
    cluster.create_pod("web", EXPOSE_80)
    cluster.wait_ready("web")
    cluster.kubectl("annotate", "pod", "web", "--overwrite", f"{PORTS}=eighty")
    cluster.wait_clear()
    assert cluster.annotations("web")[STATUS].startswith("InvalidAnnotation: ")
    assert RESULT not in cluster.annotations("web")


def test_removing_the_annotations_takes_ports_and_results_away(cluster: Cluster) -> None:
    cluster.create_pod("web", EXPOSE_80)
    cluster.wait_ready("web")
    cluster.kubectl("annotate", "pod", "web", f"{POD_DNAT}-", f"{PORTS}-")
    cluster.wait_clear()
    wait_until(lambda: not {STATUS, RESULT} & set(cluster.annotations("web")), 10, "the results to go")


def test_false_takes_ports_and_results_away_and_true_brings_them_back(cluster: Cluster) -> None:
    cluster.create_pod("web", EXPOSE_80)
    cluster.wait_ready("web")
    cluster.kubectl("annotate", "pod", "web", "--overwrite", f"{POD_DNAT}=false")
    cluster.wait_clear()
    wait_until(lambda: not {STATUS, RESULT} & set(cluster.annotations("web")), 10, "the results to go")
    cluster.kubectl("annotate", "pod", "web", "--overwrite", f"{POD_DNAT}=true")
    assert len(cluster.wait_ready("web")["status"]["entries"]) == 1


@pytest.mark.parametrize("manifest", [BY_HAND, WITHOUT_SPEC], ids=["no-pod", "no-spec"])
def test_poddnat_written_by_hand_exposes_nothing_and_can_be_deleted(cluster: Cluster, manifest: str) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=manifest)
    wait_until(lambda: "status" in (cluster.poddnat("by-hand") or {}), 15, "the PodDNAT to be judged")
    *_, shown_ready, shown_reason, _ = cluster.kubectl("get", "pdnat", "by-hand", "--output=wide").split()
    assert (shown_ready, shown_reason) == ("False", "NotAdopted")
    assert cluster.entries() == []
    cluster.kubectl("delete", "pdnat", "by-hand", "--timeout=15s")


def test_server_killed_while_pods_get_their_ports_loses_and_doubles_nothing(cluster: Cluster) -> None:
    cluster.emulator.set_settle(GATEWAY, 0.5)
    for number in range(6):
        cluster.create_pod(f"web-{number}", EXPOSE_80)
    wait_until(cluster.entries, 15, "the first entry")
    cluster.server.kill()
    cluster.server.start()
    poddnats = cluster.wait_all_ready(6)
    told = {entry["forwardEntryId"] for poddnat in poddnats for entry in poddnat["status"]["entries"]}
    assert {entry.id for entry in cluster.entries()} == told
    assert len(told) == 6


@over_the_stand_in
def test_server_that_comes_back_clears_what_went_while_it_was_away(cluster: Cluster) -> None:
    cluster.create_pod("web-1", EXPOSE_80)
    cluster.create_pod("web-2", EXPOSE_80)
    cluster.wait_all_ready(2)
    cluster.server.kill()
    cluster.kubectl("delete", "pod", "web-1", "--timeout=15s")
    cluster.server.start()
    wait_until(lambda: len(cluster.entries()) == 1 == len(cluster.poddnats()), 20, "web-1's entry to go")
    (entry,) = cluster.entries()
    assert cluster.wait_ready("web-2")["status"]["entries"][0]["forwardEntryId"] == entry.id


@over_the_stand_in
def test_server_has_nothing_to_complain_about_in_a_pods_life_and_ends_cleanly(cluster: Cluster) -> None:
    cluster.create_pod("web", EXPOSE_80)
    cluster.wait_ready("web")
    cluster.kubectl("delete", "pod", "web", "--timeout=15s")
    cluster.wait_clear()
    assert cluster.server.terminate() == 0
    assert {json.loads(line)["level"] for line in cluster.server.log().splitlines()} == {"info"}


def test_pods_replaced_during_an_outage_have_their_ports_soon_after_it(cluster: Cluster) -> None:
    names = [f"web-{number}" for number in range(4)]
    for name in names:
        cluster.create_pod(name, EXPOSE_80)
    cluster.wait_all_ready(4)
    cluster.server.kill()
    for name in names[:3]:
        cluster.kubectl("delete", "pod", name, "--timeout=15s")
        cluster.create_pod(name, EXPOSE_80)
    cluster.create_pod("new", EXPOSE_80)
    cluster.kubectl("annotate", "pod", "web-3", f"{POD_DNAT}-")
    for beat in range(30):  # Each write of a pod has its hook called, which fails, and adds to the back-off.
        for name in names[:3]:
            cluster.kubectl("annotate", "pod", name, "--overwrite", f"example.com/beat={beat}")
    cluster.server.start()
    cluster.server.wait_ready()
    back = time.monotonic()

    def shown() -> bool:
        told = [cluster.annotations(name).get(STATUS) for name in (*names[:3], "new")]
        return told == ["Ready"] * 4 and STATUS not in cluster.annotations("web-3")

    wait_until(shown, 60, "all to have their ports")
    seconds = time.monotonic() - back
    print(f"after an outage: all pods had their ports {seconds:.1f} s after the server was ready")  # noqa: T201
    assert seconds < 15
    assert len(cluster.entries()) == 4
    marks = [key for name in (*names, "new") for key in cluster.annotations(name) if key.endswith("/nudged-at")]
    assert marks == []


@pytest.mark.timeout(180)
def test_pods_replaced_while_the_way_to_the_hooks_is_barred_have_their_ports_soon_after_it(
    installed: ControlPlane, metacontroller: Runner, namespace: str, kubelet: Kubelet, tmp_path: Path
) -> None:
    assert kubelet
    wires: list[Wire] = []

    @contextmanager
    def way(url: str) -> Iterator[str]:
        there = urlsplit(url)
        with Wire(lambda: (str(there.hostname), there.port or 80)) as wire:
            wires.append(wire)
            yield f"http://127.0.0.1:{wire.port}"

    with world.running(installed, metacontroller, namespace, tmp_path, way=way) as cluster:
        names = [f"web-{number}" for number in range(4)]
        for name in names:
            cluster.create_pod(name, EXPOSE_80)
        cluster.wait_all_ready(4)
        time.sleep(CALLED_AT_ONCE + 1)
        (wire,) = wires
        wire.bar()
        barred = time.monotonic()
        for name in names:
            cluster.kubectl("delete", "pod", name, "--timeout=15s")
            cluster.create_pod(name, EXPOSE_80)
        for beat in range(10):  # Each write of a pod has its hook called, which fails, and adds to the back-off.
            for name in names:
                cluster.kubectl("annotate", "pod", name, "--overwrite", f"example.com/beat={beat}")
        time.sleep(max(0.0, BARRED - (time.monotonic() - barred)))
        assert {cluster.annotations(name).get(STATUS) for name in names} == {None}
        wire.mend()
        back = time.monotonic()
        wait_until(
            lambda: [cluster.annotations(name).get(STATUS) for name in names] == ["Ready"] * 4, 90, "their ports"
        )
        seconds = time.monotonic() - back
        print(f"barred for {BARRED} s: all pods had their ports {seconds:.1f} s after it")  # noqa: T201
        assert seconds < CUT_OFF_TRY + REMIND_AFTER + 5
        assert len(cluster.entries()) == 4
