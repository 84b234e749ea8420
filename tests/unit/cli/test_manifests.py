"""Manifests as they are in the wild: what is found in them, and what is refused with a sentence."""

from __future__ import annotations

import copy
import io
import itertools
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from metacontroller_standin.api import Api
from metacontroller_standin.kubelet import Kubelet
from metacontroller_standin.memory_api import MemoryApi
from metacontroller_standin.waiting import wait_until
from metacontroller_standin.workloads import create
from poddnat.cli.manifests import Manifests, ManifestsError, count_pods, read_manifests
from poddnat.cli.simulate import EXTRA_KINDS
from poddnat.files import schema_validator

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]
POD_DNATS = "PodDNAT.alibabacloud.com/v1"

ASKING = {"k8s.aliyun.com/pod-dnat": "true", "k8s.aliyun.com/pod-dnat-expose-port": "80"}
SPEC: Json = {"containers": [{"name": "web", "image": "nginx"}]}
JOBS = {"metadata": {"annotations": ASKING}, "spec": {**SPEC, "restartPolicy": "Never"}}
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


def job(template: Json = JOBS, **spec: Any) -> Json:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": {"template": template, **spec}}


def cron_job(template: Json = JOBS, **spec: Any) -> Json:
    nested = {"jobTemplate": {"spec": {"template": template, **spec}}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "x"}, "spec": nested}


def pod_with(**spec: Any) -> Json:
    return {**pod(), "spec": {**SPEC, **spec}}


def labelled(**labels: str) -> Json:
    return {**TEMPLATE, "metadata": {"labels": labels, "annotations": ASKING}}


def annotated(key: str, *, value: object) -> Json:
    metadata = {"labels": {"app": "a"}, "annotations": {**ASKING, key: value}}
    return owner("StatefulSet", template={**TEMPLATE, "metadata": metadata})


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
        pytest.param(pod(annotations=["a=b"]), "annotations is a list, not a mapping of keys to values", id="of list"),
        pytest.param(pod(name=123), 'metadata.name is 123, no text to YAML; write "123"', id="name"),
        pytest.param({**pod(), "spec": {"restartPolicy": "Never"}}, "without spec.containers", id="containers"),
        pytest.param(owner("Deployment", "extensions/v1beta1"), "write apiVersion: apps/v1", id="old version"),
        pytest.param({**pod(), "metadata": {}}, "without metadata.name", id="no name"),
        pytest.param(owner("StatefulSet", ordinals={"start": -1}), "spec.ordinals.start is -1", id="start"),
        pytest.param(
            owner("StatefulSet", reserveOrdinals=["a"]),
            "spec.reserveOrdinals[0] is 'a'; write a number from 0 on, or a text such as \"3-5\"",
            id="reserved",
        ),
        pytest.param(
            owner("StatefulSet", reserveOrdinals=[True]),
            "spec.reserveOrdinals[0] is true; write a number",
            id="odd one",
        ),
        pytest.param(owner("Deployment", replicas=1.0), "spec.replicas is 1.0, not a whole number", id="fraction"),
        pytest.param(owner("Deployment", selector={"matchLabels": "w"}), "spec.selector.matchLabels is 'w'", id="text"),
        pytest.param(owner("Deployment", selector=None), "without spec.selector; write the key matchLabels", id="none"),
        pytest.param(owner("Deployment", selector={"matchLabels": {}}), "spec.selector selects nothing", id="empty"),
        pytest.param(
            owner("DaemonSet", template=labelled(app="b")),
            "spec.selector doesn't fit the labels in spec.template.metadata.labels (app: b); write the same in both",
            id="selector",
        ),
        pytest.param(
            owner("ReplicaSet", template=labelled(app="a b")), "labels.app is 'a b'; write at most", id="label"
        ),
        pytest.param(pod("Web_1"), "metadata.name is 'Web_1'; write at most 253 lower-case letters", id="letters"),
        pytest.param(pod(namespace="a.b"), "metadata.namespace is 'a.b'; write at most 63 lower-case", id="namespace"),
        pytest.param(pod(annotations={"a b": "c"}), "metadata.annotations has the key 'a b'; write", id="key"),
        pytest.param(pod(annotations={1: "c"}), "metadata.annotations has the key 1; write", id="number as key"),
        pytest.param(pod(ownerReferences=["a"]), "metadata.ownerReferences[0] is 'a', not a mapping", id="owner"),
        pytest.param(pod_with(containers=["x"]), "spec.containers[0] is 'x', not a mapping", id="container as text"),
        pytest.param(pod_with(containers=[{"image": "x"}]), "without spec.containers[0].name; write", id="no name in"),
        pytest.param(
            pod_with(containers=[{"name": "x"}]), "without spec.containers[0].image; write an image", id="image"
        ),
        pytest.param(
            pod_with(containers=2 * SPEC["containers"]),
            "spec.containers[1].name is 'web', which another container has; give each its own",
            id="container twice",
        ),
        pytest.param(pod_with(hostNetwork="true"), "spec.hostNetwork is 'true', neither true nor false", id="boolean"),
        pytest.param(pod_with(readinessGates=[{}]), "without spec.readinessGates[0].conditionType", id="gate"),
        pytest.param(job(TEMPLATE), "without spec.template.spec.restartPolicy; write OnFailure or Never", id="job"),
        pytest.param(
            owner("StatefulSet", template=JOBS), "spec.restartPolicy is 'Never'; write Always", id="restartPolicy"
        ),
        pytest.param({**pod(), "apiVersion": True}, "whose apiVersion is true: no API server has that", id="version"),
        pytest.param({**pod(), "apiVersion": ["v1"]}, "whose apiVersion is a list: no API server", id="versions"),
        pytest.param(
            {"kind": "Namespace", "metadata": {"name": "a"}}, "without apiVersion; write apiVersion: v1", id="ns"
        ),
        pytest.param({**pod(), "kind": ""}, "is no object of Kubernetes: it has no kind", id="empty kind"),
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
        (job(parallelism=2), 2),
        (cron_job(parallelism=4), 4),
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
    ((port,),) = [[line for line in str(caught.value).splitlines() if "expose-port" in line]]
    assert 'is 0777 in line 7, 511 to YAML; write "777", in quotes, or "511" if that is meant' in port


def test_octal_number_of_a_list_is_told_of_its_own_object(tmp_path: Path) -> None:
    several = {"apiVersion": "v1", "kind": "List", "items": [pod("a"), pod("b", annotations={"zip": 4242})]}
    path = tmp_path / "list.yaml"
    path.write_text(yaml.safe_dump(several).replace("4242", "0420"), encoding="utf-8")
    with pytest.raises(
        ManifestsError, match=r"Pod b whose metadata\.annotations\.zip is 0420 in line [0-9]+, 272 to YAML"
    ):
        read_manifests([path])


def test_octal_number_where_a_number_belongs_is_taken_as_an_api_server_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "pod.yaml"
    content = pod_with(volumes=[{"name": "a", "secret": {"secretName": "a", "defaultMode": 4242}}])
    path.write_text(yaml.safe_dump(content).replace("4242", "0440"), encoding="utf-8")
    (found,) = read_manifests([path]).workloads
    assert found["spec"]["volumes"][0]["secret"]["defaultMode"] == 0o440


def test_dates_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "pod.yaml"
    path.write_text(yaml.safe_dump(pod(annotations={"a": "DAY"})).replace("DAY", "2026-11-26"), encoding="utf-8")
    (found,) = read_manifests([path]).workloads
    assert found["metadata"]["annotations"] == {"a": "2026-11-26"}


def test_answer_of_a_pod_that_is_copied_from_a_cluster_is_left_out(tmp_path: Path) -> None:
    told = {**ASKING, "k8s.aliyun.com/pod-dnat-status": "Ready", "k8s.aliyun.com/pod-dnat-result": "[]"}
    template = {"metadata": {"labels": {"app": "a"}, "annotations": told}, "spec": SPEC}
    one, several = read(tmp_path, pod(annotations=told), owner("StatefulSet", template=template)).workloads
    assert one["metadata"]["annotations"] == several["spec"]["template"]["metadata"]["annotations"] == ASKING


def test_cron_job_without_pods_is_noted(tmp_path: Path) -> None:
    assert read(tmp_path, cron_job(parallelism=0)).notes == [
        "CronJob x has no pods: spec.jobTemplate.spec.parallelism is 0."
    ]


VALID = [
    pod(ownerReferences=[], finalizers=[], namespace="games"),
    pod_with(hostNetwork=False, readinessGates=[{"conditionType": "a/b"}], nodeName="a"),
    owner("Deployment", selector={"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]}),
    owner("StatefulSet", replicas=2, ordinals={"start": 1}, reserveOrdinals=[2, "4-5"], serviceName="a"),
    owner("DaemonSet"),
    job(parallelism=2),
    cron_job(parallelism=2),
]
ODD = st.sampled_from([None, True, 0, -1, 1.0, "", "x", "X_", [], ["a"], {}, {"a": 1}, {"a": "b"}])


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, part in parts for found in ((*above, key), *places(part, (*above, key)))]


@given(st.data())
def test_every_manifest_is_refused_in_sentences_or_makes_pods_that_hooks_and_kubelets_can_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    manifest = copy.deepcopy(data.draw(st.sampled_from(VALID)))
    *above, key = data.draw(st.sampled_from(places(manifest)))
    target: Any = manifest
    for part in above:
        target = target[part]
    target[key] = data.draw(ODD)
    try:
        found = read(tmp_path_factory.getbasetemp(), manifest)
    except ManifestsError:
        return
    with MemoryApi() as memory, Api(memory.url) as api:
        for kind in EXTRA_KINDS:
            memory.register(kind)
        for workload in found.workloads:
            assert len(create(api, workload)) == count_pods(workload)
        with Kubelet(api, itertools.repeat("172.16.1.7")):
            pods = api.resource("v1", "pods")

            def running() -> bool:
                return all(one["status"].get("podIP") for one in api.list(pods)["items"])

            wait_until(running, 10, "all pods to run")
        for one in api.list(pods)["items"]:
            assert (
                list(
                    schema_validator("pod-sync-request.json").iter_errors(
                        {"object": one, "attachments": {POD_DNATS: {}}}
                    )
                )
                == []
            )
