"""Manifests as they are in the wild: what is found in them, and what is refused with a sentence."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from poddnat.cli.manifests import Manifests, ManifestsError, count_pods, read_manifests

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]

ASKING = {"k8s.aliyun.com/pod-dnat": "true", "k8s.aliyun.com/pod-dnat-expose-port": "80"}
SPEC = {"containers": [{"name": "web", "image": "nginx"}]}
TEMPLATE = {"metadata": {"labels": {"app": "a"}, "annotations": ASKING}, "spec": SPEC}


def pod(name: object = "web", **metadata: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": ASKING, **metadata},
        "spec": SPEC,
    }


def owner(kind: str, version: str = "apps/v1", **spec: Any) -> Json:
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE, **spec}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "room"}, "spec": spec}


def annotated(key: str, *, value: object) -> Json:
    return owner("StatefulSet", template={**TEMPLATE, "metadata": {"annotations": {**ASKING, key: value}}})


def read(folder: Path, *documents: object) -> Manifests:
    path = folder / "manifests.yaml"
    path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return read_manifests([path])


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        pytest.param(
            annotated("k8s.aliyun.com/pod-dnat-fixed", value=True), 'is true, a boolean to YAML; write "true"', id="1"
        ),
        pytest.param(
            annotated("k8s.aliyun.com/pod-dnat-expose-port", value=80), 'is 80, no text to YAML; write "80"', id="2"
        ),
        pytest.param(annotated("a", value=[80, 443]), 'a is a list; write one text, in quotes: "80,443"', id="list"),
        pytest.param(annotated("a", value={"b": 1}), "a is a mapping; write a text", id="mapping"),
        pytest.param(pod(annotations=["a=b"]), "metadata.annotations is a list; write keys and values", id="of list"),
        pytest.param(pod(name=123), 'metadata.name is 123, no text to YAML; write "123"', id="name"),
        pytest.param({**pod(), "spec": {"restartPolicy": "Never"}}, "without spec.containers", id="containers"),
        pytest.param(owner("Deployment", "extensions/v1beta1"), "write apiVersion: apps/v1", id="old version"),
        pytest.param({**pod(), "metadata": {}}, "without metadata.name", id="no name"),
        pytest.param(owner("StatefulSet", ordinals={"start": -1}), "spec.ordinals.start is -1", id="start"),
        pytest.param({"a": 1}, "is no object of Kubernetes: it has no kind", id="values file"),
    ],
)
def test_what_an_api_server_would_refuse_is_named_with_its_field(tmp_path: Path, manifest: Json, told: str) -> None:
    with pytest.raises(ManifestsError) as caught:
        read(tmp_path, manifest)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("manifest", "pods"),
    [
        (owner("StatefulSet", "apps.kruise.io/v1beta1", replicas=2), 2),
        (owner("ReplicaSet", replicas=3), 3),
        (owner("DaemonSet"), 1),
        (owner("Job", "batch/v1", parallelism=2), 2),
        (
            owner("CronJob", "batch/v1", template=None, jobTemplate={"spec": {"template": TEMPLATE, "parallelism": 4}}),
            4,
        ),
        (owner("StatefulSet", replicas=None), 1),
        (pod(generateName="web-", name=None), 1),
    ],
    ids=lambda value: str(value["kind"]) if isinstance(value, dict) else None,
)
def test_every_kind_with_pods_of_kubernetes_is_simulated(tmp_path: Path, manifest: Json, pods: int) -> None:
    (found,) = read(tmp_path, manifest).workloads
    assert count_pods(found) == pods


def test_kind_of_others_with_a_pod_template_is_passed_over_by_name(tmp_path: Path) -> None:
    odd = {"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": "gs"}}
    found = read(tmp_path, {**odd, "spec": {"gameServerTemplate": {"spec": SPEC}}}, pod())
    assert [text.partition(":")[0] for text in found.passed_over] == ["GameServerSet gs is passed over"]
    assert len(found.workloads) == 1


def test_kinds_without_pods_are_of_no_interest(tmp_path: Path) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
    assert read(tmp_path, service, pod()).passed_over == []


def test_lists_are_taken_apart_and_namespaces_told_apart(tmp_path: Path) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "games", "labels": {"public": "true"}}}
    several = {"apiVersion": "v1", "kind": "List", "items": [pod("a"), owner("Deployment"), namespace]}
    found = read(tmp_path, several, {"apiVersion": "v1", "kind": "PodList", "items": [pod("b")]}, pod("c"), None)
    assert [item["metadata"]["name"] for item in found.workloads] == ["a", "room", "b", "c"]
    assert found.namespaces == [namespace]


def test_object_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestsError, match="Pod web is there twice; keep one"):
        read(tmp_path, pod(), pod())
    assert len(read(tmp_path, pod(), pod(namespace="games")).workloads) == 2


def test_workload_without_replicas_is_noted(tmp_path: Path) -> None:
    assert read(tmp_path, owner("StatefulSet", replicas=0)).notes == [
        "StatefulSet room has no pods: spec.replicas is 0."
    ]


def test_folder_and_standard_input_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(tmp_path, pod("a"))
    (tmp_path / "notes.txt").write_text("no: manifest")
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump(pod("b"))))
    found = read_manifests([tmp_path, tmp_path.__class__("-")])
    assert [item["metadata"]["name"] for item in found.workloads] == ["a", "b"]


def test_folder_without_manifests_is_told(tmp_path: Path) -> None:
    with pytest.raises(ManifestsError, match=r"has no file that ends in \.yaml"):
        read_manifests([tmp_path])


def test_octal_port_and_doubled_key_are_named_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "pod.yaml"
    path.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  name: web\n  annotations:\n"
        "    k8s.aliyun.com/pod-dnat-expose-port: 0777\nspec: {containers: [{name: web}]}\n"
    )
    with pytest.raises(ManifestsError) as caught:
        read_manifests([path])
    assert "metadata.name: given 2 times, in lines 4 and 5" in str(caught.value)
    assert "0777 in line 7 is 511 to YAML" in str(caught.value)
