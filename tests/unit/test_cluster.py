"""What is made of an API server's answers that don't arrive whole."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from poddnat.cluster import Cluster, ClusterError, connect_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIST = {"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "web-1"}}]}


class BrokenServer(HTTPServer):
    """Answers every request with a list, of which so many bytes get lost on the way."""

    lost = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the base class names it
        assert isinstance(self.server, BrokenServer)
        body = json.dumps(LIST).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) - self.server.lost])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    """An API server behind a bad connection."""
    with BrokenServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cluster(server: BrokenServer) -> Cluster:
    """The cluster as that API server tells of it."""
    return Cluster(connect_to(f"http://127.0.0.1:{server.server_port}"))


READS = {
    "PodDNATs": Cluster.poddnats,
    "pods": Cluster.pods_metadata,
    "pod": lambda cluster: cluster.pod("default", "web-1"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_answer_that_breaks_off_is_no_answer(
    server: BrokenServer, cluster: Cluster, read: Callable[[Cluster], object]
) -> None:
    server.lost = 5
    with pytest.raises(ClusterError):
        read(cluster)


@pytest.mark.parametrize("read", [Cluster.poddnats, Cluster.pods_metadata], ids=["PodDNATs", "pods"])
def test_list_tells_what_there_is_and_where_to_watch_from(cluster: Cluster, read: Callable[[Cluster], object]) -> None:
    assert read(cluster) == (LIST["items"], "7")
