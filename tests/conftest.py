"""What holds for every test: no secret is written, and nothing is asked of the cloud that the RAM policy lacks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from darabonba.core import DaraCore

from tests import hushed
from vpc_emulator import EmulatorServer
from vpc_emulator.calls import Call, CallLog
from vpc_emulator.world import POD_DNAT_ACTIONS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

EMULATORS_OWN = "tests/emulator/"
"""Its tests try other actions."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test during which a secret was logged, at whatever level, or printed."""
    report = yield
    leaked = [line for _, written in report.sections for line in hushed.leaks(written)]
    if leaked:
        report.outcome = "failed"
        report.longrepr = "\n".join(["A secret was written:", *leaked])
    return report


@pytest.fixture(scope="session", autouse=True)
def hung_up() -> Iterator[None]:
    """Have the SDK's connections to an emulator end with it: the SDK keeps them for as long as the process lives.

    After a thousand emulators, a process could hold no more of them.
    """
    stop = EmulatorServer.stop

    def stop_and_hang_up(server: EmulatorServer) -> None:
        stop(server)
        for name in [name for name in DaraCore._sessions if urlsplit(server.url).netloc in name]:
            DaraCore._sessions.pop(name).close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmulatorServer, "stop", stop_and_hang_up)
        yield


@pytest.fixture(scope="session", autouse=True)
def asked_of_the_cloud() -> Iterator[set[tuple[str, str]]]:
    """All actions that any emulator in this process was asked for, and during which test."""
    asked: set[tuple[str, str]] = set()
    add = CallLog.add

    def note(log: CallLog, call: Call) -> None:
        asked.add((call.action, os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]))
        add(log, call)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CallLog, "add", note)
        yield asked
    allowed = {action.partition(":")[2] for action in POD_DNAT_ACTIONS}
    assert [(action, test) for action, test in asked if action not in allowed and EMULATORS_OWN not in test] == []
