"""Which PodDNATs the drift detector has synced at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from poddnat.api import UNNAMED
from poddnat.controllers import Cluster, ControllersListener, DriftDetector
from poddnat.kube import KubeError

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

    def __init__(self) -> None:
        self.active = True
        self.resynced: list[str] = []
        gateway = SimpleNamespace(gateway_id="ngw-1", entries=list, is_busy_with=lambda _uid: False)
        poddnats = SimpleNamespace(all=lambda: [poddnat(name) for name in NAMES])
        pods = SimpleNamespace(is_alive=lambda _uid: True)
        self.drift = DriftDetector(
            Cluster(*cast("tuple[Any, Any, Any]", (SimpleNamespace(trigger_pod_resync=be_away), poddnats, pods))),
            cast("Any", SimpleNamespace(get=lambda _gateway_id: gateway)),
            self,
            resync=lambda uids: self.resynced.extend(uid.removeprefix("uid-of-") for uid in uids),
            may_write=lambda: self.active,
        )


def be_away(*_: str) -> bool:
    raise KubeError("no answer")


def test_poddnats_whose_entries_have_gone_are_synced_once() -> None:
    around = Around()
    around.drift.check("ngw-1")
    around.drift.check("ngw-1")
    assert around.resynced == NAMES


def test_misplaced_poddnats_are_synced() -> None:
    around = Around()
    around.drift.resync_misplaced(lambda found: found["metadata"]["name"] != NAMES[1])
    assert around.resynced == [NAMES[0], NAMES[2]]


def test_standby_has_nothing_synced() -> None:
    around = Around()
    around.active = False
    around.drift.check("ngw-1")
    around.drift.resync_misplaced(lambda _poddnat: True)
    assert around.resynced == []


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
    around = Around()
    changed = poddnat(NAMES[0])
    around.drift.seen(
        {**changed, "metadata": changed["metadata"] | before}, changed | {"metadata": changed["metadata"] | after}
    )
    assert around.resynced == (NAMES[:1] if resynced else [])


def test_poddnat_seen_first_is_left_to_its_hook() -> None:
    around = Around()
    around.drift.seen(None, poddnat(NAMES[0]))
    assert around.resynced == []


def test_api_server_that_is_away_when_owners_change_ends_nothing() -> None:
    around = Around()
    changed = poddnat(NAMES[0])
    owner = {"kind": "Pod", "uid": "a", "controller": True, "apiVersion": "v1", "name": "web-1"}
    owned = {**changed, "metadata": changed["metadata"] | {"ownerReferences": [owner]}}
    around.drift.seen(owned, changed)
    assert around.resynced == NAMES[:1]


def test_poddnat_of_acks_controller_is_left_alone_whoever_owns_it() -> None:
    around = Around()
    owned = poddnat(NAMES[0])
    owned["metadata"] |= {"annotations": {}, "ownerReferences": [{"kind": "Pod", "uid": "a"}]}
    around.drift.seen(owned, {**owned, "metadata": {**owned["metadata"], "ownerReferences": []}})
    assert around.resynced == []
