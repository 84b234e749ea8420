"""Fixtures for tests of the chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chart import sources
from tests.chart.helm import Helm

if TYPE_CHECKING:
    from pathlib import Path


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build helm before the first test: when it is not in the cache, that takes minutes."""
    needed = any("helm" in getattr(item, "fixturenames", ()) for item in session.items)
    if not needed or session.config.option.collectonly:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        sources.helm_program()


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    return Helm(sources.helm_program(), tmp_path / "helm")
