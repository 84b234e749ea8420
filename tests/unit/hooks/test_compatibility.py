"""What is stored in clusters and clouds outlives the program: what the first version wrote is read by all later ones.

`first_version.json` was recorded from the first version. Things may be added to it, never taken away.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from poddnat.api import UNNAMED, entry_ids, observed_condition, parse_spec, ready_since
from poddnat.api import annotations as keys
from poddnat.config.values import parse
from poddnat.files import MANIFESTS
from poddnat.gateway import Ownership
from poddnat.model import Ports
from tests.unit.hooks.world import GATEWAY, World, answer, restarted

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

FIRST: Json = json.loads((Path(__file__).with_name("first_version.json")).read_text(encoding="utf-8"))


def fields(schema: Json, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every field of a schema with its type; `[]` stands for the items of a list."""
    yield path, schema["type"]
    for name, inner in schema.get("properties", {}).items():
        yield from fields(inner, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")


def required(schema: Json, path: str = "") -> Iterator[str]:
    """Yield every field that objects must have."""
    yield from (f"{path}.{name}" for name in schema.get("required", []))
    for name, inner in schema.get("properties", {}).items():
        yield from required(inner, f"{path}.{name}")
    if "items" in schema:
        yield from required(schema["items"], f"{path}[]")


def crd() -> Json:
    made: Json = yaml.safe_load((MANIFESTS / "crd.yaml").read_text(encoding="utf-8"))
    return made


def versions() -> dict[str, Json]:
    return {version["name"]: version for version in crd()["spec"]["versions"] if version["served"]}


def test_crd_keeps_its_names_versions_and_stored_version() -> None:
    spec = crd()["spec"]
    assert (spec["group"], spec["scope"], spec["names"]) == (FIRST["group"], FIRST["scope"], FIRST["names"])
    assert set(versions()) >= set(FIRST["versions"])
    assert [name for name, version in versions().items() if version["storage"]] == [FIRST["stored"]]


@pytest.mark.parametrize("version", FIRST["versions"])
def test_crd_keeps_every_field_and_its_type_and_demands_no_more(version: str) -> None:
    schema = versions()[version]["schema"]["openAPIV3Schema"]
    now = dict(fields(schema))
    assert {path: now.get(path) for path in FIRST["fields"]} == FIRST["fields"]
    assert set(required(schema)) <= set(FIRST["required"])


def test_annotations_keep_their_names() -> None:
    names = (keys.POD_DNAT, keys.EXPOSE_PORT, keys.EXPOSE_PROTOCOL, keys.FIXED)
    assert [*names, keys.STATUS, keys.RESULT] == FIRST["annotations"]


def test_controllers_keep_their_names_and_so_finalizers_and_marks_on_objects() -> None:
    controllers = list(yaml.safe_load_all((MANIFESTS / "controllers.yaml").read_text(encoding="utf-8")))
    assert {f"{one['kind']} {one['metadata']['name']}" for one in controllers} >= set(FIRST["controllers"])
    (composite,) = (one["metadata"]["name"] for one in controllers if one["kind"] == "CompositeController")
    assert f"metacontroller.io/compositecontroller-{composite}" == UNNAMED.finalizer


@pytest.mark.parametrize("example", FIRST["entryNames"])
def test_forward_entries_keep_the_form_of_their_names(example: Json) -> None:
    ownership = Ownership(example["clusterID"])
    assert ownership.name_of(example["uid"]) == example["name"]
    assert ownership.owner_in(example["name"]) == example["uid"]


def test_values_file_of_the_first_version_offers_the_same_ports() -> None:
    values = parse(FIRST["values"])
    (entry,) = values.entries_of("ngw-bp1uewa15k4iy5e8dn3jr")
    assert (values.cluster_id, entry.ports) == ("c4f0a9d27b6e84c1f93d5e7a1b2c30d68", Ports.of(512, 1024))
    assert list(entry.eips or ()) == ["203.0.113.10", "203.0.113.11"]
    assert values.quota_of("ngw-bp1uewa15k4iy5e8dn3jr") is None
    assert not values.is_blocked("203.0.113.10")


def test_poddnat_of_the_first_version_is_read() -> None:
    poddnat = FIRST["podDNAT"]
    wanted = parse_spec(poddnat["spec"])
    assert (wanted.gateway_id, wanted.external_ip, wanted.internal_ip) == (GATEWAY, "203.0.113.10", "172.16.1.7")
    assert wanted.spec() == poddnat["spec"]
    condition = observed_condition(poddnat["status"])
    assert condition is not None
    assert (condition.ready, ready_since(poddnat["status"])) == (True, "2026-01-01T00:00:00Z")
    assert entry_ids(poddnat["status"]) == ("fwd-1", "fwd-2")


def test_poddnat_of_the_first_version_goes_on_without_a_write(world: World) -> None:
    pod = world.make_pod(FIRST["podAnnotations"])
    poddnat = world.make_poddnat(FIRST["podDNAT"]["spec"], owner=pod)
    name = Ownership("c-test").name_of(poddnat["metadata"]["uid"])
    status = json.loads(json.dumps(FIRST["podDNAT"]["status"]))
    for reported in status["entries"]:
        entry = world.emulator.add_entry(
            GATEWAY,
            external_ip=reported["externalIP"],
            external_port=reported["externalPort"],
            internal_ip=reported["internalIP"],
            internal_port=reported["internalPort"],
            protocol=reported["ipProtocol"],
            name=name,
        )
        reported["forwardEntryId"] = entry.id
    poddnat = world.set_status(poddnat, status)
    with restarted(world) as upgraded:
        again = answer(lambda: upgraded.sync_poddnat(poddnat))["status"]
        assert {**again, "observedGeneration": 1} == poddnat["status"]
        assert upgraded.attachment(pod, poddnat)["spec"] == poddnat["spec"]
    assert world.cloud_writes() == 0
