"""What is started and stopped, as a `with` block."""

from __future__ import annotations

from typing import Self


class Running:
    """Started on the way into a `with` block, stopped on the way out."""

    def start(self) -> None:
        """Begin."""
        raise NotImplementedError

    def stop(self) -> None:
        """End."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
