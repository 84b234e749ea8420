"""The condition that a readiness gate waits for: it says what the pod's status annotation says."""

from __future__ import annotations

from typing import Any

import pytest

from poddnat.api.readiness import CONDITION, changed_condition, has_gate

NOW = "2026-01-02T00:00:00Z"
BEFORE = "2026-01-01T00:00:00Z"


def pod(*conditions: dict[str, str]) -> dict[str, Any]:
    return {"spec": {"readinessGates": [{"conditionType": CONDITION}]}, "status": {"conditions": list(conditions)}}


def condition(status: str, reason: str, message: str = "", since: str = BEFORE) -> dict[str, str]:
    return {"type": CONDITION, "status": status, "reason": reason, "message": message, "lastTransitionTime": since}


def test_gate_is_found_by_its_type() -> None:
    assert has_gate(pod())
    assert not has_gate({"spec": {"readinessGates": [{"conditionType": "example.com/other"}]}})
    assert not has_gate({"spec": {}})


@pytest.mark.parametrize(
    ("status", "written"),
    [
        ("Ready", condition("True", "Ready", since=NOW)),
        ("NoFreePorts: None are free.", condition("False", "NoFreePorts", "None are free.", NOW)),
        (None, None),
    ],
)
def test_condition_says_what_the_annotation_says(status: str | None, written: dict[str, str] | None) -> None:
    assert changed_condition(pod(), status, NOW) == written


def test_condition_that_says_it_already_is_not_written_again() -> None:
    assert changed_condition(pod(condition("True", "Ready")), "Ready", NOW) is None


def test_time_of_transition_is_kept_while_only_the_reason_changes() -> None:
    written = changed_condition(pod(condition("False", "NoFreePorts", "None.")), "QuotaExceeded: Full.", NOW)
    assert written == condition("False", "QuotaExceeded", "Full.")


def test_pod_that_opted_out_is_not_called_ready_any_more() -> None:
    written = changed_condition(pod(condition("True", "Ready")), None, NOW)
    assert written == condition("False", "NotExposed", "The pod asks for no public ports.", NOW)
