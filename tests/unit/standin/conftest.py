"""An in-memory API server and a client for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from metacontroller_standin.api import Api
from metacontroller_standin.memory_api import MemoryApi
from tests.unit.standin.scenario import CRD

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def memory() -> Iterator[MemoryApi]:
    with MemoryApi() as running:
        running.register_crd(CRD)
        yield running


@pytest.fixture
def api(memory: MemoryApi) -> Iterator[Api]:
    with Api(memory.url) as client:
        yield client
