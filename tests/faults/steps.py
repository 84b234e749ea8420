"""What may happen, as values: a history is a list of them, and a failing one reads as a story."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.cloud import EIPS, GATEWAYS, KEY, OTHERS_EIPS, POD_IPS, ROUTE_TABLE
from tests.faults.world import OWNERSHIP, World
from vpc_emulator import Fault

if TYPE_CHECKING:
    from vpc_emulator import ForwardEntry

CREATE, DELETE, LIST = "CreateForwardEntry", "DeleteForwardEntry", "DescribeForwardTableEntries"
ACTIONS = (
    CREATE,
    DELETE,
    LIST,
    "DescribeNatGateways",
    "DescribeEipAddresses",
    "DescribeRouteTableList",
    "DescribeRouteEntryList",
    "DescribeNetworkInterfaces",
)
CODES = (
    "OperationConflict",
    "TaskConflict",
    "IncorretForwardEntryStatus",
    "IncorrectStatus.NATGW",
    "IncorrectStatus.ForwardEntry",
    "IncorrectStatus",
    "OperationUnsupported.EipInBinding",
    "OperationFailed.Throttling",
    "Throttling",
    "Throttling.User",
    "Throttling.Api",
    "ServiceUnavailable",
    "InternalError",
    "UnknownError",
    "OperationUnsupported.ForwardEntry",
    "InvalidParameter.ForwardEntry.Duplicated",
    "QuotaExceeded",
    "QuotaExceeded.ForwardEntry",
    "Forbidden.ExternalIp.UsedInSnatTable",
    "InvalidIp.NotInNatgw",
    "InvalidExternalIp.NotFound",
    "Forbidden.DestnationIpOutOfVpcCIDR",
    "Forbidden.InternalIpOutOfVpcCIDR",
    "Forbindden",
    "InvalidExternalIp.Malformed",
    "InvalidProtocal.ValueNotSupported",
    "MissingParameter",
    "InvalidParameter.Name.Malformed",
    "InvalidForwardTableId.NotFound",
    "InvalidRegionId.NotFound",
    "Invalid.natgwNotExist",
    "InvalidForwardEntryId.NotFound",
    "ResourceNotFound.ForwardEntry",
    "Forbidden.RAM",
    "NoPermission",
    "InvalidAccessKeyId.NotFound",
    "SignatureDoesNotMatch",
)
"""Every code that has been seen in the field."""


class Step:
    """Something that happens."""

    def do(self, world: World) -> None:
        """Let it happen."""
        raise NotImplementedError


# Time and processes.


@dataclass(frozen=True)
class Pass(Step):
    seconds: float

    def do(self, world: World) -> None:
        world.pass_time(self.seconds)


@dataclass(frozen=True)
class Kill(Step):
    """The process is killed; nobody does its work until another one starts."""

    def do(self, world: World) -> None:
        world.kill()


@dataclass(frozen=True)
class Start(Step):
    """A process starts where there is none."""

    def do(self, world: World) -> None:
        if not world.processes:
            world.start()


@dataclass(frozen=True)
class StartSecond(Step):
    """Another process becomes active while the first one still is, as when a lease is lost and nobody noticed."""

    def do(self, world: World) -> None:
        if len(world.processes) == 1:
            world.start()


@dataclass(frozen=True)
class ClockJump(Step):
    """The processes' clock leaps ahead, as after a machine was asleep; the wall clock may leap either way."""

    monotonic: float
    wall: float

    def do(self, world: World) -> None:
        for process in world.processes:
            process.clock_jump += self.monotonic
        world.wall_jump += self.wall


# Pods.


@dataclass(frozen=True)
class AddPod(Step):
    name: str
    ip: str
    ports: str = "80"
    protocol: str = "tcp"

    def do(self, world: World) -> None:
        world.add_pod(self.name, self.ip, self.ports, self.protocol)


@dataclass(frozen=True)
class EditPod(Step):
    """Other ports are asked for; none is opting out."""

    name: str
    ports: str
    protocol: str = "tcp"

    def do(self, world: World) -> None:
        world.edit_pod(self.name, self.ports, self.protocol)


@dataclass(frozen=True)
class DeletePod(Step):
    name: str
    forced: bool = False

    def do(self, world: World) -> None:
        world.delete_pod(self.name, forced=self.forced)


@dataclass(frozen=True)
class AddFixed(Step):
    """A pod of the StatefulSet comes, or comes back, perhaps with another IP."""

    number: int
    ip: str
    ports: str = "80"
    protocol: str = "tcp"
    release: str = "Follow"

    def do(self, world: World) -> None:
        world.add_fixed(self.number, self.ip, self.ports, self.protocol, self.release)


@dataclass(frozen=True)
class Scale(Step):
    replicas: int

    def do(self, world: World) -> None:
        world.cluster.scale(self.replicas)


@dataclass(frozen=True)
class DeleteSet(Step):
    """The StatefulSet goes with its pods."""

    def do(self, world: World) -> None:
        world.cluster.remove_workload()


@dataclass(frozen=True)
class LoseApiAnswer(Step):
    """The API server does what the controller asks of it, but nobody hears of that."""

    def do(self, world: World) -> None:
        world.cluster.lost_answers += 1


# The calls.


@dataclass(frozen=True)
class Refuse(Step):
    code: str
    action: str = "*"
    times: int = 1

    def do(self, world: World) -> None:
        world.emulator.add_fault(Fault("error", action=self.action, code=self.code, times=self.times))


@dataclass(frozen=True)
class ThrottleCalls(Step):
    """No seconds: the time left is not told."""

    seconds: float
    action: str = "*"
    times: int = 1

    def do(self, world: World) -> None:
        world.emulator.add_fault(Fault("throttle", action=self.action, seconds=self.seconds, times=self.times))


@dataclass(frozen=True)
class LoseRequest(Step):
    action: str = "*"
    times: int = 1

    def do(self, world: World) -> None:
        world.emulator.add_fault(Fault("lose-request", action=self.action, times=self.times))


@dataclass(frozen=True)
class LoseAnswer(Step):
    action: str = "*"
    times: int = 1

    def do(self, world: World) -> None:
        world.emulator.add_fault(Fault("lose-answer", action=self.action, times=self.times))


@dataclass(frozen=True)
class TimeOut(Step):
    """The client gives up; the request arrives after so many seconds, perhaps later than that, or never (inf)."""

    arrives_after: float
    action: str = "*"

    def do(self, world: World) -> None:
        world.network.cuts.append((self.action, self.arrives_after))


@dataclass(frozen=True)
class FailEntry(Step):
    """The next entry disappears when it should become Available."""

    def do(self, world: World) -> None:
        world.emulator.add_fault(Fault("fail-entry", action=CREATE))


@dataclass(frozen=True)
class Stick(Step):
    """The next entry stays Pending, or the next one that is deleted Deleting, and blocks its gateway.

    No seconds: until all is mended.
    """

    seconds: float = 0.0
    action: str = CREATE

    def do(self, world: World) -> None:
        world.emulator.add_fault(Fault("stick", action=self.action, seconds=self.seconds))


@dataclass(frozen=True)
class UseUpRate(Step):
    """Another program makes all the calls of an action that the account may make in this minute."""

    action: str

    def do(self, world: World) -> None:
        for action in ACTIONS if self.action == "*" else (self.action,):
            world.emulator.use_up_rate(action)


@dataclass(frozen=True)
class SlipRow(Step):
    """The next pages after a listing's first one miss a row each."""

    times: int = 1

    def do(self, world: World) -> None:
        world.emulator.add_fault(Fault("slip-row", times=self.times))


# The cloud.


@dataclass(frozen=True)
class SettleTime(Step):
    seconds: float

    def do(self, world: World) -> None:
        for gateway in world.emulator.gateways:
            world.emulator.set_settle(gateway, self.seconds, 0.3)


@dataclass(frozen=True)
class GatewayBusy(Step):
    """The gateway's status is not Available, so that it takes no writes."""

    gateway: str
    busy: bool

    def do(self, world: World) -> None:
        if self.gateway in world.emulator.gateways:
            world.emulator.set_gateway_status(self.gateway, "Modifying" if self.busy else "Available")


@dataclass(frozen=True)
class Quota(Step):
    gateway: str
    quota: int

    def do(self, world: World) -> None:
        if self.gateway in world.emulator.gateways:
            world.emulator.set_quota(self.gateway, world.others.entries + self.quota)


@dataclass(frozen=True)
class EipLeaves(Step):
    address: str

    def do(self, world: World) -> None:
        gateway = world.emulator.eips[self.address].gateway
        if gateway:
            world.take_eips(gateway, [self.address])


@dataclass(frozen=True)
class EipReturns(Step):
    address: str
    snat: bool = False

    def do(self, world: World) -> None:
        bring_eip(world, self.address, snat=self.snat)


@dataclass(frozen=True)
class GatewayGone(Step):
    """The first gateway goes with all its entries; the operator points the pods' default route to the other one."""

    def do(self, world: World) -> None:
        if GATEWAYS[0] in world.emulator.gateways:
            there = [ip for ip in EIPS[GATEWAYS[0]] if world.emulator.eips[ip].gateway == GATEWAYS[0]]
            world.take_eips(GATEWAYS[0], there)
            world.emulator.remove_gateway(GATEWAYS[0])
            world.emulator.set_default_route(ROUTE_TABLE, "NatGateway", GATEWAYS[1])


@dataclass(frozen=True)
class RevokeKey(Step):
    def do(self, world: World) -> None:
        if KEY in world.emulator.credentials:
            world.emulator.revoke_credential(KEY)


@dataclass(frozen=True)
class RestoreKey(Step):
    def do(self, world: World) -> None:
        world.emulator.restore_credential(KEY)


# The table, behind our back. Entries of ours are named by their place in the listing.


@dataclass(frozen=True)
class OthersStick(Step):
    """An entry of others is Pending for a while, on whichever gateways they have some."""

    seconds: float

    def do(self, world: World) -> None:
        for gateway in world.emulator.gateways:
            for entry in world.emulator.forward_entries(gateway, [OTHERS_EIPS[gateway]])[:1]:
                world.emulator.stick_entry(gateway, entry.id, seconds=self.seconds)


@dataclass(frozen=True)
class OnOurs(Step):
    """Something that happens to one of our entries."""

    number: int

    def do(self, world: World) -> None:
        if ours := world.ours():
            self.happen(world, ours[self.number % len(ours)])

    def happen(self, world: World, entry: ForwardEntry) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class SomebodyDeletes(OnOurs):
    def happen(self, world: World, entry: ForwardEntry) -> None:
        world.emulator.delete_entry(entry.gateway_id, entry.id)


@dataclass(frozen=True)
class SomebodyEdits(OnOurs):
    port: int

    def happen(self, world: World, entry: ForwardEntry) -> None:
        with contextlib.suppress(ValueError):  # Taken: the cloud does not allow it.
            world.emulator.edit_entry(entry.gateway_id, entry.id, external_port=str(self.port))


@dataclass(frozen=True)
class SomebodyRenames(OnOurs):
    name: str

    def happen(self, world: World, entry: ForwardEntry) -> None:
        world.rename(entry, self.name)


@dataclass(frozen=True)
class SomebodyTakes(OnOurs):
    """Our entry is replaced by somebody's own on the same external port, leading to the same pod or to another."""

    same_pod: bool

    def happen(self, world: World, entry: ForwardEntry) -> None:
        world.emulator.delete_entry(entry.gateway_id, entry.id)
        internal_ip = entry.internal_ip if self.same_pod else "172.16.1.15"
        outside, inside = (int(ports.split("/")[0]) for ports in (entry.external_port, entry.internal_port))
        world.add_foreign(entry.external_ip, outside, internal_ip, inside)


@dataclass(frozen=True)
class SomebodyAdds(Step):
    external_ip: str
    port: int
    internal_ip: str
    name: str = "ops"

    def do(self, world: World) -> None:
        world.add_foreign(self.external_ip, self.port, self.internal_ip, 80, self.name)


@dataclass(frozen=True)
class SomebodyFrees(Step):
    """Somebody deletes an own entry."""

    number: int

    def do(self, world: World) -> None:
        if world.foreign:
            world.drop_foreign(list(world.foreign.values())[self.number % len(world.foreign)])


def bring_eip(world: World, address: str, *, snat: bool = False) -> None:
    """Bind an address to the gateway that it belongs to."""
    gateway = next(gateway for gateway in GATEWAYS if address in EIPS[gateway])
    if gateway in world.emulator.gateways:
        world.emulator.add_eip(gateway, address, snat=snat)


def heal(world: World) -> None:
    """End all that is the matter: faults, and what only an operator can mend."""
    emulator = world.emulator
    emulator.faults.clear()
    world.network.cuts.clear()
    world.cluster.lost_answers = 0
    emulator.restore_credential(KEY)
    for address in (address for addresses in EIPS.values() for address in addresses):
        bring_eip(world, address)
    for gateway in emulator.gateways:
        emulator.set_quota(gateway, world.others.entries + 1000)
        emulator.set_gateway_status(gateway, "Available")
        emulator.set_settle(gateway, 0.5)
    for entry in world.entries():
        if entry.due is None and entry.status != "Available":
            emulator.settle_entry(entry.gateway_id, entry.id)
    while len(world.processes) > 1:
        world.kill()
    # Nothing of ours helps against somebody's entry that leads to a pod's own port.
    for entry in list(world.foreign.values()):
        if entry.internal_ip in POD_IPS:
            world.drop_foreign(entry)
    # What was renamed can't be known to be ours by a status alone, which others may write too.
    for entry in world.ours():
        if OWNERSHIP.owner_in(entry.name) is None and entry.id not in world.provable_ids():
            emulator.delete_entry(entry.gateway_id, entry.id)
    if not world.processes:
        world.start()
