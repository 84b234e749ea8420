"""Fixtures for tests of the chart."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chart import sources
from tests.chart.helm import CONTROLPLANE, Helm
from tests.e2e.controlplane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator


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


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane for this test alone, without Metacontroller's kinds."""
    done = subprocess.run([str(CONTROLPLANE)], stdout=subprocess.PIPE, text=True, check=True)
    started = ControlPlane(Path(done.stdout.strip()), tmp_path / "plane")
    started.folder.mkdir()
    started.start()
    yield started
    started.stop()
