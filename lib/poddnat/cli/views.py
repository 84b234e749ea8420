"""Tables for people at a terminal."""

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from poddnat.api import annotations, working_ports
from poddnat.config import Values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from poddnat.cli.adoption import Move
    from poddnat.cli.audit import Finding
    from poddnat.cli.config_check import Check
    from poddnat.cli.explain import Link
    from poddnat.cli.ports_report import PortsReport
    from poddnat.cli.simulate import Event, Exposed
    from vpc_emulator import ForwardEntry


_WRAPPED = ("WHY", "STATUS", "EXTERNAL ADDRESSES", "DETAIL", "FOUND", "MESSAGE")


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
            public = Text(port.public, "bold")
            inside = f"{port.internal_ip}:{port.mapping.internal.shown}"
            table.add_row(*(("", public, inside, "") if index else (name, public, inside, status)))
    return table


def forward_table(entries: "Sequence[ForwardEntry]") -> Table | Text:
    """Show gateways' forward tables."""
    if not entries:
        return Text("There is no forward entry.")
    table = _table("Forward tables", "GATEWAY", "ENTRY", "EXTERNAL", "INTERNAL", "PROTOCOL", "STATUS")
    for entry in entries:
        # The cloud spells a range 10/20.
        outside = f"{entry.external_ip}:{entry.external_port}".replace("/", "-")
        inside = f"{entry.internal_ip}:{entry.internal_port}".replace("/", "-")
        table.add_row(entry.gateway_id, entry.id, outside, inside, entry.protocol, str(entry.status))
    return table


def entry_as_dict(entry: "ForwardEntry") -> dict[str, str]:
    """Write a forward entry for programs."""
    outside, inside = f"{entry.external_ip}:{entry.external_port}", f"{entry.internal_ip}:{entry.internal_port}"
    return {
        "gateway": entry.gateway_id,
        "entry": entry.id,
        "external": outside.replace("/", "-"),
        "internal": inside.replace("/", "-"),
        "protocol": entry.protocol,
    }


def note(text: str) -> Text:
    """Show a sentence that is not to be missed."""
    return Text(text, "yellow")


def events(found: "Sequence[Event]") -> Table:
    """Show warnings on pods and PodDNATs."""
    table = _table("Events", "OBJECT", "REASON", "MESSAGE")
    for event in found:
        table.add_row(event.about, event.reason, event.message)
    return table


def _public(pod: "Exposed") -> str:
    working = working_ports(pod.poddnat.get("status") or {}) if pod.poddnat else ()
    return ", ".join(port.public for port in working)


def replaced(before: "Exposed", after: "Exposed") -> Text:
    """Say what a fixed pod that was deleted and came back has kept."""
    public = [_public(pod) for pod in (before, after)]
    kept = f"still at {public[1]}" if public[0] == public[1] else f"at {public[1]} instead of {public[0]}"
    text = f"Pod {before.namespace}/{before.name} deleted; the new one at {after.ip} instead of {before.ip} is {kept}."
    return Text(text, "green" if public[0] == public[1] else "bold red")


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


def links(title: str, chain: "Sequence[Link]") -> Table:
    """Show the chain from a pod to its public ports."""
    styles = {"ok": "green", "warning": "yellow", "wrong": "bold red", "unknown": "magenta"}
    table = _table(title, "STATE", "LINK", "FOUND")
    for link in chain:
        table.add_row(Text(link.state.value, styles[link.state.value]), link.name, link.text)
    return table


def reachable(pod: str, addresses: "Sequence[str]", broken: "Link | None", *, skipped: bool = False) -> Text:
    """Sum up whether a pod can be reached; ``skipped``: some links were not looked at."""
    if broken is not None:
        rest = " Those that depend on it were not looked at." if skipped else ""
        return Text(f"Pod {pod} can't be reached; the link to mend is: {broken.name}.{rest}", "bold red")
    where = ", ".join(addresses)
    return Text(f"Pod {pod} can be reached{f' at {where}' if where else ''}, as far as was seen.", "green")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in _WRAPPED)
    return table


def ports_report(found: "PortsReport", *, mappings: bool) -> "Iterator[Table | Text]":
    """Show which ports are free and used."""
    gateways = _table("Gateways", "GATEWAY", "ENTRIES", "OURS", "FOREIGN", "QUOTA")
    for gateway in found.gateways:
        quota = "not in the values file" if gateway.quota is None else str(gateway.quota)
        gateways.add_row(gateway.gateway, str(gateway.entries), str(gateway.ours), str(gateway.foreign), quota)
    yield gateways
    eips = _table("EIPs", "GATEWAY", "EIP", "STATE", "PORTS", "FREE TCP", "FREE UDP", "PODDNATS", "FOREIGN ENTRIES")
    for eip in found.eips:
        state = Text(eip.state, "green" if eip.state == "in use" else "yellow")
        numbers = (eip.ports, eip.freeTCP, eip.freeUDP, eip.podDNATs, eip.foreignEntries)
        eips.add_row(eip.gateway, eip.eip, state, *map(str, numbers))
    yield eips
    if mappings and not found.mappings:
        yield Text("No public port is in use.")
    elif mappings:
        table = _table("Ports in use", "GATEWAY", "EXTERNAL", "INTERNAL", "PROTOCOL", "PODDNAT", "ENTRY")
        for row in found.mappings:
            owner = row.podDNAT or "-"
            table.add_row(row.gateway, row.external, row.internal, row.protocol, owner, row.entry)
        yield table


def findings(found: "Sequence[Finding]") -> Table | Text:
    """Show in what cluster and cloud differ."""
    if not found:
        return Text("Every PodDNAT has its entries, and every entry its PodDNAT.", "green")
    table = _table("Audit", "FINDING", "GATEWAY", "ENTRY", "RULE", "PODDNAT", "DETAIL")
    for finding in found:
        kind = Text(finding.kind.value, "dim" if finding.kind.value == "foreign" else "red")
        where = (finding.gateway_id, finding.entry_id, finding.rule, finding.poddnat or "-", finding.detail)
        table.add_row(kind, *where)
    return table


def counts(by_kind: "Mapping[str, int]") -> Text:
    """Sum up an audit."""
    clean = not any(count for kind, count in by_kind.items() if kind != "foreign")
    return Text(", ".join(f"{count} {kind}" for kind, count in by_kind.items()), "green" if clean else "red")


def moves(found: "Sequence[Move]") -> Table | Text:
    """Show what is to become of the PodDNATs of ACK's controller."""
    if not found:
        return Text("No PodDNAT is that of ACK's controller.", "green")
    styles = {"adopt": "green", "release": "yellow", "leave": "red"}
    table = _table("PodDNATs of ACK's controller", "ACTION", "PODDNAT", "GATEWAY", "EXTERNAL", "ENTRIES", "WHY")
    for move in (move.as_dict() for move in found):
        external = "\n".join(f"{move['externalIP']}:{port}" for port in move["ports"].split(","))
        entries = "\n".join(move["entries"]) or "-"
        action = Text(move["action"], styles[move["action"]])
        table.add_row(action, move["podDNAT"], move["gateway"], external, entries, move["why"])
    return table


def checks(made: "Sequence[Check]") -> Table:
    """Show what the config check found."""
    styles = {"ok": "green", "warning": "yellow", "wrong": "bold red"}
    table = _table("Check", "RESULT", "WHAT", "OF", "FOUND")
    for check in made:
        table.add_row(Text(check.result.value, styles[check.result.value]), check.what, check.subject, check.text)
    return table
