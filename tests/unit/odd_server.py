"""A server that answers every request alike, and not as it should."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class OddServer(ThreadingHTTPServer):
    """Answers with ``status`` and ``body``, of which the last ``lost`` bytes get lost on the way.

    Before that, it answers with each of ``first``.
    """

    status = 200
    body = b""
    lost = 0
    asked = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.first: list[bytes] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: OddServer

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked += 1
        body = self.server.first.pop(0) if self.server.first else self.server.body
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) - self.server.lost])
        self.close_connection = True

    do_POST = do_GET  # noqa: N815  # the base class looks for it

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def odd_server() -> Iterator[OddServer]:
    """Run one for a test."""
    with OddServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
