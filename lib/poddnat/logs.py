"""How the server logs: one line for each thing that changes, as JSON for programs or as text for people.

What a line is about stands beside its message: the pod, the gateway, the id of the hook call or of the call of the
cloud. Whoever begins such work gives these fields once, and all that is logged on the way carries them.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum

_OURS = ("poddnat", "hooks")
_FIELDS: ContextVar[dict[str, str] | None] = ContextVar("log fields", default=None)


class LogFormat(StrEnum):
    """How lines are written."""

    JSON = "json"
    TEXT = "text"


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Have all lines in this block carry these fields, and those of the blocks around it; empty ones are left out."""
    token = _FIELDS.set({**(_FIELDS.get() or {}), **fields})
    try:
        yield
    finally:
        _FIELDS.reset(token)


def add(**fields: str) -> None:
    """Have the rest of the innermost block carry these fields, too; outside of any block, do nothing."""
    current = _FIELDS.get()
    if current is not None:
        current.update(fields)


def fields() -> dict[str, str]:
    """Give the fields that a line would carry now."""
    return {name: value for name, value in (_FIELDS.get() or {}).items() if value}


class Attempts:
    """Logs what is tried again and again: that it fails, once for each cause, and that it works again.

    For one thread at a time.
    """

    def __init__(self, log: logging.Logger, what: str) -> None:
        """Name what is tried, such as "reading the NAT gateways"."""
        self._log = log
        self._what = what
        self._last_cause = ""

    def failed(self, error: Exception, *, expected: bool = True) -> None:
        """Log a failure, unless the last one had the same cause; one that nobody expected with a traceback."""
        cause = f"{type(error).__name__}: {error}"
        if cause == self._last_cause:
            return
        self._last_cause = cause
        if expected:
            self._log.warning("%s: %s", self._what, error)
        else:
            self._log.error("%s", self._what, exc_info=error)

    def worked(self) -> None:
        """Log a success after failures."""
        if self._last_cause:
            self._log.info("%s: works again", self._what)
        self._last_cause = ""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, the fields, and a traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Time, level, logger and message, with the fields in brackets."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the library's name
        """Write all but a traceback."""
        text = " ".join(f"{name}={value}" for name, value in fields().items())
        return super().formatMessage(record) + (f" [{text}]" if text else "")


def log_to_stderr(form: LogFormat | None) -> None:
    """Log from now on; without a format, as text on a terminal and as JSON elsewhere."""
    if form is None:
        form = LogFormat.TEXT if sys.stderr.isatty() else LogFormat.JSON
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else TextFormatter())
    handler.addFilter(_is_for_operators)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Else they are printed, and no program can read the log.
    logging.captureWarnings(capture=True)


def _is_for_operators(record: logging.LogRecord) -> bool:
    """Whether a line is ours, or at least an error: what libraries tell besides is for those who write programs."""
    return record.name.partition(".")[0] in _OURS or record.levelno >= logging.ERROR
