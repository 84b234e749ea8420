"""The stand-in's own client of the API server."""

from __future__ import annotations

import io

import pytest
import urllib3

from metacontroller_standin.api import Watch


def test_watch_closes_its_connection_when_nobody_looks_further() -> None:
    line = b'{"type": "ERROR", "object": {"code": 410}}\n'
    response = urllib3.HTTPResponse(body=io.BytesIO(10_000 * line), preload_content=False)
    for event, _ in Watch(response):
        assert event == "ERROR"
        break
    assert response.closed


@pytest.mark.parametrize(
    "rest", [b'{"type": "ADD', b'{"type": "ADDED"\xd7\n', b"\xff\n"], ids=["cut", "garbled", "alien"]
)
def test_watch_ends_where_the_stream_is_no_events_any_more(rest: bytes) -> None:
    first = b'{"type": "ADDED", "object": {}}\n'
    response = urllib3.HTTPResponse(body=io.BytesIO(first + rest), preload_content=False)
    assert list(Watch(response)) == [("ADDED", {})]
