"""The release strategy: how it is written, and which ordinals a stateful set wants."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poddnat.api import has_replica, ordinal_of
from poddnat.api.release_strategy import FOLLOW, parse


@pytest.mark.parametrize(("text", "read"), [("", "Follow"), (" follow ", "Follow"), ("NEVER", "Never"), ("5m", "5m")])
def test_strategy_is_read_whatever_its_case(text: str, read: str) -> None:
    assert parse(text).text == read


@pytest.mark.parametrize(
    ("text", "seconds"), [("5m30s", 330), ("1h", 3600), ("1.5h", 5400), ("250ms", 0.25), ("1h0m1s", 3601)]
)
def test_duration_is_as_go_writes_it(text: str, seconds: float) -> None:
    assert parse(text).seconds == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["5", "5 m", "m5", "0s", "-5m", "1d", "forever", "99999999h", "5m30", "٣m"])
def test_anything_else_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match='use "Follow", "Never", or a time'):
        parse(text)


@given(st.text())
def test_no_text_causes_another_error(text: str) -> None:
    try:
        strategy = parse(text)
    except ValueError:
        return
    assert parse(strategy.text) == strategy


def test_only_durations_have_seconds() -> None:
    assert (FOLLOW.seconds, parse("Never").seconds) == (None, None)
    assert (FOLLOW.follows, parse("Never").follows, parse("1h").follows) == (True, False, False)


@pytest.mark.parametrize(
    ("pod", "ordinal"), [("arena-0", 0), ("arena-12", 12), ("arena-01", None), ("arena-x7k2p", None), ("arena", None)]
)
def test_ordinal_stands_at_the_end_of_the_pods_name(pod: str, ordinal: int | None) -> None:
    assert ordinal_of(pod, "arena") == ordinal


@pytest.mark.parametrize(
    ("spec", "replicas"),
    [
        ({}, {0}),
        ({"replicas": 0}, set()),
        ({"replicas": 2}, {0, 1}),
        ({"replicas": 2, "ordinals": {"start": 3}}, {3, 4}),
        ({"replicas": 2, "reserveOrdinals": [0]}, {1, 2}),
        ({"replicas": 2, "reserveOrdinals": ["0-1", 3]}, {2, 4}),
        ({"replicas": 2, "reserveOrdinals": [7]}, {0, 1}),
        ({"replicas": 2, "reserveGameServerIds": [1]}, {0, 2}),
    ],
)
def test_replicas_of_a_stateful_set_are_so_many_ordinals_past_the_reserved_ones(
    spec: dict[str, Any], replicas: set[int]
) -> None:
    assert {ordinal for ordinal in range(10) if has_replica(spec, ordinal)} == replicas


@given(st.integers(0, 8), st.integers(0, 5), st.lists(st.integers(0, 20)))
def test_as_many_ordinals_are_wanted_as_there_are_replicas(replicas: int, start: int, reserved: list[int]) -> None:
    spec = {"replicas": replicas, "ordinals": {"start": start}, "reserveOrdinals": reserved}
    assert sum(has_replica(spec, ordinal) for ordinal in range(60)) == replicas
