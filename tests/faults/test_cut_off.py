"""Calls that are cut off on a real connection: whatever became of them, nobody can say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat.cloud import CloudClient, CloudError, Meaning
from poddnat.model import ForwardRule, Ports, Protocol
from tests.faults.cloud import EIPS, GATEWAYS, POD_IPS, emulated, values
from vpc_emulator import EmulatorServer, Fault, ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vpc_emulator import Emulator

GATEWAY = GATEWAYS[0]
RULE = ForwardRule(EIPS[GATEWAY][0], Ports.of(512), POD_IPS[0], Ports.of(80), Protocol.TCP)


@pytest.fixture
def emulator() -> Emulator:
    return emulated(ManualClock(), settle=0.0, at_once=4, routed=True, seed=1)


@pytest.fixture
def cloud(emulator: Emulator) -> Iterator[CloudClient]:
    with EmulatorServer(emulator) as server:
        yield CloudClient(values(server.url), read_timeout=0.2)


def create(cloud: CloudClient) -> str:
    return cloud.create_forward_entry(
        table_id=f"ftb-{GATEWAY}", rule=RULE, name="name", client_token="one", port_break=False
    )


@pytest.mark.parametrize("kind", ["lose-request", "lose-answer"])
def test_broken_connection_leaves_open_whether_the_call_was_done(
    emulator: Emulator, cloud: CloudClient, kind: str
) -> None:
    emulator.add_fault(Fault.from_dict({"kind": kind}))
    with pytest.raises(CloudError) as caught:
        create(cloud)
    assert caught.value.meaning is Meaning.UNKNOWN
    assert len(emulator.forward_entries(GATEWAY)) == (kind == "lose-answer")


@pytest.mark.parametrize("done_first", [False, True])
def test_call_that_takes_too_long_is_given_up_and_may_be_done_later(
    emulator: Emulator, cloud: CloudClient, *, done_first: bool
) -> None:
    emulator.add_fault(Fault("delay", seconds=1, after=done_first))
    with pytest.raises(CloudError) as caught:
        create(cloud)
    assert caught.value.meaning is Meaning.UNKNOWN
    assert len(emulator.forward_entries(GATEWAY)) == done_first
    wait_until(lambda: len(emulator.forward_entries(GATEWAY)) == 1, 5, "the request to arrive all the same")


def test_call_tried_again_with_its_token_after_its_answer_was_lost_makes_no_second_entry(
    emulator: Emulator, cloud: CloudClient
) -> None:
    emulator.add_fault(Fault("lose-answer"))
    with pytest.raises(CloudError):
        create(cloud)
    (entry,) = emulator.forward_entries(GATEWAY)
    assert create(cloud) == entry.id
