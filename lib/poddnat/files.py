"""Where the files are that ship with the code: beside it in a checkout and the image, inside the package elsewhere."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

_PACKAGE = Path(__file__).resolve().parent
ROOT = _PACKAGE if (_PACKAGE / "schemas").is_dir() else _PACKAGE.parents[1]
SCHEMAS = ROOT / "schemas"
MANIFESTS = ROOT / "metacontroller"


def schema_validator(name: str) -> Draft202012Validator:
    """Load a schema of ``schemas/`` by its file's name; schemas refer to each other by those names too."""
    return Draft202012Validator(json.loads((SCHEMAS / name).read_text(encoding="utf-8")), registry=_schemas())


@cache
def _schemas() -> Registry[Any]:
    """Read all schemas once: hooks check every request, and would otherwise read what is referred to each time."""
    contents = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(SCHEMAS.glob("*.json")))
    registry: Registry[Any] = Registry()
    return registry.with_resources((content["$id"], Resource.from_contents(content)) for content in contents).crawl()
