"""Each action has a rate limit of its own, which all clients of the account share."""

import pytest
from alibabacloud_tea_openapi.exceptions import ThrottlingException

from tests.emulator.support import Cloud, Refusal
from vpc_emulator import Emulator, ManualClock
from vpc_emulator.world import RateLimit

LISTING = "DescribeForwardTableEntries"


@pytest.fixture(autouse=True)
def _five_calls_a_minute(emulator: Emulator) -> None:
    emulator.set_rate_limit(RateLimit(calls=5, seconds=60))


def test_burst_of_another_client_uses_up_part_of_the_minute(cloud: Cloud, emulator: Emulator) -> None:
    assert emulator.use_up_rate(LISTING, 3) == 3
    cloud.entries()
    cloud.entries()
    with Refusal("Throttling.User", 400):
        cloud.entries()


def test_burst_of_another_client_uses_up_the_whole_minute(cloud: Cloud, emulator: Emulator, clock: ManualClock) -> None:
    cloud.entries()
    clock.advance(10)
    assert emulator.use_up_rate(LISTING) == 4
    with Refusal("Throttling.User", 400) as caught:
        cloud.entries()
    assert isinstance(caught.value, ThrottlingException)
    assert caught.value.retry_after == 50_000
    clock.advance(50)
    cloud.entries()


def test_burst_on_one_action_leaves_the_others_alone(cloud: Cloud, emulator: Emulator) -> None:
    emulator.use_up_rate(LISTING)
    cloud.create()
    cloud.gateways()


def test_burst_of_another_client_is_granted_no_more_than_is_left(cloud: Cloud, emulator: Emulator) -> None:
    cloud.entries()
    assert emulator.use_up_rate(LISTING, 100) == 4


def test_calls_of_another_client_are_not_in_the_record(emulator: Emulator) -> None:
    emulator.use_up_rate(LISTING)
    assert emulator.calls.count() == 0


def test_without_a_rate_limit_nothing_can_be_used_up(emulator: Emulator) -> None:
    emulator.set_rate_limit(None)
    with pytest.raises(ValueError, match="without a rate limit"):
        emulator.use_up_rate(LISTING)
