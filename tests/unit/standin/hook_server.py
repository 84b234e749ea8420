"""A hook server that answers what a test tells it to and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from metacontroller_standin.running import Running

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What a hook answers."""

    body: Json
    code: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class HookServer(Running):
    """Runs for as long as the `with` block; `requests` grows meanwhile."""

    def __init__(self, answer: Callable[[str, Json], Reply]) -> None:
        """Let `answer` make the reply to a path and a body; the request is among those seen already then."""
        self.requests: list[tuple[str, Json, dict[str, str]]] = []
        self._answer = answer
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                reply = server.take(self.path, body, dict(self.headers))
                text = json.dumps(reply.body).encode()
                self.send_response(reply.code)
                for name, value in {**reply.headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))

    def take(self, path: str, body: Json, headers: dict[str, str]) -> Reply:
        with self._lock:
            self.requests.append((path, body, headers))
        return self._answer(path, body)

    def seen(self, path: str) -> list[Json]:
        """Return the requests to one path so far."""
        with self._lock:
            return [body for its, body, _ in self.requests if its == path]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
