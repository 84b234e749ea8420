"""Simulations that have nothing to show, or too much."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from metacontroller_standin.api import ApiError
from metacontroller_standin.waiting import wait_until
from poddnat.cli.commands import app
from poddnat.cli.local_cluster import LocalCluster
from poddnat.cli.manifests import read_manifests
from poddnat.cli.simulate import Simulation, world_of
from poddnat.config import load
from poddnat.files import MANIFESTS
from vpc_emulator import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLES = MANIFESTS / "examples"
SPEC = {"containers": [{"name": "room", "image": "room"}]}


def simulate(folder: Path, **spec: Any) -> Result:
    """Simulate the example Deployment with some of its spec changed."""
    deployment = yaml.safe_load((EXAMPLES / "deployment.yaml").read_text(encoding="utf-8"))
    deployment["spec"].update(spec)
    path = folder / "deployment.yaml"
    path.write_text(yaml.safe_dump(deployment))
    return CliRunner().invoke(app, ["simulate", "-f", str(path), "--values", str(EXAMPLES / "values.yaml")])


def test_pods_that_ask_for_nothing_are_told_where_the_annotation_belongs(tmp_path: Path) -> None:
    pod = {"metadata": {"labels": {"app": "lobby"}}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}}
    result = simulate(tmp_path, template=pod)
    assert result.exit_code == 1
    assert "No pod asks for a public port" in result.output
    assert "spec.template.metadata" in result.output


def test_template_that_is_a_list_is_refused_in_a_sentence(tmp_path: Path) -> None:
    result = simulate(tmp_path, template=["metadata", "spec"])
    assert result.exit_code == 2
    assert "Deployment lobby whose spec.template is a list, not a mapping of keys to values" in result.output


def test_more_pods_than_the_simulated_network_has_room_for_are_refused(tmp_path: Path) -> None:
    result = simulate(tmp_path, replicas=2001)
    assert result.exit_code == 2
    assert result.output.count("2001 pods") == 1
    assert "2000" in result.output


@pytest.mark.parametrize(("replicas", "shown"), [("3", "'3'"), (-1, "-1"), (1.5, "1.5"), (True, "true")], ids=repr)
def test_replicas_that_are_no_number_are_refused_in_a_sentence(tmp_path: Path, replicas: object, shown: str) -> None:
    result = simulate(tmp_path, replicas=replicas)
    assert result.exit_code == 2
    assert f"spec.replicas is {shown}" in result.output


EIPS = st.lists(st.sampled_from(["203.0.113.10", "198.51.100.1", "198.51.100.2", "198.18.0.1"]))
POOLS = st.lists(st.tuples(st.sampled_from(["ngw-a", "ngw-b", "ngw-c"]), EIPS), min_size=1, max_size=5)


def values_with(path: Path, *pool: tuple[str, list[str]]) -> Path:
    """Write a values file with these gateways and EIPs, and ports that don't overlap."""
    content = yaml.safe_load((EXAMPLES / "values.yaml").read_text(encoding="utf-8"))
    content["networkController"]["natGwPool"] = [
        {
            "natgwId": gateway_id,
            "zoneId": "cn-hangzhou-j",
            "portRangeStart": 100 * index + 100,
            "portRangeEnd": 100 * index + 199,
            "eips": eips,
        }
        for index, (gateway_id, eips) in enumerate(pool)
    ]
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def eips_by_gateway(world: World) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {gateway_id: [] for gateway_id in world.nat_gateways}
    for eip in world.eips.values():
        found[eip.gateway].append(eip.address)
    return found


@settings(max_examples=25)  # Each world has thousands of pod addresses.
@given(POOLS)
def test_every_pool_makes_a_cloud_with_its_gateways_and_eips(
    tmp_path_factory: pytest.TempPathFactory, pool: list[tuple[str, list[str]]]
) -> None:
    values = load(values_with(tmp_path_factory.getbasetemp() / "values.yaml", *pool))
    found = eips_by_gateway(world_of(values))
    listed = {eip for _, eips in pool for eip in eips}
    assert set(found) == set(values.gateway_ids)
    assert listed <= {eip for eips in found.values() for eip in eips}
    for gateway_id, eips in found.items():
        its = {eip for one, listed in pool if one == gateway_id for eip in listed}
        assert set(eips) <= its if its else len(eips) == 2


def test_eip_that_is_listed_for_two_gateways_is_on_the_first_one(tmp_path: Path) -> None:
    path = values_with(tmp_path / "values.yaml", ("ngw-a", ["203.0.113.10"]), ("ngw-b", ["203.0.113.10"]))
    assert eips_by_gateway(world_of(load(path))) == {"ngw-a": ["203.0.113.10"], "ngw-b": []}


def test_made_up_addresses_pass_over_those_that_are_listed(tmp_path: Path) -> None:
    path = values_with(tmp_path / "values.yaml", ("ngw-a", []), ("ngw-b", ["198.51.100.1"]))
    assert eips_by_gateway(world_of(load(path))) == {
        "ngw-a": ["198.51.100.2", "198.51.100.3"],
        "ngw-b": ["198.51.100.1"],
    }


def test_very_many_gateways_without_eips_have_two_each(tmp_path: Path) -> None:
    path = values_with(tmp_path / "values.yaml", *((f"ngw-{index}", []) for index in range(130)))
    assert {len(eips) for eips in eips_by_gateway(world_of(load(path))).values()} == {2}


def test_more_gateways_than_the_simulated_network_has_room_for_are_refused(tmp_path: Path) -> None:
    path = values_with(tmp_path / "values.yaml", *((f"ngw-{index}", []) for index in range(257)))
    result = CliRunner().invoke(app, ["simulate", "-f", str(EXAMPLES / "deployment.yaml"), "--values", str(path)])
    assert result.exit_code == 2
    assert "natGwPool: 257 NAT gateways" in result.output
    assert "room for 256" in result.output


def test_what_check_config_finds_odd_in_the_values_file_is_told(tmp_path: Path) -> None:
    path = values_with(tmp_path / "values.yaml", ("ngw-a", ["203.0.113.10"]), ("ngw-b", ["203.0.113.10"]))
    result = CliRunner().invoke(
        app, ["simulate", "-f", str(EXAMPLES / "deployment.yaml"), "--values", str(path), "-o", "json"]
    )
    (note,) = json.loads(result.stdout)["notes"]
    assert "203.0.113.10 is listed for ngw-b and, in natGwPool[0], for ngw-a" in note


def test_fixed_pod_that_is_replaced_keeps_its_public_side() -> None:
    with Simulation(load(EXAMPLES / "values.yaml")) as simulation:
        simulation.run(read_manifests([EXAMPLES / "fixed.yaml"]))
        replaced = simulation.replace_one()
        assert replaced is not None
        before, after = (pod.poddnat or {} for pod in replaced)
        assert before["spec"]["internalIP"] != after["spec"]["internalIP"]
        for field in ("externalIP", "portMapping"):
            assert before["spec"][field] == after["spec"][field]
        assert simulation.clear()


KRUISE = """
apiVersion: apps.kruise.io/v1beta1
kind: StatefulSet
metadata: {name: room}
spec:
  ordinals: {start: 5}
  reserveOrdinals: ["6-8", 10]
  replicas: 3
  selector: {matchLabels: {app: room}}
  template:
    metadata:
      labels: {app: room}
      annotations:
        k8s.aliyun.com/pod-dnat: "true"
        k8s.aliyun.com/pod-dnat-expose-port: "80"
        k8s.aliyun.com/pod-dnat-fixed: "true"
        k8s.aliyun.com/pod-dnat-expose-protocal: udp
    spec: {containers: [{name: room, image: room}]}
"""


def test_pods_of_other_kinds_their_events_and_what_is_kept_are_written_for_programs(tmp_path: Path) -> None:
    path = tmp_path / "room.yaml"
    path.write_text(KRUISE)
    result = CliRunner().invoke(
        app, ["simulate", "-f", str(path), "--values", str(EXAMPLES / "values.yaml"), "-o", "json"]
    )
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert [pod["name"] for pod in told["pods"]] == ["room-11", "room-5", "room-9"]
    assert {event["reason"] for event in told["events"]} == {"AnnotationIgnored"}
    assert told["replaced"]["before"]["addresses"] == told["replaced"]["after"]["addresses"]
    assert told["clean"]


def test_two_workloads_with_a_pod_of_the_same_name_are_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "same.yaml"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "room-5"}, "spec": SPEC}
    path.write_text(f"{KRUISE}---\n{yaml.safe_dump(pod)}")
    result = CliRunner().invoke(app, ["simulate", "-f", str(path), "--values", str(EXAMPLES / "values.yaml")])
    assert result.exit_code == 2
    assert "Pod room-5 can't be created" in result.output


def test_kind_that_is_passed_over_is_named_and_the_exit_status_is_1(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    odd = {"apiVersion": "x.io/v1", "kind": "Fleet", "metadata": {"name": "f"}, "spec": {"t": {"containers": []}}}
    path.write_text(yaml.safe_dump(odd))
    result = CliRunner().invoke(app, ["simulate", "-f", str(path), "--values", str(EXAMPLES / "values.yaml")])
    assert result.exit_code == 1
    assert "Fleet f is passed over" in result.output


def test_pod_whose_main_annotation_is_misspelt_is_named_though_another_gets_its_ports(tmp_path: Path) -> None:
    path = tmp_path / "pods.yaml"
    asked = {
        "good": "k8s.aliyun.com/pod-dnat",
        "misspelt": "k8s.aliyun.com/pod-dnats",
        "typo": "k8s.aliyun.com/pod-dnt",
    }
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "annotations": {key: "true", "k8s.aliyun.com/pod-dnat-expose-port": "80"}},
            "spec": SPEC,
        }
        for name, key in asked.items()
    ]
    path.write_text(yaml.safe_dump_all(pods))
    result = CliRunner().invoke(
        app, ["simulate", "-f", str(path), "--values", str(EXAMPLES / "values.yaml"), "-o", "json"]
    )
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert [pod["name"] for pod in told["pods"]] == ["good"]
    misspelt, typo = told["passedOver"]
    assert misspelt.startswith("Pod misspelt asks for no public ports.")
    assert typo.startswith("Pod typo asks for no public ports.")
    assert "did you mean that?" in misspelt


def test_thread_of_the_cluster_that_dies_ends_the_simulation_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poddnat.cli.simulate._pod_addresses", lambda _: iter(()))  # The kubelet dies of it.
    with Simulation(load(EXAMPLES / "values.yaml")) as simulation:
        with pytest.raises(RuntimeError, match=r"the thread kubelet-[0-9] of the local cluster has died") as caught:
            simulation.run(read_manifests([EXAMPLES / "deployment.yaml"]))
        assert isinstance(caught.value.__cause__, StopIteration)


@pytest.fixture
def tried() -> Iterator[LocalCluster]:
    """Give a cluster as `try` has it."""
    values = load(EXAMPLES / "emulator.yaml")
    with LocalCluster(values, World.example(), iter(["172.16.17.10"]), workloads=True) as cluster:
        yield cluster


def test_cluster_to_try_refuses_what_would_bring_down_its_kubelet(tried: LocalCluster) -> None:
    pods = tried.api.resource("v1", "pods")
    bad = {"metadata": {"name": "bad", "namespace": "default"}, "spec": {"containers": [{"image": "room"}]}}
    with pytest.raises(ApiError, match=r'Pod "bad" is invalid: without spec\.containers\[0\]\.name; write') as caught:
        tried.api.create(pods, bad)
    assert caught.value.code == 422
    tried.api.create(pods, {"metadata": {"name": "good", "namespace": "default"}, "spec": SPEC})
    wait_until(lambda: tried.api.get(pods, "good", "default")["status"].get("podIP"), 10, "the good pod to run")
    tried.check()


def test_cluster_to_try_refuses_a_change_that_would_bring_down_a_controller(tried: LocalCluster) -> None:
    deployment = yaml.safe_load((EXAMPLES / "deployment.yaml").read_text(encoding="utf-8"))
    deployment["metadata"]["namespace"] = "default"
    deployments = tried.api.resource_of(deployment)
    tried.api.create(deployments, deployment)
    with pytest.raises(ApiError, match=r"whose spec\.replicas is 'many', not a whole number"):
        tried.api.patch(deployments, deployment["metadata"]["name"], {"spec": {"replicas": "many"}}, "default")
    tried.check()


def test_only_pods_of_the_installation_are_simulated_and_others_named(tmp_path: Path) -> None:
    example = yaml.safe_load((EXAMPLES / "values.yaml").read_text(encoding="utf-8"))
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({**example, "installation": "eu"}))
    annotations = {"k8s.aliyun.com/pod-dnat": "true", "k8s.aliyun.com/pod-dnat-expose-port": "80"}
    label = {"poddnat.alibabacloud.com/installation": "eu"}
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "annotations": annotations, **more},
            "spec": SPEC,
        }
        for name, more in (("mine", {"labels": label}), ("theirs", {}))
    ]
    path = tmp_path / "pods.yaml"
    path.write_text(yaml.safe_dump_all(pods))
    done = CliRunner().invoke(app, ["simulate", "-f", str(path), "--values", str(values), "-o", "json"])
    told = json.loads(done.stdout)
    assert [(pod["name"], pod["status"]) for pod in told["pods"]] == [("mine", "Ready")]
    (text,) = told["passedOver"]
    assert text.startswith("Pod theirs is left alone: it is for the installation without a name")
    assert (told["clean"], done.exit_code) == (True, 1)
