"""Waiting for something to become true."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_until(condition: Callable[[], object], timeout: float, what: str, *, interval: float = 0.02) -> None:
    """Return as soon as the condition holds; raise TimeoutError naming what did not happen."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            message = f"waited {timeout:g} s in vain for {what}"
            raise TimeoutError(message)
        time.sleep(interval)
