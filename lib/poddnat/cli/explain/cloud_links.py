"""The links that lie in the cloud: from the pod's network interface to the forward entry, and what lets clients in."""

from collections.abc import Callable, Iterator

from poddnat.api import ProblemError, claimed_entries, entry_ids, key_of, pod_facts
from poddnat.cli.explain.facts import Facts, Unread
from poddnat.cli.explain.links import Finding, ok, passing, unknown, warning, wrong
from poddnat.cli.explain.probe import Outcome, Probe
from poddnat.config import Values
from poddnat.controllers import no_free_ports, outside_pool
from poddnat.gateway import (
    OwnEntries,
    Ownership,
    Plan,
    Table,
    address_left,
    conflict_problem,
    gateway_missing,
    make_plan,
    names_nobody,
)
from poddnat.model import Address, ForwardEntry, PortMapping, Protocol
from poddnat.placement import Candidate, Place, Route, candidate_of, eligible_tiers, no_interface
from poddnat.ports import LimitError, PortRegistry, PortRequest


def limits(facts: Facts) -> Finding:
    """Judge whether it, and its namespace, may have so many ports."""
    registry, request = facts.registry(), _request(facts)
    if isinstance(registry, Unread):
        return unknown(registry)
    try:
        registry.allocate(request, [])
    except LimitError as error:
        return wrong(error.problem.message)
    return ok(f"{request.ports} public port{'' if request.ports == 1 else 's'} asked for, within the limits")


def interface(facts: Facts) -> Finding:
    """Judge whether a network interface has its address."""
    found = facts.address
    if isinstance(found, Unread):
        return unknown(found)
    ip = pod_facts.address_of(facts.pod or {"metadata": {}}) or ""
    return wrong(no_interface(ip).message) if found is None else ok(found.eni)


def vswitch(facts: Facts) -> Finding:
    """Tell in which vSwitch that is."""
    found = facts.address
    if isinstance(found, Unread) or found is None:
        return unknown(found or "")
    table = f", route table {facts.route.route_table}" if isinstance(facts.route, Route) else ""
    return ok(f"{found.vswitch} in {found.zone}{table}")


def route(facts: Facts) -> Finding:
    """Judge whether replies leave by a gateway that can serve it."""
    if isinstance(facts.route, Unread):
        return unknown(facts.route)
    if (unread := _places_unread(facts)) is not None:
        return unknown(unread)
    try:
        _tiers(facts)
    except ProblemError as error:
        if error.problem.reason == "NoGateway":
            return wrong(error.problem.message)
    if facts.route is None:
        text = "The RAM policy does not let routes be read, so the gateway is chosen by zone"
        return warning(f"{text}; an operator has to allow DescribeRouteTableList and DescribeRouteEntryList.")
    return ok(f"0.0.0.0/0 leads to {facts.route.hop_id}")


def gateway(facts: Facts) -> Finding:
    """Judge whether the gateway is there, and works."""
    if (unread := _places_unread(facts)) is not None:
        return unknown(unread)
    gateways = facts.gateways if not isinstance(facts.gateways, Unread) else {}
    fitting = [one.gateway_id for one in _fitting(facts)]
    for gateway_id in fitting:
        if gateway_id not in gateways:
            return wrong(gateway_missing(gateway_id).message)
    if any(gateways[one].locked for one in fitting):
        return wrong(_no_places(facts))
    busy = [f"{one} is {gateways[one].status}" for one in fitting if gateways[one].status != "Available"]
    if busy:
        return warning(f"{', '.join(busy)}; nobody has to act while that passes.")
    return ok(f"{', '.join(fitting)} is Available")


def eip(facts: Facts) -> Finding:
    """Judge its public address, or whether it can get one."""
    if (unread := _places_unread(facts)) is not None:
        return unknown(unread)
    values, desired = facts.values, facts.desired
    if desired is None or not isinstance(values, Values):
        if text := _no_places(facts):
            return wrong(text)
        places = dict.fromkeys(place.external_ip for tier in _tiers(facts) for place in tier)
        return ok(f"can be {_some(list(places))}")
    info = facts.gateways.get(desired.gateway_id) if not isinstance(facts.gateways, Unread) else None
    if info is not None and all(there.ip != desired.external_ip for there in info.eips):
        return wrong(address_left(desired.gateway_id, desired.external_ip).message)
    if values.is_blocked(desired.external_ip):
        moves = "moves to another address once there is room" if values.move_from_blocked else "stays there"
        text = f"{desired.external_ip} is in blockedEips, and the pod {moves}"
        return warning(f"{text}; an operator has to unblock it, or have pods move (moveFromBlockedEips).")
    return ok(desired.external_ip)


def port(facts: Facts) -> Finding:
    """Judge its public ports, or whether there are free ones."""
    registry, desired = facts.registry(), facts.desired
    if isinstance(registry, Unread):
        return unknown(registry)
    if isinstance(facts.tables, Unread):
        return unknown(facts.tables)
    if desired is None or not isinstance(facts.values, Values):
        return _free_ports(facts, registry)
    if (problem := outside_pool(facts.values, desired)) is not None:
        return wrong(problem.message)
    claimant = registry.earlier_claimant(facts.own["metadata"]["uid"]) if facts.own else None
    if claimant is not None:
        return wrong(f"PodDNAT {claimant} asked for the same ports first; nobody has to act, others are used.")
    wanted = facts.exposure.items if facts.exposure is not None else ()
    lacking = [str(item) for item in wanted if not any(m.item.covers(item) for m in desired.mappings)]
    if lacking and facts.told is None:
        return warning(f"{_mappings(desired.mappings)}; not yet for {', '.join(lacking)}.")
    return ok(_mappings(desired.mappings))


def _free_ports(facts: Facts, registry: PortRegistry) -> Finding:
    if (unread := _places_unread(facts)) is not None:
        return unknown(unread)
    tiers = _tiers(facts)
    found = registry.allocate(_request(facts), tiers)
    if found is None:
        return wrong(no_free_ports(tiers, _request(facts).items).message)
    return ok("there are free ones")


def entries(facts: Facts) -> Finding:
    """Judge whether its forward entries are there, and work."""
    desired, own, ownership = facts.desired, facts.own, facts.ownership
    if isinstance(facts.tables, Unread):
        return unknown(facts.tables)
    if isinstance(facts.values, Unread):
        return unknown(facts.values)
    if desired is None or own is None or ownership is None:
        return unknown("there is no PodDNAT of the pod's that asks for any")
    table = facts.tables.get(desired.gateway_id, ())
    plan = _plan(facts, table)
    if plan.conflicts:
        problem = conflict_problem(Plan(conflicts=plan.conflicts), ownership)
        return wrong(problem.message if problem is not None else "")
    claimed = claimed_entries(own.get("status") or {}).values()
    lost = [rule for rule in plan.creates if rule in claimed]
    if lost:
        text = f"There is no entry for {lost[0]}, though the PodDNAT says that it works: somebody has deleted it"
        act = "nobody has to act, the server notices within five minutes; at once: poddnat audit --fix"
        return wrong(f"{text}; {act}.")
    if plan.creates:
        return passing(f"There is no entry for {plan.creates[0]} yet")
    if plan.settling or plan.deletes:
        busy = (*plan.settling, *plan.deletes)[0]
        return passing(f"Entry {busy.entry_id} ({busy.rule}) is {busy.status}")
    return ok(_some([f"{entry.entry_id} is {entry.status}" for entry in plan.working]))


def security_group(facts: Facts) -> Finding:
    """Tell what has to be open for clients."""
    if facts.probes and any(one.outcome in {Outcome.ANSWERED, Outcome.REFUSED} for one in facts.probes):
        return ok("lets packets from here through")
    groups = facts.address.security_groups if isinstance(facts.address, Address) else ()
    where = f"{'one of ' if len(groups) > 1 else ''}{', '.join(groups)}" if groups else "that of the pod's interface"
    opened = [f"{protocol.upper()} {', '.join(ports)}" for protocol, ports in _to_open(facts)]
    text = f"The RAM policy does not let its rules be read; inbound, {where} has to allow {' and '.join(opened)}"
    return unknown(f"{text} (the pod's ports) from the clients' addresses, such as 0.0.0.0/0.")


def _to_open(facts: Facts) -> Iterator[tuple[Protocol, list[str]]]:
    items = facts.exposure.items if facts.exposure is not None else ()
    for protocol in (Protocol.TCP, Protocol.UDP):
        if ports := [item.ports.shown for item in items if protocol in item.transport.protocols]:
            yield protocol, ports


def probed(facts: Facts) -> Finding:
    """Judge whether its public addresses answer from here."""
    found = facts.probes or ()
    judged: tuple[tuple[Callable[[Probe], bool], Callable[[Probe], Finding]], ...] = (
        (lambda one: one.outcome is Outcome.UNREACHABLE, lambda one: unknown(_unreachable(one))),
        (lambda one: one.outcome is Outcome.REFUSED, lambda one: wrong(_nobody_listens(one))),
        (lambda one: one.outcome is Outcome.SILENT and one.protocol is Protocol.TCP, lambda one: wrong(_silent(one))),
        (lambda one: one.outcome is Outcome.SILENT, lambda one: unknown(_silent_udp(one))),
    )
    for applies, finding in judged:
        if (first := next(filter(applies, found), None)) is not None:
            return finding(first)
    return ok(f"{_some([one.external for one in found])} answers from here")


def _unreachable(one: Probe) -> str:
    return f"{one.external} can't be tried from here ({one.why}); the user has to try from where clients are."


def _nobody_listens(one: Probe) -> str:
    text = f"{one.external} refuses: nothing listens on the pod's port {one.internal_port}/{one.protocol}"
    return f"{text}; the user has to see whether the program does, on all addresses (0.0.0.0)."


def _silent(one: Probe) -> str:
    text = f"{one.external} gives no answer"
    return f"{text}; an operator has to open the security group (above), and the user NetworkPolicies in the cluster."


def _silent_udp(one: Probe) -> str:
    text = f"{one.external} gave no answer to an empty packet, as many programs don't"
    return f"{text}; the user has to try with a client of it."


# What several links need.


def _request(facts: Facts) -> PortRequest:
    pod, exposure = facts.pod or {"metadata": {"uid": ""}}, facts.exposure
    uid = facts.own["metadata"]["uid"] if facts.own is not None else ""
    items = exposure.items if exposure is not None else ()
    prefer_own = exposure is not None and exposure.prefer_own
    return PortRequest(pod["metadata"]["uid"], items, facts.namespace, uid, prefer_own)


def _places_unread(facts: Facts) -> Unread | None:
    """Tell why it is not known where the pod can be put; None: it is."""
    needed = (facts.values, facts.address, facts.route, facts.gateways)
    return next((one for one in needed if isinstance(one, Unread)), None)


def _fitting(facts: Facts) -> list[Candidate]:
    """List the gateways that serve the pod, or could."""
    if facts.desired is not None and isinstance(facts.values, Values) and not isinstance(facts.gateways, Unread):
        gateway_id = facts.desired.gateway_id
        return [candidate_of(facts.values, gateway_id, facts.gateways.get(gateway_id))]
    hop = facts.route.hop_id if isinstance(facts.route, Route) else None
    return [one for one in facts.candidates() if hop in (None, one.gateway_id)]


def _tiers(facts: Facts) -> list[tuple[Place, ...]]:
    """List where the pod can be put; while it has a PodDNAT, whether that gateway can serve it.

    Raises:
        ProblemError: nowhere.
    """
    if not isinstance(facts.address, Address) or isinstance(facts.route, Unread):
        return []
    among = _fitting(facts) if facts.desired is not None else facts.candidates()
    return eligible_tiers(facts.address, facts.route, among)


def _no_places(facts: Facts) -> str:
    """Say why the gateways offer no address; empty: they offer some."""
    try:
        _tiers(facts)
    except ProblemError as error:
        return error.problem.message
    return ""


def _plan(facts: Facts, rows: tuple[ForwardEntry, ...]) -> Plan:
    """Compare what the PodDNAT asks for with its gateway's table, as the server does."""
    own, desired = facts.own or {}, facts.desired
    ownership = facts.ownership or Ownership("")
    table = Table()
    table.merge(rows, since=table.now())
    uid = own["metadata"]["uid"]
    named = {entry.entry_id: entry for entry in rows}
    ids = [i for i in entry_ids(own.get("status") or {}) if i in named and names_nobody(named[i].name)]
    alive = None if isinstance(facts.poddnats, Unread) else {one["metadata"]["uid"] for one in facts.poddnats}
    entries = OwnEntries(uid, ownership.name_of(uid), ids, key_of(own))
    rules = desired.rules if desired is not None else ()
    return make_plan(rules, table, entries, ownership, lambda other: alive is None or other in alive)


def _mappings(mappings: tuple[PortMapping, ...]) -> str:
    return _some([str(mapping) for mapping in mappings])


def _some(texts: list[str]) -> str:
    shown, more = texts[:5], len(texts) - 5
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
