"""A connection to the API server that breaks when a test wants it to: nobody can say what became of the call."""

from __future__ import annotations

from collections import deque
from typing import Any

import urllib3.exceptions
from kubernetes import client


class LossyClient(client.ApiClient):
    """Loses calls with certain methods, each either before it is done or only its answer."""

    def __init__(self, url: str) -> None:
        super().__init__(client.Configuration(host=url))
        self._losses: deque[tuple[str, bool]] = deque()
        self.operator_warnings: list[tuple[str, str]] = []
        """Reasons and sentences that the service warned operators with."""

    def lose(self, method: str, *, done: bool) -> None:
        """Lose the next call with this HTTP method; with `done`, the API server does what it asks for."""
        self._losses.append((method, done))

    @property
    def lost_all(self) -> bool:
        """Whether all that was to be lost has been lost."""
        return not self._losses

    def call_api(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        if self._losses and self._losses[0][0] == method and "/poddnats" in url:
            _, done = self._losses.popleft()
            if done:
                super().call_api(method, url, *args, **options).read()  # type: ignore[no-untyped-call]
            raise urllib3.exceptions.ProtocolError("Connection broken")
        return super().call_api(method, url, *args, **options)
