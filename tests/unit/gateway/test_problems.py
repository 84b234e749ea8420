"""What people are told when a call fails."""

from __future__ import annotations

import pytest

from poddnat.api import MOVE_AWAY
from poddnat.cloud import NO_CREDENTIALS, CloudError, Meaning, problem_of
from poddnat.cloud.errors import NO_ANSWER
from tests.unit.hooks.world import says_who_acts


def failed(
    meaning: Meaning, message: str, *, action: str = "CreateForwardEntry", code: str = "Some.Code"
) -> CloudError:
    return CloudError(meaning, action=action, code=code, message=message)


@pytest.mark.parametrize("action", ["CreateForwardEntry", "DeleteForwardEntry", "DescribeNatGateways"])
@pytest.mark.parametrize("meaning", Meaning)
def test_failure_is_one_sentence_that_names_the_answer_and_who_acts(meaning: Meaning, action: str) -> None:
    message = problem_of(failed(meaning, "It went wrong. See the manual.", action=action)).message
    assert says_who_acts(message)
    assert f'{action} answered Some.Code, "It went wrong."' in message


@pytest.mark.parametrize("meaning", [meaning for meaning in Meaning if meaning is not Meaning.WRONG])
def test_failure_that_no_change_of_the_pod_mends_is_looked_at_again_within_half_a_minute(meaning: Meaning) -> None:
    assert problem_of(failed(meaning, "It went wrong.")).retry_after <= 30


def test_read_that_is_refused_is_not_the_users_to_mend() -> None:
    told = problem_of(failed(Meaning.WRONG, "No such VPC.", action="DescribeNatGateways"))
    assert "an operator has to" in told.message
    assert told.reason not in MOVE_AWAY


@pytest.mark.parametrize(
    "texts",
    [
        ("Not matched. server string to sign is:GET&1", "Not matched. server string to sign is:GET&2"),
        ("Not authorized. Diagnosis: AQEAAAAA", "Not authorized. Diagnosis: AQFFFFFF"),
    ],
)
def test_same_failure_is_told_in_the_same_words(texts: tuple[str, str]) -> None:
    one, other = (problem_of(failed(Meaning.DENIED, text), "ngw-1") for text in texts)
    assert one == other


def test_no_answer_is_told_without_the_call() -> None:
    told = problem_of(failed(Meaning.UNKNOWN, "timed out", code=NO_ANSWER), "ngw-1")
    assert "CreateForwardEntry got no answer (timed out)" in told.message


def test_missing_credentials_are_told_as_such() -> None:
    told = problem_of(failed(Meaning.DENIED, "the node's RAM role: timed out", code=NO_CREDENTIALS), "ngw-1")
    assert "there are none to call CreateForwardEntry with (the node's RAM role: timed out)" in told.message
    assert says_who_acts(told.message)
