"""Requests and answers of the hooks are validated against the JSON schemas; nothing else is let in or out."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Response, request

from poddnat import logs
from poddnat.api import pod_as_read, poddnat_as_read
from poddnat.controllers import RequeueAfter
from poddnat.files import place_of, quick_check, schema_validator

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

Json = dict[str, Any]
Hook = Callable[[Json], Json | RequeueAfter]


class BadRequestError(Exception):
    """A request that breaks the hook's schema; the text says what is wrong with it."""


class ValidatedHook:
    """A view for Flask: validates the request, calls the hook, validates the answer."""

    def __init__(self, name: str, hook: Hook, called: Callable[[str], None] = lambda _uid: None) -> None:
        """``name`` is that of the hook's schemas: ``<name>-request.json`` and ``<name>-answer.json``.

        ``called`` gets the uid of each object that the hook is called for.
        """
        self.name = name
        self._hook = hook
        self._called = called
        self._request = _Schema(f"{name}-request.json")
        self._answer = _Schema(f"{name}-answer.json")

    def __call__(self) -> Response:
        """Answer Flask's current request.

        Raises:
            BadRequestError: the request is not one for this hook.
            RuntimeError: the hook's answer breaks its schema.
        """
        body = self._body()
        metadata = (body.get("object") or body.get("parent") or {}).get("metadata", {})
        logs.add(pod=f"{metadata.get('namespace', '')}/{metadata.get('name', '')}")
        self._called(metadata.get("uid", ""))
        answer = self._hook(body)
        if isinstance(answer, RequeueAfter):
            # A whole number: Metacontroller reads a fraction as 0, and would call again at once.
            return Response(status=429, headers={"Retry-After": str(max(1, round(answer.seconds)))})
        if (problem := self._answer.problem(answer)) is not None:
            raise RuntimeError(f"the answer of {self.name} breaks its own schema: {problem}")
        return Response(json.dumps(answer), mimetype="application/json")

    def _body(self) -> Json:
        try:
            body = json.loads(request.get_data(cache=False))
        except (ValueError, RecursionError) as error:
            raise BadRequestError(f"the request's body is not JSON: {error}") from error
        content: Json = _as_read(body) if isinstance(body, dict) else body
        if (problem := self._request.problem(content)) is not None:
            raise BadRequestError(f"this is not a request for {self.name}: {problem}")
        return content


def _as_read(body: Json) -> Json:
    """Bring the objects in a request down to what is read of them."""
    content: Json = {}
    if body.get("object") is not None:
        content["object"] = pod_as_read(body["object"])
    if body.get("parent") is not None:
        content["parent"] = _poddnat(body["parent"])
    if body.get("attachments") is not None:
        content["attachments"] = _each(lambda objects: _each(_poddnat, objects), body["attachments"])
    return content


def _poddnat(value: Any) -> Any:
    return poddnat_as_read(value) if isinstance(value, dict) else value


def _each(change: Callable[[Any], Any], value: Any) -> Any:
    """Change each part of an object but nulls, which mean that nothing is there."""
    if not isinstance(value, dict):
        return value
    return {key: change(part) for key, part in value.items() if part is not None}


class _Schema:
    """What requests or answers have to look like."""

    def __init__(self, name: str) -> None:
        self._fits = quick_check(name)
        self._validator = schema_validator(name)

    def problem(self, content: object) -> str | None:
        """Say what is wrong with a request or an answer; None: nothing."""
        if self._fits(content):
            return None
        error: ValidationError | None = next(iter(self._validator.iter_errors(content)), None)
        if error is None:
            return None
        return f"{place_of(error) or 'the whole'}: {error.message[:200]}"
