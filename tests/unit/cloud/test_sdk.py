"""The SDK's models: all are there, and each is loaded when it is first used."""

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from poddnat.cloud.sdk import ecs_models, vpc_models

PRODUCTS = pytest.mark.parametrize("models", [ecs_models, vpc_models], ids=["ecs", "vpc"])


def exported(models: ModuleType) -> list[str]:
    """List the names that the product's own package of models would have."""
    spec = importlib.util.find_spec(models.__name__)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    return [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) if node.level for alias in node.names]


@PRODUCTS
def test_each_model_that_the_package_exports_can_be_had(models: ModuleType) -> None:
    names = exported(models)
    assert len(names) > 1000
    some = names[:: len(names) // 20]
    assert [getattr(models, name).__name__ for name in some] == some


@PRODUCTS
def test_model_that_the_package_does_not_export_is_missing_as_in_any_module(models: ModuleType) -> None:
    with pytest.raises(AttributeError, match=r"module 'alibabacloud_\w+\.models' has no attribute 'Nonsense'"):
        _ = models.Nonsense
