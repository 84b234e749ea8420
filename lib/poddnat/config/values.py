"""The configuration file: ACK's own values file for its ``natgw`` controller, and a few keys more."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from poddnat.api import UNNAMED, Installation
from poddnat.config.label_selector import LabelSelector, Operator, Requirement
from poddnat.config.pool import NO_LIMITS, AllowedNamespaces, Limits, PoolEntry
from poddnat.config.validation import is_relevant, problems_of, warnings_of
from poddnat.config.yaml_text import YamlError, load_documents
from poddnat.model import Ports


class ValuesError(ValueError):
    """The values file can't be used; every problem is named, one a line."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        super().__init__("\n".join([f"{source} can't be used:", *(f"  {problem}" for problem in problems)]))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class AccessKey:
    """A static key pair; the secret stays out of ``repr`` and so out of logs."""

    key_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Endpoints:
    """Other servers than the public endpoints, as URLs: those inside the VPC, the emulator, or a proxy."""

    vpc: str | None = None
    ecs: str | None = None


@dataclass(frozen=True)
class Values:
    """The values file, read and checked."""

    cluster_id: str
    region_id: str
    vpc_id: str
    pool: tuple[PoolEntry, ...]
    credential: AccessKey | None = None
    """None: the RAM role of the node, or whatever else the SDK's default chain finds."""
    endpoints: Endpoints = Endpoints()
    blocked: tuple[IPv4Network, ...] = ()
    """EIPs that no pod gets any more."""
    move_from_blocked: bool = False
    """Whether pods on blocked EIPs move; else they stay."""
    namespaces: AllowedNamespaces | None = None
    """None: all."""
    limits: Limits = NO_LIMITS
    installation: Installation = UNNAMED
    """Whose pods these are for, where several installations serve one cluster."""
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """What is odd about the file and yet no fault, each in one sentence."""

    @property
    def gateway_ids(self) -> tuple[str, ...]:
        """The pool's gateways, each once, in the file's order."""
        return tuple(dict.fromkeys(entry.gateway_id for entry in self.pool))

    def allows(self, gateway_id: str, external_ip: str, ports: Ports) -> bool:
        """Whether the pool lets pods have these ports."""
        return any(entry.offers(external_ip, ports) for entry in self.entries_of(gateway_id))

    def entries_of(self, gateway_id: str) -> Iterator[PoolEntry]:
        """Go through a gateway's entries of the pool, in the file's order."""
        return iter(self._by_gateway.get(gateway_id, ()))

    @cached_property
    def _by_gateway(self) -> Mapping[str, Sequence[PoolEntry]]:
        by_gateway: dict[str, list[PoolEntry]] = {}
        for entry in self.pool:
            by_gateway.setdefault(entry.gateway_id, []).append(entry)
        return by_gateway

    def is_blocked(self, external_ip: str) -> bool:
        """Whether an EIP is out of service."""
        with suppress(ValueError):  # A PodDNAT written by hand may hold anything.
            return any(IPv4Address(external_ip) in network for network in self.blocked)
        return False

    def is_draining(self, external_ip: str) -> bool:
        """Whether pods are to move off an EIP: it is out of service, and pods don't stay there."""
        return self.move_from_blocked and self.is_blocked(external_ip)

    def quota_of(self, gateway_id: str) -> int | None:
        """How many forward entries a gateway takes, as far as the file says."""
        return next((entry.quota for entry in self.entries_of(gateway_id) if entry.quota is not None), None)


def load(path: Path) -> Values:
    """Read the values file.

    Raises:
        ValuesError: it can't be read, or something in it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValuesError(str(path), [f"it can't be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ValuesError(str(path), [f"it is not UTF-8 text: {error.reason} at byte {error.start}"]) from error
    return load_text(text, str(path))


def load_text(text: str, source: str) -> Values:
    """Read a values file's text; ``source`` is for error messages.

    Raises:
        ValuesError: something in it is wrong.
    """
    try:
        documents = load_documents(text)
    except YamlError as error:
        raise ValuesError(source, [f"it is not YAML: {error}"]) from None
    if len(documents) > 1:
        raise ValuesError(source, [f"it has {len(documents)} documents, parted by ---; leave one"])
    if not documents or documents[0][0] is None:
        raise ValuesError(source, ["it is empty; metacontroller/examples/ack-values.yaml shows what it has to say"])
    content, oddities = documents[0]
    if wrong := [str(oddity) for oddity in oddities if is_relevant(oddity)]:
        raise ValuesError(source, sorted({*wrong, *problems_of(content)}))
    return parse(content, source=source)


def parse(content: object, *, source: str = "the values file") -> Values:
    """Check the file's content (as YAML gives it) and turn it into ``Values``; ``source`` is for error messages.

    Raises:
        ValuesError: something in it is wrong.
    """
    problems = problems_of(content)
    if problems or not isinstance(content, dict):
        raise ValuesError(source, problems)
    return replace(_build(content), warnings=tuple(warnings_of(content)))


def _build(content: dict[str, Any]) -> Values:
    network = content["networkController"]
    key = content.get("credential") or {}
    endpoints = content.get("endpoints") or {}
    limits = network.get("limits") or {}
    return Values(
        cluster_id=content["clusterID"],
        region_id=content["regionID"],
        vpc_id=content["vpcID"],
        pool=tuple(map(PoolEntry.read, network["natGwPool"])),
        credential=AccessKey(key["accessKey"], key["accessSecret"]) if key.get("accessKey") else None,
        endpoints=Endpoints(vpc=_url(endpoints.get("vpc")), ecs=_url(endpoints.get("ecs"))),
        blocked=tuple(map(IPv4Network, network.get("blockedEips") or ())),
        move_from_blocked=network.get("moveFromBlockedEips", False),
        namespaces=_namespaces(network.get("allowedNamespaces")),
        limits=Limits(limits.get("portsPerPod"), limits.get("portsPerNamespace")),
        installation=Installation(content.get("installation", "")),
    )


def _url(server: str | None) -> str | None:
    """Make a URL of a host name, as the cloud's documents give their endpoints."""
    return server if server is None or "://" in server else f"https://{server}"


def _namespaces(allowed: dict[str, Any] | None) -> AllowedNamespaces | None:
    if allowed is None:
        return None
    selector = allowed.get("selector")
    return AllowedNamespaces(
        names=tuple(allowed.get("names") or ()),
        selector=LabelSelector(tuple(_requirements(selector))) if selector is not None else None,
    )


def _requirements(selector: dict[str, Any]) -> Iterator[Requirement]:
    for key, value in (selector.get("matchLabels") or {}).items():
        yield Requirement(key, Operator.IN, (value,))
    for expression in selector.get("matchExpressions") or ():
        yield Requirement(expression["key"], Operator(expression["operator"]), tuple(expression.get("values") or ()))
