"""The cloud's OpenAPI, as few calls as the RAM policy allows: the only module that knows Alibaba Cloud's SDK.

Every method is one page or one write; nothing here retries, waits or remembers. Whatever goes wrong comes out as a
``CloudError`` that says what to do about it. The calls are those of the VPC API (2016-04-28) and, for network
interfaces, the ECS API (2014-05-26).
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from alibabacloud_credentials.client import Client as CredentialClient
from alibabacloud_ecs20140526 import models as ecs_models
from alibabacloud_ecs20140526.client import Client as EcsClient
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from alibabacloud_tea_openapi.utils_models import Config
from alibabacloud_vpc20160428 import models as vpc_models
from alibabacloud_vpc20160428.client import Client as VpcClient
from darabonba.runtime import RuntimeOptions
from Tea.exceptions import TeaException

from poddnat import logs
from poddnat.cloud.errors import NO_ANSWER, NO_CREDENTIALS, CloudError, Meaning, meaning_of
from poddnat.config import Values
from poddnat.error_texts import why_no_answer, why_no_credentials
from poddnat.model import ALL_PORTS, Address, EntryStatus, ForwardEntry, ForwardRule, Ports, Protocol

ENTRIES_PER_PAGE = 50
ADDRESSES_PER_CALL = 100
_GATEWAYS_PER_PAGE = 50
_EIPS_PER_PAGE = 100
_ROUTE_TABLES_PER_PAGE = 50
_DEFAULT_ROUTE = "0.0.0.0/0"

# These write past our own log, and in it, URLs with tokens: all that they tell comes as an error, too.
for _name in ("alibabacloud-tea", "darabonba-core", "credentials"):
    logging.getLogger(_name).disabled = True

Observer = Callable[[str, str, str, float], None]
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Eip:
    """A public address of a gateway; ``snat``: an SNAT entry uses it too."""

    ip: str
    snat: bool = False


@dataclass(frozen=True)
class GatewayInfo:
    """A NAT gateway as DescribeNatGateways shows it."""

    gateway_id: str
    table_ids: tuple[str, ...]
    status: str
    zone: str
    vpc_id: str
    eips: tuple[Eip, ...]


@dataclass(frozen=True)
class EntryPage:
    """One page of a listing; ``total`` counts all entries that match, on all pages."""

    entries: tuple[ForwardEntry, ...]
    total: int


@dataclass(frozen=True)
class EntryFilter:
    """Which entries to list; unset fields match all."""

    entry_id: str | None = None
    name: str | None = None
    external_ip: str | None = None
    external_port: str | None = None
    internal_ip: str | None = None
    internal_port: str | None = None

    def matches(self, entry: ForwardEntry) -> bool:
        """Whether the cloud would list this entry under this filter."""
        rule = entry.rule
        pairs = (
            (self.entry_id, entry.entry_id),
            (self.name, entry.name),
            (self.external_ip, rule.external_ip),
            (self.external_port, str(rule.external_ports)),
            (self.internal_ip, rule.internal_ip),
            (self.internal_port, str(rule.internal_ports)),
        )
        return all(wanted in (None, actual) for wanted, actual in pairs)


class CloudClient:
    """The eight calls of the RAM policy. Safe to use from several threads."""

    def __init__(self, values: Values, *, connect_timeout: float = 5.0, read_timeout: float = 10.0) -> None:
        """Timeouts in seconds, for one call; a call cut off by them may still have been done."""
        self._observer: Observer = lambda _action, _outcome, _code, _seconds: None
        self._region = values.region_id
        self._vpc_id = values.vpc_id
        # The SDK's own retries would hide lost answers; every retry here is somebody's decision.
        self._runtime = RuntimeOptions(
            connect_timeout=int(connect_timeout * 1000),
            read_timeout=int(read_timeout * 1000),
            autoretry=False,
        )
        self._chain: Any = None
        self.update(values)

    def update(self, values: Values) -> None:
        """Use other credentials and endpoints from the next call on; region and VPC stay."""
        # It renews what it has by itself, on threads of its own: one is enough.
        self._chain = None if values.credential else self._chain or CredentialClient()
        self._vpc = VpcClient(_config(values, values.endpoints.vpc, self._chain))
        self._ecs = EcsClient(_config(values, values.endpoints.ecs, self._chain))

    def observe(self, observer: Observer) -> None:
        """Tell somebody of every call: the action, "ok" or what the error means, the code, and the seconds it took."""
        self._observer = observer

    def create_forward_entry(
        self, *, table_id: str, rule: ForwardRule, name: str, token: str, port_break: bool, dry_run: bool = False
    ) -> str:
        """Ask for an entry and return its id; it is Pending for a while. ``token`` stands for one intent.

        With ``dry_run`` nothing is made, and the call always fails; with the code DryRunOperation where it would pass.
        """
        request = vpc_models.CreateForwardEntryRequest(
            region_id=self._region,
            forward_table_id=table_id,
            external_ip=rule.external_ip,
            external_port=str(rule.external_ports),
            internal_ip=rule.internal_ip,
            internal_port=str(rule.internal_ports),
            ip_protocol=rule.protocol.upper(),
            forward_entry_name=name,
            client_token=token,
            port_break=True if port_break else None,
            dry_run=True if dry_run else None,
        )
        answer = self._call("CreateForwardEntry", self._vpc.create_forward_entry_with_options, request)
        return str(answer.forward_entry_id)

    def delete_forward_entry(self, *, table_id: str, entry_id: str, token: str) -> None:
        """Ask for an entry to go; it is Deleting for a while, then no longer listed."""
        request = vpc_models.DeleteForwardEntryRequest(
            region_id=self._region, forward_table_id=table_id, forward_entry_id=entry_id, client_token=token
        )
        self._call("DeleteForwardEntry", self._vpc.delete_forward_entry_with_options, request)

    def list_forward_entries(self, gateway_id: str, *, page: int = 1, where: EntryFilter = EntryFilter()) -> EntryPage:
        """Read one page (of at most 50) of a gateway's entries."""
        request = vpc_models.DescribeForwardTableEntriesRequest(
            region_id=self._region,
            nat_gateway_id=gateway_id,
            page_number=page,
            page_size=ENTRIES_PER_PAGE,
            forward_entry_id=where.entry_id,
            forward_entry_name=where.name,
            external_ip=where.external_ip,
            external_port=where.external_port,
            internal_ip=where.internal_ip,
            internal_port=where.internal_port,
        )
        call = self._vpc.describe_forward_table_entries_with_options
        answer = self._call("DescribeForwardTableEntries", call, request)
        rows = _list(answer.forward_table_entries, "forward_table_entry")
        return EntryPage(tuple(map(_entry, rows)), int(answer.total_count or 0))

    def describe_gateways(self) -> list[GatewayInfo]:
        """Read all Internet NAT gateways of the VPC."""

        def page(number: int) -> tuple[list[GatewayInfo], int]:
            request = vpc_models.DescribeNatGatewaysRequest(
                region_id=self._region, vpc_id=self._vpc_id, page_number=number, page_size=_GATEWAYS_PER_PAGE
            )
            call = self._vpc.describe_nat_gateways_with_options
            answer = self._call("DescribeNatGateways", call, request)
            return [_gateway(row) for row in _list(answer.nat_gateways, "nat_gateway")], int(answer.total_count or 0)

        return _all_pages(page)

    def describe_eips(self, gateway_id: str) -> list[str]:
        """Read the addresses of all EIPs that a gateway has."""

        def page(number: int) -> tuple[list[str], int]:
            request = vpc_models.DescribeEipAddressesRequest(
                region_id=self._region,
                associated_instance_type="Nat",
                associated_instance_id=gateway_id,
                page_number=number,
                page_size=_EIPS_PER_PAGE,
            )
            answer = self._call("DescribeEipAddresses", self._vpc.describe_eip_addresses_with_options, request)
            rows = _list(answer.eip_addresses, "eip_address")
            return [str(row.ip_address) for row in rows], int(answer.total_count or 0)

        return _all_pages(page)

    def describe_route_tables(self) -> dict[str, str]:
        """Read which route table each vSwitch of the VPC uses: vSwitch id to route table id."""

        def page(number: int) -> tuple[list[tuple[str, list[str]]], int]:
            request = vpc_models.DescribeRouteTableListRequest(
                region_id=self._region,
                vpc_id=self._vpc_id,
                page_number=number,
                page_size=_ROUTE_TABLES_PER_PAGE,
            )
            call = self._vpc.describe_route_table_list_with_options
            answer = self._call("DescribeRouteTableList", call, request)
            rows = _list(answer.router_table_list, "router_table_list_type")
            tables = [(str(row.route_table_id), _list(row.v_switch_ids, "v_switch_id")) for row in rows]
            return tables, int(answer.total_count or 0)

        return {vswitch: table for table, vswitches in _all_pages(page) for vswitch in vswitches}

    def describe_default_route(self, route_table_id: str) -> tuple[str, str] | None:
        """Read where a route table's default route points, as (type, id) of the next hop; None: it has none."""
        request = vpc_models.DescribeRouteEntryListRequest(
            region_id=self._region, route_table_id=route_table_id, destination_cidr_block=_DEFAULT_ROUTE
        )
        answer = self._call("DescribeRouteEntryList", self._vpc.describe_route_entry_list_with_options, request)
        for route in _list(answer.route_entrys, "route_entry"):
            for hop in _list(route.next_hops, "next_hop"):
                if route.destination_cidr_block == _DEFAULT_ROUTE:
                    return str(hop.next_hop_type), str(hop.next_hop_id)
        return None

    def describe_addresses(self, ips: Sequence[str]) -> dict[str, Address]:
        """Read which network interfaces hold these private addresses (at most 100); those of nobody are left out."""
        wanted = set(ips)
        request = ecs_models.DescribeNetworkInterfacesRequest(
            region_id=self._region,
            vpc_id=self._vpc_id,
            private_ip_address=list(ips),
            max_results=ADDRESSES_PER_CALL,
        )
        call = self._ecs.describe_network_interfaces_with_options
        answer = self._call("DescribeNetworkInterfaces", call, request)
        return {
            address.ip: address
            for row in _list(answer.network_interface_sets, "network_interface_set")
            for address in _addresses(row)
            if address.ip in wanted
        }

    def _call(self, action: str, call: Callable[[Any, Any], Any], request: object) -> Any:
        started_at = time.perf_counter()
        outcome, code = "ok", "OK"
        try:
            body = self._ask(action, call, request)
        except CloudError as error:
            outcome, code = error.meaning.value, error.code
            raise
        else:
            logs.add(cloudRequestId=str(body.request_id))
            return body
        finally:
            self._observer(action, outcome, code, time.perf_counter() - started_at)

    def _ask(self, action: str, call: Callable[[Any, Any], Any], request: object) -> Any:
        self._check_credentials(action)
        try:
            body = call(request, self._runtime).body
        except AlibabaCloudException as error:
            raise _translate(action, error) from error
        except (TeaException, OSError) as error:
            # No answer: cut off, timed out, refused. The server may have done the work all the same.
            raise CloudError(
                Meaning.UNKNOWN, action=action, code=NO_ANSWER, message=why_no_answer(str(error))
            ) from None
        if not getattr(body, "request_id", None):
            # Every answer of the API has it. Another's, such as a proxy's, would be read as "there is nothing".
            text = "what answered is not the API"
            raise CloudError(Meaning.UNKNOWN, action=action, code=NO_ANSWER, message=text)
        return body

    def _check_credentials(self, action: str) -> None:
        """See that the default chain has credentials: the call itself would only say that there is no answer."""
        if self._chain is None:
            return
        try:
            self._chain.get_credential()
        except Exception as error:  # noqa: BLE001  # as many kinds as there are ways to get credentials
            text = why_no_credentials(str(error))
            raise CloudError(Meaning.DENIED, action=action, code=NO_CREDENTIALS, message=text) from None


def _config(values: Values, url: str | None, chain: CredentialClient | None) -> Config:
    config = Config(region_id=values.region_id, user_agent="poddnat")
    if values.credential is not None:
        config.access_key_id = values.credential.key_id
        config.access_key_secret = values.credential.secret
    else:
        config.credential = chain
    if url is not None:
        parts = urlsplit(url)
        config.endpoint = parts.netloc
        config.protocol = parts.scheme.upper()
    return config


def _translate(action: str, error: AlibabaCloudException) -> CloudError:
    code = str(error.code)
    data = error.data if isinstance(error.data, dict) else {}
    message = str(data.get("Message") or error.message)
    logs.add(cloudRequestId=str(data.get("RequestId") or ""))
    meaning = meaning_of(code, message, error.status_code)
    # The SDK hands on the time-left header in milliseconds.
    wait = None if error.retry_after is None else error.retry_after / 1000
    if wait is not None and meaning is not Meaning.UNKNOWN:
        meaning = Meaning.THROTTLED
    return CloudError(meaning, action=action, code=code, message=message, retry_after=wait)


def _list(parent: object, field: str) -> list[Any]:
    """Take a list out of an answer's wrapper object; the API leaves out what is empty."""
    return list(getattr(parent, field, None) or [])


def _all_pages(page: Callable[[int], tuple[list[_Answer], int]]) -> list[_Answer]:
    found: list[_Answer] = []
    number = 1
    while True:
        rows, total = page(number)
        found.extend(rows)
        if not rows or len(found) >= total:
            return found
        number += 1


def _ports(text: str) -> Ports:
    """Read ports; IP mapping entries carry "Any", and a form that we don't know may mean all as well."""
    try:
        return Ports.parse(text)
    except ValueError:
        return ALL_PORTS


def _protocol(text: str) -> Protocol:
    """Read a protocol; one that we don't know must not keep the rest of the table from being read."""
    try:
        return Protocol(text.lower())
    except ValueError:
        return Protocol.ANY


def _entry(row: Any) -> ForwardEntry:
    rule = ForwardRule(
        external_ip=str(row.external_ip),
        external_ports=_ports(str(row.external_port)),
        internal_ip=str(row.internal_ip),
        internal_ports=_ports(str(row.internal_port)),
        protocol=_protocol(str(row.ip_protocol)),
    )
    name = str(row.forward_entry_name or "")
    return ForwardEntry(str(row.forward_entry_id), name, rule, EntryStatus(str(row.status)))


def _gateway(row: Any) -> GatewayInfo:
    return GatewayInfo(
        gateway_id=str(row.nat_gateway_id),
        table_ids=tuple(map(str, _list(row.forward_table_ids, "forward_table_id"))),
        status=str(row.status),
        zone=str(getattr(row.nat_gateway_private_info, "iz_no", "") or ""),
        vpc_id=str(row.vpc_id),
        eips=tuple(Eip(str(ip.ip_address), bool(ip.snat_entry_enabled)) for ip in _list(row.ip_lists, "ip_list")),
    )


def _addresses(row: Any) -> Iterable[Address]:
    secondary = (str(ip.private_ip_address) for ip in _list(row.private_ip_sets, "private_ip_set"))
    for ip in dict.fromkeys([str(row.private_ip_address), *secondary]):
        yield Address(ip=ip, eni=str(row.network_interface_id), vswitch=str(row.v_switch_id), zone=str(row.zone_id))
