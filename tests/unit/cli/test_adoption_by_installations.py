"""Which installation adopts a PodDNAT of ACK's controller: the one whose pod it is for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from poddnat.api import INSTALLATION, Installation
from poddnat.cli.adoption import Adoption, moves
from poddnat.cli.site import Snapshot
from poddnat.config.values import parse
from tests.unit.hooks.world import EIP, EXPOSE_80, GATEWAY, POD_IP, values

Json = dict[str, Any]

EU = Installation("eu")
VALUES = values("http://127.0.0.1:9")
OF_EU = parse({**VALUES, "installation": "eu"})
OF_UNNAMED = parse(VALUES)
SPEC = {
    "tableId": GATEWAY,
    "externalIP": EIP,
    "internalIP": POD_IP,
    "portMapping": [{"externalPort": "512", "internalPort": "80"}],
}
ACKS: Json = {
    "metadata": {"namespace": "default", "name": "web-1", "uid": "u1", "resourceVersion": "7"},
    "spec": SPEC,
}


def pod(labels: dict[str, str]) -> Json:
    metadata = {"namespace": "default", "name": "web-1", "uid": "p1", "annotations": EXPOSE_80, "labels": labels}
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Running", "podIP": POD_IP}}


def snapshot(installation: Installation) -> Snapshot:
    """Read the cluster as the commands of an installation do."""
    if installation.has(ACKS["metadata"]):
        return Snapshot((ACKS,), {}, {GATEWAY: ()})
    return Snapshot((), {}, {GATEWAY: ()}, (ACKS,))


def test_it_is_adopted_by_the_one_whose_the_pod_is() -> None:
    for labels, adopting, other in ((EU.labels, OF_EU, OF_UNNAMED), ({}, OF_UNNAMED, OF_EU)):
        found = moves(snapshot(adopting.installation), adopting, lambda *_, labels=labels: pod(labels))
        assert [move.action.value for move in found] == ["adopt"]
        assert moves(snapshot(other.installation), other, lambda *_, labels=labels: pod(labels)) == []


def test_one_without_a_pod_is_left_to_the_installation_without_a_name() -> None:
    assert [move.action.value for move in moves(snapshot(OF_UNNAMED.installation), OF_UNNAMED, lambda *_: None)]
    assert moves(snapshot(EU), OF_EU, lambda *_: None) == []


def test_adopted_one_bears_mark_and_label() -> None:
    patches: list[Json] = []

    def patch_poddnat(_namespace: str, _name: str, patch: Json) -> bool:
        patches.append(patch)
        return True

    kube = SimpleNamespace(patch_poddnat=patch_poddnat)
    site = SimpleNamespace(kube=kube, values=OF_EU, ownership=None, make_fleet=lambda _liveness: None)
    found = moves(snapshot(EU), OF_EU, lambda *_: pod(EU.labels))
    done: list[bool] = []
    Adoption(cast("Any", site)).run(found, lambda _move, succeeded: done.append(succeeded))
    assert done == [True]
    (patch,) = patches
    assert patch["metadata"]["labels"] == {INSTALLATION: "eu"}
    assert patch["metadata"]["annotations"] == dict([EU.attached_by])
