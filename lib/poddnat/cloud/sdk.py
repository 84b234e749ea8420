"""Alibaba Cloud's SDK for the VPC and ECS APIs, of which a class is loaded when it is first used.

Its packages have a module for each class of each action's request and answer, and load all 2,300 of them at once. We
call eight actions: the rest would take 30 MB, and half a second of each start.
"""

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import alibabacloud_ecs20140526
import alibabacloud_vpc20160428


def _models_of(product: ModuleType) -> Any:
    """Give a product's package of models, as it is where somebody has loaded it, or else with all its classes to come.

    Raises:
        ImportError: it has no such package, or not in the form that is known here.
    """
    name = f"{product.__name__}.models"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(f"{product.__name__} has no models", name=name)
    models = importlib.util.module_from_spec(spec)
    exports = Path(spec.origin).read_text(encoding="utf-8")
    modules = {exported: module for module, exported in re.findall(r"(?m)^from \.(\w+) import (\w+)$", exports)}

    def load(attribute: str) -> Any:
        if attribute not in modules:
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}", name=attribute, obj=models)
        loaded = getattr(importlib.import_module(f"{name}.{modules[attribute]}"), attribute)
        setattr(models, attribute, loaded)
        return loaded

    # As PEP 562 has it: asked for each name that the module does not have yet.
    models.__getattr__ = load  # type: ignore[method-assign]
    sys.modules[name] = models
    product.models = models  # type: ignore[attr-defined]
    return models


ecs_models = _models_of(alibabacloud_ecs20140526)
vpc_models = _models_of(alibabacloud_vpc20160428)

# Only now: each of these loads the models of its product, whatever they are by then.
EcsClient: Any = importlib.import_module("alibabacloud_ecs20140526.client").Client
VpcClient: Any = importlib.import_module("alibabacloud_vpc20160428.client").Client
