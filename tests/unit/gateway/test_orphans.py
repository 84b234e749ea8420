"""Whose entries are deleted when PodDNATs are gone, and when that is left to an operator."""

from __future__ import annotations

import pytest

from poddnat.gateway.orphans import OrphanGuard, is_mass


def uids(count: int, kind: str = "gone") -> set[str]:
    return {f"{kind}-{number}" for number in range(count)}


def guard(*alive: str) -> OrphanGuard:
    return OrphanGuard(set(alive).__contains__)


@pytest.mark.parametrize(
    ("gone", "owners", "mass"),
    [
        pytest.param(5, 5, False, id="a handful, all there are"),
        pytest.param(6, 6, True, id="more than a handful, all there are"),
        pytest.param(10, 100, False, id="a tenth"),
        pytest.param(11, 100, True, id="more than a tenth"),
        pytest.param(1000, 1000, True, id="everything"),
    ],
)
def test_more_than_a_handful_and_a_tenth_is_a_mass(gone: int, owners: int, mass: bool) -> None:  # noqa: FBT001
    assert is_mass(gone, owners) is mass


def test_few_are_deleted_and_a_mass_is_held_whole() -> None:
    judge = guard()
    assert judge.judge(uids(3), uids(3) | uids(9, "alive")) == uids(3)
    assert judge.judge(uids(7), uids(7) | uids(9, "alive")) == set()
    assert judge.held == uids(7)


def test_mass_that_comes_in_two_parts_is_held_whole() -> None:
    judge = guard()
    judge.judge(uids(6), uids(20))
    assert judge.judge({"one-more"}, {*uids(20), "one-more"}) == set()
    assert judge.held == {*uids(6), "one-more"}


def test_what_is_held_is_let_go_once_its_entries_are_gone_or_it_lives() -> None:
    judge = guard("gone-0")
    judge.judge(uids(7), uids(7))
    assert judge.judge(set(), uids(7)) == set()
    assert judge.held == uids(7) - {"gone-0"}
    judge.judge(set(), uids(0))
    assert judge.held == set()


def test_entries_that_come_back_after_they_were_deleted_are_another_clusters() -> None:
    judge = guard()
    assert judge.judge({"theirs"}, {"theirs"}) == {"theirs"}
    judge.seen({"theirs"})  # Not gone yet.
    assert not judge.shared
    judge.seen(set())
    judge.seen({"theirs"})
    assert judge.judge({"theirs"}, {"theirs"}) == set()
    assert judge.shared
    assert judge.judge({"other"}, {"theirs", "other"}) == set()


def test_who_may_not_delete_knows_what_is_held_and_takes_nothing_for_deleted() -> None:
    judge = guard()
    assert judge.judge(uids(7), uids(7), may_delete=False) == set()
    assert judge.held == uids(7)
    standby = guard()
    assert standby.judge(uids(2), uids(2), may_delete=False) == set()
    standby.seen(set())
    standby.seen(uids(2))
    assert standby.judge(uids(2), uids(2)) == uids(2)
