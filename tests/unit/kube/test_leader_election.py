"""Which of several replicas is active, over an API server in memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from metacontroller_standin.api import Api
from metacontroller_standin.kinds import ServedKind
from metacontroller_standin.memory_api import MemoryApi
from metacontroller_standin.waiting import wait_until
from poddnat.kube import LeaderElector, connect_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from kubernetes.client import ApiClient


LEASE_DURATION = 15


class Candidate:
    """One replica, with a clock that can leap and notes of what it was notified of."""

    def __init__(self, api: ApiClient, name: str) -> None:
        self.ahead = 0.0
        self.notified: list[str] = []
        self.election = LeaderElector(
            api,
            namespace="default",
            name="poddnat",
            identity=name,
            lease_duration=LEASE_DURATION,
            on_started_leading=lambda: self.notified.append(f"gained, active: {self.election.is_leader}"),
            on_renewed=lambda: None,
            on_stopped_leading=lambda: self.notified.append(f"lost, active: {self.election.is_leader}"),
            clock=lambda: time.monotonic() + self.ahead,
        )

    def start(self) -> Candidate:
        self.election.start()
        return self

    def wait_active(self) -> None:
        wait_until(lambda: self.election.is_leader, 5, "the candidate to be active")


class Field:
    """An API server, candidates, and the lease between them."""

    def __init__(self, memory: MemoryApi) -> None:
        self.memory = memory
        self._is_cut_off = False
        self.api = Api(memory.url)
        self._clients: list[Any] = []
        self.candidates: list[Candidate] = []

    def candidate(self, name: str) -> Candidate:
        self._clients.append(connect_to(self.memory.url))
        self.candidates.append(Candidate(self._clients[-1], name))
        return self.candidates[-1]

    def holder(self) -> str:
        leases = self.api.resource("coordination.k8s.io/v1", "leases")
        return str(self.api.get(leases, "poddnat", "default")["spec"]["holderIdentity"])

    def give_to(self, holder: str) -> None:
        leases = self.api.resource("coordination.k8s.io/v1", "leases")
        self.api.patch(leases, "poddnat", {"spec": {"holderIdentity": holder}}, "default")

    def kill(self) -> None:
        """Let the last candidate be heard of no more."""
        killed = self.candidates.pop().election
        killed._stopping.set()
        killed._thread.join()

    def cut_off(self) -> None:
        """End the API server."""
        if not self._is_cut_off:
            self._is_cut_off = True
            self.memory.stop()

    def close(self) -> None:
        for candidate in self.candidates:
            candidate.election.stop()
        for one in self._clients:
            one.close()
        self.api.close()
        self.cut_off()


@pytest.fixture
def field() -> Iterator[Field]:
    memory = MemoryApi()
    memory.register(ServedKind("coordination.k8s.io", ("v1",), "leases", "Lease", has_status=False))
    memory.start()
    field = Field(memory)
    yield field
    field.close()


def test_first_candidate_is_active_and_the_second_knows_it(field: Field) -> None:
    first = field.candidate("one").start()
    first.wait_active()
    second = field.candidate("two").start()
    wait_until(lambda: second.election.holder == "one", 5, "the second to read the lease")
    assert not second.election.is_leader
    assert (first.notified, second.notified) == (["gained, active: False"], [])


def test_candidate_that_stops_gives_the_lease_to_the_other_at_once(field: Field) -> None:
    first = field.candidate("one").start()
    first.wait_active()
    second = field.candidate("two").start()
    first.election.stop()
    assert not first.election.is_leader
    wait_until(
        lambda: second.election.is_leader, LEASE_DURATION / 3, "the second to take over before the lease runs out"
    )
    assert field.holder() == "two"


def test_standby_that_stops_leaves_the_lease_alone(field: Field) -> None:
    field.candidate("one").start().wait_active()
    second = field.candidate("two").start()
    wait_until(lambda: second.election.holder == "one", 5, "the second to read the lease")
    second.election.stop()
    assert field.holder() == "one"


def test_candidate_takes_over_when_the_holder_is_not_heard_of_for_the_leases_time(field: Field) -> None:
    field.candidate("one").start().wait_active()
    field.kill()
    second = field.candidate("two").start()
    wait_until(lambda: second.election.holder == "one", 5, "the second to read the lease")
    observed = second.election._election.observed_time_milliseconds
    second.election._election.observed_time_milliseconds = observed - LEASE_DURATION * 1000
    second.wait_active()


def test_candidate_of_the_holders_name_goes_on_at_once(field: Field) -> None:
    """A container that is started again in its pod."""
    field.candidate("one").start().wait_active()
    field.kill()
    again = field.candidate("one").start()
    again.wait_active()


def test_holder_that_was_asleep_is_not_active_when_it_wakes_and_never_again(field: Field) -> None:
    first = field.candidate("one").start()
    first.wait_active()
    first.ahead += first.election.renew_deadline
    assert not first.election.is_leader
    wait_until(lambda: len(first.notified) == 2, 5, "the loss to be notified")
    assert first.notified == ["gained, active: False", "lost, active: False"]
    first.ahead -= first.election.renew_deadline
    assert not first.election.is_leader


def test_candidate_that_fails_is_notified_to_end(field: Field) -> None:
    first = field.candidate("one")

    def fail() -> None:
        raise ZeroDivisionError

    first.election._on_renewed = fail
    first.start()
    wait_until(lambda: first.notified[1:] == ["lost, active: False"], 5, "the loss to be notified")


def test_holder_whose_lease_was_taken_is_told(field: Field) -> None:
    first = field.candidate("one").start()
    first.wait_active()
    field.give_to("two")
    wait_until(lambda: first.notified[1:] == ["lost, active: False"], 5, "the loss to be notified")
    assert field.holder() == "two"


def test_holder_cut_off_from_the_api_server_goes_on_until_its_time_is_up(field: Field) -> None:
    first = field.candidate("one").start()
    first.wait_active()
    field.cut_off()
    assert first.election.is_leader
    first.ahead += first.election.renew_deadline
    assert not first.election.is_leader
    wait_until(lambda: first.notified[1:] == ["lost, active: False"], 5, "the loss to be notified")
