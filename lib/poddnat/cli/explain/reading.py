"""Reads the facts of one pod: from the API server and the cloud, as far as either tells."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from poddnat.api import Problem, pod_facts, spec_of
from poddnat.cli.explain.facts import Facts, Server, Unread
from poddnat.cli.intervals import LEASE_LOOK, LEASE_RENEWED_WITHIN
from poddnat.cli.site import ShowProgress, Site, read_table, retry_throttled
from poddnat.cloud import CloudClient, CloudError, GatewayInfo, problem_of
from poddnat.config import Values
from poddnat.gateway import read_gateways
from poddnat.kube import Held, Inspector, KubeError, NotServedError, namespace_of_server
from poddnat.model import Address, ForwardEntry
from poddnat.placement import Namespaces, NodePrefixes, Nodes, Route, route_of
from poddnat.timestamps import now

Manifest = dict[str, Any]
_Read = TypeVar("_Read")

_NO_VALUES = Unread("The pool and the cloud are not known; give the values file: --values FILE.")


def read_facts(
    kube: Inspector, values: Values | None, cloud: CloudClient | None, namespace: str, name: str, show: ShowProgress
) -> Facts:
    """Read all that a pod's public ports depend on; without values, what the cluster tells.

    Raises:
        KubeError: the API server does not answer, or does not let the pod be read.
    """
    show("reading the pod")
    pod = kube.pod(namespace, name)
    facts = Facts(namespace, name, now(), pod, values if values is not None else _NO_VALUES)
    if pod is None:
        return facts
    show("reading the cluster")
    facts = _Cluster(kube, facts).read()
    if values is None or cloud is None:
        return replace(facts, address=_NO_VALUES, route=_NO_VALUES, gateways=_NO_VALUES, tables=_NO_VALUES)
    show("reading the cloud")
    return _Cloud(Site(values, cloud, kube), facts, show).read()


@dataclass(frozen=True)
class _Cluster:
    kube: Inspector
    facts: Facts

    def read(self) -> Facts:
        facts, kube = self.facts, self.kube
        pod = facts.pod or {}
        node = pod.get("spec", {}).get("nodeName") or ""
        facts = replace(
            facts,
            on_virtual_node=_of_cluster(lambda: bool(node) and Nodes(kube).is_virtual(node)),
            namespace_refusal=self._namespace_refusal(),
            sync_errors=_of_cluster(lambda: tuple(kube.sync_errors(facts.namespace, facts.name))),
        )
        return self._with_server(self._with_poddnats(facts))

    def _namespace_refusal(self) -> Problem | Unread | None:
        values = self.facts.values
        if isinstance(values, Unread):
            return values
        return _of_cluster(lambda: Namespaces(values, self.kube).refusal(self.facts.namespace))

    def _with_poddnats(self, facts: Facts) -> Facts:
        try:
            poddnat: Manifest | Unread | None = self.kube.poddnat(facts.namespace, facts.name)
        except NotServedError:
            return replace(facts, crd_installed=False)
        except KubeError as error:
            poddnat = _unread(error)
        return replace(facts, poddnat=poddnat, poddnats=_of_cluster(self._poddnats))

    def _poddnats(self) -> tuple[Manifest, ...]:
        installation = self.facts.installation
        return tuple(one for one in self.kube.poddnats()[0] if installation.has(one["metadata"]))

    def _with_server(self, facts: Facts) -> Facts:
        try:
            controllers = self.kube.controllers(facts.installation)
        except NotServedError:
            return replace(facts, metacontroller_installed=False)
        except KubeError as error:
            return replace(facts, missing_controllers=_unread(error), server=_unread(error))
        missing = tuple(name for name, found in controllers.items() if found is None)
        namespace = namespace_of_server(controllers)
        server = self._server(namespace) if namespace else Server.ELSEWHERE
        found = replace(facts, missing_controllers=missing, server=server)
        return replace(found, server_namespace=namespace) if namespace else found

    def _server(self, namespace: str) -> Server | Unread:
        """See whether the server's Lease is renewed: clocks may differ, so it is looked at until it changes."""
        first = _of_cluster(lambda: self.kube.lease(namespace))
        if isinstance(first, Unread):
            return first
        if first is None:
            return Server.ELSEWHERE
        if not first.holder:
            return Server.NOBODY
        return Server.ACTIVE if self._is_renewed(namespace, first) else Server.SILENT

    def _is_renewed(self, namespace: str, first: Held) -> bool:
        deadline = time.monotonic() + LEASE_RENEWED_WITHIN
        while time.monotonic() < deadline:
            time.sleep(LEASE_LOOK)
            if _of_cluster(lambda: self.kube.lease(namespace)) != first:
                return True
        return False


@dataclass(frozen=True)
class _Cloud:
    site: Site
    facts: Facts
    show: ShowProgress

    def read(self) -> Facts:
        facts = self.facts
        gateways = _of_cloud(self._gateways)
        if isinstance(gateways, Unread):  # It is the first call: what it can't have, others can't either.
            return replace(facts, address=gateways, route=gateways, gateways=gateways, tables=gateways)
        address = self._address()
        route = _of_cloud(lambda: self._route(address)) if isinstance(address, Address) else None
        wanted = self._gateways_to_list(facts, route)
        tables = _of_cloud(lambda: {one: self._table(one, facts) for one in wanted if one in gateways})
        return replace(facts, address=address, route=route, gateways=gateways, tables=tables)

    def _gateways(self) -> Mapping[str, GatewayInfo]:
        found = retry_throttled(lambda: read_gateways(self.site.cloud, self.site.values.gateway_ids))
        return {info.gateway_id: info for info in found}

    def _address(self) -> Address | Unread | None:
        ip = pod_facts.address_of(self.facts.pod or {"metadata": {}})
        if ip is None:
            return None
        node = (self.facts.pod or {}).get("spec", {}).get("nodeName") or ""
        cloud, kube = self.site.cloud, self.site.kube
        prefixes = NodePrefixes(cloud, Nodes(kube).instance_of, time.monotonic)

        def look_up() -> Address | None:
            found = retry_throttled(lambda: cloud.describe_network_interfaces([ip])).get(ip)
            return found or (retry_throttled(lambda: prefixes.find(node, [ip])).get(ip) if node else None)

        return _of_cluster(lambda: _of_cloud(look_up))

    def _route(self, address: Address) -> Route | None:
        cloud = self.site.cloud
        try:
            tables = retry_throttled(cloud.describe_route_table_list)
            table = tables.of(address.vswitch)
            hop = retry_throttled(lambda: cloud.describe_default_route(table)) if table else None
        except CloudError as error:
            if error.lacks_permission:
                return None
            raise
        return route_of(address, tables, {table: hop})

    def _gateways_to_list(self, facts: Facts, route: Route | Unread | None) -> list[str]:
        """Choose whose tables are read: the PodDNAT's gateway, else where it could be put."""
        if facts.desired is not None:
            return [facts.desired.gateway_id]
        hop = route.hop_id if isinstance(route, Route) else None
        return [one for one in self.site.values.gateway_ids if hop in (None, one)]

    def _table(self, gateway_id: str, facts: Facts) -> tuple[ForwardEntry, ...]:
        poddnats = () if isinstance(facts.poddnats, Unread) else facts.poddnats
        claimed = [one for one in poddnats if spec_of(one).get("tableId") == gateway_id]
        return read_table(self.site.cloud, gateway_id, claimed, self.show)


def _of_cloud(read: Callable[[], _Read]) -> _Read | Unread:
    try:
        return read()
    except CloudError as error:
        return Unread(problem_of(error).message)


def _of_cluster(read: Callable[[], _Read]) -> _Read | Unread:
    try:
        return read()
    except KubeError as error:
        return _unread(error)


def _unread(error: KubeError) -> Unread:
    act = "an operator has to grant that right" if error.refused else "ask again"
    return Unread(f"The API server did not tell ({str(error).rstrip('.')}); {act}.")
