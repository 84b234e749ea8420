"""What PodDNATs that are gone have left on a gateway: nobody is asked before it is known which exist."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import pytest

from poddnat.gateway import GatewayListener, Ownership
from poddnat.gateway.garbage_collector import GarbageCollector
from poddnat.gateway.intervals import GONE_GATHER
from poddnat.gateway.reconciler import Reconciler
from tests.unit.samples import entry

if TYPE_CHECKING:
    from collections.abc import Collection

OWNERSHIP = Ownership("c")
NOW = 100.0


class PodDNATs:
    """Those that exist, of which nobody knows before they are listed."""

    def __init__(self) -> None:
        self.has_synced = False
        self.alive: set[str] = set()
        self.of_another: set[str] = set()
        self.asked: list[set[str]] = []

    def is_of_another(self, uid: str) -> bool:
        return uid in self.of_another

    def is_alive(self, uid: str) -> bool:
        return self.has_synced and uid in self.alive

    def gone_of(self, uids: Collection[str]) -> set[str]:
        self.asked.append(set(uids))
        return set(uids) - self.alive


@pytest.fixture
def poddnats() -> PodDNATs:
    return PodDNATs()


@pytest.fixture
def collector(poddnats: PodDNATs) -> GarbageCollector:
    """Make one for a table with entries of two PodDNATs."""
    reconciler = Reconciler("ngw-1", OWNERSHIP, poddnats.is_alive)
    for number, uid in enumerate(("alive", "gone")):
        reconciler.table.put(entry(f"fwd-{number}", OWNERSHIP.name_of(uid)))
    lock = threading.Condition()
    return GarbageCollector(
        "ngw-1", reconciler, OWNERSHIP, poddnats, GatewayListener(), lock=lock, may_write=lambda: True
    )


def test_nobody_is_asked_about_all_owners_while_none_is_known_to_exist(
    collector: GarbageCollector, poddnats: PodDNATs
) -> None:
    assert collector.listed(NOW) == []
    assert collector.take_gone(NOW + GONE_GATHER) == {}
    assert not math.isinf(collector.due_at)
    assert poddnats.asked == []


def test_only_those_that_seem_gone_are_asked_about_once_it_is_known_which_exist(
    collector: GarbageCollector, poddnats: PodDNATs
) -> None:
    collector.listed(NOW)
    poddnats.has_synced, poddnats.alive = True, {"alive"}
    left = collector.take_gone(NOW + GONE_GATHER)
    assert [own.uid for own in collector.collect(left)] == ["gone"]
    assert poddnats.asked == [{"gone"}]
    assert math.isinf(collector.due_at)


def test_what_another_installation_has_is_neither_ours_nor_gone(
    collector: GarbageCollector, poddnats: PodDNATs
) -> None:
    poddnats.has_synced, poddnats.alive, poddnats.of_another = True, {"alive", "gone"}, {"gone"}
    assert collector.listed(NOW) == []
    assert poddnats.asked == []
    assert collector.is_ours(entry("fwd-0", OWNERSHIP.name_of("alive")))
    assert not collector.is_ours(entry("fwd-1", OWNERSHIP.name_of("gone")))
