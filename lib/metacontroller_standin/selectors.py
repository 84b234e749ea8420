"""Kubernetes selectors: the structured ones of manifests, and the ones in a query string."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

_IN = re.compile(r"^\s*(\S+)\s+(in|notin)\s*\(([^)]*)\)\s*$")


def matches(selector: Json | None, values: Mapping[str, str], *, equal: str = "matchLabels") -> bool:
    """Tell whether labels (or annotations, with `equal="matchAnnotations"`) satisfy a structured selector."""
    if not selector:
        return True
    wanted = selector.get(equal) or {}
    expressions = selector.get("matchExpressions") or []
    return all(values.get(key) == value for key, value in wanted.items()) and all(
        _holds(values, expression["key"], expression["operator"], expression.get("values") or [])
        for expression in expressions
    )


def _holds(values: Mapping[str, str], key: str, operator: str, allowed: list[str]) -> bool:
    match operator:
        case "Exists":
            return key in values
        case "DoesNotExist":
            return key not in values
        case "In":
            return key in values and values[key] in allowed
        case "NotIn":
            return key not in values or values[key] not in allowed
    message = f"selectors have no operator {operator!r}"
    raise ValueError(message)


def matches_labels(query: str, labels: Mapping[str, str]) -> bool:
    """Tell whether labels satisfy a `labelSelector` of a query string."""
    return all(_label_term_holds(term, labels) for term in _terms(query))


def _terms(query: str) -> list[str]:
    # Commas inside the brackets of `in (a,b)` separate values, not terms.
    return [term for term in re.split(r",(?![^(]*\))", query) if term.strip()]


def _label_term_holds(term: str, labels: Mapping[str, str]) -> bool:
    if listed := _IN.match(term):
        key, operator, allowed = listed.groups()
        names = [value.strip() for value in allowed.split(",")]
        return _holds(labels, key, "In" if operator == "in" else "NotIn", names)
    if "=" in term:
        key, positive, value = _split(term)
        return (labels.get(key) == value) is positive
    term = term.strip()
    return term[1:] not in labels if term.startswith("!") else term in labels


def _split(term: str) -> tuple[str, bool, str]:
    positive = "!=" not in term
    key, _, value = term.partition("=" if positive else "!=")
    return key.strip(), positive, value.removeprefix("=").strip()


def matches_fields(query: str, obj: Json) -> bool:
    """Tell whether an object satisfies a `fieldSelector` such as `metadata.name=x,status.phase!=Running`."""
    for term in _terms(query):
        path, positive, value = _split(term)
        if (_field(obj, path) == value) is not positive:
            return False
    return True


def _field(obj: Any, path: str) -> str:
    for step in path.split("."):
        obj = obj.get(step) if isinstance(obj, dict) else None
    return "" if obj is None else str(obj)
