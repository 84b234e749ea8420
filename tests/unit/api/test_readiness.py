"""The condition that a readiness gate waits for: True by the PodDNAT alone, else the annotation's words."""

from __future__ import annotations

from typing import Any

import pytest

from poddnat.api.readiness import CONDITION, NOT_ASKED, changed_condition, has_gate

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


READY = condition("True", "Ready", since=NOW)
NOT_YET = condition("False", "Updating", "The pod's public ports don't work yet.", NOW)


def test_condition_is_true_when_the_poddnat_says_that_all_works() -> None:
    assert changed_condition(pod(), "Ready", NOW, exposed=True) == READY


def test_condition_says_why_not_as_the_annotation_does() -> None:
    written = changed_condition(pod(), "NoFreePorts: None are free.", NOW, exposed=False)
    assert written == condition("False", "NoFreePorts", "None are free.", NOW)


@pytest.mark.parametrize("status", [None, "Ready"], ids=["nothing told yet", "a template's annotation"])
def test_pod_that_nothing_works_for_yet_has_no_condition_or_loses_a_true_one(status: str | None) -> None:
    assert changed_condition(pod(), status, NOW, exposed=False) is None
    assert changed_condition(pod(condition("True", "Ready")), status, NOW, exposed=False) == NOT_YET


def test_condition_that_says_it_already_is_not_written_again() -> None:
    assert changed_condition(pod(condition("True", "Ready")), "Ready", NOW, exposed=True) is None


def test_time_of_transition_is_kept_while_only_the_reason_changes() -> None:
    observed = pod(condition("False", "NoFreePorts", "None."))
    written = changed_condition(observed, "QuotaExceeded: Full.", NOW, exposed=False)
    assert written == condition("False", "QuotaExceeded", "Full.")


def test_pod_that_opted_out_is_told_so_whether_it_was_ready_or_never() -> None:
    reported = condition("False", "NotExposed", "The pod asks for no public ports.", NOW)
    assert changed_condition(pod(condition("True", "Ready")), NOT_ASKED, NOW, exposed=False) == reported
    assert changed_condition(pod(), NOT_ASKED, NOW, exposed=False) == reported
