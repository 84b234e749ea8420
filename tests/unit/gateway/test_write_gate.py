"""May a write go: the entry quota, and what holds a gateway or one of its addresses back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from poddnat.cloud import Meaning, Scope
from poddnat.gateway.intervals import QUOTA_RETRY, SUSPEND_LONGEST
from poddnat.gateway.reconciler.write_gate import EntryQuota, WriteGate
from tests.unit.gateway.fake_table import failure

if TYPE_CHECKING:
    from poddnat.cloud import CloudError

EIP, OTHER = "203.0.113.1", "203.0.113.2"
BINDING = failure(Meaning.BUSY, "OperationUnsupported.EipInBinding", Scope.ADDRESS)
DENIED = failure(Meaning.DENIED, "Forbidden.RAM", Scope.ACCOUNT)
MISSING = failure(Meaning.UNUSABLE, "Invalid.natgwNotExist", Scope.GATEWAY)
NO_ANSWER = failure(Meaning.UNKNOWN, "NoAnswer", Scope.UNCLEAR)


@pytest.fixture
def gate() -> WriteGate:
    return WriteGate("ngw-1")


# The quota


def test_table_without_a_limit_is_never_full() -> None:
    quota = EntryQuota()
    assert not quota.is_full(10_000, 0.0)
    assert quota.free_at(10_000, 16, 5.0) == 5.0
    assert quota.known is None


def test_limit_counts_what_is_under_way() -> None:
    quota = EntryQuota()
    quota.limit = 10
    assert quota.free_at(8, 1, 5.0) == 5.0
    assert quota.free_at(8, 2, 5.0) == math.inf
    assert not quota.is_full(9, 5.0)
    assert quota.is_full(10, 5.0)


def test_refusal_tells_the_quota_until_it_is_tried_again() -> None:
    quota = EntryQuota()
    quota.refused(100, 5.0)
    assert quota.known == 100
    assert quota.is_full(100, 5.0)
    assert not quota.is_full(99, 5.0)
    assert quota.free_at(100, 0, 5.0) == 5.0 + QUOTA_RETRY
    assert not quota.is_full(100, 5.0 + QUOTA_RETRY)


def test_least_of_limit_and_quota_is_known() -> None:
    quota = EntryQuota()
    quota.refused(100, 5.0)
    quota.limit = 50
    assert quota.known == 50
    quota.limit = 500
    assert quota.known == 100


def test_quota_that_was_raised_is_forgotten() -> None:
    quota = EntryQuota()
    quota.refused(100, 5.0)
    quota.taken(100)
    assert quota.known == 100
    quota.taken(101)
    assert quota.known is None


# What holds back


def test_gate_is_open_at_first(gate: WriteGate) -> None:
    assert gate.opens_at(EIP) == -math.inf
    assert gate.problem(EIP) is None


def test_error_about_an_address_holds_back_that_address_only(gate: WriteGate) -> None:
    for _ in range(3):
        gate.failed(BINDING, "uid-1", EIP, 10.0)
    assert gate.opens_at(EIP) > 10.0
    assert gate.opens_at(OTHER) == gate.opens_at() == -math.inf
    assert gate.problem(EIP) is not None
    assert gate.problem(OTHER) is None


@pytest.mark.parametrize("error", [DENIED, MISSING], ids=["account", "gateway"])
def test_error_about_all_there_is_holds_back_everything_and_is_told_at_once(gate: WriteGate, error: CloudError) -> None:
    gate.failed(error, "uid-1", EIP, 10.0)
    assert gate.opens_at(OTHER) == gate.opens_at() > 10.0
    assert gate.problem() is not None


def test_no_answer_to_one_poddnat_is_no_evidence_against_the_gateway(gate: WriteGate) -> None:
    for _ in range(5):
        gate.failed(NO_ANSWER, "uid-1", EIP, 10.0)
    assert gate.opens_at() == -math.inf


def test_no_answer_to_two_in_a_row_is(gate: WriteGate) -> None:
    gate.failed(NO_ANSWER, "uid-1", EIP, 10.0)
    gate.failed(NO_ANSWER, "uid-2", EIP, 10.0)
    assert gate.opens_at() > 10.0
    assert gate.problem(EIP) is None


def test_no_answer_to_two_is_no_evidence_with_a_success_between(gate: WriteGate) -> None:
    gate.failed(NO_ANSWER, "uid-1", EIP, 10.0)
    gate.passed(EIP)
    gate.failed(NO_ANSWER, "uid-2", EIP, 10.0)
    assert gate.opens_at() == -math.inf


def test_what_passes_by_itself_is_told_only_once_it_has_lasted(gate: WriteGate) -> None:
    told = []
    for _ in range(4):
        gate.failed(BINDING, "uid-1", EIP, 10.0)
        told.append(gate.problem(EIP) is not None)
    assert told == [False, False, True, True]


def test_problem_keeps_its_text_while_errors_of_a_kind_come_in_turn(gate: WriteGate) -> None:
    gate.failed(DENIED, "uid-1", EIP, 10.0)
    before = gate.problem(EIP)
    gate.failed(failure(Meaning.DENIED, "SignatureDoesNotMatch", Scope.ACCOUNT), "uid-1", EIP, 20.0)
    assert gate.problem(EIP) == before


@pytest.mark.parametrize("tries", [3000], ids=["nine hours of it"])
def test_gate_closes_ever_longer_but_never_for_long(gate: WriteGate, tries: int) -> None:
    now, waits = 0.0, []
    for _ in range(tries):
        gate.failed(DENIED, "uid-1", EIP, now)
        waits.append(gate.opens_at() - now)
        now = gate.opens_at()
    assert waits[0] <= 0.25
    assert 0.8 * SUSPEND_LONGEST <= waits[-1] <= max(waits) <= SUSPEND_LONGEST


def test_write_that_is_taken_opens_the_gate(gate: WriteGate) -> None:
    gate.failed(DENIED, "uid-1", EIP, 10.0)
    gate.failed(BINDING, "uid-1", EIP, 10.0)
    gate.passed(EIP)
    assert gate.opens_at(EIP) == -math.inf
    assert gate.problem(EIP) is None
