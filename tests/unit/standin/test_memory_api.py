"""The in-memory API as the official client sees it."""

from __future__ import annotations

import datetime as dt
import threading
from typing import TYPE_CHECKING, Any

import kubernetes
import pytest
from kubernetes.client import ApiException

from metacontroller_standin.api import ApiError
from metacontroller_standin.kinds import ServedKind
from metacontroller_standin.waiting import wait_until
from tests.unit.standin.scenario import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metacontroller_standin.api import Api
    from metacontroller_standin.memory_api import MemoryApi

Json = dict[str, Any]

# Its types say of every field that it may be missing; what tests read is there or fails them.
client: Any = kubernetes.client
watch: Any = kubernetes.watch


@pytest.fixture
def official(memory: MemoryApi) -> Iterator[Any]:
    configuration = client.Configuration()
    configuration.host = memory.url
    with client.ApiClient(configuration) as made:
        yield made


def pod(name: str = "pod", **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "main", "image": "nginx"}], **spec},
    }


def poddnat(name: str = "one", **metadata: Any) -> Json:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "PodDNAT",
        "metadata": {"name": name, "namespace": "default", **metadata},
        "spec": {"a": 1},
    }


def create(api: Api, obj: Json) -> Json:
    return api.create(api.resource_of(obj), obj)


def test_typed_objects_pass_the_clients_validation(official: Any) -> None:
    core = client.CoreV1Api(official)
    made = core.create_namespaced_pod("default", pod())
    assert made.status.phase == "Pending"
    assert made.metadata.creation_timestamp.tzinfo is not None
    patched = core.patch_namespaced_pod("pod", "default", {"metadata": {"annotations": {"a": "b"}}})
    assert patched.metadata.annotations == {"a": "b"}
    assert [item.metadata.name for item in core.list_pod_for_all_namespaces().items] == ["pod"]
    assert core.delete_namespaced_pod("pod", "default").metadata.name == "pod"
    with pytest.raises(ApiException) as caught:
        core.read_namespaced_pod("pod", "default")
    assert caught.value.status == 404


def test_a_lease_is_taken_by_the_first_who_writes(official: Any) -> None:
    leases = client.CoordinationV1Api(official)
    spec = client.V1LeaseSpec(holder_identity="one", renew_time=dt.datetime.now(dt.UTC))
    body = client.V1Lease(metadata=client.V1ObjectMeta(name="lease"), spec=spec)
    lease = leases.create_namespaced_lease("default", body)
    lease.spec.holder_identity = "two"
    assert leases.replace_namespaced_lease("lease", "default", lease).spec.holder_identity == "two"
    with pytest.raises(ApiException) as caught:
        leases.replace_namespaced_lease("lease", "default", lease)
    assert caught.value.status == 409
    assert '"reason":"Conflict"' in str(caught.value.body)


def test_custom_objects_are_served_under_every_version(official: Any) -> None:
    custom = client.CustomObjectsApi(official)
    custom.create_namespaced_custom_object(GROUP, "v1", "default", "poddnats", poddnat())
    found = custom.get_namespaced_custom_object(GROUP, "v1beta1", "default", "poddnats", "one")
    assert found["apiVersion"] == f"{GROUP}/v1beta1"
    listed = custom.list_cluster_custom_object(GROUP, "v1beta1", "poddnats")
    assert listed["items"] == [found]


def test_a_watch_tells_what_happens(official: Any, api: Api) -> None:
    custom = client.CustomObjectsApi(official)
    stream = watch.Watch()
    seen: list[tuple[str, str]] = []

    def follow() -> None:
        for event in stream.stream(custom.list_cluster_custom_object, GROUP, "v1", "poddnats", timeout_seconds=20):
            seen.append((event["type"], event["object"]["metadata"]["name"]))
            if event["type"] == "DELETED":
                stream.stop()

    create(api, poddnat())
    thread = threading.Thread(target=follow)
    thread.start()
    wait_until(lambda: seen, 5, "the first event")
    resource = api.resource(f"{GROUP}/v1", "poddnats")
    api.patch(resource, "one", {"spec": {"a": 2}}, "default")
    api.delete(resource, "one", "default")
    thread.join(10)
    assert seen == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]


def test_a_watch_with_a_selector_sees_objects_come_and_go(official: Any, api: Api) -> None:
    core = client.CoreV1Api(official)
    before = core.list_pod_for_all_namespaces().metadata.resource_version
    create(api, pod())
    pods = api.resource("v1", "pods")
    for value in ("yes", "yes again", None):
        api.patch(pods, "pod", {"metadata": {"labels": {"a": value, "b": value and "x"}}}, "default")
    stream = watch.Watch().stream(
        core.list_pod_for_all_namespaces, resource_version=before, label_selector="b=x", timeout_seconds=1
    )
    assert [event["type"] for event in stream] == ["ADDED", "MODIFIED", "DELETED"]


def test_status_and_the_rest_are_written_apart(api: Api) -> None:
    resource = api.resource(f"{GROUP}/v1", "poddnats")
    made = create(api, {**poddnat(), "status": {"ignored": True}})
    assert "status" not in made
    written = api.update_status(resource, {**made, "spec": {"a": 9}, "status": {"s": 1}})
    assert (written["spec"], written["status"], written["metadata"]["generation"]) == ({"a": 1}, {"s": 1}, 1)
    updated = api.update(resource, {**written, "spec": {"a": 2}, "status": {"s": 2}})
    assert (updated["spec"], updated["status"], updated["metadata"]["generation"]) == ({"a": 2}, {"s": 1}, 2)
    assert api.update(resource, updated) == updated, "nothing changed, so no new version"
    with pytest.raises(ApiError) as caught:
        api.update(resource, written)
    assert caught.value.conflict


def test_finalizers_hold_a_deleted_object(api: Api) -> None:
    resource = api.resource(f"{GROUP}/v1", "poddnats")
    create(api, poddnat(finalizers=["a/b"]))
    deleted = api.delete(resource, "one", "default")
    assert deleted["metadata"]["deletionTimestamp"]
    assert deleted["metadata"]["generation"] == 2
    with pytest.raises(ApiError, match="no new finalizers"):
        api.patch(resource, "one", {"metadata": {"finalizers": ["a/b", "c/d"]}}, "default")
    api.patch(resource, "one", {"metadata": {"finalizers": None}}, "default")
    assert not api.exists(resource, "one", "default")


def test_a_pod_on_a_node_waits_for_its_kubelet(api: Api) -> None:
    pods = api.resource("v1", "pods")
    create(api, pod(nodeName="node"))
    api.delete(pods, "pod", "default")
    terminating = api.get(pods, "pod", "default")["metadata"]
    assert terminating["deletionGracePeriodSeconds"] == 30
    api.delete(pods, "pod", "default", grace_period=0)
    assert not api.exists(pods, "pod", "default")


def test_a_deletion_may_insist_on_a_uid(api: Api) -> None:
    resource = api.resource(f"{GROUP}/v1", "poddnats")
    made = create(api, poddnat())
    with pytest.raises(ApiError) as caught:
        api.delete(resource, "one", "default", uid="another")
    assert caught.value.conflict
    api.delete(resource, "one", "default", uid=made["metadata"]["uid"])
    assert not api.exists(resource, "one", "default")


def test_what_lost_its_last_owner_is_collected(api: Api) -> None:
    pods, resource = api.resource("v1", "pods"), api.resource(f"{GROUP}/v1", "poddnats")
    owners = [create(api, pod(name)) for name in ("first", "second")]
    references = [
        {"apiVersion": "v1", "kind": "Pod", "name": one["metadata"]["name"], "uid": one["metadata"]["uid"]}
        for one in owners
    ]
    create(api, poddnat("both", ownerReferences=references))
    create(api, poddnat("one", ownerReferences=references[:1]))
    create(api, poddnat("none"))
    api.delete(pods, "first", "default")
    wait_until(lambda: not api.exists(resource, "one", "default"), 5, "the collection")
    left = references[1:]
    wait_until(lambda: api.get(resource, "both", "default")["metadata"]["ownerReferences"] == left, 5, "one to go")
    api.delete(pods, "second", "default")
    wait_until(lambda: not api.exists(resource, "both", "default"), 5, "the collection")
    assert api.exists(resource, "none", "default")


def test_an_object_with_an_owner_that_never_was_is_collected(api: Api) -> None:
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "ghost", "uid": "ghost"}
    create(api, poddnat(ownerReferences=[reference]))
    resource = api.resource(f"{GROUP}/v1", "poddnats")
    wait_until(lambda: not api.exists(resource, "one", "default"), 5, "the collection")


def test_generated_names_are_new_and_taken_names_are_refused(api: Api) -> None:
    generated = {**pod(), "metadata": {"generateName": "a-", "namespace": "default"}}
    names = {create(api, generated)["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20
    with pytest.raises(ApiError) as caught:
        create(api, pod(names.pop()))
    assert caught.value.already_exists


def test_lists_are_narrowed_by_labels_and_fields(api: Api) -> None:
    pods = api.resource("v1", "pods")
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "green")):
        created = pod(name)
        created["metadata"]["labels"] = {"colour": colour}
        create(api, created)

    def names(**selectors: str) -> list[str]:
        return [item["metadata"]["name"] for item in api.list(pods, **selectors)["items"]]

    assert names(labelSelector="colour in (red, blue),colour!=red") == ["b"]
    assert names(labelSelector="!colour") == []
    assert names(fieldSelector="metadata.name=c,metadata.namespace=default") == ["c"]


def test_a_list_is_given_in_pages_of_the_size_asked_for(official: Any, api: Api) -> None:
    for name in ("b", "a", "a-b", "c", "d"):
        api.create(api.resource("v1", "pods"), pod(name))
    core = client.CoreV1Api(official)
    pages, token = [], None
    while True:
        page = core.list_pod_for_all_namespaces(limit=2, _continue=token)
        pages.append([item.metadata.name for item in page.items])
        token = page.metadata._continue
        if not token:
            break
    assert pages == [["a", "a-b"], ["b", "c"], ["d"]]


def test_a_page_goes_on_in_its_namespace_behind_what_is_gone_by_then(official: Any, api: Api) -> None:
    for namespace, name in (("one", "z"), ("two", "a"), ("two", "b"), ("two", "c"), ("two-b", "a")):
        api.create(api.resource("v1", "pods"), {**pod(name), "metadata": {"name": name, "namespace": namespace}})
    core = client.CoreV1Api(official)
    first = core.list_namespaced_pod("two", limit=1)
    for name in ("a", "b"):
        api.delete(api.resource("v1", "pods"), name, "two")
    rest = core.list_namespaced_pod("two", limit=2, _continue=first.metadata._continue)
    assert [item.metadata.name for item in (*first.items, *rest.items)] == ["a", "c"]
    assert rest.metadata._continue is None


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        pytest.param("GET", "/apis/no.such.group/v1/things", 404, id="unknown group"),
        pytest.param("GET", "/api/v1/namespaces/default/pods/none", 404, id="unknown object"),
        pytest.param("POST", "/api/v1/namespaces/default/pods/some", 405, id="create with a name"),
        pytest.param("POST", "/api/v1/namespaces/default/pods", 422, id="create without a name"),
        pytest.param("PUT", "/api/v1/namespaces/default/events/e/status", 404, id="no such subresource"),
        pytest.param("GET", "/nowhere", 404, id="not a path of the API"),
    ],
)
def test_errors_are_status_objects(api: Api, method: str, path: str, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        api.call(method, path, {})
    assert caught.value.code == code
    assert caught.value.reason


def test_discovery_tells_scope_and_status(memory: MemoryApi, api: Api) -> None:
    memory.register(ServedKind("example.com", ("v1",), "rooms", "Room", namespaced=False, has_status=False))
    rooms = api.resource("example.com/v1", "rooms")
    assert (rooms.kind, rooms.namespaced, rooms.has_status) == ("Room", False, False)
    assert api.resource(f"{GROUP}/v1", "poddnats").has_status
    assert api.ready()


def test_a_history_that_was_cut_is_told(memory: MemoryApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metacontroller_standin.memory_store.EVENTS_KEPT", 10)
    kind = ServedKind("example.com", ("v1",), "rooms", "Room")
    store = memory.store
    for number in range(30):
        store.create(kind, "default", {"metadata": {"name": f"r{number}"}})
    recent = store.changes_since(kind, store.revision - 2)
    assert [change.after["metadata"]["name"] for change in recent if change.after] == ["r28", "r29"]
    with pytest.raises(Exception, match="too old resource version"):
        store.changes_since(kind, 3)
