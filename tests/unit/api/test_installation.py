"""Whose pods and PodDNATs are."""

from __future__ import annotations

from typing import Any

import pytest

from poddnat.api import INSTALLATION, UNNAMED, Installation, fixed, installation, manifest, parse_spec

Json = dict[str, Any]

EU = Installation("eu")
SPEC = {
    "tableId": "ngw-1",
    "externalIP": "203.0.113.10",
    "internalIP": "172.16.1.7",
    "portMapping": [{"externalPort": "512", "internalPort": "80"}],
}


def metadata(mark: str | None, label: str | None) -> Json:
    marks = {"metacontroller.k8s.io/decorator-controller": mark} if mark else {}
    return {"annotations": marks, "labels": {INSTALLATION: label} if label is not None else {}}


def test_pods_are_served_by_their_label() -> None:
    assert UNNAMED.serves({})
    assert not EU.serves({})
    assert EU.serves({"labels": EU.labels})
    assert not UNNAMED.serves({"labels": EU.labels})
    # Metacontroller's selector takes no pod that has the label.
    assert not UNNAMED.serves({"labels": {INSTALLATION: ""}})


@pytest.mark.parametrize(
    ("mark", "label", "whose"),
    [
        ("pod-dnat", None, ""),
        ("pod-dnat", "eu", ""),
        ("pod-dnat-eu", "eu", "eu"),
        ("pod-dnat-eu", None, "eu"),
        ("pod-dnat-eu", "us", "eu"),
        ("pod-dnat-", None, ""),
        ("others", "eu", "eu"),
        (None, "eu", "eu"),
        (None, None, ""),
    ],
)
def test_poddnat_is_whose_mark_it_bears_and_else_whose_label(mark: str | None, label: str | None, whose: str) -> None:
    found = metadata(mark, label)
    assert installation.of_poddnat(found) == Installation(whose)
    assert [one.has(found) for one in (UNNAMED, EU)] == [whose == "", whose == "eu"]


def test_names_are_those_of_the_shipped_controllers_for_the_one_without_a_name() -> None:
    assert UNNAMED.attached_by == ("metacontroller.k8s.io/decorator-controller", "pod-dnat")
    assert UNNAMED.finalizer == "metacontroller.io/compositecontroller-poddnat"
    assert (UNNAMED.label, UNNAMED.labels, UNNAMED.named("poddnat")) == (None, {}, "poddnat")
    assert EU.attached_by[1] == "pod-dnat-eu"
    assert EU.finalizer == "metacontroller.io/compositecontroller-poddnat-eu"


def test_poddnat_bears_the_label_where_there_is_a_name() -> None:
    desired = parse_spec(SPEC)
    assert "labels" not in manifest("default", "web-1", desired)["metadata"]
    made = fixed.attachment("default", "web-1", desired, None, None, EU)["metadata"]
    assert made["labels"] == EU.labels
    assert made["finalizers"] == [EU.finalizer]
