"""What hooks answer, checked as far as Metacontroller would refuse to decode it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


class AnswerError(ValueError):
    """An answer cannot be decoded."""


@dataclass(frozen=True)
class DecoratorAnswer:
    """What to make of a decorated object; None as status leaves it as it is."""

    labels: dict[str, str | None] = field(default_factory=dict)
    annotations: dict[str, str | None] = field(default_factory=dict)
    status: Json | None = None
    attachments: tuple[Json, ...] = ()
    resync_after: float = 0.0


@dataclass(frozen=True)
class CompositeAnswer:
    """What to make of a parent."""

    status: Json
    resync_after: float = 0.0
    finalized: bool = False


def decorator_answer(text: bytes) -> DecoratorAnswer:
    """Read a decorator hook's answer."""
    body = _load(text)
    return DecoratorAnswer(
        labels=_string_map(body, "labels"),
        annotations=_string_map(body, "annotations"),
        status=_typed(body, "status", dict, None),
        attachments=tuple(_object(item) for item in _typed(body, "attachments", list, [])),
        resync_after=_seconds(body),
    )


def composite_answer(text: bytes) -> CompositeAnswer:
    """Read a composite hook's answer."""
    body = _load(text)
    if _typed(body, "children", list, []):
        raise AnswerError("children: the stand-in does not know children of composites")
    return CompositeAnswer(
        status=_typed(body, "status", dict, {}),
        resync_after=_seconds(body),
        finalized=_typed(body, "finalized", bool, default=False),
    )


def _load(text: bytes) -> Json:
    try:
        body = json.loads(text)
    except ValueError as error:
        message = f"can't unmarshal webhookResponse: {error}"
        raise AnswerError(message) from None
    if not isinstance(body, dict):
        raise AnswerError("can't unmarshal webhookResponse: not an object")
    return body


def _typed(body: Json, key: str, wanted: type, default: Any) -> Any:
    value = body.get(key)
    if value is None:
        return default
    if not isinstance(value, wanted):
        message = f"can't unmarshal webhookResponse: {key} is {type(value).__name__}, not {wanted.__name__}"
        raise AnswerError(message)
    return value


def _string_map(body: Json, key: str) -> dict[str, str | None]:
    values: dict[str, str | None] = _typed(body, key, dict, {})
    for name, value in values.items():
        if not (value is None or isinstance(value, str)):
            message = f"can't unmarshal webhookResponse: {key}[{name}] is not a string"
            raise AnswerError(message)
    return values


def _seconds(body: Json) -> float:
    value = body.get("resyncAfterSeconds") or 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AnswerError("can't unmarshal webhookResponse: resyncAfterSeconds is not a number")
    return float(value)


def _object(item: Any) -> Json:
    named = isinstance(item, dict) and item.get("apiVersion") and item.get("kind")
    if not named or not (item.get("metadata") or {}).get("name"):
        raise AnswerError("an attachment needs apiVersion, kind and metadata.name")
    obj: Json = item
    return obj
