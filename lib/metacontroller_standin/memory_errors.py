"""The errors of the in-memory API, in the words and codes of a Kubernetes API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metacontroller_standin.kinds import ServedKind

Json = dict[str, Any]


class StatusError(Exception):
    """An answer other than success."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def body(self) -> Json:
        """Build the `Status` object that clients expect."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }


def _about(kind: ServedKind, name: str) -> Json:
    return {"name": name, "group": kind.group, "kind": kind.plural}


def not_found(kind: ServedKind, name: str) -> StatusError:
    """Say that there is no such object."""
    return StatusError(404, "NotFound", f'{kind.qualified_name} "{name}" not found', _about(kind, name))


def no_such_path(path: str) -> StatusError:
    """Say that there is no such resource."""
    return StatusError(404, "NotFound", f"the server could not find the requested resource: {path}")


def already_exists(kind: ServedKind, name: str) -> StatusError:
    """Say that an object of that name is there."""
    message = f'{kind.qualified_name} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, _about(kind, name))


def conflict(kind: ServedKind, name: str, why: str) -> StatusError:
    """Say that somebody else changed the object since it was read."""
    message = f'Operation cannot be fulfilled on {kind.qualified_name} "{name}": {why}'
    return StatusError(409, "Conflict", message, _about(kind, name))


def invalid(kind: ServedKind, name: str, why: str) -> StatusError:
    """Say which rule the object breaks."""
    return StatusError(422, "Invalid", f'{kind.kind} "{name}" is invalid: {why}', _about(kind, name))


def bad_request(message: str) -> StatusError:
    """Say why the request cannot be understood."""
    return StatusError(400, "BadRequest", message)


def unsupported_media_type(media_type: str) -> StatusError:
    """Refuse a patch of an unknown kind."""
    message = f"the in-memory API understands merge patches only, not {media_type}"
    return StatusError(415, "UnsupportedMediaType", message)


def method_not_allowed(method: str) -> StatusError:
    """Say that the path knows other methods only."""
    return StatusError(405, "MethodNotAllowed", f"{method} is not possible here")


def expired(revision: int) -> StatusError:
    """Say that the history no longer reaches back that far."""
    return StatusError(410, "Expired", f"too old resource version: {revision}")
