"""The chain from a pod to its public ports: its links in their order, each judged by facts alone.

Each link depends on those before it, so the first that is wrong explains all that follow: they are not judged.
"""

from collections.abc import Callable, Iterator, Sequence

from poddnat.cli.explain import cloud_links as cloud
from poddnat.cli.explain import cluster_links as cluster
from poddnat.cli.explain.facts import Facts
from poddnat.cli.explain.links import Finding, Link, State, wrong

LINKS: dict[str, Callable[[Facts], Finding]] = {
    "pod": cluster.pod,
    "annotations": cluster.asked,
    "pod IP": cluster.address,
    "namespace": cluster.namespace,
    "limits": cloud.limits,
    "network interface": cloud.interface,
    "vSwitch": cloud.vswitch,
    "route": cloud.route,
    "gateway": cloud.gateway,
    "public address": cloud.eip,
    "public port": cloud.port,
    "controllers": cluster.controllers,
    "hooks": cluster.hooks,
    "PodDNAT": cluster.poddnat,
    "forward entry": cloud.entries,
    "status": cluster.status,
    "readiness gate": cluster.gate,
    "security group": cloud.security_group,
    "probe": cloud.probed,
}
"""In the order in which each depends on those before it."""

_TOLD_OF = {
    "NamespaceNotAllowed": "namespace",
    "TooManyPorts": "limits",
    "NamespaceLimitReached": "limits",
    "NoNetworkInterface": "network interface",
    "NoGateway": "route",
    "GatewayUnusable": "gateway",
    "ExternalAddressUnusable": "public address",
    "NotInPool": "public port",
    "NoFreePorts": "public port",
    "ExternalPortTaken": "public port",
    "QuotaExceeded": "forward entry",
    "InternalAddressTaken": "forward entry",
    "Rejected": "forward entry",
}
"""Of which link the server speaks by a reason: where we can't look ourselves, its word counts."""


def explain(facts: Facts) -> list[Link]:
    """Judge all links; the probe only where it was made."""
    return list(_judge(facts))


def _judge(facts: Facts) -> Iterator[Link]:
    broken, last_unknown = False, ""
    for name, judge in LINKS.items():
        if name == "probe" and facts.probes is None:
            continue
        if broken:
            yield Link(name, State.SKIPPED, "")
            continue
        finding = _by_server(facts, name, judge(facts))
        broken = finding.state is State.WRONG
        text = finding.text
        if finding.state is State.UNKNOWN:
            text = "not known, for the same reason" if text == last_unknown else text
            last_unknown = finding.text
        yield Link(name, finding.state, text)


def _by_server(facts: Facts, name: str, finding: Finding) -> Finding:
    told = facts.told
    open_ = finding.state is State.UNKNOWN or finding.passes
    if open_ and told is not None and _TOLD_OF.get(told.reason) == name:
        return wrong(f"{told.reason}: {told.message}")
    return finding


def broken_link(links: Sequence[Link]) -> Link | None:
    """Find the link that is wrong; None: none is, as far as could be seen."""
    return next((link for link in links if link.state is State.WRONG), None)
