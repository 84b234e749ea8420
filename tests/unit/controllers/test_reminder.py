"""After the hooks were away, whatever waits is asked about soon, and nothing else is written to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from kubernetes.client.exceptions import ApiException

from poddnat.api import UNNAMED
from poddnat.controllers import Cluster, Reminder
from poddnat.controllers.intervals import (
    CALLED_AT_ONCE,
    CUT_OFF_AFTER,
    CUT_OFF_TRY,
    REMIND_AFTER,
    REMIND_EVERY,
    REMIND_REPORTED_AFTER,
    SILENCE,
)
from poddnat.kube import KubeError
from vpc_emulator.clock import ManualClock

Json = dict[str, Any]

SPEC = {
    "tableId": "ngw-1",
    "externalIP": "203.0.113.10",
    "internalIP": "172.16.1.7",
    "protocol": "tcp",
    "portMapping": [{"externalPort": "512", "internalPort": "80"}],
}
STATUS = "k8s.aliyun.com/pod-dnat-status"


def pod(name: str, status: str | None = None, **annotations: str) -> Json:
    asked = {"k8s.aliyun.com/pod-dnat": "true", "k8s.aliyun.com/pod-dnat-expose-port": "80", **annotations}
    shown = {} if status is None else {STATUS: status}
    return {"metadata": {"namespace": "default", "name": name, "uid": f"pod-{name}", "annotations": asked | shown}}


def poddnat(
    name: str, reason: str | None = "Ready", *, leaving: bool = False, finalizer: str = UNNAMED.finalizer
) -> Json:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": f"pod-{name}", "controller": True}
    metadata: Json = {"namespace": "default", "name": name, "uid": f"dnat-{name}", "ownerReferences": [owner]}
    metadata |= {"generation": 1, "finalizers": [finalizer]} | (
        {"deletionTimestamp": "2026-11-01T00:00:00Z"} if leaving else {}
    )
    condition = {"type": "Ready", "status": str(reason == "Ready"), "reason": reason, "message": "."}
    condition["lastTransitionTime"] = "2026-11-01T00:00:00Z"
    status = {"observedGeneration": 1, "conditions": [condition]} if reason else {}
    return {"metadata": metadata, "spec": SPEC, "status": status}


class Around:
    """A cluster, as the reminder sees it."""

    def __init__(self, *pods: Json, poddnats: tuple[Json, ...] = ()) -> None:
        self.clock = ManualClock()
        self.active = True
        self.away = False
        self.refused: set[str] = set()
        self.pods = list(pods)
        self.reminded: list[str] = []
        self.resynced: list[str] = []
        self.reminder_is_new = True
        by_name = {item["metadata"]["name"]: item for item in poddnats}
        pods_there = SimpleNamespace(has_synced=True, all=lambda: self.pods)
        client = SimpleNamespace(trigger_resync=self.remind("dnat"), trigger_pod_resync=self.remind("pod"))
        dnats = SimpleNamespace(has_synced=True, all=lambda: poddnats, get=lambda _, name: by_name.get(name))
        self.reminder = Reminder(
            Cluster(*cast("tuple[Any, Any, Any]", (client, dnats, pods_there))),
            resync=self.resynced.extend,
            may_write=lambda: self.active,
            clock=self.clock,
        )

    def remind(self, kind: str) -> Any:
        def note(_namespace: str, name: str, _now: str) -> bool:
            if self.away:
                raise KubeError("the API server is away")
            if name in self.refused:
                raise KubeError("denied by a policy") from ApiException(status=403)
            self.reminded.append(f"{kind}-{name}")
            return True

        return note

    def look_after(self, seconds: float) -> list[str]:
        """Let so much time pass, and return what it reminds of then."""
        if self.reminder_is_new:
            self.reminder.poll()
            self.reminder_is_new = False
        self.clock.advance(seconds)
        before = len(self.reminded)
        self.reminder.poll()
        return self.reminded[before:]


def test_pods_without_a_reason_are_reminded_of_first_and_poddnats_are_synced_without_metacontroller() -> None:
    shown = pod("shown", "Ready")
    around = Around(
        pod("silent"),
        pod("refused", "NoFreePorts: no port."),
        pod("ready", "Ready"),
        pod("changed", "Ready", **{"k8s.aliyun.com/pod-dnat-expose-port": "80,81"}),
        shown,
        pod("going"),
        {"metadata": {"namespace": "default", "name": "opted-out", "uid": "pod-o", "annotations": {STATUS: "Ready"}}},
        poddnats=(
            poddnat("ready"),
            poddnat("changed"),
            poddnat("made", None),
            poddnat("waits", "QuotaExceeded"),
            poddnat("leaving", leaving=True),
            poddnat("away", "PodAway"),
        ),
    )
    around.pods[5]["metadata"]["deletionTimestamp"] = "2026-11-01T00:00:00Z"
    assert around.look_after(REMIND_AFTER - 0.1) == []
    pods = {"pod-silent", "pod-shown", "pod-changed", "pod-opted-out"}
    assert set(around.look_after(0.1)) == {*pods, "dnat-leaving"}
    assert set(around.look_after(REMIND_REPORTED_AFTER)) == {"pod-refused"}
    assert around.look_after(1000) == []
    assert around.resynced == ["dnat-made", "dnat-waits"]


def test_pod_that_asks_for_nothing_and_shows_nothing_is_never_reminded_of() -> None:
    around = Around(pod("off", **{"k8s.aliyun.com/pod-dnat": "false"}))
    assert around.look_after(1000) == []


def test_what_is_asked_about_in_time_is_left_alone() -> None:
    around = Around(pod("web-1"), pod("web-2"))
    around.reminder.poll()
    around.reminder.called("pod-web-1")
    assert around.look_after(REMIND_AFTER) == ["pod-web-2"]


def test_a_thousand_are_reminded_of_within_fifteen_seconds_a_hundred_a_second() -> None:
    around = Around(*(pod(f"web-{number}") for number in range(1000)))
    assert len(around.look_after(REMIND_AFTER)) == 50
    for _ in range(19):
        assert len(around.look_after(REMIND_EVERY)) == 50
    assert around.clock() < 15
    assert len(set(around.reminded)) == 1000


def test_standby_reminds_of_nothing_until_it_is_active() -> None:
    around = Around(pod("web-1"))
    around.active = False
    assert around.look_after(60) == []
    around.active = True
    around.reminder.poll()
    assert around.look_after(REMIND_AFTER) == ["pod-web-1"]


def test_first_call_after_a_silence_is_taken_for_the_end_of_an_outage() -> None:
    around = Around()
    around.reminder.poll()
    around.pods.append(pod("web-1"))
    around.reminder.called("other")
    assert around.look_after(SILENCE + 1) == []
    around.reminder.called("other")
    around.reminder.poll()
    assert around.look_after(REMIND_AFTER) == ["pod-web-1"]


def test_poddnat_without_a_spec_is_synced_and_not_the_pod_of_its_name() -> None:
    around = Around(poddnats=(_without_spec(poddnat("web-1", None)),))
    assert around.look_after(REMIND_AFTER) == []
    assert around.resynced == ["dnat-web-1"]


def _without_spec(item: Json) -> Json:
    return {key: part for key, part in item.items() if key != "spec"}


def test_object_that_may_not_be_written_holds_up_no_other_and_is_tried_once() -> None:
    around = Around(pod("web-1"), pod("web-2"))
    around.refused = {"web-1"}
    assert around.look_after(REMIND_AFTER) == ["pod-web-2"]
    around.refused = set()
    assert around.look_after(REMIND_AFTER) == []


def test_what_waits_is_tried_again_after_the_api_server_was_away() -> None:
    around = Around(pod("web-1"))
    around.away = True
    assert around.look_after(REMIND_AFTER) == []
    around.away = False
    assert around.look_after(0) == ["pod-web-1"]


def test_poddnat_that_another_finalizer_holds_is_not_reminded_of() -> None:
    around = Around(poddnats=(poddnat("web-1", leaving=True, finalizer="example.com/other"),))
    assert around.look_after(REMIND_AFTER) == []


def cut_off(*names: str) -> Around:
    """Begin at rest, and let pods be made of which no hook is told."""
    around = Around()
    around.look_after(CALLED_AT_ONCE + 1)
    around.pods += [pod(name) for name in names]
    around.reminder.changed()
    return around


def test_change_that_no_call_follows_has_one_object_tried_at_a_time_until_a_hook_is_called() -> None:
    around = cut_off("web-1", "web-2", "web-3")
    assert around.look_after(CUT_OFF_AFTER - 0.1) == []
    assert around.look_after(0.1) == ["pod-web-1"]
    assert around.look_after(CUT_OFF_TRY - 0.1) == []
    assert around.look_after(0.1) == ["pod-web-2"]
    around.reminder.called("pod-web-2")
    around.reminder.poll()
    assert around.look_after(REMIND_AFTER) == ["pod-web-1", "pod-web-2", "pod-web-3"]
    assert around.look_after(1000) == []


def test_first_call_after_the_way_was_barred_for_a_moment_has_what_waits_reminded_of() -> None:
    around = cut_off("web-1")
    around.clock.advance(CUT_OFF_AFTER)
    around.reminder.called("other")
    around.reminder.poll()
    assert around.look_after(REMIND_AFTER) == ["pod-web-1"]


def test_while_hooks_are_called_nothing_is_written_however_long_a_pod_waits() -> None:
    around = cut_off("web-1")
    for _ in range(100):
        around.reminder.called("other")
        around.reminder.changed()
        assert around.look_after(CUT_OFF_AFTER - 1) == []


def test_change_that_is_seen_just_after_its_call_is_not_waited_for() -> None:
    around = cut_off("web-1")
    around.reminder.called("pod-web-1")
    around.clock.advance(CALLED_AT_ONCE)
    around.reminder.changed()
    assert around.look_after(SILENCE) == []


def test_silence_in_which_nothing_waits_has_nothing_written() -> None:
    around = cut_off()
    assert around.look_after(1000) == []


def test_silence_before_this_replica_was_active_counts_for_nothing() -> None:
    around = cut_off("web-1")
    around.active = False
    assert around.look_after(1000) == []
    around.active = True
    around.reminder.poll()
    around.reminder.called("pod-web-1")
    assert around.look_after(1000) == []
