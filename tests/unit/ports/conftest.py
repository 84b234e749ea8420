"""The registry that most tests use, and its clock."""

from __future__ import annotations

import pytest

from poddnat.ports import PortRegistry
from tests.unit.ports.samples import TWO_GATEWAYS
from vpc_emulator import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100.0)


@pytest.fixture
def registry(clock: ManualClock) -> PortRegistry:
    return PortRegistry(TWO_GATEWAYS, clock)
