"""What `poddnat ports` counts as used, and how it lists forward entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poddnat.api import Condition, Fixed, Owner, PodDNAT, manifest, status
from poddnat.api.release_strategy import FOLLOW
from poddnat.cli.ports_report import PortsReport, _mapping, _order, ports_report
from poddnat.cli.site import Snapshot
from poddnat.cloud import Eip, GatewayInfo
from poddnat.config.values import parse
from tests.unit.config.test_values import GATEWAY, content
from tests.unit.samples import EIP, POD, entry, mapping, rule, working

if TYPE_CHECKING:
    from poddnat.model import ForwardEntry


def report_of(poddnat: dict[str, Any], *table: ForwardEntry) -> PortsReport:
    """Report what one PodDNAT and one table use."""
    info = GatewayInfo(GATEWAY, ("ftb-1",), "Available", "cn-hangzhou-j", "vpc-1", (Eip(EIP),))
    return ports_report(Snapshot((poddnat,), {GATEWAY: info}, {GATEWAY: table}), parse(content()))


def poddnat(*, internal_ip: str = POD) -> dict[str, Any]:
    made = manifest("default", "web-1", PodDNAT(GATEWAY, EIP, internal_ip, (mapping("512->80"),)))
    made["metadata"]["uid"] = "uid-1"
    return made


def test_port_that_is_kept_for_a_pod_that_is_away_is_not_free() -> None:
    away = poddnat(internal_ip="")
    record = Fixed(Owner("apps/v1", "StatefulSet", "web", "uid-2"), FOLLOW, "web-1")
    away["metadata"]["annotations"] = record.annotations
    eip, _ = report_of(away).eips
    assert (eip.eip, eip.ports - eip.freeTCP) == (EIP, 1)


def test_adopted_entry_is_its_poddnats_though_it_has_no_name() -> None:
    adopted = poddnat()
    ready = Condition(ready=True, reason="Ready", message="")
    adopted["status"] = status({}, [working("512->80")], ready, "2026-11-25T12:00:00Z")
    report = report_of(adopted, entry())
    assert [mapping.podDNAT for mapping in report.mappings] == ["default/web-1"]
    assert report.gateways[0].foreign == 0


def test_range_is_spelled_as_people_do_and_stands_where_it_begins() -> None:
    ports = ("1000/1010", "999", "20000", "1005")
    shown = [_mapping("ngw-a", entry(of=rule(port, port)), "web") for port in ports]
    assert [mapping.external for mapping in sorted(shown, key=_order)] == [
        "203.0.113.10:999",
        "203.0.113.10:1000-1010",
        "203.0.113.10:1005",
        "203.0.113.10:20000",
    ]
