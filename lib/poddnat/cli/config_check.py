"""The config check: whether the cloud is as the values file says, asked with the credentials that it names.

Nothing is changed. Whether writes are allowed is found out by writes that can't succeed: they name a forward table
that does not exist, and the cloud checks the permission first. Reads are simply called.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from poddnat.cli.site import retry_throttled
from poddnat.cloud import NO_ANSWER, NO_CREDENTIALS, CloudClient, CloudError, GatewayInfo, Meaning
from poddnat.config import Values
from poddnat.model import ForwardRule, Ports, Protocol

_NOWHERE = "ftb-poddnat-permission-check"
_NOTHING = "fwd-poddnat-permission-check"
_RULE = ForwardRule("192.0.2.1", Ports.of(1), "192.0.2.2", Ports.of(1), Protocol.TCP)
"""Addresses for documentation (RFC 5737): nobody has them."""


class Result(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Check:
    """One line: what was checked, how it came out, and what was found or would be right."""

    what: str
    subject: str
    result: Result
    text: str

    def as_dict(self) -> dict[str, str]:
        """Write it for programs."""
        return {"check": self.what, "subject": self.subject, "result": self.result.value, "text": self.text}


class ConfigCheck:
    """Asks the cloud once, and compares its answers with the values file."""

    def __init__(self, values: Values, cloud: CloudClient) -> None:
        self._values = values
        self._cloud = cloud

    def run(self) -> Iterator[Check]:
        """Check credentials and permissions, then gateways, EIPs and routes, one after the other."""
        try:
            infos = {info.gateway_id: info for info in retry_throttled(self._cloud.describe_nat_gateways)}
        except CloudError as error:
            yield self._misplaced(error) or _credentials(error)
            if error.lacks_permission:
                yield _permission("vpc:DescribeNatGateways", error)
            return
        yield Check("credentials", "", Result.OK, "the cloud accepts them")
        if not infos:
            text = f"it has no Internet NAT gateway in {self._values.region_id}: are vpcID and regionID right?"
            yield Check("vpc", self._values.vpc_id, Result.WRONG, text)
        yield from self._permissions(infos)
        for gateway_id in self._values.gateway_ids:
            yield from self._gateway(gateway_id, infos)
        yield from self._routes()

    def _misplaced(self, error: CloudError) -> Check | None:
        """Tell from an error which of region, VPC and endpoint is wrong; None: it says nothing against them."""
        values = self._values
        if error.code.startswith("InvalidRegionId"):
            text = f"the cloud knows no such region, or not at this endpoint ({error.code}); correct regionID"
            return Check("region", values.region_id, Result.WRONG, text)
        if error.code.startswith("InvalidVpcI"):
            text = f"there is no such VPC in {values.region_id} ({error.code}); correct vpcID, or regionID"
            return Check("vpc", values.vpc_id, Result.WRONG, text)
        if error.code != NO_ANSWER:
            return None
        api = "ecs" if error.action == "DescribeNetworkInterfaces" else "vpc"
        own = values.endpoints.ecs if api == "ecs" else values.endpoints.vpc
        right = f"correct endpoints.{api}" if own else f"is regionID right ({values.region_id})?"
        text = f"it gives no answer ({error.message}); {right}, or open the way there (DNS, proxy, firewall)"
        return Check("endpoint", own or f"the cloud's own for {api}", Result.WRONG, text)

    def _permissions(self, infos: Mapping[str, GatewayInfo]) -> Iterator[Check]:
        cloud, gateway_id = self._cloud, next(iter(infos), self._values.gateway_ids[0])
        yield Check("permission", "vpc:DescribeNatGateways", Result.OK, "allowed")
        tries: dict[str, Callable[[], object]] = {
            "vpc:DescribeForwardTableEntries": lambda: cloud.describe_forward_table_entries(gateway_id),
            "vpc:DescribeEipAddresses": lambda: cloud.describe_eip_addresses(gateway_id),
            "vpc:DescribeRouteTableList": cloud.describe_route_table_list,
            "vpc:DescribeRouteEntryList": lambda: cloud.describe_default_route("vtb-poddnat-permission-check"),
            "ecs:DescribeNetworkInterfaces": lambda: cloud.describe_network_interfaces([_RULE.internal_ip]),
            "vpc:CreateForwardEntry": lambda: cloud.create_forward_entry(
                table_id=_NOWHERE, rule=_RULE, name=_NOWHERE, client_token=_NOWHERE, port_break=False, dry_run=True
            ),
            "vpc:DeleteForwardEntry": lambda: cloud.delete_forward_entry(
                table_id=_NOWHERE, entry_id=_NOTHING, client_token=_NOTHING
            ),
        }
        for action, attempt in tries.items():
            try:
                retry_throttled(attempt)
            except CloudError as error:
                yield self._misplaced(error) or _permission(action, error)
            else:
                yield Check("permission", action, Result.OK, "allowed")

    def _gateway(self, gateway_id: str, infos: Mapping[str, GatewayInfo]) -> Iterator[Check]:
        info = infos.get(gateway_id)
        if info is None:
            there = f"there are {', '.join(sorted(infos))}" if infos else "it has none"
            text = f"{self._values.vpc_id} in {self._values.region_id} has no such Internet NAT gateway; {there}"
            yield Check("gateway", gateway_id, Result.WRONG, text)
            return
        zones = {entry.zone_id for entry in self._values.entries_of(gateway_id)}
        if info.locked:
            yield Check("gateway", gateway_id, Result.WRONG, "it is locked: pay what is due, nothing works until then")
        elif info.status != "Available":
            yield Check("gateway", gateway_id, Result.WARNING, f"it is {info.status}, not Available")
        elif not info.table_ids:
            yield Check("gateway", gateway_id, Result.WRONG, "it has no forward table: is it an Internet NAT gateway?")
        elif info.zone and zones != {info.zone}:
            text = f"it is in zone {info.zone}; zoneId says {', '.join(sorted(zones))}"
            yield Check("gateway", gateway_id, Result.WARNING, text)
        else:
            yield Check(
                "gateway", gateway_id, Result.OK, f"Available in {f'zone {info.zone}' if info.zone else 'all zones'}"
            )
        yield from self._eips(info)

    def _eips(self, info: GatewayInfo) -> Iterator[Check]:
        there = [eip.ip for eip in info.eips]
        entries = list(self._values.entries_of(info.gateway_id))
        listed = list(dict.fromkeys(ip for entry in entries for ip in entry.eips or ()))
        if not there:
            yield Check("eip", info.gateway_id, Result.WRONG, "the gateway has no EIP; associate one with it")
        for ip in listed if listed and all(entry.eips for entry in entries) else list(dict.fromkeys(listed + there)):
            if ip not in there:
                text = f"it is not on {info.gateway_id}, which has {', '.join(there) or 'none'}"
                yield Check("eip", ip, Result.WRONG, text)
            elif self._values.is_blocked(ip):
                yield Check("eip", ip, Result.WARNING, "blockedEips takes it out of service")
            else:
                yield Check("eip", ip, Result.OK, f"on {info.gateway_id}")

    def _routes(self) -> Iterator[Check]:
        try:
            tables = retry_throttled(self._cloud.describe_route_table_list)
            hops = {table: retry_throttled(partial(self._cloud.describe_default_route, table)) for table in tables.ids}
        except CloudError as error:
            text = f"can't be read, so gateways are chosen by zone alone: {error}"
            yield Check("route", self._values.vpc_id, Result.WARNING, text)
            return
        served = set()
        for table, hop in sorted(hops.items()):
            listed = sorted(vswitch for vswitch, used in tables.by_vswitch.items() if used == table)
            names = ", ".join(listed) or "all vSwitches that no route table lists"
            if hop is not None and hop[1] in self._values.gateway_ids:
                served.add(hop[1])
                yield Check("route", table, Result.OK, f"the default route of {names} leads to {hop[1]}")
            else:
                where = f"{hop[0]} {hop[1]}" if hop else "nowhere"
                text = f"the default route of {names} leads to {where}: pods there get no ports"
                yield Check("route", table, Result.WARNING, text)
        for gateway_id in self._values.gateway_ids:
            if gateway_id not in served:
                text = "no vSwitch's default route leads to it, so no pod can use it: add 0.0.0.0/0 to a route table"
                yield Check("route", gateway_id, Result.WRONG, text)


def _credentials(error: CloudError) -> Check:
    if error.lacks_permission:
        return Check("credentials", "", Result.OK, "the cloud knows them")
    if error.code == NO_CREDENTIALS:
        return Check("credentials", "", Result.WRONG, f"there are none: {error.message}")
    if error.meaning is Meaning.DENIED:
        return Check("credentials", "", Result.WRONG, f"the cloud does not accept them: {error}")
    return Check("credentials", "", Result.WRONG, f"the cloud can't be asked: {error}")


def _permission(action: str, error: CloudError) -> Check:
    """Tell from a call's error whether the call is allowed: any error but a denial says that it is."""
    if error.meaning is Meaning.DENIED:
        text = f"not allowed ({error.code}): add {action} to the RAM policy"
        return Check("permission", action, Result.WRONG, text)
    if error.meaning is Meaning.UNKNOWN:
        return Check("permission", action, Result.WARNING, f"can't tell: {error}")
    return Check("permission", action, Result.OK, "allowed")
