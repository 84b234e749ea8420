"""DescribeForwardTableEntries: rows of one table or of all tables of a gateway, page by page.

Each page is cut out of the rows as they are at that moment. While others write, a row can slip from one page
to another that was read already, and the client never sees it.
"""

from operator import attrgetter
from typing import Any, Final

from vpc_emulator import exceptions as errors
from vpc_emulator import values
from vpc_emulator.forward_table import EntryFilter, ForwardEntry, ForwardTable
from vpc_emulator.gateways import Gateway
from vpc_emulator.network import NetworkAnswers
from vpc_emulator.values import Parameters

_MAX_PAGE: Final = 50
_FILTERS: Final = {
    "ForwardEntryId": "id",
    "ForwardEntryName": "name",
    "ExternalIp": "external_ip",
    "ExternalPort": "external_port",
    "InternalIp": "internal_ip",
    "InternalPort": "internal_port",
    "IpProtocol": "protocol",
}


class EntryListing(NetworkAnswers):
    """Describes the entries."""

    def describe_forward_table_entries(self, parameters: Parameters) -> dict[str, Any]:
        """List entries of a table or a gateway: pages of 10, at most 50."""
        page, size, rows = self._listing(parameters)
        shown = rows[(page - 1) * size : page * size]
        return {
            "ForwardTableEntries": {"ForwardTableEntry": [entry.answer() for entry in shown]},
            "PageNumber": page,
            "PageSize": size,
            "TotalCount": len(rows),
        }

    def slip_row(self, parameters: Parameters) -> None:
        """Carry out a fault of kind slip-row: a foreign row before this page goes, and a like one comes behind it.

        The total stays the same; the row that would have been the page's first belongs to the page before now.
        Nothing happens when no foreign row stands before the page. In reverse order no row slips: what comes is
        listed first.
        """
        page, size, rows = self._listing(parameters)
        start = (page - 1) * size
        gone = next((row for row in rows[:start] if row.is_foreign()), None)
        if gone is not None and start < len(rows):
            self._replace(gone, after=rows[start].id)

    def _listing(self, parameters: Parameters) -> tuple[int, int, list[ForwardEntry]]:
        """Return the page's number, its size, and all rows in the order of the listing."""
        region = self._region(parameters)
        size = values.number(parameters, "PageSize", default=10, high=_MAX_PAGE)
        page = values.number(parameters, "PageNumber", default=1)
        wanted = _entry_filter(parameters)
        rows = [entry for table in self._tables(parameters, region) for entry in _matching(table, wanted)]
        if self.listing_order == "reverse":
            rows.reverse()
        elif self.listing_order == "arbitrary":
            rows.sort(key=attrgetter("id"))  # ids are random, and stay
        return page, size, rows

    def _tables(self, parameters: Parameters, region: str) -> list[ForwardTable]:
        table_id, gateway_id = parameters.get("ForwardTableId"), parameters.get("NatGatewayId")
        if not table_id and not gateway_id:
            raise errors.MissingParameter("ForwardTableId or NatGatewayId")
        gateway = self._gateway(region, table_id=table_id, gateway_id=gateway_id)
        self.settle(gateway)
        return [table for table in gateway.tables.values() if table_id in {None, "", table.id}]

    def _gateway(self, region: str, *, table_id: str | None = "", gateway_id: str | None = "") -> Gateway:
        gateway = self.gateway_of_table.get(table_id) if table_id else self.gateways.get(gateway_id or "")
        if gateway is None or gateway.region != region:
            raise (errors.ForwardTableNotFound(table_id) if table_id else errors.GatewayNotExist(gateway_id or ""))
        if gateway_id and gateway.spec.id != gateway_id:
            raise errors.ForwardTableNotFound(table_id, "is not a table of", gateway_id)
        return gateway


def _entry_filter(parameters: Parameters) -> EntryFilter:
    wanted = {field: parameters.get(name, "") for name, field in _FILTERS.items()}
    for field in ("protocol", "external_port", "internal_port"):
        wanted[field] = wanted[field].lower()
    return {field: value for field, value in wanted.items() if value}


def _matching(table: ForwardTable, wanted: EntryFilter) -> list[ForwardEntry]:
    found = table.candidates(wanted)
    if not wanted:
        return list(found)
    return [entry for entry in found if all(getattr(entry, field) == value for field, value in wanted.items())]
