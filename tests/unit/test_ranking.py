"""Who comes first by a number that may change: the same as sorting, whatever was put in and taken out before."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from poddnat.ranking import Ranking

steps = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from([None, 1.0, 2.0, 3.0])))


@given(steps)
def test_lowest_rank_is_first_and_of_equal_ones_who_came_first(given_steps: list[tuple[str, float | None]]) -> None:
    ranking, expected = Ranking(), dict[str, float]()
    for uid, rank in given_steps:
        if rank is None:
            ranking.discard(uid)
            expected.pop(uid, None)
        else:
            if expected.get(uid) != rank:
                expected.pop(uid, None)
            expected[uid] = rank
            ranking.put(uid, rank)
    order = sorted(expected, key=expected.__getitem__)
    assert [*ranking] == order
    assert len(ranking) == len(order)
    for uid in order:
        assert ranking.first() == (expected[uid], uid) == (ranking.rank(uid), uid)
        assert ranking.pop() == (expected[uid], uid)
        assert uid not in ranking
    assert ranking.first() == (math.inf, "")
