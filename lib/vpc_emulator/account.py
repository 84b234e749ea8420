"""What the account owns while the emulator runs, and the ways to change it that do not go through the API.

Those ways stand for everybody else: a person at the console, another program, the cloud itself.
"""

import dataclasses
import random
import string
import threading
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Any, ClassVar

from vpc_emulator.assets import (
    LISTING_ORDERS,
    Credential,
    Eip,
    ListingOrder,
    NatGateway,
    NetworkInterface,
    RouteTable,
)
from vpc_emulator.forward_table import AVAILABLE, DELETING, PENDING, ForwardEntry, ForwardTable
from vpc_emulator.gateways import Churn, Gateway
from vpc_emulator.values import ANY, Mapping5, parse_ports
from vpc_emulator.world import World

_ID_LETTERS = string.ascii_lowercase + string.digits


class Account:
    """The account's things under one lock. The methods here ask nobody for permission."""

    default_listing_order: ClassVar[ListingOrder] = "creation"
    """The order of DescribeForwardTableEntries where the world names none; tests may set another for all."""

    def __init__(self, world: World, *, clock: Callable[[], float] = time.monotonic, seed: int | None = None) -> None:
        self.world = world
        self.clock = clock
        self.lock = threading.RLock()
        self._seed = seed
        self.random = random.Random()  # noqa: S311 - jitter and ids, not secrets
        self._build()

    def reset(self) -> None:
        """Make everything as the world described it."""
        with self.lock:
            self._build()

    def _build(self) -> None:
        world = self.world
        self.random.seed(self._seed)
        self.credentials: dict[str, Credential] = dict(world.credentials)
        self.eips: dict[str, Eip] = dict(world.eips)
        self.route_tables: dict[str, RouteTable] = dict(world.route_tables)
        self.interfaces: dict[str, NetworkInterface] = dict(world.network_interfaces)
        self.interface_of = {ip: eni for eni in self.interfaces.values() for ip in eni.private_ips}
        self._prefixes = [
            (IPv4Network(prefix), eni) for eni in self.interfaces.values() for prefix in eni.ipv4_prefixes
        ]
        self.listing_order = world.listing_order or self.default_listing_order
        self.binding_until: dict[str, float] = {}
        self.gateways: dict[str, Gateway] = {}
        self.gateway_of_table: dict[str, Gateway] = {}
        for spec in world.nat_gateways.values():
            self._build_gateway(spec)

    def _build_gateway(self, spec: NatGateway) -> None:
        gateway = Gateway.of(spec, self.world.vpcs[spec.vpc].region)
        self.gateways[spec.id] = gateway
        self.gateway_of_table.update(dict.fromkeys(spec.forward_tables, gateway))
        for preset in spec.entries:
            self._insert(gateway.tables[preset.table], gateway, preset.wanted, name=preset.name, foreign=True)

    # -- reading -----------------------------------------------------------------------------------

    def forward_entries(self, gateway_id: str, external_ips: Iterable[str] | None = None) -> list[ForwardEntry]:
        """Return copies of a gateway's entries, in the order of their creation; no API call is made.

        With external addresses, only the entries of each of these, which costs nothing for all the others.
        """
        with self.lock:
            gateway = self.gateways[gateway_id]
            self.settle(gateway)
            if external_ips is None:
                found = [entry for table in gateway.tables.values() for entry in table.entries.values()]
            else:
                found = [entry for address in external_ips for entry in gateway.entries_at(address)]
            return [dataclasses.replace(entry) for entry in found]

    def settle(self, gateway: Gateway) -> None:
        """Bring a gateway up to date: its status, its entries, and what others have replaced meanwhile."""
        now = self.clock()
        gateway.settle(now)
        replaced = gateway.churn.take(now) if gateway.churn else 0
        if replaced:
            foreign = gateway.foreign_entries()
            for entry in self.random.sample(foreign, min(replaced, len(foreign))):
                self._replace(entry)

    def is_in_binding(self, address: str) -> bool:
        """Tell whether an EIP is still being bound."""
        return self.clock() < self.binding_until.get(address, 0.0)

    def interface_at(self, address: str, *, in_prefixes: bool = True) -> NetworkInterface | None:
        """Return the network interface that has an address: by itself or, if wanted, in a prefix."""
        found = self.interface_of.get(address)
        if found is not None or not in_prefixes:
            return found
        wanted = IPv4Address(address)
        return next((eni for prefix, eni in self._prefixes if wanted in prefix), None)

    # -- entries -----------------------------------------------------------------------------------

    def add_entry(
        self,
        gateway_id: str,
        *,
        external_ip: str,
        external_port: int | str,
        internal_ip: str,
        internal_port: int | str,
        protocol: str = "tcp",
        name: str = "",
        table_id: str | None = None,
        lasting: bool = False,
    ) -> ForwardEntry:
        """Add somebody else's settled entry, to the first table if none is named.

        Uniqueness holds (ValueError), the quota does not. A lasting one counts as no foreign entry for `set_churn`
        and for faults of kind slip-row, which replace such entries.
        """
        with self.lock:
            gateway = self.gateways[gateway_id]
            self.settle(gateway)
            table = gateway.tables[table_id or next(iter(gateway.tables))]
            external, internal = parse_ports(str(external_port)), parse_ports(str(internal_port))
            if external is None or internal is None:
                problem = f"not a port: {external_port} or {internal_port}"
                raise ValueError(problem)
            wanted = Mapping5(external_ip, external, internal_ip, internal, protocol.lower())
            return dataclasses.replace(self._insert(table, gateway, wanted, name=name, foreign=not lasting))

    def edit_entry(self, gateway_id: str, entry_id: str, **changes: Any) -> ForwardEntry:
        """Change an entry: external_ip, external_port, internal_ip, internal_port, protocol or name."""
        with self.lock:
            table, entry = self._find(gateway_id, entry_id)
            edited = dataclasses.replace(entry, **changes)
            table.remove(entry)
            try:
                _refuse_duplicate(table, _wanted(edited))
            except ValueError:
                table.add(entry)
                raise
            table.add(edited)
            return dataclasses.replace(edited)

    def rename_entry(self, gateway_id: str, entry_id: str, name: str) -> ForwardEntry:
        """Give an entry another name."""
        return self.edit_entry(gateway_id, entry_id, name=name)

    def delete_entry(self, gateway_id: str, entry_id: str) -> None:
        """Take an entry away at once."""
        with self.lock:
            table, entry = self._find(gateway_id, entry_id)
            table.remove(entry)

    def settle_entry(self, gateway_id: str, entry_id: str) -> None:
        """Settle an entry now: a stuck one becomes Available, a Deleting one goes."""
        with self.lock:
            table, entry = self._find(gateway_id, entry_id)
            if entry.id in table.unsettled:
                table.finish(entry)

    def stick_entry(
        self, gateway_id: str, entry_id: str, *, status: str = PENDING, seconds: float | None = None
    ) -> None:
        """Make an entry Pending, or Deleting, for so many seconds; if none are given, until `settle_entry`.

        Raises ValueError for another status.
        """
        if status not in {PENDING, DELETING}:
            raise ValueError(f"no entry gets stuck in status {status}")
        with self.lock:
            table, entry = self._find(gateway_id, entry_id)
            table.start(entry, status, due=None if seconds is None else self.clock() + seconds)

    def set_churn(self, gateway_id: str, *, entries: int, seconds: float) -> None:
        """Let others replace so many foreign entries of the gateway each time so many seconds are over.

        A foreign entry came with the world or by `add_entry`. The new one is like the old one but for its id,
        and comes last in order of creation. It is chosen at random among the settled ones. 0 entries end it.
        Raises ValueError unless the seconds are positive.
        """
        if seconds <= 0:
            raise ValueError("churn needs more than 0 seconds")
        with self.lock:
            due = self.clock() + seconds
            self.gateways[gateway_id].churn = Churn(entries, seconds, due) if entries else None

    def set_listing_order(self, order: ListingOrder) -> None:
        """Set the order in which entries are listed: creation, reverse, or arbitrary (but always the same).

        Alibaba Cloud documents none (VPC API reference, DescribeForwardTableEntries). Raises ValueError for others.
        """
        if order not in LISTING_ORDERS:
            raise ValueError(f"{order} is none of {', '.join(LISTING_ORDERS)}")
        with self.lock:
            self.listing_order = order

    # -- gateways and addresses --------------------------------------------------------------------

    def set_quota(self, gateway_id: str, quota: int) -> None:
        """Set how many entries each table of the gateway may have."""
        with self.lock:
            self.gateways[gateway_id].quota = quota

    def set_writes_at_once(self, gateway_id: str, writes: int) -> None:
        """Set how many unsettled entries the gateway bears; 1 makes it strictly serial."""
        with self.lock:
            self.gateways[gateway_id].writes_at_once = writes

    def set_settle(self, gateway_id: str, seconds: float, jitter: float = 0.0) -> None:
        """Set how long an entry is Pending or Deleting from now on, and the fraction by which that varies."""
        with self.lock:
            gateway = self.gateways[gateway_id]
            gateway.settle_seconds, gateway.settle_jitter = seconds, jitter

    def set_gateway_status(self, gateway_id: str, status: str, *, seconds: float | None = None) -> None:
        """Set the gateway's status; unless it is Available, entries can be neither created nor deleted.

        After so many seconds it is Available again; if none are given, the status stays.
        """
        with self.lock:
            gateway = self.gateways[gateway_id]
            gateway.status = status
            gateway.status_until = None if seconds is None else self.clock() + seconds

    def set_business_status(self, gateway_id: str, status: str) -> None:
        """Set the gateway's BusinessStatus: Normal, or FinancialLocked, which refuses all writes."""
        with self.lock:
            self.gateways[gateway_id].business_status = status

    def remove_gateway(self, gateway_id: str) -> None:
        """Remove the gateway with its tables and all their entries; its EIPs stay with the account."""
        with self.lock:
            gateway = self.gateways.pop(gateway_id)
            for table_id in gateway.tables:
                del self.gateway_of_table[table_id]
            for eip in [eip for eip in self.eips.values() if eip.gateway == gateway_id]:
                self.eips[eip.address] = dataclasses.replace(eip, gateway="", snat=False)

    def add_eip(
        self,
        gateway_id: str,
        address: str,
        *,
        allocation_id: str = "",
        snat: bool = False,
        snat_entry_enabled: bool = True,
    ) -> None:
        """Bind an EIP to the gateway, or change whether it has an SNAT entry and what SnatEntryEnabled says."""
        with self.lock:
            allocation_id = allocation_id or f"eip-{address.replace('.', '-')}"
            region = self.gateways[gateway_id].region
            self.eips[address] = Eip(address, allocation_id, region, gateway_id, snat, snat_entry_enabled)

    def add_snat_entry(self, address: str) -> None:
        """Let an SNAT entry of its gateway use an EIP. Raises ValueError for an EIP of no gateway."""
        with self.lock:
            if not self.eips[address].gateway:
                raise ValueError(f"{address} is on no NAT gateway")
            self.eips[address] = dataclasses.replace(self.eips[address], snat=True)

    def remove_snat_entry(self, address: str) -> None:
        """Take away the SNAT entry that uses an EIP."""
        with self.lock:
            self.eips[address] = dataclasses.replace(self.eips[address], snat=False)

    def set_eip_in_binding(self, address: str, seconds: float) -> None:
        """Let an EIP be in binding for so many seconds: creates on it are refused; 0 ends it."""
        with self.lock:
            self.binding_until[address] = self.clock() + seconds

    def remove_eip(self, gateway_id: str, address: str, *, release: bool = False) -> None:
        """Unbind an EIP; its entries stay. A released one leaves the account, too."""
        with self.lock:
            eip = self.eips[address]
            if eip.gateway != gateway_id:
                problem = f"{address} is not on {gateway_id}"
                raise ValueError(problem)
            if release:
                del self.eips[address]
            else:
                self.eips[address] = dataclasses.replace(eip, gateway="", snat=False)

    # -- keys and routes ---------------------------------------------------------------------------

    def revoke_credential(self, access_key_id: str) -> None:
        """Make the cloud forget a key."""
        with self.lock:
            del self.credentials[access_key_id]

    def restore_credential(self, access_key_id: str) -> None:
        """Make the key what the world says, with all its actions."""
        with self.lock:
            self.credentials[access_key_id] = self.world.credentials[access_key_id]

    def set_allowed_actions(self, access_key_id: str, actions: list[str]) -> None:
        """Replace the policy of a key, for example ``["vpc:DescribeNatGateways"]``."""
        with self.lock:
            credential = self.credentials[access_key_id]
            self.credentials[access_key_id] = dataclasses.replace(credential, actions=frozenset(actions))

    def set_default_route(self, route_table_id: str, next_hop_type: str, next_hop_id: str) -> None:
        """Point a route table's default route elsewhere; an empty type takes the route away."""
        with self.lock:
            table = self.route_tables[route_table_id]
            self.route_tables[route_table_id] = dataclasses.replace(
                table, next_hop_type=next_hop_type, next_hop_id=next_hop_id
            )

    # -- for the subclass --------------------------------------------------------------------------

    def _insert(
        self,
        table: ForwardTable,
        gateway: Gateway,
        wanted: Mapping5,
        *,
        name: str,
        status: str = AVAILABLE,
        foreign: bool = False,
    ) -> ForwardEntry:
        _refuse_duplicate(table, wanted)
        entry = ForwardEntry(
            id=self._new_id("fwd"),
            name=name,
            table_id=table.id,
            gateway_id=gateway.spec.id,
            external_ip=wanted.external_ip,
            external_port=str(wanted.external_ports),
            internal_ip=wanted.internal_ip,
            internal_port=str(wanted.internal_ports),
            protocol=wanted.protocol,
            status=status,
            due=self._due(gateway) if status != AVAILABLE else None,
            foreign=foreign,
        )
        table.add(entry)
        return entry

    def _replace(self, entry: ForwardEntry, *, after: str = "") -> None:
        """Put a like entry in an entry's place, whose id sorts after the one given."""
        table = self.gateways[entry.gateway_id].tables[entry.table_id]
        table.remove(entry)
        ids = iter(lambda: self._new_id("fwd"), "")
        table.add(dataclasses.replace(entry, id=next(new for new in ids if new > after)))

    def _start_delete(self, table: ForwardTable, gateway: Gateway, entry: ForwardEntry) -> None:
        table.start(entry, DELETING, self._due(gateway))

    def _due(self, gateway: Gateway) -> float:
        swing = gateway.settle_jitter * self.random.uniform(-1, 1)
        return self.clock() + gateway.settle_seconds * (1 + swing)

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}-emu{''.join(self.random.choices(_ID_LETTERS, k=17))}"

    def _find(self, gateway_id: str, entry_id: str) -> tuple[ForwardTable, ForwardEntry]:
        gateway = self.gateways[gateway_id]
        self.settle(gateway)
        for table in gateway.tables.values():
            if entry_id in table.entries:
                return table, table.entries[entry_id]
        raise KeyError(entry_id)


def _wanted(entry: ForwardEntry) -> Mapping5:
    external, internal = parse_ports(entry.external_port), parse_ports(entry.internal_port)
    if external is None or internal is None or entry.protocol not in {"tcp", "udp", ANY}:
        problem = f"not a port or a protocol: {entry}"
        raise ValueError(problem)
    return Mapping5(entry.external_ip, external, entry.internal_ip, internal, entry.protocol)


def _refuse_duplicate(table: ForwardTable, wanted: Mapping5) -> None:
    holder = table.external_holder(wanted) or table.internal_holder(wanted)
    if holder is not None:
        problem = f"{holder.id} holds an address and port of {wanted}"
        raise ValueError(problem)
