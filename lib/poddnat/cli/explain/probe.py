"""Tries public addresses from here: TCP by connecting, UDP by sending an empty packet and waiting for what comes."""

import contextlib
import itertools
import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from functools import partial

from poddnat.cli.intervals import PROBE_TIMEOUT
from poddnat.model import ForwardRule, Protocol, WorkingPort

_MOST_AT_ONCE = 16
_MOST = 64
"""More than so many ports tell nothing more."""


class Outcome(Enum):
    """What came of trying one port."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """Something answered that nothing listens there: the way is open."""
    SILENT = "silent"
    """Nothing came back. Of UDP that says little: many programs answer only to what they understand."""
    UNREACHABLE = "unreachable"
    """The network said so, or this machine."""


@dataclass(frozen=True)
class Probe:
    """One port that was tried."""

    external: str
    """As ``203.0.113.10:512/tcp``."""
    internal_port: int
    protocol: Protocol
    outcome: Outcome
    why: str = ""
    """What the system said of an address that is unreachable."""


def probe(working: Iterable[WorkingPort], *, timeout: float = PROBE_TIMEOUT) -> tuple[Probe, ...]:
    """Try ports, of a range the first one; each takes at most ``timeout`` seconds."""
    rules = (rule for port in working for rule in port.mapping.rules(port.external_ip, port.internal_ip))
    targets = list(itertools.islice(rules, _MOST))
    if not targets:
        return ()
    with ThreadPoolExecutor(min(_MOST_AT_ONCE, len(targets))) as pool:
        return tuple(pool.map(partial(_try, timeout), targets))


def _try(timeout: float, rule: ForwardRule) -> Probe:
    attempt = _try_tcp if rule.protocol is Protocol.TCP else _try_udp
    ip, port = rule.external_ip, rule.external_ports.first
    outcome, why = Outcome.SILENT, ""
    try:
        outcome = attempt(ip, port, timeout)
    except TimeoutError:
        pass
    except ConnectionRefusedError:
        outcome = Outcome.REFUSED
    except OSError as error:
        outcome, why = Outcome.UNREACHABLE, error.strerror or str(error)
    return Probe(f"{ip}:{port}/{rule.protocol}", rule.internal_ports.first, rule.protocol, outcome, why)


def _try_tcp(ip: str, port: int, timeout: float) -> Outcome:
    with contextlib.closing(socket.create_connection((ip, port), timeout)):
        return Outcome.ANSWERED


def _try_udp(ip: str, port: int, timeout: float) -> Outcome:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as connection:
        connection.connect((ip, port))
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            # Packets get lost, so it is sent more than once.
            connection.send(b"")
            connection.settimeout(min(left, timeout / 3))
            with contextlib.suppress(TimeoutError):
                connection.recv(1)
                return Outcome.ANSWERED
    return Outcome.SILENT
