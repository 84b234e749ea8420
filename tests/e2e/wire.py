"""A network between two programs, which a test may break."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from typing import TYPE_CHECKING

from metacontroller_standin.api import ApiError
from metacontroller_standin.running import Running

if TYPE_CHECKING:
    from collections.abc import Callable


class Wire(Running):
    """Passes connections on, until it is cut: then all goes silent, as on a network that is broken."""

    def __init__(self, target: Callable[[], tuple[str, int]]) -> None:
        """`target` is asked for an address at each new connection."""
        self._target = target
        self._whole = threading.Event()
        self._whole.set()
        self._barred = False
        wire = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, ApiError):
                    wire.connect(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="wire")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.mend()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def cut(self) -> None:
        """Let nothing through; nobody is told."""
        self._whole.clear()

    def bar(self) -> None:
        """Close connections as soon as somebody uses them, as where nothing listens."""
        self._barred = True

    def mend(self) -> None:
        """Let everything through, also what was kept back."""
        self._barred = False
        self._whole.set()

    def connect(self, caller: socket.socket) -> None:
        """Pass bytes both ways until either side ends."""
        self._whole.wait()
        if self._barred:
            return
        with socket.create_connection(self._target(), timeout=2) as replica:
            replica.settimeout(None)
            back = threading.Thread(target=self._pump, args=(replica, caller), daemon=True)
            back.start()
            self._pump(caller, replica)
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._whole.wait()
                if self._barred:
                    break
                target.sendall(data)
        self._whole.wait()
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
