"""Where pods' addresses are in the VPC, by the emulated cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metacontroller_standin.waiting import wait_until
from poddnat.cloud import CloudClient
from poddnat.config.values import parse
from poddnat.placement import Located, PodLocator, intervals
from poddnat.placement.locator import NotLocated
from tests.unit.hooks.world import cloud, values
from vpc_emulator import EmulatorServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from poddnat.model import Address


def reason(locator: PodLocator, number: int) -> str:
    """Read the reason given for an address that nobody has; empty: not looked up yet."""
    answer = locator.locate(f"pod-{number}", f"172.16.1.{number}")
    assert isinstance(answer, NotLocated)
    return answer.problem.reason if answer.problem is not None else ""


def test_addresses_that_are_requested_meanwhile_are_looked_up_together_a_hundred_at_a_time() -> None:
    with EmulatorServer(cloud()) as server:
        locator = PodLocator(CloudClient(parse(values(server.url))))
        for number in range(1, 121):
            locator.locate(f"pod-{number}", f"172.16.1.{number}")
        locator.start()
        try:
            wait_until(lambda: reason(locator, 120), 10, "the last address to be looked up")
        finally:
            locator.stop()
        assert isinstance(locator.locate("pod-1", "172.16.1.1"), Located)
        assert server.emulator.calls.count("DescribeNetworkInterfaces", "OK") == 2


class FailingOnce(CloudClient):
    """A cloud whose first answer about addresses is an error that nobody expects."""

    failed = False

    def describe_network_interfaces(self, ips: Sequence[str]) -> dict[str, Address]:
        if not self.failed:
            self.failed = True
            raise ZeroDivisionError
        return super().describe_network_interfaces(ips)


def test_address_stays_requested_after_an_unexpected_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "FIRST_RETRY", 0.01)
    with EmulatorServer(cloud()) as server:
        locator = PodLocator(FailingOnce(parse(values(server.url))))
        locator.locate("pod-1", "172.16.1.1")
        locator.start()
        try:
            wait_until(lambda: locator._found, 10, "the address to be looked up again")
        finally:
            locator.stop()
        assert isinstance(locator.locate("pod-1", "172.16.1.1"), Located)
