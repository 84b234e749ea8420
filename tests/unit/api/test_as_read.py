"""What is kept of the PodDNATs that the API server serves."""

from __future__ import annotations

import json
from typing import Any

from poddnat.api import poddnat_as_read


def served(name: str, **metadata: Any) -> dict[str, Any]:
    text = {
        "apiVersion": "alibabacloud.com/v1",
        "kind": "PodDNAT",
        "metadata": {"namespace": "games", "name": name, "uid": f"uid-{name}", "labels": None, **metadata},
        "spec": {"externalIP": "203.0.113.10", "internalIP": "172.16.1.7"},
    }
    parsed: dict[str, Any] = json.loads(json.dumps(text))
    return parsed


def test_nothing_is_kept_of_who_wrote_and_applied_what() -> None:
    applied = {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "metacontroller.k8s.io/last-applied-configuration": "{}",
    }
    managed = [{"manager": "metacontroller", "operation": "Update"}]
    found = poddnat_as_read(served("web-1", annotations={"a": "b", **applied}, managedFields=managed))
    assert found["metadata"] == {"namespace": "games", "name": "web-1", "uid": "uid-web-1", "annotations": {"a": "b"}}


def test_equal_texts_of_all_are_one() -> None:
    one, other = poddnat_as_read(served("web-1")), poddnat_as_read(served("web-2"))
    assert one["metadata"]["namespace"] is other["metadata"]["namespace"]
    assert one["spec"]["externalIP"] is other["spec"]["externalIP"]
    assert next(iter(one["spec"])) is next(iter(other["spec"]))


def test_metadata_that_makes_no_sense_counts_as_absent() -> None:
    assert "metadata" not in poddnat_as_read({"metadata": "odd"})
