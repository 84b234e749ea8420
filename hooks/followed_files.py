"""Files that are read again when they change, so that a Secret can be replaced without a restart."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

_Content = TypeVar("_Content")


class FollowedFiles(Generic[_Content]):
    """What files hold, read again when they change. Safe to use from several threads."""

    def __init__(self, what: str, read: Callable[[], _Content], *paths: Path) -> None:
        """Read them for the first time; ``what`` they hold, for the log.

        Raises:
            ValueError: what ``read`` raises when the files can't be used.
        """
        self._what = what
        self._read = read
        self._paths = paths
        self._lock = threading.Lock()
        self._seen = self._states()
        self._content = read()

    def current(self) -> _Content:
        """Give what they hold now, or held last when they can't be used."""
        with self._lock:
            # Looked at before they are read: what changes meanwhile is noticed the next time.
            before, self._seen = self._seen, self._states()
            if self._seen != before:
                try:
                    self._content = self._read()
                except ValueError as error:
                    # Several files are replaced one after the other, perhaps: then the next look finds all.
                    log.error("%s; the %s read before stays in use", error, self._what)  # noqa: TRY400
                else:
                    log.info("read %s again", self._paths[0])
            return self._content

    def _states(self) -> list[tuple[int, int, int] | None]:
        # Kubelets swap a symlink, so the file behind the path becomes another one.
        return [_state(path) for path in self._paths]


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
