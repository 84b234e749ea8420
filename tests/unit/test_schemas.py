"""The JSON Schemas: they take what is real, and name the place of what is wrong."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from poddnat.api import UNNAMED, Condition, left_alone_status, releasing_status
from poddnat.files import SCHEMAS, schema_validator

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
Place = tuple[str | int, ...]

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT / "tests" / "recordings"
POD_DNATS = "PodDNAT.alibabacloud.com/v1"
STATUS = "k8s.aliyun.com/pod-dnat-status"
RESULT = "k8s.aliyun.com/pod-dnat-result"

RECORDED = {
    "pod-sync-no-ip": "pod-sync",
    "pod-sync-running-no-poddnat": "pod-sync",
    "pod-sync-with-poddnat": "pod-sync",
    "pod-sync-terminating": "pod-sync",
    "pod-optout": "pod-opt-out",
    "poddnat-sync": "poddnat-sync",
    "poddnat-finalize": "poddnat-finalize",
}


def recording(name: str) -> Json:
    content: Json = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def complaints(schema: str, content: object) -> list[str]:
    """Return where the content is wrong, and how."""
    return [f"{error.json_path}: {error.message}" for error in schema_validator(schema).iter_errors(content)]


def changed(content: Json, place: Place, value: object) -> Json:
    """Return a copy with another value in one place; Ellipsis takes it away."""
    result = copy.deepcopy(content)
    target: Any = result
    for key in place[:-1]:
        target = target[key]
    if value is ...:
        del target[place[-1]]
    else:
        target[place[-1]] = value
    return result


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.name)
def test_schema_is_a_schema_under_its_own_name(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert schema["$id"].endswith(f"/schemas/{path.name}")
    assert schema["description"]


# What Metacontroller sends


def test_every_recording_is_tried() -> None:
    assert {path.stem for path in RECORDINGS.glob("*.json")} == set(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_request_passes(name: str) -> None:
    assert complaints(f"{RECORDED[name]}-request.json", recording(name)) == []


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("pod-sync-no-ip", ("object",)),
        ("pod-sync-no-ip", ("attachments",)),
        ("pod-sync-no-ip", ("attachments", POD_DNATS)),
        ("pod-sync-no-ip", ("object", "metadata")),
        ("pod-sync-no-ip", ("object", "metadata", "name")),
        ("pod-sync-no-ip", ("object", "metadata", "namespace")),
        ("pod-sync-no-ip", ("object", "metadata", "uid")),
        ("pod-sync-no-ip", ("object", "metadata", "ownerReferences", 0, "uid")),
        ("pod-sync-no-ip", ("object", "spec")),
        ("pod-sync-with-poddnat", ("attachments", POD_DNATS, "example-775696c76d-27fqp", "metadata", "uid")),
        ("pod-optout", ("object",)),
        ("pod-optout", ("object", "metadata", "uid")),
        ("poddnat-sync", ("parent",)),
        ("poddnat-sync", ("parent", "metadata")),
        ("poddnat-sync", ("parent", "metadata", "name")),
        ("poddnat-sync", ("parent", "metadata", "namespace")),
        ("poddnat-sync", ("parent", "metadata", "uid")),
        ("poddnat-finalize", ("parent",)),
        ("poddnat-finalize", ("parent", "metadata", "uid")),
    ],
)
def test_request_without_a_field_is_refused(name: str, place: Place) -> None:
    problems = complaints(f"{RECORDED[name]}-request.json", changed(recording(name), place, ...))
    assert problems == [f"{json_path(place[:-1])}: '{place[-1]}' is a required property"]


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("pod-sync-with-poddnat", ("object",), "a pod"),
        ("pod-sync-with-poddnat", ("object", "metadata", "name"), 1),
        ("pod-sync-with-poddnat", ("object", "metadata", "annotations"), []),
        ("pod-sync-with-poddnat", ("object", "metadata", "annotations", "k8s.aliyun.com/pod-dnat"), True),
        ("pod-sync-with-poddnat", ("object", "metadata", "ownerReferences"), {}),
        ("pod-sync-with-poddnat", ("object", "metadata", "deletionTimestamp"), 0),
        ("pod-sync-with-poddnat", ("object", "spec", "hostNetwork"), "true"),
        ("pod-sync-with-poddnat", ("object", "spec", "nodeName"), 7),
        ("pod-sync-with-poddnat", ("object", "status", "podIP"), 7),
        ("pod-sync-with-poddnat", ("attachments", POD_DNATS), []),
        ("poddnat-sync", ("parent", "metadata", "uid"), None),
        ("poddnat-sync", ("parent", "metadata", "generation"), "1"),
        ("poddnat-sync", ("parent", "spec"), []),
    ],
)
def test_request_with_a_field_of_another_type_is_refused(name: str, place: Place, value: object) -> None:
    problems = complaints(f"{RECORDED[name]}-request.json", changed(recording(name), place, value))
    assert len(problems) == 1
    assert problems[0].startswith(f"{json_path(place)}: {value!r} is not of type ")


def json_path(place: Place) -> str:
    """Write a place as jsonschema does."""
    path = "$"
    for key in place:
        plain = isinstance(key, str) and key.isidentifier()
        path += f".{key}" if plain else f"[{key!r}]"
    return path


def test_poddnat_with_a_wrong_form_can_still_be_finalized() -> None:
    odd = changed(recording("poddnat-finalize"), ("parent", "spec", "portMapping", 0, "externalPort"), "a-z")
    assert complaints("poddnat-finalize-request.json", odd) == []
    bare = changed(recording("poddnat-finalize"), ("parent", "spec"), ...)
    assert complaints("poddnat-finalize-request.json", bare) == []


# What the hooks answer

SPEC = {
    "tableId": "ngw-1",
    "externalIP": "203.0.113.10",
    "internalIP": "172.16.1.127",
    "protocol": "tcp",
    "portMapping": [
        {"externalPort": "512", "internalPort": "80"},
        {"externalPort": "513/515", "internalPort": "8080/8082", "protocol": "udp"},
    ],
    "zoneID": "cn-hangzhou-j",
    "vswitch": "vsw-1",
    "eni": "eni-1",
}
ENTRY = {
    "externalIP": "203.0.113.10",
    "externalPort": "512",
    "forwardEntryId": "fwd-1",
    "internalIP": "172.16.1.127",
    "internalPort": "80",
    "ipProtocol": "tcp",
}
CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "",
    "lastTransitionTime": "2026-11-23T19:01:13Z",
}
ATTACHMENT = {
    "apiVersion": "alibabacloud.com/v1",
    "kind": "PodDNAT",
    "metadata": {"namespace": "default", "name": "example", "finalizers": [UNNAMED.finalizer]},
    "spec": SPEC,
}
ANSWERS: dict[str, Json] = {
    "pod-sync": {"annotations": {STATUS: "Ready", RESULT: None}, "attachments": [ATTACHMENT]},
    "pod-opt-out": {"annotations": {STATUS: None, RESULT: None}, "attachments": []},
    "poddnat-sync": {
        "status": {"entries": [ENTRY], "ports": "512->80/tcp", "conditions": [CONDITION]},
        "resyncAfterSeconds": 60,
    },
    "poddnat-finalize": {"status": {"observedGeneration": 1}, "finalized": True},
}


@pytest.mark.parametrize("hook", ANSWERS)
def test_answer_passes(hook: str) -> None:
    assert complaints(f"{hook}-answer.json", ANSWERS[hook]) == []


@pytest.mark.parametrize(
    ("hook", "place"),
    [
        ("pod-sync", ("attachments",)),
        ("pod-sync", ("attachments", 0, "kind")),
        ("pod-sync", ("attachments", 0, "metadata", "name")),
        ("pod-sync", ("attachments", 0, "metadata", "finalizers")),
        ("pod-sync", ("attachments", 0, "spec", "tableId")),
        ("pod-sync", ("attachments", 0, "spec", "externalIP")),
        ("pod-sync", ("attachments", 0, "spec", "internalIP")),
        ("pod-sync", ("attachments", 0, "spec", "portMapping")),
        ("pod-sync", ("attachments", 0, "spec", "portMapping", 0, "internalPort")),
        ("poddnat-sync", ("status",)),
        *(("poddnat-sync", ("status", "entries", 0, key)) for key in ENTRY),
        *(("poddnat-sync", ("status", "conditions", 0, key)) for key in CONDITION),
        ("poddnat-finalize", ("finalized",)),
    ],
)
def test_answer_without_a_field_is_refused(hook: str, place: Place) -> None:
    problems = complaints(f"{hook}-answer.json", changed(ANSWERS[hook], place, ...))
    assert problems == [f"{json_path(place[:-1])}: '{place[-1]}' is a required property"]


@pytest.mark.parametrize(
    ("hook", "place", "value"),
    [
        pytest.param("pod-sync", ("status",), {"phase": "Running"}, id="status-of-a-pod"),
        pytest.param("pod-sync", ("annotations", "other"), "value", id="annotation-of-others"),
        pytest.param("pod-sync", ("attachments", 0, "spec", "entryId"), "fwd-1", id="deprecated-field"),
        pytest.param("pod-sync", ("attachments", 0, "spec", "podUID"), "1", id="unknown-field"),
        pytest.param("pod-sync", ("attachments", 0, "spec", "portMapping"), [], id="no-ports"),
        pytest.param("pod-sync", ("attachments", 0, "spec", "portMapping", 0, "externalPort"), 512, id="number"),
        pytest.param("pod-sync", ("attachments", 0, "spec", "portMapping", 0, "externalPort"), "5-7", id="dash"),
        pytest.param("pod-sync", ("attachments", 0, "spec", "protocol"), "sctp", id="protocol"),
        pytest.param(
            "pod-sync", ("attachments", 0, "spec", "portMapping"), [SPEC["portMapping"]] * 1001, id="too-many"
        ),
        pytest.param("pod-sync", ("attachments", 0, "spec", "zoneID"), "z" * 65, id="too-long"),
        pytest.param("pod-opt-out", ("annotations", STATUS), "Ready", id="opt-out-leaves-nothing"),
        pytest.param("pod-opt-out", ("attachments",), [ATTACHMENT], id="opt-out-has-no-attachments"),
        pytest.param("poddnat-sync", ("finalized",), True, id="finalized-out-of-place"),
        pytest.param("poddnat-sync", ("children",), [{}], id="children"),
        pytest.param("poddnat-sync", ("resyncAfterSeconds",), -1, id="resync-in-the-past"),
        pytest.param("poddnat-sync", ("status", "created"), "true", id="deprecated-status"),
        pytest.param("poddnat-sync", ("status", "conditions", 0, "status"), True, id="condition-is-no-boolean"),
        pytest.param("poddnat-sync", ("status", "conditions", 0, "reason"), "Not yet", id="reason-is-one-word"),
        pytest.param("poddnat-finalize", ("finalized",), "true", id="finalized-is-a-boolean"),
    ],
)
def test_answer_with_something_wrong_is_refused(hook: str, place: Place, value: object) -> None:
    assert complaints(f"{hook}-answer.json", changed(ANSWERS[hook], place, value)) != []


@pytest.mark.parametrize("write", [left_alone_status, releasing_status])
def test_status_that_is_written_fits_the_schema_however_much_the_one_before_it_held(write: Callable[..., Json]) -> None:
    others = [
        {
            "type": f"Of{n}",
            "status": "True",
            "reason": "A",
            "message": "b",
            "lastTransitionTime": "2026-11-23T19:01:13Z",
        }
        for n in range(16)
    ]
    observed = {
        "entries": [{"forwardEntryId": "fwd-0"}],
        "conditions": others,
        "releasing": [f"fwd-{n}" for n in range(1, 4001)],
    }
    condition = Condition(ready=False, reason="NotAdopted", message="It is another's.")
    written = write(observed, condition, "2026-11-23T19:01:13Z")
    assert complaints("poddnat-sync-answer.json", {"status": written}) == []


def test_crd_and_schemas_say_the_same_of_poddnats() -> None:
    crd = yaml.safe_load((ROOT / "metacontroller" / "crd.yaml").read_text(encoding="utf-8"))
    fields = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    schema = json.loads((SCHEMAS / "poddnat.json").read_text(encoding="utf-8"))
    for part in ("spec", "status"):
        assert closed(fields[part]) == schema["$defs"][part]


def closed(node: Any) -> Any:
    """Turn a part of a CRD, which drops unknown fields, into JSON Schema, which is told to refuse them."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: closed(value) for key, value in node.items() if not key.startswith("x-kubernetes-")}
    return {**result, "additionalProperties": False} if "properties" in node and "type" in node else result


def test_hooks_read_only_fields_that_poddnats_have() -> None:
    written = json.loads((SCHEMAS / "poddnat.json").read_text(encoding="utf-8"))["$defs"]
    read = json.loads((SCHEMAS / "observed.json").read_text(encoding="utf-8"))["$defs"]["readOfPoddnats"]["properties"]
    for part in ("spec", "status"):
        assert types(read[part]) <= types(written[part])


def types(node: Json, place: str = "") -> set[tuple[str, str]]:
    """Return every field below a schema with its type."""
    found = {(place, node["type"])}
    for key, value in node.get("properties", {}).items():
        found |= types(value, f"{place}.{key}")
    return found | types(node["items"], f"{place}[]") if "items" in node else found


# The values file


def example_values() -> Json:
    path = ROOT / "metacontroller" / "examples" / "values.yaml"
    content: Json = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


GATEWAY = ("networkController", "natGwPool", 0)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param(("enableControllers",), ..., id="controllers-left-out"),
        pytest.param(("enableControllers",), ["natgw", "eip"], id="more-controllers"),
        pytest.param(("credential",), ..., id="no-credential"),
        pytest.param(("credential",), None, id="empty-credential"),
        pytest.param(("credential",), {"accessKey": "LTAI5tExample", "accessSecret": "s"}, id="key-pair"),
        pytest.param((*GATEWAY, "eips"), ..., id="all-eips"),
        pytest.param((*GATEWAY, "eips"), None, id="empty-eips"),
        pytest.param((*GATEWAY, "portRangeStart"), "512", id="digits"),
        pytest.param((*GATEWAY, "zoneId"), "ap-southeast-1a", id="zone-without-dash"),
        pytest.param(("endpoints",), {"vpc": "http://127.0.0.1:9090"}, id="other-server"),
        pytest.param(("endpoints",), {"vpc": "vpc-vpc.cn-hangzhou.aliyuncs.com"}, id="server-by-its-name"),
    ],
)
def test_values_of_this_form_pass(place: Place, value: object) -> None:
    assert complaints("values.json", changed(example_values(), place, value)) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param(("clusterID",), "", id="empty"),
        pytest.param(("clusterID",), "< cluster id >", id="placeholder-cluster"),
        pytest.param(("vpcID",), "bp1rkq0z", id="vpc-without-prefix"),
        pytest.param(("networkController", "natGwPool"), [], id="empty-pool"),
        pytest.param((*GATEWAY, "natgwId"), "< nat gateway id. >", id="placeholder-gateway"),
        pytest.param((*GATEWAY, "natgwId"), "vpc-bp1rkq0z", id="other-kind-of-id"),
        pytest.param((*GATEWAY, "zoneId"), "< nat gateway zone id. cn-hangzhou-j >", id="placeholder-zone"),
        pytest.param((*GATEWAY, "portRangeStart"), 0, id="port-zero"),
        pytest.param((*GATEWAY, "portRangeStart"), "0", id="port-zero-in-digits"),
        pytest.param((*GATEWAY, "portRangeEnd"), 65536, id="port-too-high"),
        pytest.param((*GATEWAY, "portRangeEnd"), "65536", id="port-too-high-in-digits"),
        pytest.param((*GATEWAY, "portRangeEnd"), True, id="port-is-no-boolean"),
        pytest.param((*GATEWAY, "eips", 0), "<auto config all nat gateway eips if not config. 0.0.0.0 >", id="eip"),
        pytest.param((*GATEWAY, "eips", 0), "203.0.113.256", id="eip-out-of-range"),
        pytest.param((*GATEWAY, "eips", 0), 203, id="eip-is-text"),
        pytest.param(("credential", "accessKey"), "<your key>", id="placeholder-key"),
        pytest.param(("credential", "accessSecret"), "<your secret>", id="placeholder-secret"),
        pytest.param(("endpoints",), {"vpc": "ftp://127.0.0.1:9090"}, id="another-scheme"),
    ],
)
def test_values_of_another_form_are_refused(place: Place, value: object) -> None:
    values = {"endpoints": {}, **example_values()}
    (problem,) = complaints("values.json", changed(values, place, value))
    assert problem.startswith(json_path(place))


@pytest.mark.parametrize("place", [("regionId",), ("networkController", "pool"), (*GATEWAY, "ports")])
def test_values_with_an_unknown_key_are_refused(place: Place) -> None:
    (problem,) = complaints("values.json", changed(example_values(), place, "x"))
    assert problem.startswith(f"{json_path(place[:-1])}: ")
    assert str(place[-1]) in problem
