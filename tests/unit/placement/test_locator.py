"""Where pods' addresses live, asked of the emulated cloud."""

from __future__ import annotations

from metacontroller_standin.waiting import wait_until
from poddnat.cloud import CloudClient
from poddnat.config.values import parse
from poddnat.placement import Located, PodLocator
from poddnat.placement.locator import NotLocated
from tests.unit.hooks.world import cloud, values
from vpc_emulator import EmulatorServer


def told(network: PodLocator, number: int) -> str:
    """Read what is told of an address that nobody has; empty: not looked up yet."""
    answer = network.locate(f"pod-{number}", f"172.16.1.{number}")
    assert isinstance(answer, NotLocated)
    return answer.problem.reason if answer.problem is not None else ""


def test_addresses_that_are_asked_for_meanwhile_are_looked_up_together_a_hundred_at_a_time() -> None:
    with EmulatorServer(cloud()) as server:
        network = PodLocator(CloudClient(parse(values(server.url))))
        for number in range(1, 121):
            network.locate(f"pod-{number}", f"172.16.1.{number}")
        network.start()
        try:
            wait_until(lambda: told(network, 120), 10, "the last address to be looked up")
        finally:
            network.stop()
        assert isinstance(network.locate("pod-1", "172.16.1.1"), Located)
        assert server.emulator.calls.count("DescribeNetworkInterfaces", "OK") == 2
