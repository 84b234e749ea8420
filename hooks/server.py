"""The production server around the application: one process, many threads."""

import threading
from types import TracebackType
from typing import Self

from cheroot.wsgi import Server
from flask import Flask

# Metacontroller calls with 5 workers for each of three controllers by default; people raise that.
_THREADS = 24
_QUEUE = 256


class HookServer:
    """Serves an application over HTTP. The port is open as soon as the server is made."""

    def __init__(self, app: Flask, host: str = "127.0.0.1", port: int = 0) -> None:
        """Port 0 takes a free one.

        Raises:
            OSError: the address can't be had.
        """
        self._server = Server(
            (host, port),
            app,
            numthreads=_THREADS,
            request_queue_size=_QUEUE,
            server_name="poddnat",
            shutdown_timeout=5,
        )
        self._server.prepare()

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._server.bind_addr[:2]
        return f"http://{host}:{port}"

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
