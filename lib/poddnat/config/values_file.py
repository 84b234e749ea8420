"""The values file while the server runs: a valid change is applied, an invalid one is logged and changes nothing."""

import hashlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from poddnat.config.intervals import POLL_INTERVAL
from poddnat.config.values import Values, ValuesError, load
from poddnat.logs import Attempts

log = logging.getLogger(__name__)


class ValuesFile:
    """Polls the file every few seconds, on a thread of its own.

    It goes by the content: a mounted Secret changes by another symbolic link in its place.
    """

    def __init__(
        self, path: Path, values: Values, apply: Callable[[Values], None], *, interval: float = POLL_INTERVAL
    ) -> None:
        """``values`` are those that are in force; ``apply`` gets those that should be."""
        self.valid = True
        """Whether the file as it is now is in force."""
        self._path = path
        self._values = values
        self._apply = apply
        self._interval = interval
        self._last_digest: str | None = None
        self._half_applied = False
        self._warned: tuple[str, ...] = ()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="values-file", daemon=True)

    def start(self) -> None:
        """Start to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; a change that is being applied is waited for."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def poll(self) -> None:
        """Apply what the file says, if that is new; log once what is wrong with it.

        Raises:
            Exception: what ``apply`` raises; the change is applied again at the next poll.
        """
        digest = self._digest()
        if digest == self._last_digest and not self._half_applied:
            return
        try:
            read = load(self._path)
            _check_change(self._path, self._values, read)
        except ValuesError as error:
            self._last_digest = digest
            self.valid = False
            log.error("the values in force stay, as %s", error)  # noqa: TRY400  # a mistake in a file, not in the code
            return
        if read != self._values or self._half_applied:
            # Should it fail, the next poll tries again, also when the file is by then as it was before.
            self.valid, self._half_applied = False, True
            self._apply(read)
            self._values, self._half_applied = read, False
            log.info("%s has changed, and is in force", self._path)
        self._warn(read)
        self._last_digest = digest
        self.valid = True

    def _warn(self, read: Values) -> None:
        for text in read.warnings:
            if text not in self._warned:
                log.warning("%s: %s", self._path, text)
        self._warned = read.warnings

    def _digest(self) -> str:
        try:
            return hashlib.sha256(self._path.read_bytes()).hexdigest()
        except OSError as error:
            return str(error.strerror)

    def _run(self) -> None:
        attempts = Attempts(log, f"applying {self._path}")
        while not self._stopping.wait(self._interval):
            try:
                self.poll()
                attempts.worked()
            except Exception as error:  # noqa: BLE001  # the next change has to be seen all the same
                attempts.failed(error, expected=False)


def _check_change(path: Path, before: Values, now: Values) -> None:
    """Check that nothing has changed that a running server can't change.

    Raises:
        ValuesError: something of that has changed.
    """
    fixed = {
        "clusterID": (before.cluster_id, now.cluster_id),
        "regionID": (before.region_id, now.region_id),
        "vpcID": (before.vpc_id, now.vpc_id),
        "installation": (before.installation.name or "not set", now.installation.name or "not set"),
    }
    problems = [
        f"{key}: it was {old} and is now {new}, which needs a restart of the server; restart it, or put it back"
        for key, (old, new) in fixed.items()
        if old != new
    ]
    if problems:
        raise ValuesError(str(path), problems)
