"""What `poddnat ports` lists of forward entries."""

from __future__ import annotations

from poddnat.usage import _mapping, _order
from tests.unit.samples import entry, rule


def test_range_is_spelled_as_people_do_and_stands_where_it_begins() -> None:
    ports = ("1000/1010", "999", "20000", "1005")
    shown = [_mapping("ngw-a", entry(of=rule(port, port)), "web") for port in ports]
    assert [mapping.external for mapping in sorted(shown, key=_order)] == [
        "203.0.113.10:999",
        "203.0.113.10:1000-1010",
        "203.0.113.10:1005",
        "203.0.113.10:20000",
    ]
