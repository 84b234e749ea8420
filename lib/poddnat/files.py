"""Where the files are that ship with the code: beside it in a checkout and the image, inside the package elsewhere."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource

_PACKAGE = Path(__file__).resolve().parent
ROOT = _PACKAGE if (_PACKAGE / "schemas").is_dir() else _PACKAGE.parents[1]
SCHEMAS = ROOT / "schemas"
MANIFESTS = ROOT / "metacontroller"


def schema_validator(name: str) -> Draft202012Validator:
    """Load a schema of ``schemas/`` by its file's name; schemas refer to each other by those names too."""
    return Draft202012Validator(_schemas()[name], registry=_registry())


def quick_check(name: str) -> Callable[[object], bool]:
    """Make what tells at once that something fits a schema; False: its ``schema_validator`` finds out why not.

    That one takes a millisecond for each call of a hook, and half a second for a pod with 1,000 ports.
    """
    validator = jsonschema_rs.Draft202012Validator(_schemas()[name], registry=_quick_registry())

    def fits(content: object) -> bool:
        try:
            return validator.is_valid(content)
        except ValueError:  # a text that is no Unicode
            return False

    return fits


def place_of(error: ValidationError) -> str:
    """Write where something doesn't fit a schema, such as ``spec.containers[0].name``; empty: as a whole."""
    place = ""
    for part in error.absolute_path:
        place = f"{place}[{part}]" if isinstance(part, int) else below(place, part)
    return place


def below(place: str, key: object) -> str:
    """Write where a key is in what stands at a place."""
    return f"{place}.{key}" if place else str(key)


@cache
def _registry() -> Registry[Any]:
    registry: Registry[Any] = Registry()
    return registry.with_resources((one["$id"], Resource.from_contents(one)) for one in _schemas().values()).crawl()


@cache
def _quick_registry() -> jsonschema_rs.Registry:
    return jsonschema_rs.Registry([(one["$id"], one) for one in _schemas().values()])


@cache
def _schemas() -> dict[str, Any]:
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(SCHEMAS.glob("*.json"))}
