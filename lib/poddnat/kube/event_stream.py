"""Watching the API server: one stream of events, until it ends or breaks."""

from collections.abc import Callable
from typing import Any

import urllib3.exceptions
from kubernetes.client.exceptions import ApiException

from poddnat.error_texts import why_no_answer
from poddnat.kube.errors import KubeError, error_of
from poddnat.kube.intervals import REQUEST_TIMEOUT, WATCH_TIMEOUT

Manifest = dict[str, Any]


def stream_events(
    watching: Any,
    on_event: Callable[[str, Manifest], None],
    resource_version: str,
    listing: Callable[..., Any],
    *args: str,
    **options: object,
) -> str:
    """Watch objects for a few minutes; ``on_event`` gets each event that is no bookmark, with the object as served.

    Returns the resource version to go on from; empty: list again.

    Raises:
        KubeError: the connection broke.
    """
    try:
        for event in watching.stream(
            listing,
            *args,
            resource_version=resource_version,
            timeout_seconds=WATCH_TIMEOUT,
            allow_watch_bookmarks=True,
            # A connection that has died in silence tells nothing, not even that the watch is over.
            _request_timeout=(REQUEST_TIMEOUT, WATCH_TIMEOUT + REQUEST_TIMEOUT),
            **options,
        ):
            if event is None:  # so the client has it where a line is no JSON
                raise KubeError("no more answer (a line that is no JSON)")
            resource_version = event["object"]["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                on_event(event["type"], event["object"])
    except ApiException as error:
        if error.status == 410:  # noqa: PLR2004  # Gone: the version is too old to go on from
            return ""
        raise error_of(error) from error
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise KubeError(f"no more answer ({why_no_answer(str(error))})") from error
    return resource_version
