"""Validation of the hooks' requests: what is let in, and how everything else is answered."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from poddnat.files import schema_validator
from tests.unit.hooks.world import FINALIZER, POD_DNATS, World, answer, running

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

RECORDINGS = Path(__file__).parents[2] / "recordings"
HOOKS = {
    "pod-sync-no-ip": "/pod/sync",
    "pod-sync-running-no-poddnat": "/pod/sync",
    "pod-sync-with-poddnat": "/pod/sync",
    "pod-sync-terminating": "/pod/sync",
    "pod-optout": "/pod/opt-out",
    "poddnat-sync": "/poddnat/sync",
    "poddnat-finalize": "/poddnat/finalize",
}
ONE_OF_EACH = ["pod-sync-with-poddnat", "pod-optout", "poddnat-sync", "poddnat-finalize"]
PATHS = sorted(set(HOOKS.values()))


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    """A world for all tests that send requests about objects that exist."""
    with running() as world:
        yield world


@pytest.fixture(scope="module")
def untouched() -> Iterator[World]:
    """A world for all bad requests: as there is no object in it, nobody but the hooks could write anything."""
    with running() as world:
        yield world


def recording(name: str) -> Json:
    """Read a request as Metacontroller sent it."""
    content: Json = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def request_about(world: World, name: str) -> Json:
    """Read a request as Metacontroller sent it, about objects that the API server has."""
    body = recording(name)
    if "object" in body:
        pod = body["object"]
        pod["metadata"] |= {"name": name, "namespace": "default"}
        pod["metadata"]["uid"] = _made(world, "v1", "pods", pod)["metadata"]["uid"]
    for poddnat in [body["parent"]] if "parent" in body else body["attachments"].get(POD_DNATS, {}).values():
        poddnat["metadata"] |= {"name": name, "namespace": "default"}
        made = _made(world, "alibabacloud.com/v1", "poddnats", poddnat)
        if body["finalizing"]:
            world.api.delete(world.poddnats, name, "default")
        poddnat["metadata"]["uid"] = made["metadata"]["uid"]
        if "attachments" in body:
            body["attachments"] = {POD_DNATS: {name: poddnat}}
    return body


def _made(world: World, api_version: str, plural: str, manifest: Json) -> Json:
    resource = world.api.resource(api_version, plural)
    metadata = {**manifest["metadata"], "finalizers": [FINALIZER]}
    for key in ("uid", "resourceVersion", "ownerReferences", "deletionTimestamp"):
        metadata.pop(key, None)
    if not world.api.exists(resource, metadata["name"], "default"):
        world.api.create(resource, {**manifest, "metadata": metadata})
    return world.api.get(resource, metadata["name"], "default")


def test_every_recording_has_its_hook() -> None:
    assert {path.stem for path in RECORDINGS.glob("*.json")} == set(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_what_metacontroller_sends_is_answered_as_the_schema_says(shared: World, name: str) -> None:
    path = HOOKS[name]
    body = request_about(shared, name)
    content = answer(lambda: shared.client.post(path, json=body))
    validator = schema_validator(f"{path.lstrip('/').replace('/', '-')}-answer.json")
    assert list(validator.iter_errors(content)) == []


# Bad requests


def refused(untouched: World, path: str, body: bytes) -> str:
    """Send a bad request; return the reason that it is refused with, and see that nothing came of it."""
    revision, writes = untouched.memory.store.revision, untouched.cloud_writes()
    response = untouched.client.post(path, data=body, content_type="application/json")
    assert response.status_code == 400
    assert (untouched.memory.store.revision, untouched.cloud_writes()) == (revision, writes)
    return response.text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [b"", b"{", b"pod", b"\xff\xfe", b"[" * 100_000], ids=lambda body: repr(body[:5]))
def test_what_is_not_json_is_refused(untouched: World, path: str, body: bytes) -> None:
    assert refused(untouched, path, body).startswith("the request's body is not JSON: ")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [b"null", b"[]", b'"pod"', b"1"])
def test_json_that_is_no_object_is_refused(untouched: World, path: str, body: bytes) -> None:
    assert "is not of type 'object'" in refused(untouched, path, body)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_missing_key_is_named(untouched: World, name: str) -> None:
    subject = "parent" if "parent" in recording(name) else "object"
    body = recording(name)
    del body[subject]["metadata"]["uid"]
    reason = refused(untouched, HOOKS[name], json.dumps(body).encode())
    assert f"{subject}.metadata: 'uid' is a required property" in reason


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_wrong_type_is_named(untouched: World, name: str) -> None:
    subject = "parent" if "parent" in recording(name) else "object"
    body = recording(name)
    body[subject]["metadata"]["name"] = 7
    reason = refused(untouched, HOOKS[name], json.dumps(body).encode())
    assert f"{subject}.metadata.name: 7 is not of type 'string'" in reason


def test_reason_names_the_hook(untouched: World) -> None:
    reason = refused(untouched, "/pod/sync", json.dumps(recording("poddnat-sync")).encode())
    assert reason == "this is not a request for pod-sync: the whole: 'object' is a required property\n"


def test_reason_does_not_repeat_a_long_request(untouched: World) -> None:
    body = copy.deepcopy(recording("poddnat-sync"))
    body["parent"]["metadata"]["name"] = ["x" * 100_000]
    assert len(refused(untouched, "/poddnat/sync", json.dumps(body).encode())) < 400


@pytest.mark.parametrize("path", PATHS)
def test_too_large_a_request_is_refused_unread(untouched: World, path: str) -> None:
    response = untouched.client.post(path, data=b"x" * (5 * 1024 * 1024))
    assert response.status_code == 413
    assert response.text.startswith("Request Entity Too Large: ")


@pytest.mark.parametrize("path", PATHS)
def test_hooks_answer_post_only(untouched: World, path: str) -> None:
    assert untouched.client.get(path).status_code == 405


def test_unknown_path_is_not_found(untouched: World) -> None:
    assert untouched.client.post("/pod", json={}).status_code == 404


# Failures inside


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_unexpected_failure_is_reported_in_a_sentence_without_its_insides(
    shared: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("poddnat.controllers.pod.PodReconciler.sync")
    monkeypatch.delattr("poddnat.controllers.pod.PodReconciler.opt_out")
    monkeypatch.delattr("poddnat.controllers.poddnat.PodDNATReconciler.sync")
    monkeypatch.delattr("poddnat.controllers.poddnat.PodDNATReconciler.finalize")
    response = shared.client.post(HOOKS[name], json=request_about(shared, name))
    assert response.status_code == 500
    assert response.text == "poddnat failed unexpectedly; its log has the details\n"


def test_what_failed_unexpectedly_is_in_the_log(
    shared: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr("poddnat.controllers.poddnat.PodDNATReconciler.sync")
    shared.client.post("/poddnat/sync", json=request_about(shared, "poddnat-sync"))
    assert "AttributeError" in caplog.text


# Other addresses


def test_health_and_readiness_are_reported(shared: World) -> None:
    assert (shared.client.get("/healthz").status_code, shared.client.get("/readyz").status_code) == (200, 200)


def test_metrics_are_reported_as_prometheus_reads_them(shared: World) -> None:
    response = shared.client.get("/metrics")
    assert response.status_code == 200
    assert response.content_type.startswith("text/plain")
    assert "# TYPE process_cpu_seconds_total counter" in response.text


# Before all PodDNATs are known, a port in use might be given out


@pytest.fixture(scope="module")
def fresh() -> Iterator[World]:
    """A world whose service has not listed PodDNATs yet."""
    with running(started=False) as world:
        yield world


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_hooks_ask_to_be_called_again_until_poddnats_are_listed(fresh: World, name: str) -> None:
    response = fresh.client.post(HOOKS[name], json=recording(name))
    assert (response.status_code, response.headers["Retry-After"]) == (429, "1")


def test_server_is_alive_but_not_ready_until_poddnats_are_listed(fresh: World) -> None:
    assert fresh.client.get("/healthz").status_code == 200
    response = fresh.client.get("/readyz")
    assert response.status_code == 503
    assert response.text == "not ready: the PodDNATs and pods have not been listed yet\n"
