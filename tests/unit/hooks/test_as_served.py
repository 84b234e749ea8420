"""Objects as an API server serves them, and as laxer definitions of their kinds have let them be stored."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.hooks.test_validation import HOOKS, request_about
from tests.unit.hooks.world import EIP, EXPOSE_80, GATEWAY, POD_IP, STATUS, World, answer, condition, running

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
Place = tuple[str | int, ...]

CONDITION = "poddnat.alibabacloud.com/ready"
ALWAYS_THERE = {"metadata", "spec", "name", "namespace", "uid", "apiVersion", "kind", "annotations", "resourceVersion"}
"""What an API server never leaves out or serves as null, and the annotations, which say what a request is about."""
NUMBERS = itertools.count(1)

# The world's threads draw random numbers too, which hypothesis takes for its strategies' doing.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
HASTY = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with running() as world:
        yield world


def places(content: Any, place: Place = ()) -> list[Place]:
    """List where in an object something is that may be unset."""
    if place[-1:] == ("annotations",):
        return []  # Texts, whatever they are called.
    children = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    found = [] if not place or place[-1] in ALWAYS_THERE or isinstance(place[-1], int) else [place]
    return found + [deeper for key, value in children for deeper in places(value, (*place, key))]


def unset(content: Json, which: list[Place], value: object) -> Json:
    """Copy an object with null, or an unknown field, in some places."""
    result = copy.deepcopy(content)
    for place in which:
        target: Any = result
        for key in place[:-1]:
            target = target[int(key)] if isinstance(target, list) else (target or {}).get(key)
        if isinstance(target, dict):
            target[place[-1] if value is None else f"{place[-1]}Unknown"] = value
    return result


@pytest.mark.parametrize("name", HOOKS)
@HASTY
@given(data=st.data())
def test_nulls_and_unknown_fields_are_heard_as_what_is_not_there(shared: World, name: str, data: st.DataObject) -> None:
    body = request_about(shared, name)
    for part in ("object", "parent"):
        if part in body:
            some = st.lists(st.sampled_from(places(body[part])), max_size=8)
            body[part] = unset(unset(body[part], data.draw(some), None), data.draw(some), data.draw(JSON))
    response = shared.client.post(HOOKS[name], json=body)
    assert response.status_code in (200, 429), response.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99_999) | st.sampled_from(["", "tcp", "512", "512/600", "x" * 200]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "protocol", "type"]), inner),
    max_leaves=6,
)


def somehow(*names: str, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Make objects with these fields and any values, or something else altogether."""
    fields = dict.fromkeys(names, JSON) | {name: JSON | part for name, part in parts.items()}
    return st.fixed_dictionaries({}, optional=fields)


SPECS = somehow(
    *("tableId", "externalIP", "internalIP", "protocol", "eni", "vswitch", "zoneID", "entryId", "externalPort"),
    portMapping=st.lists(somehow("externalPort", "internalPort", "protocol"), max_size=3),
)
STATUSES = somehow(
    *("ports", "created", "observedGeneration"),
    entries=st.lists(
        somehow("externalIP", "externalPort", "forwardEntryId", "internalIP", "internalPort", "ipProtocol"), max_size=2
    ),
    conditions=st.lists(
        somehow("status", "reason", "message", "lastTransitionTime", type=st.just("Ready")), max_size=2
    ),
)


@HASTY
@given(spec=SPECS, status=STATUSES)
def test_poddnat_stored_in_whatever_form_is_told_what_is_wrong_and_can_be_deleted(
    shared: World, spec: Json, status: Json
) -> None:
    made = shared.make_poddnat(spec, name=f"odd-{next(NUMBERS)}")
    shared.api.patch(shared.poddnats, made["metadata"]["name"], {"status": status}, "default", "status")
    reported = answer(lambda: shared.sync_poddnat({**made, "status": status}))
    assert condition(reported)[0] == "False"
    assert answer(lambda: shared.finalize(made))["finalized"]


@pytest.mark.parametrize("field", ["externalIP", "externalPort", "forwardEntryId", "internalIP", "ipProtocol"])
def test_poddnat_stored_with_an_entry_that_the_crd_refuses_can_be_deleted(shared: World, field: str) -> None:
    made = shared.make_poddnat({}, name=f"odd-{next(NUMBERS)}")
    status = {"entries": [{field: "x" * 200}, {"ipProtocol": "tcp"}], "ports": "x" * 70_000}
    shared.api.patch(shared.poddnats, made["metadata"]["name"], {"status": status}, "default", "status")
    finalized = answer(lambda: shared.finalize(made))
    assert finalized["finalized"]
    assert finalized["status"] == {"entries": [{"ipProtocol": "tcp"}]}


@HASTY
@given(spec=SPECS, status=STATUSES)
def test_pod_that_ends_is_answered_whatever_form_its_poddnat_has(shared: World, spec: Json, status: Json) -> None:
    pod = shared.make_pod(EXPOSE_80, name=f"ending-{next(NUMBERS)}")
    pod["metadata"]["deletionTimestamp"] = "2026-11-23T19:01:13Z"
    poddnat = shared.make_poddnat(spec, owner=pod, name=pod["metadata"]["name"]) | {"status": status}
    assert shared.sync_pod(pod, poddnat).status_code == 200


@HASTY
@given(spec=SPECS, status=STATUSES, metadata=somehow("annotations", "labels", "finalizers", "ownerReferences"))
def test_pod_that_lives_is_answered_whatever_form_its_poddnat_has(
    shared: World, spec: Json, status: Json, metadata: Any
) -> None:
    pod = shared.make_pod(EXPOSE_80, name=f"living-{next(NUMBERS)}")
    poddnat = shared.make_poddnat(spec, owner=pod, name=pod["metadata"]["name"]) | {"status": status}
    if isinstance(metadata, dict):
        poddnat["metadata"] = {**poddnat["metadata"], **dict.fromkeys(metadata)}
    assert shared.sync_pod(pod, poddnat).status_code in (200, 429)


def test_condition_of_another_controller_without_a_time_keeps_no_pod_from_its_ports() -> None:
    with running() as world:
        world.make_pod(EXPOSE_80, readinessGates=[{"conditionType": CONDITION}])
        patch = {"status": {"conditions": [{"type": "InPlaceUpdateReady", "status": "True"}]}}
        pod = world.api.patch(world.api.resource("v1", "pods"), "web-1", patch, "default", "status")
        assert pod["status"]["conditions"][0]["lastTransitionTime"] is None
        assert world.attachment(pod)["spec"]["externalIP"] == EIP


def test_poddnat_with_unused_fields_of_another_definition_is_what_its_pod_asks_for() -> None:
    with running() as world:
        pod = world.make_pod(EXPOSE_80)
        spec = {**world.attachment(pod)["spec"], "externalPort": "", "entryId": None, "internalPort": "80", "more": 1}
        poddnat = world.make_poddnat(spec, owner=pod)
        status = answer(lambda: world.sync_poddnat(poddnat))["status"]
        poddnat = world.set_status(poddnat, {**status, "created": None, "more": 1})
        assert answer(lambda: world.sync_pod(pod, poddnat))["annotations"][STATUS] == "Ready"
        assert [entry.internal_ip for entry in world.entries()] == [POD_IP]
        assert poddnat["spec"]["tableId"] == GATEWAY


@pytest.mark.parametrize("field", ["zoneID", "vswitch", "eni"])
def test_poddnat_with_a_longer_text_than_the_crd_takes_serves_its_pod(shared: World, field: str) -> None:
    pod = shared.make_pod(EXPOSE_80, name=f"long-{next(NUMBERS)}", ip=POD_IP)
    spec = {**shared.attachment(pod)["spec"], field: "x" * 300}
    poddnat = shared.make_poddnat(spec, owner=pod, name=pod["metadata"]["name"])
    assert len(shared.attachment(pod, poddnat)["spec"].get(field, "")) <= 64
