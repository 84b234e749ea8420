"""What a PodDNAT should have on a gateway: its tokens, its tries, and what is asked for its entries."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from poddnat.api import Problem
from poddnat.cloud import EntryFilter
from poddnat.gateway import OwnEntries
from poddnat.gateway.intervals import CONFLICT_RECHECK, RETRY_LONGEST
from poddnat.gateway.reconciler.calls import Key, Kind
from poddnat.gateway.reconciler.desired import DesiredState, Item, Poll, Unverified
from poddnat.gateway.reconciler.plan import Conflict, Plan, Side
from poddnat.gateway.reconciler.states import EntryState, Evidence
from poddnat.model import EntryStatus
from tests.unit.samples import entry, rule

OWN = OwnEntries("uid-1", "poddnat_c1_uid-1")
WEB = rule("512", "80")
TLS = rule("513", "443")
DNS = rule("514", "53")
BY_SIDES = Unverified(Evidence.BY_SIDES, 0.0)


def desiring(*rules: object, release: bool = False) -> DesiredState:
    return DesiredState(OWN, rules, since=0.0, quiet_since=0.0, release=release)  # type: ignore[arg-type]


@pytest.fixture
def desired() -> DesiredState:
    return desiring(WEB, TLS)


# Tokens


@pytest.mark.parametrize("intent", [WEB, "fwd-1"], ids=["create", "delete"])
def test_token_stays_the_same_over_all_tries(desired: DesiredState, intent: Key) -> None:
    assert desired.token(intent) == desired.token(intent)


def test_every_intent_has_a_token_of_its_own(desired: DesiredState) -> None:
    assert len({desired.token(WEB), desired.token(TLS), desired.token("fwd-1"), desired.token("fwd-2")}) == 4


def test_token_is_one_that_the_api_takes(desired: DesiredState) -> None:
    token = desired.token(WEB)
    assert token.isascii()
    assert 1 <= len(token) <= 64


def test_intent_that_has_ended_gives_its_token_up(desired: DesiredState) -> None:
    before = desired.token(WEB)
    desired.intent_ended(WEB)
    assert desired.token(WEB) != before


def test_rule_given_up_and_wanted_again_gets_a_new_token(desired: DesiredState) -> None:
    before = desired.token(WEB)
    desired.change(OWN, (TLS,), release=False, now=1.0)
    desired.change(OWN, (WEB, TLS), release=False, now=2.0)
    assert desired.token(WEB) != before


def test_rule_that_stays_wanted_keeps_its_token(desired: DesiredState) -> None:
    before = desired.token(TLS)
    desired.change(OWN, (TLS, DNS), release=False, now=1.0)
    assert desired.token(TLS) == before


def test_rule_under_way_keeps_its_token_until_it_is_answered(desired: DesiredState) -> None:
    before = desired.token(WEB)
    desired.in_flight.add(WEB)
    desired.change(OWN, (), release=True, now=1.0)
    assert desired.token(WEB) == before


def test_delete_keeps_its_token_whatever_is_wanted(desired: DesiredState) -> None:
    before = desired.token("fwd-1")
    desired.change(OWN, (), release=True, now=1.0)
    assert desired.token("fwd-1") == before


# Changes


def test_same_state_desired_again_resets_nothing(desired: DesiredState) -> None:
    desired.back_off(1.0)
    desired.change(OWN, (WEB, TLS), release=False, now=5.0)
    assert (desired.backoff.failures, desired.since) == (1, 0.0)


def test_same_state_desired_again_takes_over_the_ids_of_the_status(desired: DesiredState) -> None:
    known = OwnEntries(OWN.uid, OWN.name, ("fwd-1",))
    desired.change(known, (WEB, TLS), release=False, now=5.0)
    assert desired.own is known


def test_other_rules_start_anew(desired: DesiredState) -> None:
    desired.back_off(1.0)
    desired.problem = Problem("Rejected", "No.")
    desired.polls["fwd-9"] = Poll(EntryState.CONFLICT, 1.0, seen=True)
    desired.change(OWN, (TLS,), release=False, now=5.0)
    assert desired.rules == (TLS,)
    assert not desired.problem
    assert not desired.polls
    assert desired.backoff.failures == 0
    assert desired.retry_at < 0
    assert (desired.since, desired.quiet_since, desired.moved_at) == (5.0, 5.0, 5.0)


def test_release_of_the_same_rules_is_a_change(desired: DesiredState) -> None:
    desired.change(OWN, (WEB, TLS), release=True, now=5.0)
    assert desired.release
    assert desired.since == 5.0


def test_rules_no_longer_wanted_are_no_longer_verified(desired: DesiredState) -> None:
    desired.unverified = {WEB: BY_SIDES, TLS: BY_SIDES}
    desired.change(OWN, (TLS, DNS), release=False, now=5.0)
    assert desired.unverified == {TLS: BY_SIDES}


def test_listing_of_the_whole_table_stands_for_a_look_by_name_but_not_by_sides(desired: DesiredState) -> None:
    desired.unverified = {WEB: Unverified(Evidence.BY_NAME, 0.0), TLS: BY_SIDES}
    desired.trust_table()
    assert desired.unverified == {TLS: BY_SIDES}


# Tries


def test_tries_are_put_off_ever_longer_up_to_half_a_minute(desired: DesiredState) -> None:
    pauses = []
    for _ in range(2000):
        desired.back_off(100.0)
        pauses.append(desired.retry_at - 100.0)
    assert all(0.8 * most <= pause <= most for pause, most in zip(pauses, [0.5, 1, 2, 4, 8, 16, 30, 30], strict=False))
    assert max(pauses) <= RETRY_LONGEST


def test_try_is_put_off_at_least_as_long_as_asked(desired: DesiredState) -> None:
    desired.back_off(100.0, at_least=300.0)
    assert desired.retry_at == 400.0


def test_try_may_be_made_at_once_after_the_backoff_is_reset(desired: DesiredState) -> None:
    desired.back_off(100.0)
    desired.reset_backoff()
    assert desired.retry_at < 0


# States


def states(desired: DesiredState, plan: Plan) -> dict[Key, EntryState]:
    return {item.key: item.state for item in desired.items(plan)}


def next_key(desired: DesiredState, plan: Plan) -> tuple[Kind, Key] | None:
    write = desired.next_write(desired.items(plan))
    return None if write is None else (write[0], write[1].key)


def test_entries_in_the_way_are_deleted_before_anything_is_created(desired: DesiredState) -> None:
    assert next_key(desired, Plan(creates=(TLS,), deletes=(entry("fwd-1"),))) == (Kind.DELETE, "fwd-1")


def test_rules_are_created_in_their_order(desired: DesiredState) -> None:
    assert next_key(desired, Plan(creates=(WEB, TLS))) == (Kind.CREATE, WEB)


def test_write_under_way_is_not_sent_twice(desired: DesiredState) -> None:
    desired.in_flight = {WEB, "fwd-1"}
    assert next_key(desired, Plan(creates=(WEB, TLS), deletes=(entry("fwd-1"),))) == (Kind.CREATE, TLS)


def test_unverified_rule_is_not_created_before_it_has_been_read(desired: DesiredState) -> None:
    desired.unverified = {WEB: BY_SIDES}
    assert next_key(desired, Plan(creates=(WEB,))) is None


def test_each_entry_of_a_plan_has_a_state(desired: DesiredState) -> None:
    pending = entry("fwd-1", OWN.name, WEB, EntryStatus.PENDING)
    surplus = entry("fwd-2", OWN.name, DNS, EntryStatus.PENDING)
    leaving = entry("fwd-3", OWN.name, DNS, EntryStatus.DELETING)
    foreign = entry("fwd-4", "", TLS)
    plan = Plan(settling=(pending, surplus, leaving), conflicts=(Conflict(TLS, foreign, Side.INTERNAL, None),))
    assert states(desired, plan) == {
        "fwd-1": EntryState.PENDING,
        "fwd-2": EntryState.SURPLUS,
        "fwd-3": EntryState.DELETING,
        "fwd-4": EntryState.CONFLICT,
    }


def test_entry_on_its_way_out_is_leaving_even_if_its_rule_is_wanted_again(desired: DesiredState) -> None:
    leaving = entry("fwd-1", OWN.name, WEB, EntryStatus.DELETING)
    assert states(desired, Plan(settling=(leaving,))) == {"fwd-1": EntryState.DELETING}


def test_end_of_a_release_is_proven_only_when_nothing_else_is_left() -> None:
    releasing = desiring(release=True)
    assert states(releasing, Plan()) == {OWN.name: EntryState.GONE}
    assert OWN.name not in states(releasing, Plan(deletes=(entry("fwd-1"),)))
    releasing.confirmed = True
    assert states(releasing, Plan()) == {}


# What is asked for


def test_rule_that_may_have_been_made_is_asked_for_by_both_sides(desired: DesiredState) -> None:
    desired.unverified = {WEB: BY_SIDES}
    assert desired.filters(Item(WEB, EntryState.UNVERIFIED)) == (
        EntryFilter(external_ip=WEB.external_ip, external_port="512"),
        EntryFilter(internal_ip=WEB.internal_ip, internal_port="80"),
    )


def test_rule_that_another_writer_may_have_made_is_asked_for_by_name(desired: DesiredState) -> None:
    desired.unverified = {WEB: Unverified(Evidence.BY_NAME, 0.0)}
    assert desired.filters(Item(WEB, EntryState.UNVERIFIED)) == (EntryFilter(name=OWN.name),)


@pytest.mark.parametrize("state", [EntryState.PENDING, EntryState.SURPLUS, EntryState.CONFLICT, EntryState.DELETING])
def test_entry_is_asked_for_by_its_id(desired: DesiredState, state: EntryState) -> None:
    assert desired.filters(Item("fwd-1", state, entry("fwd-1", OWN.name))) == (EntryFilter(entry_id="fwd-1"),)


def test_last_entry_of_a_release_is_asked_for_by_name_which_proves_the_end_too() -> None:
    releasing = desiring(release=True)
    last = Item("fwd-1", EntryState.DELETING, entry("fwd-1", OWN.name, WEB, EntryStatus.DELETING))
    releasing.update_states([last], 1.0)
    assert releasing.filters(last) == (EntryFilter(name=OWN.name),)
    renamed = replace(last, entry=entry("fwd-1", "web", WEB, EntryStatus.DELETING))
    assert releasing.filters(renamed) == (EntryFilter(entry_id="fwd-1"),)


@pytest.mark.parametrize("state", [EntryState.PENDING, EntryState.DELETING, EntryState.GONE, EntryState.UNVERIFIED])
def test_item_that_a_read_did_not_change_is_asked_for_ever_more_rarely(
    desired: DesiredState, state: EntryState
) -> None:
    now, asked = 0.0, []
    poll = desired.first_poll(Item("fwd-1", state, entry("fwd-1")), now, float("-inf"))
    while now < 3600.0:
        now = max(now, poll.at)
        asked.append(now)
        poll.again(now, not_before=float("-inf"))
        assert poll.at > now
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert len(asked) <= 300
    assert gaps[-1] > 10 * gaps[0]


def test_item_is_asked_for_when_it_is_likely_to_have_changed(desired: DesiredState) -> None:
    poll = desired.first_poll(Item("fwd-1", EntryState.PENDING, entry("fwd-1")), 10.0, 14.5)
    assert poll.at == 14.5
    poll.again(14.6, not_before=15.0)
    assert poll.at == 15.0


def test_conflict_is_asked_for_at_once_and_then_now_and_then(desired: DesiredState) -> None:
    item = Item("fwd-9", EntryState.CONFLICT, entry("fwd-9"))
    assert desired.unverified_conflicts([item])
    poll = desired.first_poll(item, 10.0, float("-inf"))
    assert poll.at == 10.0
    poll.again(10.1, not_before=float("-inf"))
    assert poll.at == pytest.approx(10.1 + CONFLICT_RECHECK)
    poll.seen, desired.polls["fwd-9"] = True, poll
    assert not desired.unverified_conflicts([item])
