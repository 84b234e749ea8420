"""What Metacontroller does with answers, as tests that run over it and over the stand-in alike.

Each takes a `Play`: a hook whose answers the test sets, controllers that call it, one pod in a namespace of its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metacontroller_standin.apply import DECORATOR
from metacontroller_standin.manifests import point_at
from metacontroller_standin.waiting import wait_until
from tests.unit.standin.hook_server import HookServer, Reply
from tests.unit.standin.scenario import GROUP, SWITCH, manifests

if TYPE_CHECKING:
    from collections.abc import Callable

    from metacontroller_standin.api import Api

Json = dict[str, Any]

POD = "pod"
PROBE = "harness.example.com/probe"


@dataclass
class Play:
    """The stage for one behaviour."""

    api: Api
    namespace: str
    apply: Callable[[list[Json]], None]
    stop: Callable[[], None]
    replies: dict[str, Callable[[Json], Reply]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.hook = HookServer(self._reply)
        self.pods = self.api.resource("v1", "pods")
        self.poddnats = self.api.resource(f"{GROUP}/v1", "poddnats")
        self.events = self.api.resource("v1", "events")

    def _reply(self, path: str, body: Json) -> Reply:
        return self.replies[path](body) if path in self.replies else Reply({"finalized": body["finalizing"]})

    def run(self, behaviour: Callable[[Play], None]) -> None:
        with self.hook:
            self.apply(point_at(manifests(), self.hook.url))
            try:
                behaviour(self)
            finally:
                self.stop()

    def start_pod(self, **annotations: str) -> Json:
        """Create the pod; it stays without an address."""
        metadata = {"name": POD, "namespace": self.namespace, "annotations": {SWITCH: "", **annotations}}
        spec = {"containers": [{"name": "main", "image": "nginx"}]}
        return self.api.create(self.pods, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def annotate(self, **annotations: str | None) -> None:
        self.api.patch(self.pods, POD, {"metadata": {"annotations": annotations}}, self.namespace)

    def start_poddnat(self, spec: Json) -> Json:
        """Create the PodDNAT by hand."""
        body = {"apiVersion": f"{GROUP}/v1", "kind": "PodDNAT", "spec": spec}
        return self.api.create(self.poddnats, {**body, "metadata": {"name": POD, "namespace": self.namespace}})

    def poddnat(self) -> Json:
        return self.api.get(self.poddnats, POD, self.namespace)

    def has_poddnat(self) -> bool:
        return self.api.exists(self.poddnats, POD, self.namespace)

    def settle(self) -> None:
        """Wait until a sync that began now has been answered, and one after it."""
        for number in range(2):
            probe = str(time.monotonic_ns() + number)
            self.annotate(**{PROBE: probe})
            wait_until(lambda probe=probe: self._was_seen(probe), 15, "the hook to see a change")  # type: ignore[misc]

    def _was_seen(self, probe: str) -> bool:
        pods = (body["object"] for body in self.hook.seen("/sync-pod"))
        return any(pod["metadata"]["annotations"].get(PROBE) == probe for pod in pods)

    def sync_errors(self) -> list[str]:
        listed = self.api.list(self.events, self.namespace)["items"]
        return [event["message"] for event in listed if event["reason"] == "SyncError"]


def child(spec: Json, **metadata: Any) -> Json:
    """Build an attachment."""
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "PodDNAT",
        "metadata": {"name": POD, **metadata},
        "spec": spec,
    }


def first(count: int, reply: Reply, then: Reply) -> Callable[[Json], Reply]:
    """Answer so many times with one reply, afterwards with another."""
    left = [count]

    def answer(_body: Json) -> Reply:
        left[0] -= 1
        return reply if left[0] >= 0 else then

    return answer


def a_fraction_as_retry_after_counts_as_zero(play: Play) -> None:
    later = Reply({}, 429, {"Retry-After": "5.5"})
    play.replies["/sync-poddnat"] = first(3, later, Reply({"status": {"done": True}}))
    play.start_poddnat({})
    wait_until(lambda: play.poddnat().get("status", {}).get("done"), 4, "four calls within 4 s")
    assert len(play.hook.seen("/sync-poddnat")) >= 4
    assert not play.sync_errors()


def an_integer_as_retry_after_is_waited_for(play: Play) -> None:
    times: list[float] = []
    replies = first(1, Reply({}, 429, {"Retry-After": "2"}), Reply({"annotations": {"done": "yes"}}))

    def answer(body: Json) -> Reply:
        times.append(time.monotonic())
        return replies(body)

    play.replies["/sync-pod"] = answer
    play.start_pod()
    wait_until(lambda: len(times) >= 2, 15, "the second call")
    assert 1.9 < times[1] - times[0] < 4
    assert not play.sync_errors()


def an_error_becomes_an_event_with_the_answers_body(play: Play) -> None:
    play.replies["/sync-pod"] = first(2, Reply({"reason": "boom"}, 500), Reply({"annotations": {"done": "yes"}}))
    play.start_pod()
    wait_until(play.sync_errors, 15, "an event")
    (message,) = set(play.sync_errors())
    failure = 'unsupported status code: 500 body: {"reason": "boom"}'
    assert message == f"Sync error: sync hook failed (version=v1): {failure}"
    pod = "the pod to be annotated after all"
    wait_until(lambda: play.api.get(play.pods, POD, play.namespace)["metadata"]["annotations"].get("done"), 15, pod)


def an_annotation_that_is_not_a_string_is_an_error(play: Play) -> None:
    play.replies["/sync-pod"] = first(1, Reply({"annotations": {"number": 1}}), Reply({}))
    play.start_pod()
    wait_until(play.sync_errors, 15, "an event")
    assert "sync hook failed (version=v1): can't unmarshal webhookResponse" in play.sync_errors()[0]


def an_attachment_is_merged_in_place(play: Play) -> None:
    def answer(body: Json) -> Reply:
        new = "second" in body["object"]["metadata"]["annotations"]
        spec = {"kept": 1, "list": [3]} if new else {"kept": 1, "dropped": 2, "list": [1, 2]}
        return Reply({"attachments": [child(spec)]})

    play.replies["/sync-pod"] = answer
    play.start_pod()
    wait_until(play.has_poddnat, 15, "the attachment")
    theirs = {"metadata": {"labels": {"their": "label"}}, "spec": {"theirs": True}}
    play.api.patch(play.poddnats, POD, theirs, play.namespace)
    play.annotate(second="yes")
    wait_until(lambda: play.poddnat()["spec"].get("list") == [3], 15, "the attachment's update")
    after = play.poddnat()
    assert after["spec"] == {"kept": 1, "list": [3], "theirs": True}
    assert after["metadata"]["labels"] == {"their": "label"}
    assert after["metadata"]["generation"] == 3


def the_same_answer_writes_nothing(play: Play) -> None:
    play.replies["/sync-pod"] = lambda _: Reply(
        {"attachments": [child({"a": [{"name": "x"}]})], "annotations": {"k": "v"}}
    )
    play.replies["/sync-poddnat"] = lambda _: Reply({"status": {"conditions": []}})
    play.start_pod()
    wait_until(lambda: play.has_poddnat() and play.poddnat().get("status"), 15, "the status")
    play.settle()
    before = play.poddnat()["metadata"]["resourceVersion"]
    play.settle()
    assert play.poddnat()["metadata"]["resourceVersion"] == before


def an_attachment_left_out_is_deleted(play: Play) -> None:
    def answer(body: Json) -> Reply:
        wanted = "without" not in body["object"]["metadata"]["annotations"]
        return Reply({"attachments": [child({})] if wanted else []})

    play.replies["/sync-pod"] = answer
    play.start_pod()
    wait_until(play.has_poddnat, 15, "the attachment")
    play.annotate(without="yes")
    wait_until(lambda: not play.has_poddnat(), 15, "the attachment to go")


def somebody_elses_object_of_the_same_name_stays_theirs(play: Play) -> None:
    play.start_poddnat({"theirs": True})
    play.replies["/sync-pod"] = lambda _: Reply({"attachments": [child({"ours": True})]})
    play.start_pod()
    play.settle()
    found = play.poddnat()
    assert found["spec"] == {"theirs": True}
    assert "ownerReferences" not in found["metadata"]
    assert DECORATOR not in found["metadata"].get("annotations", {})
    assert not play.sync_errors()


def a_status_is_replaced_whole(play: Play) -> None:
    play.replies["/sync-poddnat"] = first(
        1, Reply({"status": {"first": 1}, "resyncAfterSeconds": 0.5}), Reply({"status": {"second": 2}})
    )
    play.start_poddnat({})
    wait_until(lambda: "second" in play.poddnat().get("status", {}), 15, "the second status")
    assert play.poddnat()["status"] == {"second": 2, "observedGeneration": 1}


def finalize_may_be_put_off(play: Play) -> None:
    play.replies["/finalize-poddnat"] = first(2, Reply({}, 429, {"Retry-After": "1"}), Reply({"finalized": True}))
    play.start_poddnat({})
    wait_until(lambda: play.poddnat()["metadata"].get("finalizers"), 15, "the finalizer")
    play.api.delete(play.poddnats, POD, play.namespace)
    wait_until(lambda: not play.has_poddnat(), 15, "the object to go")
    assert all(body["finalizing"] for body in play.hook.seen("/finalize-poddnat"))
    assert len(play.hook.seen("/finalize-poddnat")) >= 3
    assert not play.sync_errors()


BEHAVIOURS = (
    a_fraction_as_retry_after_counts_as_zero,
    an_integer_as_retry_after_is_waited_for,
    an_error_becomes_an_event_with_the_answers_body,
    an_annotation_that_is_not_a_string_is_an_error,
    an_attachment_is_merged_in_place,
    the_same_answer_writes_nothing,
    an_attachment_left_out_is_deleted,
    somebody_elses_object_of_the_same_name_stays_theirs,
    a_status_is_replaced_whole,
    finalize_may_be_put_off,
)
