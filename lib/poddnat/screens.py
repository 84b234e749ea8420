"""Tables for people at a terminal."""

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from poddnat import annotations
from poddnat.poddnat_object import working_ports
from poddnat.values import Values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poddnat.simulate import Exposed
    from vpc_emulator import ForwardEntry


def pods(exposed: "Sequence[Exposed]") -> Table | Text:
    """Show pods and their public addresses."""
    if not exposed:
        where = f"{annotations.POD_DNAT}; in a Deployment or StatefulSet it belongs under spec.template.metadata"
        return Text(f"No pod asks for a public port: none has the annotation {where}.", "red")
    table = _table("Pods", "POD", "PUBLIC ADDRESS", "POD ADDRESS", "STATUS")
    for pod in exposed:
        working = working_ports(pod.poddnat.get("status") or {}) if pod.poddnat else ()
        status = Text("Ready", "green") if pod.ready else Text(pod.status or "waiting", "red")
        name = f"{pod.namespace}/{pod.name}"
        if not working:
            table.add_row(name, "-", pod.ip or "-", status)
        for index, port in enumerate(working):
            mapping = port.mapping
            public = Text(f"{port.external_ip}:{mapping.external.shown}/{mapping.transport}", "bold")
            inside = f"{port.internal_ip}:{mapping.internal.shown}"
            table.add_row(*(("", public, inside, "") if index else (name, public, inside, status)))
    return table


def forward_table(entries: "Sequence[ForwardEntry]") -> Table | Text:
    """Show gateways' forward tables."""
    if not entries:
        return Text("There is no forward entry.")
    table = _table("Forward tables", "GATEWAY", "ENTRY", "EXTERNAL", "INTERNAL", "PROTOCOL", "STATUS")
    for entry in entries:
        outside = f"{entry.external_ip}:{entry.external_port}"
        inside = f"{entry.internal_ip}:{entry.internal_port}"
        table.add_row(entry.gateway_id, entry.id, outside, inside, entry.protocol, str(entry.status))
    return table


def what_is_left(entries: int, *, clean: bool) -> Text:
    """Say what deleting left behind."""
    if clean:
        return Text("Workloads deleted: no PodDNAT and no forward entry is left.", "green")
    return Text(f"Workloads deleted, but {entries} forward entries or their PodDNATs are left.", "bold red")


def pool(values: Values) -> Table:
    """Show what a values file offers to pods."""
    table = _table(f"Pool of cluster {values.cluster_id}", "GATEWAY", "ZONE", "PORTS", "EXTERNAL ADDRESSES")
    for entry in values.pool:
        table.add_row(
            entry.gateway_id, entry.zone_id, entry.ports.shown, ", ".join(entry.eips or ["all of the gateway"])
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in ("STATUS", "EXTERNAL ADDRESSES"))
    return table
