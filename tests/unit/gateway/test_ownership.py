"""Whose a forward entry is: names that the API takes, and that prove the entry ours or not."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from poddnat.gateway import Ownership

CLUSTER = "c11ba338192f4c1c8b0d1a2e3f4a5b6c7"
UID = "2fad9bb7-cc84-46b4-b6eb-5d15f06c0001"

# CreateForwardEntry's rule for ForwardEntryName.
VALID_NAME = re.compile(r"(?!https?://)[A-Za-z][A-Za-z0-9_-]{1,127}", re.ASCII)

uids = st.uuids().map(str)
ordinary_ids = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,40}", fullmatch=True)
odd_ids = st.sampled_from(
    ["a.b", "a_b", "a-b", "a__b", "_", ".", "a" * 500, "a" * 499 + "b", "容器-1", "c1_", "poddnat_c1"]
)
cluster_ids = ordinary_ids | odd_ids


@given(cluster_ids, uids)
def test_name_is_one_that_the_api_takes(cluster_id: str, uid: str) -> None:
    assert VALID_NAME.fullmatch(Ownership(cluster_id).name_of(uid))


@given(cluster_ids, uids)
def test_owner_is_read_back_from_the_name(cluster_id: str, uid: str) -> None:
    ownership = Ownership(cluster_id)
    assert ownership.owner_in(ownership.name_of(uid)) == uid


@given(cluster_ids, cluster_ids, uids)
def test_name_of_another_cluster_is_not_ours(one: str, other: str, uid: str) -> None:
    assume(one != other)
    assert Ownership(one).owner_in(Ownership(other).name_of(uid)) is None


@given(cluster_ids, st.text())
def test_any_other_text_is_not_ours(cluster_id: str, text: str) -> None:
    assert Ownership(cluster_id).owner_in(text) is None


@given(cluster_ids, st.lists(uids, unique=True, max_size=5))
def test_every_uid_has_a_name_of_its_own(cluster_id: str, many: list[str]) -> None:
    assert len({Ownership(cluster_id).name_of(uid) for uid in many}) == len(many)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="no name"),
        pytest.param(f"poddnat_{CLUSTER}", id="no uid"),
        pytest.param(f"poddnat_{CLUSTER}_", id="empty uid"),
        pytest.param(f"x-poddnat_{CLUSTER}_{UID}", id="something before"),
        pytest.param(f"PODDNAT_{CLUSTER}_{UID}", id="other case"),
        pytest.param(f"poddnat_{CLUSTER}0_{UID}", id="longer cluster id"),
        pytest.param(f"poddnat_{CLUSTER[:-1]}_{UID}", id="shorter cluster id"),
        pytest.param(f"poddnat_{CLUSTER}_my_web_server", id="name by hand that begins alike"),
        pytest.param(f"poddnat_{CLUSTER}_{UID}_{UID}", id="something behind"),
        pytest.param("created-by-ack", id="another controller's"),
    ],
)
def test_name_that_only_looks_like_ours_is_not(name: str) -> None:
    assert Ownership(CLUSTER).owner_in(name) is None


def test_ordinary_name_can_be_read_by_people() -> None:
    assert Ownership(CLUSTER).name_of(UID) == f"poddnat_{CLUSTER}_{UID}"


def test_names_stay_the_same_over_restarts() -> None:
    uid = str(uuid.uuid4())
    assert Ownership("a.very_odd.id" * 20).name_of(uid) == Ownership("a.very_odd.id" * 20).name_of(uid)
