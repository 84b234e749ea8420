"""The production server around the application: one process, many threads."""

import logging
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

from cheroot.makefile import StreamReader, StreamWriter
from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.ssl import Adapter
from cheroot.wsgi import Server
from flask import Flask

from hooks.certificate import Certificate
from hooks.intervals import LONGEST_READ, LONGEST_REQUEST, SHUTDOWN_TIMEOUT

log = logging.getLogger(__name__)

# etcd holds no object of more than about 1.5 MiB; a request carries two at most, and the controller.
LARGEST_REQUEST = 4 * 1024 * 1024

_LARGEST_HEADER = 32 * 1024
# Metacontroller calls with 5 workers for each of three controllers by default; people raise that.
_THREADS = 24
_QUEUE = 256


class HookServer:
    """Serves an application over HTTP, or HTTPS. The port is open as soon as the server is made."""

    def __init__(
        self,
        app: Flask,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        certificate: Certificate | None = None,
        longest_read: int = LONGEST_READ,
        longest_request: float = LONGEST_REQUEST,
    ) -> None:
        """Port 0 takes a free one; with a certificate, TLS is spoken and nothing else.

        ``longest_read``: seconds that the next bytes of a request may take.
        ``longest_request``: seconds that a whole request may take to arrive.

        Raises:
            OSError: the address can't be had.
        """
        self._server = _Server(
            (host, port),
            app,
            numthreads=_THREADS,
            request_queue_size=_QUEUE,
            server_name="poddnat",
            shutdown_timeout=SHUTDOWN_TIMEOUT,
            timeout=longest_read,
        )
        self._server.max_request_header_size = _LARGEST_HEADER
        self._server.max_request_body_size = LARGEST_REQUEST
        self._server.longest_request = longest_request
        self._server.ConnectionClass = _Connection
        if certificate is not None:
            self._server.ssl_adapter = _Tls(certificate)
            self._server.ConnectionClass = _TlsConnection
        self._scheme = "https" if certificate else "http"
        self._server.prepare()

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._server.bind_addr[:2]
        return f"{self._scheme}://{host}:{port}"

    def serve(self) -> None:
        """Answer requests until ``stop`` is called from another thread."""
        self._server.serve()

    def stop(self) -> None:
        """Stop; requests under way are finished."""
        self._server.stop()

    def start(self) -> None:
        """Answer requests on a thread of its own."""
        threading.Thread(target=self.serve, name="hooks", daemon=True).start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


class _Server(Server):
    """Writes its messages to our log."""

    longest_request: float

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:  # noqa: FBT001, FBT002
        # Tracebacks below that are of callers who broke off: they must not fill the log.
        log.log(level, "%s", msg, exc_info=traceback and level >= logging.ERROR)


class _Request(HTTPRequest):
    """A request with a length: what is left unread of a chunked one would be taken for the next request."""

    def read_request_headers(self) -> bool:
        if not super().read_request_headers():  # type: ignore[no-untyped-call]
            return False
        if self.chunked_read:
            self.simple_response("411 Length Required", "Give the length of the request's body.")
            return False
        return True

    def send_headers(self) -> None:
        """Keep the head until the body comes, so that both leave together: a packet of its own costs as much again."""
        self.conn.wfile.holding = True
        try:
            super().send_headers()
        finally:
            self.conn.wfile.holding = False

    def respond(self) -> None:
        super().respond()
        self.conn.wfile.flush()  # There may be no body.


class _Socket(socket.SocketIO):
    """Reads from a socket until a deadline."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, "rb")
        self._socket = sock
        self.deadline = float("inf")

    def readinto(self, buffer: Any) -> int | None:
        timeout = self._socket.gettimeout()
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left if timeout is None else min(timeout, left))
        try:
            return super().readinto(buffer)
        finally:
            self._socket.settimeout(timeout)


class _Reader(StreamReader):
    """Reads requests, each until a deadline."""

    def __init__(self, sock: socket.socket, bufsize: int) -> None:
        super(StreamReader, self).__init__(_Socket(sock), bufsize)  # in place of a plain SocketIO
        self.bytes_read = 0


class _Writer(StreamWriter):
    """Writes responses; what is written while it is ``holding`` is sent with what follows."""

    holding = False

    def _flush_unlocked(self) -> None:
        if not self.holding:
            super()._flush_unlocked()  # type: ignore[misc]


def _make_file(sock: socket.socket, mode: str, bufsize: int) -> Any:
    return _Reader(sock, bufsize) if "r" in mode else _Writer(sock, mode, bufsize)


class _Connection(HTTPConnection):
    RequestHandlerClass = _Request

    def __init__(self, server: _Server, sock: socket.socket, _makefile: object) -> None:
        super().__init__(server, sock, _make_file)

    def communicate(self) -> bool:
        self.rfile.raw.deadline = time.monotonic() + self.server.longest_request
        return bool(super().communicate())  # type: ignore[no-untyped-call]


class _Tls(Adapter):
    """Wraps connections; unlike Cheroot's own adapter, without waiting for the caller where all are accepted."""

    def __init__(self, certificate: Certificate) -> None:
        self._certificate = certificate

    def bind(self, sock: socket.socket) -> socket.socket:
        return sock

    def wrap(self, sock: socket.socket) -> tuple[socket.socket, dict[str, str]]:
        wrapped = self._certificate.context().wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {}

    def get_environ(self) -> dict[str, str]:
        return {}

    def makefile(self, sock: socket.socket, mode: str = "r", bufsize: int = -1) -> Any:
        return _make_file(sock, mode, bufsize)


class _TlsConnection(_Connection):
    """A connection that begins with a handshake, on the thread that serves it."""

    _is_new = True

    def communicate(self) -> bool:
        if self._is_new:
            self._is_new = False
            try:
                self.socket.do_handshake()
            except OSError as error:
                log.info("no TLS with %s: %s", self.remote_addr, error)
                return False
        return super().communicate()
