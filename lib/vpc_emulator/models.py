"""The API's rules: one method for each action, named as the action in snake case.

They take the call's parameters and return its result, or raise one of `exceptions`. Limits and defaults are
those of Alibaba Cloud's API reference (VPC 2016-04-28, ECS 2014-05-26).
"""

import time
import traceback
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any, Final

from vpc_emulator import exceptions as errors
from vpc_emulator import values
from vpc_emulator.assets import RateLimit
from vpc_emulator.calls import CallLog, RateMeter
from vpc_emulator.faults import Fault, FaultBook
from vpc_emulator.forward_table import PENDING, ForwardTable, is_ip_mapping
from vpc_emulator.gateways import READY, Gateway
from vpc_emulator.listing import EntryListing
from vpc_emulator.values import ANY, Mapping5, Parameters
from vpc_emulator.world import World

_PRIVILEGED: Final = 1024
Answer = dict[str, Any]


class Emulator(EntryListing):
    """The account behind its API."""

    def __init__(self, world: World, *, clock: Callable[[], float] = time.monotonic, seed: int | None = None) -> None:
        super().__init__(world, clock=clock, seed=seed)
        self.calls = CallLog()
        self.faults = FaultBook(self.random)
        self.bugs: list[str] = []
        """Tracebacks of errors that were the emulator's own; tests should fail when there are any."""

    def _build(self) -> None:
        super()._build()
        self.rate_limit: RateLimit | None = self.world.rate_limit
        self.rates = RateMeter()
        self._tokens: dict[tuple[str, str], tuple[tuple[tuple[str, str], ...], Answer]] = {}

    def reset(self) -> None:
        """Make everything as the world described it; forget faults, calls and tokens."""
        with self.lock:
            super().reset()
            self.faults.clear()
            self.calls.clear()
            self.bugs.clear()

    def reset_calls(self) -> None:
        """Forget the calls so far."""
        self.calls.clear()

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        self.faults.clear()

    def add_fault(self, fault: Fault) -> None:
        """Let something go wrong with calls to come."""
        self.faults.lay(fault)

    def set_rate_limit(self, limit: RateLimit | None) -> None:
        """Set or lift the account's rate limit; the window starts anew."""
        with self.lock:
            self.rate_limit, self.rates = limit, RateMeter()

    def use_up_rate(self, action: str, calls: int | None = None) -> int:
        """Let another client of the account make so many calls of an action now; if none are given, all it may.

        Alibaba Cloud counts calls by API, region and account, whoever makes them. Returns how many were granted.
        Raises ValueError when there is no rate limit.
        """
        with self.lock:
            if self.rate_limit is None:
                raise ValueError("without a rate limit no rate can be used up")
            return self.rates.use_up(self.rate_limit, action, self.clock(), calls)

    def note_bug(self, error: BaseException) -> None:
        """Keep the traceback of an error that no rule of the API explains."""
        self.bugs.append("".join(traceback.format_exception(error)))

    def ask_rate(self, action: str) -> None:
        """Refuse the call when the account has used up its rate."""
        with self.lock:
            if self.rate_limit is None:
                return
            wait = self.rates.ask(self.rate_limit, action, self.clock())
            if wait:
                raise errors.ThrottlingUser(time_left=wait if self.rate_limit.tell_time_left else 0.0)

    def pick_fault(self, action: str, parameters: Parameters) -> Fault | None:
        """Return what goes wrong with this call."""
        table = parameters.get("ForwardTableId", "")
        holder = self.gateway_of_table.get(table)
        gateway = holder.spec.id if holder else parameters.get("NatGatewayId", "")
        later_page = parameters.get("PageNumber", "1") != "1"
        return self.faults.pick(action, gateway, table, later_page=later_page)

    # -- CreateForwardEntry ------------------------------------------------------------------------

    def create_forward_entry(self, parameters: Parameters) -> Answer:
        """Create an entry: it is Pending first."""
        region = self._region(parameters)
        table_id = values.required(parameters, "ForwardTableId")
        wanted = values.mapping(parameters)
        name = values.entry_name(parameters)
        port_break, dry_run = values.flag(parameters, "PortBreak"), values.flag(parameters, "DryRun")
        gateway = self._gateway(region, table_id=table_id)
        table = gateway.tables[table_id]
        self.settle(gateway)
        self._check_addresses(gateway, wanted)
        self._check_idle(gateway)
        self._check_room(gateway, table, wanted)
        self._check_sharing(gateway, wanted, port_break=port_break)
        if dry_run:
            raise errors.DryRunPassed
        entry = self._insert(table, gateway, wanted, name=name, status=PENDING)
        return {"ForwardEntryId": entry.id}

    def spoil_entry(self, entry_id: str, fault: Fault) -> None:
        """Carry out a fault of kind stick or fail-entry on an entry whose create or delete has just begun."""
        tables = [table for gateway in self.gateways.values() for table in gateway.tables.values()]
        for table in tables:
            entry = table.entries.get(entry_id)
            if entry is not None and fault.kind == "stick":
                table.start(entry, entry.status, due=self.clock() + fault.seconds if fault.seconds else None)
            elif entry is not None:
                entry.fails = True

    def _check_addresses(self, gateway: Gateway, wanted: Mapping5) -> None:
        eip = self.eips.get(wanted.external_ip)
        if eip is None:
            raise errors.ExternalIpNotFound(wanted.external_ip)
        if eip.gateway != gateway.spec.id:
            raise errors.ExternalIpNotInGateway(wanted.external_ip)
        if self.is_in_binding(wanted.external_ip):
            raise errors.EipInBinding(wanted.external_ip)
        address = IPv4Address(wanted.internal_ip)
        if not any(address in block for block in self.world.vpcs[gateway.spec.vpc].blocks):
            raise errors.InternalIpOutsideVpc(wanted.internal_ip)
        interface = self.interface_at(wanted.internal_ip)
        if interface is not None and interface.public_ip:
            raise errors.InstanceHasEip(wanted.internal_ip)

    def _check_room(self, gateway: Gateway, table: ForwardTable, wanted: Mapping5) -> None:
        if table.external_holder(wanted):
            raise errors.ExternalDuplicate(wanted.external_ip, wanted.external_ports)
        if table.internal_holder(wanted):
            raise errors.InternalDuplicate(wanted.internal_ip, wanted.internal_ports)
        if len(table.entries) >= gateway.quota:
            raise errors.QuotaExceeded

    def _check_sharing(self, gateway: Gateway, wanted: Mapping5, *, port_break: bool) -> None:
        """IP mapping wants the address for itself; SNAT gives ports above 1024 only with PortBreak."""
        sharers = gateway.entries_at(wanted.external_ip)
        mapping = wanted.protocol == ANY
        if sharers and (mapping or is_ip_mapping(sharers[0])):
            raise errors.ExternalIpUsedInDnat(wanted.external_ip)
        high = wanted.external_ports.last > _PRIVILEGED
        if self.eips[wanted.external_ip].snat and (mapping or (high and not port_break)):
            raise errors.ExternalIpUsedInSnat(wanted.external_ip)

    # -- DeleteForwardEntry ------------------------------------------------------------------------

    def delete_forward_entry(self, parameters: Parameters) -> Answer:
        """Delete an entry: it is Deleting first."""
        region = self._region(parameters)
        table_id = values.required(parameters, "ForwardTableId")
        entry_id = values.required(parameters, "ForwardEntryId")
        gateway = self._gateway(region, table_id=table_id)
        self.settle(gateway)
        table = gateway.tables[table_id]
        entry = table.entries.get(entry_id)
        if entry is None:
            raise errors.EntryNotFound(entry_id)
        self._check_idle(gateway)
        if entry.status == PENDING:
            raise errors.TableBusy(entry_id)
        if entry_id in table.unsettled:
            raise errors.EntryStatus(entry_id)
        self._start_delete(table, gateway, entry)
        return {}

    # -- shared ------------------------------------------------------------------------------------

    def _check_idle(self, gateway: Gateway) -> None:
        if gateway.business_status != "Normal":
            raise errors.FinancialLocked(gateway.spec.id)
        if gateway.status != READY:
            raise errors.GatewayStatus(gateway.status)
        if gateway.unsettled() >= gateway.writes_at_once:
            raise errors.TableBusy

    def once(self, action: str, parameters: Parameters, work: Callable[[Parameters], Answer]) -> Answer:
        """Do the work, or answer as the ClientToken was answered before (reference: "Ensure idempotence")."""
        token = values.client_token(parameters)
        if token is None:
            return work(parameters)
        asked = tuple(sorted(parameters.items()))
        known = self._tokens.get((action, token))
        if known is None:
            answer = work(parameters)
            self._tokens[action, token] = (asked, answer)
            return answer
        if known[0] != asked:
            raise errors.TokenMismatch(token)
        return known[1]
