"""Which PodDNATs the drift detector has synced at once, where the API server doesn't do all of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from kubernetes.client.exceptions import ApiException

from poddnat.api import UNNAMED
from poddnat.controllers import Cluster, ControllersListener, DriftDetector
from poddnat.kube import KubeError

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]

NAMES = ["web-1", "web-2", "web-3"]


def poddnat(name: str) -> Json:
    """Write a PodDNAT whose status says that an entry works."""
    sides = {"externalIP": "203.0.113.10", "externalPort": "512", "internalIP": "172.16.1.7", "internalPort": "80"}
    return {
        "metadata": {
            "namespace": "default",
            "name": name,
            "uid": f"uid-of-{name}",
            "annotations": dict([UNNAMED.attached_by]),
        },
        "spec": {"tableId": "ngw-1"},
        "status": {"entries": [{**sides, "ipProtocol": "tcp", "forwardEntryId": f"fwd-of-{name}"}]},
    }


class Around(ControllersListener):
    """A cluster and a gateway around the detector; the gateway's table is empty, so that everything has drifted."""

    def __init__(self, on_write: Callable[[str], None]) -> None:
        self.on_write = on_write
        self.active = True
        self.asked: list[str] = []
        self.resynced: list[str] = []
        gateway = SimpleNamespace(gateway_id="ngw-1", entries=list, is_busy_with=lambda _uid: False)
        poddnats = SimpleNamespace(all=lambda: [poddnat(name) for name in NAMES])
        self.drift = DriftDetector(
            Cluster(*cast("tuple[Any, Any, Any]", (SimpleNamespace(trigger_resync=self.write), poddnats, None))),
            cast("Any", SimpleNamespace(get=lambda _gateway_id: gateway)),
            self,
            may_write=lambda: self.active,
        )

    def write(self, _namespace: str, name: str, _now: str) -> bool:
        self.asked.append(name)
        self.on_write(name)
        self.resynced.append(name)
        return True


def refuse_first(name: str) -> None:
    if name == NAMES[0]:
        raise KubeError("denied by a policy") from ApiException(status=403)


def be_away(_name: str) -> None:
    raise KubeError("no answer")


def test_poddnat_that_may_not_be_written_keeps_no_other_from_being_synced() -> None:
    around = Around(refuse_first)
    around.drift.check("ngw-1")
    assert around.resynced == NAMES[1:]
    around.drift.resync_misplaced(lambda _poddnat: True)
    assert around.resynced == NAMES[1:] * 2


def test_api_server_that_is_away_is_asked_once_about_what_has_drifted() -> None:
    around = Around(be_away)
    around.drift.check("ngw-1")
    assert around.asked == NAMES[:1]
    around.on_write = lambda _name: None
    around.drift.check("ngw-1")
    around.drift.check("ngw-1")
    assert around.resynced == NAMES


def test_process_that_is_no_longer_the_active_one_writes_no_more() -> None:
    def resign(_name: str) -> None:
        around.active = False

    around = Around(resign)
    around.drift.check("ngw-1")
    assert around.resynced == NAMES[:1]
    around.active = True
    around.drift.resync_misplaced(lambda _poddnat: True)
    assert around.resynced == NAMES[:1] * 2


@pytest.mark.parametrize(
    ("before", "after", "resynced"),
    [
        ({"ownerReferences": [{"kind": "Pod", "uid": "a"}]}, {"ownerReferences": []}, True),
        ({"ownerReferences": None}, {"ownerReferences": [{"kind": "Pod", "uid": "a"}]}, True),
        ({"finalizers": ["poddnat"]}, {}, True),
        ({}, {"finalizers": ["poddnat"]}, False),
        ({}, {"ownerReferences": [{"kind": "Namespace", "uid": "a"}]}, False),
        ({"ownerReferences": [{"kind": "Pod", "uid": "a"}]}, {"labels": {"a": "b"}}, False),
        ({"finalizers": ["a"], "generation": 1}, {"generation": 2}, False),
        ({"finalizers": ["a"]}, {"deletionTimestamp": "2026-11-23T19:01:13Z"}, False),
    ],
    ids=[
        "its pod left",
        "a pod came",
        "a finalizer left",
        "a finalizer came",
        "its namespace came",
        "its labels as well",
        "its spec as well",
        "being deleted",
    ],
)
def test_poddnat_is_synced_at_once_when_only_its_owners_or_finalizers_change(
    before: Json, after: Json, *, resynced: bool
) -> None:
    around = Around(lambda _name: None)
    changed = poddnat(NAMES[0])
    around.drift.seen(
        {**changed, "metadata": changed["metadata"] | before}, changed | {"metadata": changed["metadata"] | after}
    )
    assert around.resynced == (NAMES[:1] if resynced else [])


def test_poddnat_seen_first_is_not_written_to() -> None:
    around = Around(lambda _name: None)
    around.drift.seen(None, poddnat(NAMES[0]))
    assert around.asked == []


def test_api_server_that_is_away_when_owners_change_ends_nothing() -> None:
    around = Around(be_away)
    changed = poddnat(NAMES[0])
    owned = {**changed, "metadata": changed["metadata"] | {"ownerReferences": [{"kind": "Pod", "uid": "a"}]}}
    around.drift.seen(owned, changed)
    assert around.asked == NAMES[:1]


def test_poddnat_of_acks_controller_is_not_written_to_whoever_owns_it() -> None:
    around = Around(lambda _name: None)
    owned = poddnat(NAMES[0])
    owned["metadata"] |= {"annotations": {}, "ownerReferences": [{"kind": "Pod", "uid": "a"}]}
    around.drift.seen(owned, {**owned, "metadata": {**owned["metadata"], "ownerReferences": []}})
    assert around.asked == []
