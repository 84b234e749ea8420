"""The values file while the server runs: a valid change is taken over, an invalid one is told and changes nothing."""

import hashlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from poddnat.config.values import Values, ValuesError, load
from poddnat.logs import Attempts

log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0


class ValuesFile:
    """Looks at the file every few seconds, on a thread of its own.

    It goes by the content: a mounted Secret changes by another symbolic link in its place.
    """

    def __init__(
        self, path: Path, values: Values, take_over: Callable[[Values], None], *, interval: float = _LOOK_SECONDS
    ) -> None:
        """``values`` are those that are in force; ``take_over`` gets those that should be."""
        self.valid = True
        """Whether the file as it is now is in force."""
        self._path = path
        self._values = values
        self._take_over = take_over
        self._interval = interval
        self._seen: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="values-file", daemon=True)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; a change that is being taken over is waited for."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Take over what the file says, if that is new; tell once what is wrong with it."""
        digest = self._digest()
        if digest == self._seen:
            return
        try:
            read = load(self._path)
            _check_change(self._path, self._values, read)
        except ValuesError as error:
            self._seen = digest
            self.valid = False
            log.error("the values in force stay, as %s", error)  # noqa: TRY400  # a mistake in a file, not in the code
            return
        if read != self._values:
            self.valid = False  # should taking it over fail; it is tried again then
            self._take_over(read)
            self._values = read
            log.info("%s has changed, and is in force", self._path)
        self._seen = digest
        self.valid = True

    def _digest(self) -> str:
        try:
            return hashlib.sha256(self._path.read_bytes()).hexdigest()
        except OSError as error:
            return str(error.strerror)

    def _run(self) -> None:
        attempts = Attempts(log, f"taking over {self._path}")
        while not self._stopping.wait(self._interval):
            try:
                self.look()
                attempts.worked()
            except Exception as error:  # noqa: BLE001  # the next change has to be seen all the same
                attempts.failed(error, expected=False)


def _check_change(path: Path, before: Values, now: Values) -> None:
    """Refuse to change what a running server can't.

    Raises:
        ValuesError: something of that has changed.
    """
    fixed = {
        "clusterID": (before.cluster_id, now.cluster_id),
        "regionID": (before.region_id, now.region_id),
        "vpcID": (before.vpc_id, now.vpc_id),
    }
    problems = [
        f"{key}: it was {old} and is now {new}, which needs a restart of the server; restart it, or put it back"
        for key, (old, new) in fixed.items()
        if old != new
    ]
    if problems:
        raise ValuesError(str(path), problems)
