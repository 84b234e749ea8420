"""The HTTP server around the emulator: one thread for each connection, which is kept open between calls."""

import json
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from vpc_emulator.models import Emulator
from vpc_emulator.responses import NoAnswer, Responder, Response
from vpc_emulator.signature import Request

_POLL_SECONDS: Final = 0.02


class EmulatorServer:
    """Serves one emulator; port 0 takes a free port."""

    def __init__(self, emulator: Emulator, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.emulator = emulator
        self._stopping = threading.Event()
        self._server = _Server((host, port), Responder(emulator, self._stopping.wait))
        self._thread: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        """What the SDK's `endpoint` is set to."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    @property
    def url(self) -> str:
        """The address as a URL."""
        return f"http://{self.endpoint}"

    def start(self) -> Self:
        """Serve in a thread of its own; the port listens already."""
        self._thread = threading.Thread(target=self._serve, name="vpc-emulator", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving: close the port and every connection."""
        self._stopping.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()
        self._server.hang_up()

    def serve_forever(self) -> None:
        """Serve in this thread until `stop` is called from another one, or Ctrl-C."""
        try:
            self._serve()
        finally:
            self._stopping.set()
            self._server.server_close()
            self._server.hang_up()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=_POLL_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], responder: Responder) -> None:
        self.responder = responder
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without asking the name service who we are."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up; what goes wrong inside is answered before it gets here."""

    def hang_up(self) -> None:
        """Close the connections that clients keep open."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer leaves in one piece
    server: _Server

    def do_POST(self) -> None:
        """Answer one request."""
        target = urlsplit(self.path)
        length = int(self.headers.get("content-length") or 0)
        request = Request(
            method=self.command,
            path=target.path or "/",
            query=target.query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length) if length else b"",
            peer=str(self.client_address[0]),
        )
        try:
            response = self.server.responder.answer(request)
        except NoAnswer:
            self.close_connection = True
            return
        self._send(response)

    def _send(self, response: Response) -> None:
        self.send_response_only(response.status)
        self.send_header("content-type", "application/json;charset=utf-8")
        self.send_header("content-length", str(len(response.body)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is not even HTTP as we know it (http.server finds out) in the shape of the API."""
        self.close_connection = True
        body = {"Code": "UnsupportedHTTPMethod", "Message": message or explain or "", "RequestId": ""}
        self._send(Response(code, json.dumps(body).encode()))

    do_GET = do_POST  # noqa: N815 - http.server names them so
    do_DELETE = do_POST  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Be quiet."""
