"""The cloud of a world in virtual time: two gateways on the emulator, and the way there."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from poddnat.cloud import CloudClient, CloudError, Meaning
from poddnat.cloud.errors import NO_ANSWER
from poddnat.config.values import parse
from tests.hushed import KEY_SECRET
from vpc_emulator import Emulator, ManualClock
from vpc_emulator import World as EmulatedWorld

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from poddnat.config import Values
    from tests.faults.virtual import Scheduler
    from vpc_emulator.assets import ListingOrder

GATEWAYS = ("ngw-1", "ngw-2")
EIPS = {"ngw-1": ("203.0.113.10", "203.0.113.11"), "ngw-2": ("203.0.113.20",)}
FIRST_PORT, LAST_PORT = 512, 523
POD_IPS = tuple(f"172.16.1.{number}" for number in range(1, 7))
KEY = "key"
ROUTE_TABLE = "vtb-1"
READ_TIMEOUT = 10.0
OTHERS_EIPS = {"ngw-1": "203.0.113.19", "ngw-2": "203.0.113.29"}
"""Addresses of the gateways that other programs of the account use."""
CHANGE_EVERY = 3.0
"""Seconds after each of which others replace some of their entries."""


@dataclass(frozen=True)
class Others:
    """What other programs of the account have on each gateway, and do there."""

    entries: int = 0
    """How many entries, which stand before ours in order of creation."""
    changing: int = 0
    """How many of them are replaced each ``CHANGE_EVERY`` seconds."""
    order: ListingOrder = "creation"
    """In which order the cloud lists entries, which nobody promises."""

    def entries_on(self, gateway: str) -> list[dict[str, object]]:
        """List their entries on a gateway, as the emulator's world describes them."""
        return [
            {
                "external_ip": OTHERS_EIPS[gateway],
                "external_port": 1 + number,
                "internal_ip": "172.20.0.1",
                "internal_port": 1 + number,
                "name": "others",
            }
            for number in range(self.entries)
        ]


NOBODY = Others()


@dataclass(frozen=True)
class Size:
    """How large a world is: small, so that histories meet its limits, or large, to measure what many pods cost."""

    last_port: int = LAST_PORT
    private_ips: str = "172.16.1.0/28"
    quota: int = 100
    calls_a_minute: int = 200
    """How many calls of one action the account may make, all its programs together."""


SMALL = Size()


def values(url: str, size: Size = SMALL) -> Values:
    """Read a values file whose pool has both gateways."""
    pool = [
        {
            "natgwId": gateway,
            "zoneId": "cn-hangzhou-j",
            "portRangeStart": FIRST_PORT,
            "portRangeEnd": size.last_port,
            "eips": list(EIPS[gateway]),
        }
        for gateway in GATEWAYS
    ]
    return parse(
        {
            "clusterID": "c-test",
            "regionID": "cn-hangzhou",
            "vpcID": "vpc-1",
            "enableControllers": ["natgw"],
            "networkController": {"natGwPool": pool},
            "credential": {"accessKey": KEY, "accessSecret": KEY_SECRET},
            "endpoints": {"vpc": url, "ecs": url},
        }
    )


def emulated(
    clock: ManualClock,
    *,
    settle: float,
    at_once: int,
    routed: bool,
    seed: int,
    size: Size = SMALL,
    others: Others = NOBODY,
) -> Emulator:
    """Make a cloud with two gateways; replies leave by the first one, unless no route can be read at all."""
    world = {
        "regions": ["cn-hangzhou"],
        "credentials": [{"access_key_id": KEY, "access_key_secret": KEY_SECRET}],
        "vpcs": [{"id": "vpc-1", "cidr": "172.16.0.0/12"}],
        "route_tables": [
            {"id": ROUTE_TABLE, "vpc": "vpc-1", "default_route": {"type": "NatGateway", "id": GATEWAYS[0]}}
        ],
        "vswitches": [
            {
                "id": "vsw-1",
                "vpc": "vpc-1",
                "zone": "cn-hangzhou-j",
                "cidr": "172.16.0.0/20",
                "route_table": ROUTE_TABLE,
            }
        ],
        "nat_gateways": [
            {
                "id": gateway,
                "vpc": "vpc-1",
                "vswitch": "vsw-1",
                "eips": [*EIPS[gateway], OTHERS_EIPS[gateway]],
                "writes_at_once": at_once,
                "settle_seconds": settle,
                "settle_jitter": 0.3,
                "quota": size.quota + others.entries,
                "entries": others.entries_on(gateway),
            }
            for gateway in GATEWAYS
        ],
        "network_interfaces": [{"id": "eni-1", "vswitch": "vsw-1", "private_ips": size.private_ips}],
        "rate_limit": {"calls": size.calls_a_minute, "seconds": 60, "per": "action"},
        "listing_order": others.order,
    }
    emulator = Emulator(EmulatedWorld.from_dict(world), clock=clock, seed=seed)
    for gateway in GATEWAYS:
        emulator.set_churn(gateway, entries=others.changing, seconds=CHANGE_EVERY)
    if not routed:
        hidden = {"vpc:DescribeRouteTableList", "vpc:DescribeRouteEntryList"}
        emulator.world.credentials[KEY] = _without(emulator, hidden)
        emulator.restore_credential(KEY)
    return emulator


def _without(emulator: Emulator, actions: set[str]) -> Any:
    emulator.set_allowed_actions(KEY, sorted(emulator.credentials[KEY].actions - actions))
    return emulator.credentials[KEY]


@dataclass
class Network:
    """What lies between a process and the cloud: it takes time, and may cut calls off."""

    scheduler: Scheduler
    random: random.Random
    latency: float = 0.02
    cuts: list[tuple[str, float]] = field(default_factory=list)
    """Calls to cut off: an action (* for any), and when the request arrives all the same, in seconds; inf: never."""
    cut_off: Counter[str] = field(default_factory=Counter)
    late: int = 0
    """Requests that are on their way though nobody waits for the answer."""

    def pass_through(self) -> None:
        """Take the time of one way."""
        self.scheduler.sleep(self.latency * self.random.uniform(0.5, 1.5))

    def cut(self, action: str) -> float | None:
        """Tell whether to cut a call off, and use that up."""
        for index, (wanted, arrival) in enumerate(self.cuts):
            if wanted in {"*", action}:
                del self.cuts[index]
                self.cut_off[action] += 1
                return arrival
        return None


class DistantCloud(CloudClient):
    """The cloud behind that network."""

    def __init__(self, read: Values, network: Network) -> None:
        super().__init__(read)
        self._network = network

    def _call(self, action: str, call: Callable[[Any, Any], Any], request: object) -> Any:
        network = self._network
        arrival = network.cut(action)
        if arrival is not None:
            return self._cut_off(action, arrival, lambda: super(DistantCloud, self)._call(action, call, request))
        network.pass_through()
        try:
            return super()._call(action, call, request)
        finally:
            network.pass_through()

    def _cut_off(self, action: str, arrival: float, arrive: Callable[[], object]) -> Any:
        scheduler = self._network.scheduler

        def request() -> None:
            scheduler.sleep(arrival)
            with contextlib.suppress(CloudError):  # Nobody reads the answer.
                arrive()
            self._network.late -= 1

        if not math.isinf(arrival):
            self._network.late += 1
            scheduler.spawn(request, "late-request", owner=self._network)
        scheduler.sleep(READ_TIMEOUT)
        raise CloudError(Meaning.UNKNOWN, action=action, code=NO_ANSWER, message="timed out")
