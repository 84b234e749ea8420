"""Faults, the rate limit, and what the SDK makes of them."""

import pytest
from alibabacloud_tea_openapi.exceptions import ClientException, ServerException, ThrottlingException
from darabonba.exceptions import UnretryableException

from tests.emulator.support import Cloud, Refusal
from vpc_emulator import Emulator, Fault, ManualClock
from vpc_emulator.world import RateLimit


def test_error_fault_refuses_as_often_as_told(cloud: Cloud, emulator: Emulator) -> None:
    emulator.add_fault(Fault("error", action="CreateForwardEntry", code="OperationConflict", times=2))
    for _ in range(2):
        with Refusal("OperationConflict", 409) as caught:
            cloud.create()
        assert isinstance(caught.value, ClientException)
    cloud.create()


def test_error_fault_hits_its_action_only(cloud: Cloud, emulator: Emulator) -> None:
    emulator.add_fault(Fault("error", action="DeleteForwardEntry", code="TaskConflict", times=None))
    with Refusal("TaskConflict", 400):
        cloud.delete(cloud.create())


@pytest.mark.parametrize(
    ("code", "status"), [("InternalError", 500), ("ServiceUnavailable", 503), ("UnknownError", 500)]
)
def test_error_fault_of_the_server_is_a_server_exception(
    cloud: Cloud, emulator: Emulator, code: str, status: int
) -> None:
    emulator.add_fault(Fault("error", code=code))
    with Refusal(code, status) as caught:
        cloud.create()
    assert isinstance(caught.value, ServerException)


def test_fault_hits_its_gateway_only(cloud: Cloud, emulator: Emulator) -> None:
    emulator.add_fault(Fault("error", code="ServiceUnavailable", gateway="ngw-2", times=None))
    cloud.create()
    with Refusal("ServiceUnavailable", 503):
        cloud.create(forward_table_id="ftb-ngw-2")


def test_cleared_fault_hits_nothing(cloud: Cloud, emulator: Emulator) -> None:
    emulator.add_fault(Fault("error", code="ServiceUnavailable", times=None))
    emulator.clear_faults()
    cloud.create()


def test_fault_of_some_probability_hits_some_calls(cloud: Cloud, emulator: Emulator) -> None:
    emulator.add_fault(Fault("error", code="ServiceUnavailable", times=None, probability=0.5))
    for _ in range(40):
        try:
            cloud.entries()
        except ServerException:
            continue
    assert 5 < emulator.calls.count("DescribeForwardTableEntries", "OK") < 35


def test_lost_answer_has_done_the_work(cloud: Cloud, emulator: Emulator) -> None:
    emulator.add_fault(Fault("lose-answer", action="CreateForwardEntry"))
    with pytest.raises(UnretryableException):
        cloud.create()
    assert len(cloud.entries()) == 1
    call = emulator.calls.list("CreateForwardEntry")[-1]
    assert (call.outcome, call.answered) == ("OK", False)


def test_lost_request_has_done_nothing(cloud: Cloud, emulator: Emulator) -> None:
    emulator.add_fault(Fault("lose-request", action="CreateForwardEntry"))
    with pytest.raises(UnretryableException):
        cloud.create()
    assert cloud.entries() == []
    assert emulator.calls.count("CreateForwardEntry", "Lost") == 1


@pytest.mark.parametrize(("after", "entries"), [(True, 1), (False, 0)])
def test_client_that_gives_up_waiting_may_have_called(
    cloud: Cloud, emulator: Emulator, *, after: bool, entries: int
) -> None:
    emulator.add_fault(Fault("delay", action="CreateForwardEntry", seconds=30, after=after))
    cloud.runtime.read_timeout = 100
    with pytest.raises(UnretryableException):
        cloud.create()
    assert len(cloud.entries()) == entries


def test_throttle_fault_tells_the_time_left_in_milliseconds(cloud: Cloud, emulator: Emulator) -> None:
    emulator.add_fault(Fault("throttle", seconds=2.5))
    with Refusal("Throttling.User", 400) as caught:
        cloud.create()
    assert isinstance(caught.value, ThrottlingException)
    assert caught.value.retry_after == 2500


def test_throttle_fault_without_time_left_is_a_plain_client_exception(cloud: Cloud, emulator: Emulator) -> None:
    emulator.add_fault(Fault("throttle"))
    with Refusal("Throttling.User") as caught:
        cloud.create()
    assert type(caught.value) is ClientException


def test_rate_limit_of_an_action_leaves_others_alone(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    emulator.set_rate_limit(RateLimit(calls=2, seconds=60))
    cloud.entries()
    clock.advance(20)
    cloud.entries()
    for _ in range(3):
        with Refusal("Throttling.User") as caught:
            cloud.entries()
        assert caught.value.retry_after == 40_000
    cloud.create()
    clock.advance(40)
    cloud.entries()


def test_rate_limit_of_the_account_counts_all_actions(cloud: Cloud, emulator: Emulator) -> None:
    emulator.set_rate_limit(RateLimit(calls=2, per_action=False, tell_time_left=False))
    cloud.entries()
    cloud.create()
    with Refusal("Throttling.User") as caught:
        cloud.gateways()
    assert type(caught.value) is ClientException


def test_impossible_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="kind"):
        Fault.from_dict({"kind": "explode"})
    with pytest.raises(ValueError, match="code"):
        Fault.from_dict({"kind": "error"})
    with pytest.raises(ValueError, match="tims"):
        Fault.from_dict({"kind": "throttle", "tims": 1})
