"""What a PodDNAT wants of a gateway, and the queue in which it waits for its turn to write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from poddnat.gateway.concurrency import Kind
from poddnat.gateway.desired import Lanes, Wish
from poddnat.gateway.plan import Plan

from poddnat.api import Problem
from poddnat.gateway import OwnEntries
from tests.unit.samples import entry, rule

MINE = OwnEntries("uid-1", "poddnat_c1_uid-1")
WEB = rule("512", "80")
TLS = rule("513", "443")
DNS = rule("514", "53")


@pytest.fixture
def wish() -> Wish:
    return Wish(MINE, (WEB, TLS), since=0.0, quiet_since=0.0)


# Tokens


@pytest.mark.parametrize("intent", [WEB, "fwd-1"], ids=["create", "delete"])
def test_token_stays_the_same_over_all_tries(wish: Wish, intent: object) -> None:
    assert isinstance(intent, str | type(WEB))
    assert wish.token(intent) == wish.token(intent)


def test_every_intent_has_a_token_of_its_own(wish: Wish) -> None:
    assert len({wish.token(WEB), wish.token(TLS), wish.token("fwd-1"), wish.token("fwd-2")}) == 4


def test_token_is_one_that_the_api_takes(wish: Wish) -> None:
    token = wish.token(WEB)
    assert token.isascii()
    assert 1 <= len(token) <= 64


def test_fulfilled_intent_gives_its_token_up(wish: Wish) -> None:
    before = wish.token(WEB)
    wish.fulfilled(WEB)
    assert wish.token(WEB) != before


def test_rule_given_up_and_wanted_again_gets_a_new_token(wish: Wish) -> None:
    before = wish.token(WEB)
    wish.change(MINE, (TLS,), release=False, now=1.0)
    wish.change(MINE, (WEB, TLS), release=False, now=2.0)
    assert wish.token(WEB) != before


def test_rule_that_stays_wanted_keeps_its_token(wish: Wish) -> None:
    before = wish.token(TLS)
    wish.change(MINE, (TLS, DNS), release=False, now=1.0)
    assert wish.token(TLS) == before


def test_rule_under_way_keeps_its_token_until_it_is_answered(wish: Wish) -> None:
    before = wish.token(WEB)
    wish.sending.add(WEB)
    wish.change(MINE, (), release=True, now=1.0)
    assert wish.token(WEB) == before


def test_delete_keeps_its_token_whatever_is_wanted(wish: Wish) -> None:
    before = wish.token("fwd-1")
    wish.change(MINE, (), release=True, now=1.0)
    assert wish.token("fwd-1") == before


# Changes


def test_same_wish_again_forgives_nothing(wish: Wish) -> None:
    wish.put_off(1.0)
    wish.change(MINE, (WEB, TLS), release=False, now=5.0)
    assert (wish.failures, wish.since) == (1, 0.0)


def test_same_wish_again_takes_over_the_ids_of_the_status(wish: Wish) -> None:
    known = OwnEntries(MINE.uid, MINE.name, ("fwd-1",))
    wish.change(known, (WEB, TLS), release=False, now=5.0)
    assert wish.mine is known


def test_other_rules_start_anew(wish: Wish) -> None:
    wish.put_off(1.0)
    wish.problem = Problem("Rejected", "No.")
    wish.confirmed = True
    wish.change(MINE, (TLS,), release=False, now=5.0)
    fresh = Wish(MINE, (TLS,), since=5.0, quiet_since=5.0)
    assert wish == fresh


def test_release_of_the_same_rules_is_a_change(wish: Wish) -> None:
    wish.change(MINE, (WEB, TLS), release=True, now=5.0)
    assert wish.release
    assert wish.since == 5.0


def test_rules_no_longer_wanted_are_no_longer_suspects(wish: Wish) -> None:
    wish.suspects = {WEB, TLS}
    wish.change(MINE, (TLS, DNS), release=False, now=5.0)
    assert wish.suspects == {TLS}


# Tries


def test_tries_are_put_off_ever_longer_up_to_half_a_minute(wish: Wish) -> None:
    pauses = []
    for _ in range(9):
        wish.put_off(100.0)
        pauses.append(wish.retry_at - 100.0)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_try_is_put_off_at_least_as_long_as_asked(wish: Wish) -> None:
    wish.put_off(100.0, at_least=300.0)
    assert wish.retry_at == 400.0


def test_forgiven_wish_may_try_at_once(wish: Wish) -> None:
    wish.put_off(100.0)
    wish.forgive()
    assert wish.retry_at < 0


def test_entries_in_the_way_are_deleted_before_anything_is_created(wish: Wish) -> None:
    assert wish.next_write(Plan(creates=(TLS,), deletes=(entry(),))) == (Kind.DELETE, entry())


def test_rules_are_created_in_their_order(wish: Wish) -> None:
    assert wish.next_write(Plan(creates=(WEB, TLS))) == (Kind.CREATE, WEB)


def test_write_under_way_is_not_sent_twice(wish: Wish) -> None:
    wish.sending = {WEB, "fwd-1"}
    assert wish.next_write(Plan(creates=(WEB, TLS), deletes=(entry("fwd-1"),))) == (Kind.CREATE, TLS)


def test_suspect_is_not_created_before_it_has_been_looked_up(wish: Wish) -> None:
    wish.suspects = {WEB}
    assert wish.next_write(Plan(creates=(WEB,))) is None


# Lanes


def drained(lanes: Lanes) -> list[str]:
    order = []
    while (uid := lanes.pop()) is not None:
        order.append(uid)
    return order


def filled(creates: str = "", deletes: str = "") -> Lanes:
    """Let creates and deletes wait, one for each letter."""
    lanes = Lanes()
    for uid in creates:
        lanes.add(uid, Kind.CREATE)
    for uid in deletes:
        lanes.add(uid, Kind.DELETE)
    return lanes


def test_nobody_is_next_in_empty_lanes() -> None:
    assert Lanes().pop() is None


@pytest.mark.parametrize(
    ("creates", "deletes", "expected"),
    [
        pytest.param("abc", "", "abc", id="who came first"),
        pytest.param("", "xyz", "xyz", id="deletes alone"),
        pytest.param("abc", "xyz", "axbycz", id="lanes take turns"),
        pytest.param("abcd", "x", "axbcd", id="a long lane does not starve the other"),
        pytest.param("a", "xyz", "axyz", id="nor the other way round"),
    ],
)
def test_next_is(creates: str, deletes: str, expected: str) -> None:
    assert "".join(drained(filled(creates, deletes))) == expected


def test_who_is_queued_twice_is_served_once_in_the_first_place() -> None:
    lanes = filled("ab")
    lanes.add("a", Kind.CREATE)
    assert drained(lanes) == ["a", "b"]


def test_who_has_something_else_to_write_changes_lanes() -> None:
    lanes = filled("ab")
    lanes.add("a", Kind.DELETE)
    assert (lanes.length(Kind.CREATE), lanes.length(Kind.DELETE), len(lanes)) == (1, 1, 2)


def test_who_is_put_in_front_is_next() -> None:
    lanes = filled("ab")
    lanes.add("c", Kind.CREATE, front=True)
    assert drained(lanes) == ["c", "a", "b"]


def test_who_is_removed_is_not_served() -> None:
    lanes = filled("ab", "x")
    lanes.remove("a")
    lanes.remove("x")
    lanes.remove("nobody")
    assert drained(lanes) == ["b"]


@pytest.mark.parametrize(("uid", "ahead"), [("a", 0), ("b", 2), ("c", 3), ("x", 0), ("nobody", 0)], ids=str)
def test_estimate_counts_who_comes_before(uid: str, ahead: int) -> None:
    lanes = filled("abc", "x")
    assert lanes.ahead(uid) == ahead


def test_estimate_counts_those_put_in_front() -> None:
    lanes = filled("ab")
    lanes.add("c", Kind.CREATE, front=True)
    assert [lanes.ahead(uid) for uid in "cab"] == [0, 1, 2]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(Kind), st.booleans())),
    st.integers(0, 5),
)
def test_estimate_is_right_to_one_turn_while_nobody_leaves(queued: list[tuple[str, Kind, bool]], served: int) -> None:
    lanes = Lanes()
    once = {uid: (kind, front) for uid, kind, front in queued}
    for uid, (kind, front) in once.items():
        lanes.add(uid, kind, front=front)
    for _ in range(served):
        lanes.pop()
    estimates = {uid: lanes.ahead(uid) for uid in once}
    for place, uid in enumerate(drained(lanes)):
        assert abs(estimates[uid] - place) <= 1


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([*Kind, None]), st.booleans())))
def test_who_waits_is_served_exactly_once(steps: list[tuple[str, Kind | None, bool]]) -> None:
    lanes = Lanes()
    waiting: set[str] = set()
    for uid, kind, front in steps:
        if kind is None:
            lanes.remove(uid)
            waiting.discard(uid)
        else:
            lanes.add(uid, kind, front=front)
            waiting.add(uid)
    assert len(lanes) == len(waiting)
    assert all(0 <= lanes.ahead(uid) < len(waiting) for uid in waiting)
    assert sorted(drained(lanes)) == sorted(waiting)


def test_lane_whose_turn_came_to_nothing_is_next_again() -> None:
    lanes = filled("ab", "xy")
    assert lanes.pop() == "a"
    lanes.add("a", Kind.CREATE, since=0.0, front=True)
    lanes.turn_again(Kind.CREATE)
    assert "".join(drained(lanes)) == "axby"


def test_nobody_is_taken_out_of_a_closed_lane() -> None:
    lanes = Lanes()
    lanes.add("create", Kind.CREATE)
    lanes.add("delete", Kind.DELETE)
    assert [lanes.pop(closed=Kind.CREATE), lanes.pop(closed=Kind.CREATE), lanes.pop()] == ["delete", None, "create"]


def test_those_that_come_back_together_stay_in_the_order_of_their_waiting() -> None:
    lanes = Lanes()
    for number in range(4):
        lanes.add(f"uid-{number}", Kind.CREATE, since=float(number))
    taken = [lanes.pop() for _ in range(3)]
    for uid, since in zip(taken, range(3), strict=True):
        assert uid is not None
        lanes.add(uid, Kind.CREATE, since=float(since), front=True)
    assert lanes.uids(Kind.CREATE) == ["uid-0", "uid-1", "uid-2", "uid-3"]
