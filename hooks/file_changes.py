"""Notices that files have changed, so that a Secret can be replaced without a restart."""

from pathlib import Path

_State = tuple[tuple[int, int, int] | None, ...]


class FileChanges:
    """Remembers what files looked like. Kubelets swap a symlink, so the file behind the path becomes another one."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._seen: _State | None = None

    def noticed(self) -> bool:
        """Whether any of the files is not as it was when this was last asked; at first, that is so."""
        # Taken before the caller reads: what changes while it reads is noticed the next time.
        now = tuple(map(_state, self._paths))
        changed = now != self._seen
        self._seen = now
        return changed


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
