"""Two installations over one cluster and, by mistake, one pool: nothing of one is taken for the other's."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat.api import INSTALLATION, Installation
from tests.unit.hooks.world import (
    EXPOSE_80,
    POD_IP,
    STATUS,
    World,
    answer,
    beside,
    poddnat_request,
    running,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

EU = Installation("eu")


@pytest.fixture
def world() -> Iterator[World]:
    with running(refresh_interval=20) as world:  # a second of the test's
        yield world


@contextmanager
def with_eu(world: World, cluster_id: str = "c-other") -> Iterator[World]:
    with beside(world, "eu", cluster_id=cluster_id) as eu:
        yield eu


def label(world: World, pod: Json, value: str | None) -> Json:
    patched = {"metadata": {"labels": {INSTALLATION: value}}}
    return world.api.patch(world.api.resource("v1", "pods"), pod["metadata"]["name"], patched, "default")


def test_pod_of_another_gets_nothing_and_an_operator_is_told(world: World) -> None:
    pod = label(world, world.make_pod(EXPOSE_80), "eu")
    response = world.sync_pod(pod)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "30")
    assert world.warnings() == [("Pod", "WrongInstallation")]
    assert world.entries() == []


def test_finalizer_of_ours_on_anothers_poddnat_is_let_go_and_its_entries_stay(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    before = world.entries()
    with with_eu(world) as eu:
        wait_until(lambda: eu.service.poddnats.is_of_another(poddnat["metadata"]["uid"]), 5, "eu to know it")
        response = eu.client.post("/poddnat/finalize", json=poddnat_request(poddnat, finalizing=True))
        assert response.get_json()["finalized"] is True
        assert response.get_json()["status"] == poddnat["status"]
        assert eu.client.post("/poddnat/sync", json=poddnat_request(poddnat)).status_code == 429
    assert world.entries() == before


def test_own_finalizer_stays_while_somebody_has_taken_the_label_off(world: World) -> None:
    with with_eu(world) as eu:
        made = eu.attachment(label(world, world.make_pod(EXPOSE_80), "eu"))
        made["metadata"]["annotations"] = dict([EU.attached_by])
        del made["metadata"]["labels"]
        poddnat = world.api.create(world.poddnats, {**made, "metadata": {**made["metadata"], "namespace": "default"}})
        assert eu.client.post("/poddnat/finalize", json=poddnat_request(poddnat, finalizing=True)).status_code == 429
        wait_until(lambda: (world.poddnat() or {})["metadata"].get("labels") == EU.labels, 10, "the label")
        wait_until(lambda: ("PodDNAT", "LabelRestored") in world.warnings(), 5, "somebody to be told")


def test_ports_of_the_other_are_left_to_it_though_pool_and_cluster_id_are_the_same(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    (before,) = world.entries()
    with with_eu(world, world.values.cluster_id) as eu:
        wait_until(lambda: bool(eu.operator_warnings), 10, "an operator to be told")
        ((reason, text),) = eu.operator_warnings
        assert reason == "ClusterIdShared"
        assert "has forward entries of 1 PodDNATs on ngw-1 under this one's clusterID" in text
        pod = label(world, world.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.8"), "eu")
        made = eu.attachment(pod)
        assert made["spec"]["portMapping"] != poddnat["spec"]["portMapping"]
        assert made["metadata"]["labels"] == EU.labels
    assert world.entries() == [before]
    assert world.operator_warnings == []


def test_pod_waits_until_the_other_has_deleted_its_poddnat_and_tells_if_that_stays(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    world.expose(pod)
    world.service.stop()  # Nobody sees that the pod is labelled anew.
    pod = label(world, pod, "eu")
    with with_eu(world) as eu:
        wait_until(lambda: eu.service.poddnats.of_another("default", "web-1") is not None, 5, "eu to know it")
        assert eu.sync_pod(pod).status_code == 429
        with patch("poddnat.controllers.pod.OTHERS_NAME_GRACE", timedelta(0).total_seconds()):
            told = answer(lambda: eu.sync_pod(pod))["annotations"][STATUS]
        assert told.startswith("NameTaken: PodDNAT web-1 is still there, of the installation without a name")
        assert [entry.internal_ip for entry in world.entries()] == [POD_IP]
        world.api.delete(world.poddnats, "web-1", "default")
        wait_until(lambda: eu.service.poddnats.of_another("default", "web-1") is None, 5, "it to go")
        assert eu.attachment(pod)["metadata"]["labels"] == EU.labels


def test_poddnat_of_acks_controller_has_to_be_adopted_by_the_one_whose_the_pod_is(world: World) -> None:
    metadata = {"name": "web-1", "namespace": "default"}
    acks = {"apiVersion": "alibabacloud.com/v1", "kind": "PodDNAT", "metadata": metadata, "spec": {}}
    world.api.create(world.poddnats, acks)
    with with_eu(world) as eu:
        pod = label(world, world.make_pod(EXPOSE_80), "eu")
        wait_until(lambda: eu.service.poddnats.of_another("default", "web-1") is not None, 5, "eu to know it")
        assert eu.refusal(pod).startswith("NotAdopted: ")


def test_pod_that_goes_over_shows_nothing_and_leaves_nothing(world: World) -> None:
    pod = world.make_pod(EXPOSE_80)
    world.expose(pod)
    pod = world.annotate(pod, {STATUS: "Ready"})
    wait_until(lambda: world.service._pods.get(pod["metadata"]["uid"]) is not None, 5, "the pod to be seen")
    label(world, pod, "eu")
    wait_until(lambda: world.poddnat() is None, 10, "its PodDNAT to go")
    wait_until(lambda: not world.entries(), 10, "its entry to go")
    pods = world.api.resource("v1", "pods")
    assert STATUS not in world.api.get(pods, "web-1", "default")["metadata"]["annotations"]
    assert ("Pod", "InstallationChanged") in world.warnings()
