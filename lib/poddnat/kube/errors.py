"""What it means when the API server doesn't do what it is asked for."""

import json

from kubernetes.client.exceptions import ApiException

_NOT_FOUND = 404
_REFUSALS = frozenset({400, 401, 403, 404, 405, 413, 422})


class KubeError(Exception):
    """The API server could not be asked, or refused."""

    @property
    def refused(self) -> bool:
        """Whether it answered, and refused what it was asked: asking again alone doesn't help."""
        cause = self.__cause__
        return isinstance(cause, ApiException) and cause.status in _REFUSALS


class NotServedError(KubeError):
    """The API server serves no such kind, or not in this version."""


def error_of(refusal: ApiException) -> KubeError:
    """Say what an answer says. That a path is not served says nothing about whether an object is there."""
    try:
        status = json.loads(refusal.body or "")
        message = str(status["message"])
    except (TypeError, ValueError, KeyError):
        status, message = {}, f"{refusal.status} {refusal.reason}"
    if refusal.status == _NOT_FOUND and not (status.get("details") or {}).get("name"):
        return NotServedError(f"it serves no such kind, or not in this version ({message})")
    return KubeError(message)
