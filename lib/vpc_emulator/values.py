"""The forms of the API's parameters: each rule stands here once, with the error for those who break it."""

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import Final, NamedTuple

from vpc_emulator import exceptions as errors

Parameters = Mapping[str, str]

ANY: Final = "any"
# Reference, CreateForwardEntry: 2 to 128 characters, a letter first, then letters, digits, "_" and "-". The
# reference allows Chinese characters too; str.isalpha() of the first and \w of the others do as well.
_NAME: Final = re.compile(r"[^\W\d_][\w-]{1,127}")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_MAX_PORT: Final = 65535
_MAX_TOKEN: Final = 64


class Ports(NamedTuple):
    """A port, a range of them (both ends belong to it), or any port (0 to 0)."""

    first: int
    last: int

    def __str__(self) -> str:
        if self == ANY_PORT:
            return ANY
        return str(self.first) if self.first == self.last else f"{self.first}/{self.last}"

    def each(self) -> range:
        """Every port of the range."""
        return range(self.first, self.last + 1)


ANY_PORT: Final = Ports(0, 0)


def parse_ports(text: str) -> Ports | None:
    """Read ``80``, ``10/20`` or ``Any``; nothing when it is none of these."""
    if text.lower() == ANY:
        return ANY_PORT
    first, slash, last = text.partition("/")
    if not _PORT.fullmatch(first) or (slash and not _PORT.fullmatch(last)):
        return None
    ports = Ports(int(first), int(last or first))
    return ports if ports.first <= ports.last <= _MAX_PORT else None


def is_ipv4(text: str) -> bool:
    """Tell whether it is an IPv4 address."""
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def required(parameters: Parameters, name: str) -> str:
    """Return a parameter that must be there."""
    value = parameters.get(name)
    if not value:
        raise errors.MissingParameter(name)
    return value


def flag(parameters: Parameters, name: str) -> bool:
    """Return a boolean parameter, false when absent."""
    value = parameters.get(name, "false").lower()
    if value not in {"true", "false"}:
        raise errors.InvalidParameter(name)
    return value == "true"


def number(parameters: Parameters, name: str, *, default: int, low: int = 1, high: int | None = None) -> int:
    """Return an integer parameter within its bounds."""
    text = parameters.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < low or (high is not None and int(text) > high):
        raise errors.InvalidParameter(name)
    return int(text)


def repeated(parameters: Parameters, name: str) -> list[str]:
    """Return a list parameter: the SDKs send its items as ``Name.1``, ``Name.2`` and so on."""
    items: list[str] = []
    while (item := parameters.get(f"{name}.{len(items) + 1}")) is not None:
        items.append(item)
    return items


def client_token(parameters: Parameters) -> str | None:
    """Return the ClientToken, when there is one."""
    token = parameters.get("ClientToken")
    if token is not None and not (token.isascii() and 1 <= len(token) <= _MAX_TOKEN):
        raise errors.TokenMalformed
    return token


def entry_name(parameters: Parameters) -> str:
    """Return the name for an entry, empty when none was given."""
    name = parameters.get("ForwardEntryName", "")
    if name and not _NAME.fullmatch(name):
        raise errors.NameMalformed(name)
    return name


class Mapping5(NamedTuple):
    """What an entry maps: external address and ports to internal ones, for one protocol."""

    external_ip: str
    external_ports: Ports
    internal_ip: str
    internal_ports: Ports
    protocol: str


def mapping(parameters: Parameters) -> Mapping5:
    """Read the five parameters that make a DNAT entry."""
    names = ("ExternalIp", "ExternalPort", "InternalIp", "InternalPort", "IpProtocol")
    external_ip, external_port, internal_ip, internal_port, protocol = (required(parameters, n) for n in names)
    if not is_ipv4(external_ip):
        raise errors.ExternalIpMalformed(external_ip)
    if not is_ipv4(internal_ip):
        raise errors.InternalIpMalformed(internal_ip)
    protocol = protocol.lower()
    if protocol not in {"tcp", "udp", ANY}:
        raise errors.ProtocolNotSupported(protocol)
    if external_ip == internal_ip:
        raise errors.InvalidParameter("ExternalIp and InternalIp are the same")
    external, internal = _two_ports(external_port, internal_port, protocol)
    return Mapping5(external_ip, external, internal_ip, internal, protocol)


def _two_ports(external_port: str, internal_port: str, protocol: str) -> tuple[Ports, Ports]:
    """Read both ports: any with Any and only with it; ranges of one length."""
    external, internal = parse_ports(external_port), parse_ports(internal_port)
    if external is None or (external == ANY_PORT) != (protocol == ANY):
        raise errors.ExternalPortMalformed(external_port)
    if internal is None or (internal == ANY_PORT) != (protocol == ANY):
        raise errors.InternalPortMalformed(internal_port)
    if external.last - external.first != internal.last - internal.first:
        raise errors.ExternalPortMalformed(external_port, "is not as long as", internal_port)
    return external, internal
