"""An emulator whose clock the tests move, and the real SDKs pointed at it."""

from collections.abc import Iterator

import pytest

from tests.emulator.support import Cloud, small_world
from vpc_emulator import Emulator, EmulatorServer, ManualClock, World


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000.0)


@pytest.fixture
def emulator(clock: ManualClock) -> Iterator[Emulator]:
    emulator = Emulator(World.from_dict(small_world()), clock=clock, seed=7)
    yield emulator
    assert emulator.bugs == []


@pytest.fixture
def server(emulator: Emulator) -> Iterator[EmulatorServer]:
    with EmulatorServer(emulator) as server:
        yield server


@pytest.fixture
def cloud(server: EmulatorServer) -> Cloud:
    return Cloud(server.endpoint)
