"""Windows of free ports, kept as stretches: in the order in which they became free."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from poddnat.ports.free_windows import FreeWindows, Stretch

spans = st.tuples(st.integers(1, 20), st.integers(1, 20)).map(sorted).map(tuple)


def test_untouched_ports_are_one_stretch_however_many() -> None:
    windows = FreeWindows()
    windows.add(1, 65_535, 0)
    assert list(windows) == [Stretch(1, 65_535, 0)]


def test_cut_leaves_what_is_on_both_sides_as_old_as_it_was() -> None:
    windows = FreeWindows()
    windows.add(10, 20, 7)
    windows.cut(13, 14)
    assert list(windows.by_place()) == [Stretch(10, 12, 7), Stretch(15, 20, 7)]


def test_the_oldest_comes_first_and_of_equally_old_ones_the_smallest() -> None:
    windows = FreeWindows()
    windows.add(50, 60, 1)
    windows.add(10, 30, 2)
    windows.add(40, 41, 2)
    assert [stretch.first for stretch in windows] == [50, 40, 10]


def test_cut_of_what_is_not_there_changes_nothing() -> None:
    windows = FreeWindows()
    windows.add(10, 12, 0)
    windows.cut(1, 9)
    windows.cut(13, 20)
    assert list(windows) == [Stretch(10, 12, 0)]


@given(st.lists(st.tuples(st.booleans(), spans)))
def test_windows_are_those_that_were_added_and_not_cut_since(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    windows, naive = FreeWindows(), dict[int, int]()
    for now, (adding, (first, last)) in enumerate(steps):
        places = range(first, last + 1)
        windows.cut(first, last)
        for place in places:
            naive.pop(place, None)
        if adding:
            windows.add(first, last, now)
            naive |= dict.fromkeys(places, now)
        shown = [(place, s.since) for s in windows.by_place() for place in range(s.first, s.last + 1)]
        assert shown == sorted(naive.items())
        ages = [stretch.since for stretch in windows]
        assert ages == sorted(ages)
        assert sorted(windows) == list(windows.by_place())
