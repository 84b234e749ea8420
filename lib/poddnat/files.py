"""Where the files are that ship beside the code: a checkout and the container image share one layout."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "schemas"
MANIFESTS = ROOT / "metacontroller"


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
    return content


def schema_validator(name: str) -> Draft202012Validator:
    """Load a schema of ``schemas/`` by its file's name; schemas refer to each other by those names too."""
    registry: Registry[Any] = Registry(
        retrieve=lambda uri: Resource.from_contents(_read(uri.rsplit("/", 1)[-1]))  # type: ignore[call-arg]
    )
    return Draft202012Validator(_read(name), registry=registry)
