"""The calls of the cloud's OpenAPI that the RAM policy allows: only here and in ``sdk`` is Alibaba Cloud's SDK known.

Methods are named after the API's actions. Each makes one write, or reads one page or all; none retries, waits or keeps
anything. Whatever goes wrong comes out as a ``CloudError`` that says what to do about it. The actions are those of the
VPC API (2016-04-28) and, for network interfaces, the ECS API (2014-05-26).
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from alibabacloud_credentials.client import Client as CredentialClient
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.runtime import RuntimeOptions
from Tea.exceptions import TeaException

from poddnat import logs
from poddnat.cloud.errors import NO_ANSWER, NO_CREDENTIALS, CloudError, Meaning, Scope, meaning_of
from poddnat.cloud.intervals import CONNECT_TIMEOUT, READ_TIMEOUT
from poddnat.cloud.responses import (
    ALL_ENTRIES,
    EntryFilter,
    EntryPage,
    GatewayInfo,
    NetworkInterface,
    RouteTables,
    addresses_on,
    forward_entry,
    nat_gateway,
    network_interface,
    route_tables,
    rows_of,
)
from poddnat.cloud.sdk import EcsClient, VpcClient, ecs_models, vpc_models
from poddnat.config import Values
from poddnat.error_texts import why_no_answer, why_no_credentials
from poddnat.model import Address, ForwardRule

ENTRIES_PER_PAGE = 50
ADDRESSES_PER_CALL = 100
_GATEWAYS_PER_PAGE = 50
_EIPS_PER_PAGE = 100
_ROUTE_TABLES_PER_PAGE = 50
_DEFAULT_ROUTE = "0.0.0.0/0"

# These write past our own log, and write URLs with tokens. All that they say comes as an error, too.
for _name in ("alibabacloud-tea", "darabonba-core", "credentials"):
    logging.getLogger(_name).disabled = True

Observer = Callable[[str, str, str, float], None]
_Answer = TypeVar("_Answer")


class CloudClient:
    """The eight calls of the RAM policy. Safe to use from several threads."""

    def __init__(self, values: Values, *, read_timeout: float = READ_TIMEOUT) -> None:
        """``read_timeout``: seconds that an answer may take; a call that is cut off may still have been done."""
        self._observer: Observer = lambda _action, _outcome, _code, _seconds: None
        self._region = values.region_id
        self._vpc_id = values.vpc_id
        # The SDK's own retries would hide lost answers; every retry here is somebody's decision.
        self._runtime = RuntimeOptions(
            connect_timeout=int(CONNECT_TIMEOUT * 1000),
            read_timeout=int(read_timeout * 1000),
            autoretry=False,
        )
        self._credential_chain: Any = None
        self.update(values)

    def update(self, values: Values) -> None:
        """Use other credentials and endpoints from the next call on; region and VPC stay."""
        # It renews what it has by itself, on threads of its own: one is enough.
        self._credential_chain = None if values.credential else self._credential_chain or CredentialClient()
        self._vpc = VpcClient(_config(values, values.endpoints.vpc, self._credential_chain))
        self._ecs = EcsClient(_config(values, values.endpoints.ecs, self._credential_chain))

    def observe(self, observer: Observer) -> None:
        """Report every call: the action, "ok" or what the error means, the code, and the seconds it took."""
        self._observer = observer

    def create_forward_entry(
        self, *, table_id: str, rule: ForwardRule, name: str, client_token: str, port_break: bool, dry_run: bool = False
    ) -> str:
        """Ask for an entry and return its id; it is Pending for a while. ``client_token`` stands for one intent.

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
            client_token=client_token,
            port_break=True if port_break else None,
            dry_run=True if dry_run else None,
        )
        answer = self._call("CreateForwardEntry", self._vpc.create_forward_entry_with_options, request)
        return str(answer.forward_entry_id)

    def delete_forward_entry(self, *, table_id: str, entry_id: str, client_token: str) -> None:
        """Ask for an entry to go; it is Deleting for a while, then no longer listed."""
        request = vpc_models.DeleteForwardEntryRequest(
            region_id=self._region, forward_table_id=table_id, forward_entry_id=entry_id, client_token=client_token
        )
        self._call("DeleteForwardEntry", self._vpc.delete_forward_entry_with_options, request)

    def describe_forward_table_entries(
        self, gateway_id: str, *, page: int = 1, where: EntryFilter = ALL_ENTRIES
    ) -> EntryPage:
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
        rows = rows_of(answer.forward_table_entries, "forward_table_entry")
        return EntryPage(tuple(map(forward_entry, rows)), int(answer.total_count or 0))

    def describe_nat_gateways(self) -> list[GatewayInfo]:
        """Read all Internet NAT gateways of the VPC."""

        def page(number: int) -> tuple[list[GatewayInfo], int]:
            request = vpc_models.DescribeNatGatewaysRequest(
                region_id=self._region, vpc_id=self._vpc_id, page_number=number, page_size=_GATEWAYS_PER_PAGE
            )
            call = self._vpc.describe_nat_gateways_with_options
            answer = self._call("DescribeNatGateways", call, request)
            return [nat_gateway(row) for row in rows_of(answer.nat_gateways, "nat_gateway")], int(
                answer.total_count or 0
            )

        return _all_pages(page)

    def describe_eip_addresses(self, gateway_id: str) -> list[str]:
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
            rows = rows_of(answer.eip_addresses, "eip_address")
            return [str(row.ip_address) for row in rows], int(answer.total_count or 0)

        return _all_pages(page)

    def describe_route_table_list(self) -> RouteTables:
        """Read which route table each vSwitch of the VPC uses."""

        def page(number: int) -> tuple[list[Any], int]:
            request = vpc_models.DescribeRouteTableListRequest(
                region_id=self._region,
                vpc_id=self._vpc_id,
                page_number=number,
                page_size=_ROUTE_TABLES_PER_PAGE,
            )
            call = self._vpc.describe_route_table_list_with_options
            answer = self._call("DescribeRouteTableList", call, request)
            return rows_of(answer.router_table_list, "router_table_list_type"), int(answer.total_count or 0)

        return route_tables(_all_pages(page))

    def describe_default_route(self, route_table_id: str) -> tuple[str, str] | None:
        """Read where a route table's default route points, as (type, id) of the next hop; None: it has none."""
        request = vpc_models.DescribeRouteEntryListRequest(
            region_id=self._region, route_table_id=route_table_id, destination_cidr_block=_DEFAULT_ROUTE
        )
        answer = self._call("DescribeRouteEntryList", self._vpc.describe_route_entry_list_with_options, request)
        for route in rows_of(answer.route_entrys, "route_entry"):
            for hop in rows_of(route.next_hops, "next_hop"):
                if route.destination_cidr_block == _DEFAULT_ROUTE:
                    return str(hop.next_hop_type), str(hop.next_hop_id)
        return None

    def describe_network_interfaces(self, ips: Sequence[str]) -> dict[str, Address]:
        """Read which network interfaces have these private addresses (at most 100); those of nobody are left out.

        An address that lies only in a prefix of an interface may be left out as well: the API doesn't say whether its
        filter finds it.
        """
        request = ecs_models.DescribeNetworkInterfacesRequest(
            region_id=self._region,
            vpc_id=self._vpc_id,
            private_ip_address=list(ips),
            max_results=ADDRESSES_PER_CALL,
        )
        interfaces, _ = self._network_interfaces(request)
        return addresses_on(interfaces, ips)

    def describe_network_interfaces_of(self, instance_id: str) -> list[NetworkInterface]:
        """Read the network interfaces of an ECS instance."""
        found: list[NetworkInterface] = []
        token: str | None = None
        while True:
            request = ecs_models.DescribeNetworkInterfacesRequest(
                region_id=self._region,
                vpc_id=self._vpc_id,
                instance_id=instance_id,
                max_results=ADDRESSES_PER_CALL,
                next_token=token,
            )
            interfaces, token = self._network_interfaces(request)
            found += interfaces
            if not token or not interfaces:
                return found

    def _network_interfaces(self, request: object) -> tuple[list[NetworkInterface], str | None]:
        """Read one page, and the token of the next one; none: there is none."""
        call = self._ecs.describe_network_interfaces_with_options
        answer = self._call("DescribeNetworkInterfaces", call, request)
        rows = rows_of(answer.network_interface_sets, "network_interface_set")
        return [network_interface(row) for row in rows], answer.next_token or None

    def _call(self, action: str, call: Callable[[Any, Any], Any], request: object) -> Any:
        started_at = time.perf_counter()
        outcome, code = "ok", "OK"
        try:
            body = self._send(action, call, request)
        except CloudError as error:
            outcome, code = error.meaning.value, error.code
            raise
        else:
            logs.add(cloudRequestId=str(body.request_id))
            return body
        finally:
            self._observer(action, outcome, code, time.perf_counter() - started_at)

    def _send(self, action: str, call: Callable[[Any, Any], Any], request: object) -> Any:
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
        """Make sure that the default chain has credentials: the call itself would only say that there is no answer."""
        if self._credential_chain is None:
            return
        try:
            self._credential_chain.get_credential()
        except Exception as error:  # noqa: BLE001  # as many kinds as there are ways to get credentials
            text = why_no_credentials(str(error))
            raise CloudError(
                Meaning.DENIED, action=action, code=NO_CREDENTIALS, message=text, scope=Scope.ACCOUNT
            ) from None


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
    meaning, scope = meaning_of(code, message, error.status_code)
    # The SDK hands on the time-left header in milliseconds.
    wait = None if error.retry_after is None else error.retry_after / 1000
    if wait is not None and meaning is not Meaning.UNKNOWN:
        meaning, scope = Meaning.THROTTLED, Scope.ACTION
    return CloudError(meaning, action=action, code=code, message=message, scope=scope, retry_after=wait)


def _all_pages(page: Callable[[int], tuple[list[_Answer], int]]) -> list[_Answer]:
    found: list[_Answer] = []
    number = 1
    while True:
        rows, total = page(number)
        found.extend(rows)
        if not rows or len(found) >= total:
            return found
        number += 1
