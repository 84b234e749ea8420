"""Times as Kubernetes writes them: RFC 3339 in UTC, to the second, so that the order of texts is that of times."""

import datetime as dt

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def now() -> dt.datetime:
    """Read the wall clock."""
    return dt.datetime.now(dt.UTC)


def rfc3339(time: dt.datetime) -> str:
    """Write a time of any zone."""
    return time.astimezone(dt.UTC).strftime(_FORMAT)


def parse(text: str) -> dt.datetime:
    """Read a time.

    Raises:
        ValueError: it is not written so.
    """
    return dt.datetime.strptime(text, _FORMAT).replace(tzinfo=dt.UTC)
