"""What an API server would refuse of the manifests that are simulated: the field, what is there, what would be right.

``schemas/manifests.json`` says what each field looks like that is read; here is also what a schema can't say. All else
in a manifest is taken as it is: nobody reads it.
"""

from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from metacontroller_standin.selectors import matches
from poddnat.api import annotations
from poddnat.config import Misread, Oddity
from poddnat.files import below, place_of, schema_validator

Manifest = dict[str, Any]
Schema = dict[str, Any]

_USUAL = "spec.template"
_TEMPLATES = {
    "Pod": "",
    "Deployment": _USUAL,
    "ReplicaSet": _USUAL,
    "DaemonSet": _USUAL,
    "StatefulSet": _USUAL,
    "Job": _USUAL,
    "CronJob": "spec.jobTemplate.spec.template",
}
"""Where each kind describes its pods."""
_WORDS = {
    "object": "not a mapping of keys to values",
    "array": "not a list",
    "integer": "not a whole number",
    "boolean": "neither true nor false",
}
_LONGEST = 60


def problems_of(obj: Manifest, oddities: Collection[Oddity] = ()) -> list[str]:
    """List all that an API server would refuse, each to be read behind the object's name; none: it would take it.

    ``oddities`` are those of its text: a number that looks otherwise matters only where a text has to be.
    """
    errors = list(_validator().iter_errors(obj))
    misread = {oddity.place: oddity for oddity in oddities if isinstance(oddity, Misread)}
    problems = [text for error in errors for text in _explain(error, misread)]
    problems += [f"has {oddity}" for oddity in oddities if not isinstance(oddity, Misread)]
    if not errors:
        problems += [*_repeated_containers(obj), *_unfit_selector(obj)]
    return list(dict.fromkeys(problems))


@cache
def _validator() -> Draft202012Validator:
    schema = schema_validator("manifests.json")
    # To jsonschema, 3.0 is an integer; Python can't count to it.
    types = schema.TYPE_CHECKER.redefine("integer", lambda _, found: type(found) is int)
    strict: type[Draft202012Validator] = extend(Draft202012Validator, type_checker=types)  # type: ignore[no-untyped-call]
    return strict(schema.schema)


def _explain(error: ValidationError, misread: dict[str, Misread]) -> Iterator[str]:
    path = place_of(error)
    found: Any = error.instance
    schema: Schema = dict(error.schema)  # type: ignore[arg-type]
    right = _right(schema)
    if error.validator == "required":
        for key in schema["required"]:
            if key not in found:
                hint = _right(schema["properties"].get(key, {}))
                yield f"without {below(path, key)}" + (f"; write {hint}" if hint else "")
    elif error.validator == "anyOf":
        yield f"without {below(path, 'name')}"
    elif "propertyNames" in error.schema_path:
        yield f"whose {path} has the key {shown(found)}; write {right}"
    elif error.validator == "type" and schema["type"] == "string":
        yield _misread_text(misread[path], found) if path in misread else _unquoted(path, found)
    elif error.validator == "type" and isinstance(schema["type"], str):
        yield f"whose {path} is {shown(found)}, {_WORDS[schema['type']]}" + (f"; write {right}" if right else "")
    else:
        yield f"whose {path} is {shown(found)}; write {right}"


def _misread_text(oddity: Misread, number: int) -> str:
    # Ports have no leading zeros; other texts may.
    meant = oddity.written.lstrip("0") or "0" if oddity.place.endswith(annotations.EXPOSE_PORT) else oddity.written
    return f'whose {oddity.place} is {oddity.found}; write "{meant}", in quotes, or "{number}" if that is meant'


def _unquoted(where: str, value: object) -> str:
    if isinstance(value, bool):
        return f'whose {where} is {str(value).lower()}, a boolean to YAML; write "{str(value).lower()}", in quotes'
    if isinstance(value, list):
        return f'whose {where} is a list; write one text, in quotes: "{",".join(map(str, value))}"'
    if isinstance(value, dict):
        return f"whose {where} is a mapping; write a text, in quotes"
    return f'whose {where} is {value}, no text to YAML; write "{value}", in quotes'


def _repeated_containers(obj: Manifest) -> Iterator[str]:
    if obj["kind"] not in _TEMPLATES:
        return
    where = _TEMPLATES[obj["kind"]]
    names = [container["name"] for container in _at(obj, where)["spec"]["containers"]]
    for index, name in enumerate(names):
        if name in names[:index]:
            path = below(where, f"spec.containers[{index}].name")
            yield f"whose {path} is {shown(name)}, which another container has; give each its own"


def _unfit_selector(obj: Manifest) -> Iterator[str]:
    if _TEMPLATES.get(obj["kind"]) != _USUAL or obj["kind"] == "Job":
        return  # A Job gets its selector from the API server.
    selector = obj["spec"]["selector"]
    labels = _at(obj, _USUAL).get("metadata", {}).get("labels", {})
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield "whose spec.selector selects nothing; write matchLabels with labels of the pod template"
    elif not matches(selector, labels):
        found = ", ".join(f"{key}: {value}" for key, value in sorted(labels.items())) or "none"
        where = f"{_USUAL}.metadata.labels"
        yield f"whose spec.selector doesn't fit the labels in {where} ({found}); write the same in both"


def template_of(obj: Manifest) -> Manifest:
    """Give what an object, which an API server would take, says of its pods; empty: it has none."""
    return _at(obj, _TEMPLATES[obj["kind"]]) if obj["kind"] in _TEMPLATES else {}


def _at(obj: Manifest, path: str) -> Manifest:
    for key in filter(None, path.split(".")):
        obj = obj[key]
    return obj


def shown(value: object) -> str:
    """Write a value as it looks in YAML, in a few words."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _right(schema: Schema) -> str:
    if "enum" in schema:
        *others, last = schema["enum"]
        return f"{', '.join(others)} or {last}" if others else str(last)
    text: str = schema.get("description", "")
    return text[:1].lower() + text[1:].rstrip(".")
