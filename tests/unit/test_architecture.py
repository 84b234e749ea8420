"""What import-linter can't say of the house: that packages are entered by their front door."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LIB = ROOT / "lib" / "poddnat"
PACKAGES = sorted(path.parent.name for path in LIB.glob("*/__init__.py"))
CODE = sorted([*LIB.rglob("*.py"), *(ROOT / "hooks").glob("*.py")])


def imported_by(path: Path) -> Iterator[str]:
    """Yield the modules of ours that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("poddnat."):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("poddnat."))


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_inner_modules_of_other_packages_are_not_imported(path: Path) -> None:
    home = path.relative_to(LIB).parts[0] if path.is_relative_to(LIB) else "hooks"
    others = [module.split(".") for module in imported_by(path)]
    inner = [".".join(parts) for parts in others if parts[1] in PACKAGES and parts[1] != home and len(parts) > 2]
    assert inner == []


@pytest.mark.parametrize("package", PACKAGES)
def test_package_says_what_it_is_for(package: str) -> None:
    told = ast.get_docstring(ast.parse((LIB / package / "__init__.py").read_text(encoding="utf-8")))
    assert told is not None
    assert told.count(".") >= 3, told


def test_server_loads_no_library_for_what_it_never_calls() -> None:
    program = """
import sys
import hooks.replica
from poddnat.cli import main
from poddnat.kube import KubeClient, connect_to
KubeClient(connect_to("http://127.0.0.1:1"))
print(*sys.modules)
"""
    where = {"PYTHONPATH": f"{ROOT / 'lib'}:{ROOT}", "PATH": ""}
    ran = subprocess.run([sys.executable, "-c", program], env=where, capture_output=True, text=True, check=True)
    loaded = ran.stdout.split()
    assert "kubernetes.client.api.core_v1_api" not in loaded
    assert len([module for module in loaded if module.startswith("kubernetes.client.models.")]) < 40
    assert not [module for module in loaded if re.match(r"alibabacloud_(vpc|ecs)\d+\.models\.", module)]
