"""The pod's side of the contract: the annotations that users write, and those that they read.

The four request annotations are those of ACK's own ``natgw`` controller, so that manifests written for it work
unchanged.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from poddnat.model import HIGHEST_PORT, LOWEST_PORT, ExposedPort, Exposure, ForwardRule, Ports, Protocol

POD_DNAT = "k8s.aliyun.com/pod-dnat"
EXPOSE_PORT = "k8s.aliyun.com/pod-dnat-expose-port"
EXPOSE_PROTOCOL = "k8s.aliyun.com/pod-dnat-expose-protocol"
FIXED = "k8s.aliyun.com/pod-dnat-fixed"
STATUS = "k8s.aliyun.com/pod-dnat-status"
RESULT = "k8s.aliyun.com/pod-dnat-result"

READY = "Ready"

_NUMBER = re.compile(r"[0-9]{1,9}")
_PROTOCOLS = {"tcp": Protocol.TCP, "udp": Protocol.UDP}
_MOST_QUOTES = 5
_LONGEST_QUOTE = 40
_SWITCH = {"": True, "true": True, "false": False}


class AnnotationError(ValueError):
    """A pod's annotations ask for something that can't be given; the text says what would be right."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def parse(annotations: Mapping[str, str]) -> Exposure | None:
    """Read what a pod asks for; None means nothing: the annotation is absent or ``"false"``.

    Raises:
        AnnotationError: something is wrong; every problem is named.
    """
    problems: list[str] = []
    wanted = _switch(annotations, POD_DNAT, problems) if POD_DNAT in annotations else False
    if not wanted and not problems:
        return None
    fixed = _switch(annotations, FIXED, problems) if annotations.get(FIXED, "").strip() else False
    protocol = _protocol(annotations.get(EXPOSE_PROTOCOL, ""), problems)
    items = _items(annotations.get(EXPOSE_PORT, ""), protocol, problems)
    if problems:
        raise AnnotationError(problems)
    return Exposure(items=tuple(items), fixed=fixed)


def _switch(annotations: Mapping[str, str], key: str, problems: list[str]) -> bool:
    value = annotations[key]
    known = _SWITCH.get(value.strip().lower())
    if known is None:
        problems.append(f'{key} is {_brief([value])}: use "true" to turn it on or "false" to turn it off')
    return bool(known)


def _protocol(value: str, problems: list[str]) -> Protocol:
    known = _PROTOCOLS.get(value.strip().lower() or "tcp")
    if known is None:
        problems.append(f'{EXPOSE_PROTOCOL} is {_brief([value])}: use "tcp" or "udp"')
    return known or Protocol.TCP


def _items(value: str, protocol: Protocol, problems: list[str]) -> Iterable[ExposedPort]:
    if not value.strip():
        problems.append(f'{EXPOSE_PORT} names no port: list the ports that the pod listens on, such as "80,443"')
        return []
    items: dict[ExposedPort, None] = {}
    wrong: dict[str, None] = {}
    again: dict[str, None] = {}
    for text in (part.strip() for part in value.split(",")):
        port = int(text) if _NUMBER.fullmatch(text) else 0
        if not LOWEST_PORT <= port <= HIGHEST_PORT:
            wrong[text] = None
        elif (item := ExposedPort(Ports.of(port), protocol)) in items:
            again[str(port)] = None
        else:
            items[item] = None
    if wrong:
        problems.append(
            f"{EXPOSE_PORT} has the {'item' if len(wrong) == 1 else 'items'} {_brief(wrong)}: "
            f'use port numbers from {LOWEST_PORT} to {HIGHEST_PORT}, separated by commas, such as "80,443"'
        )
    if again:
        problems.append(f"{EXPOSE_PORT} lists {_brief(again, quote='')} twice: name each port once")
    return items


def _brief(texts: Collection[str], *, quote: str = '"') -> str:
    """Show texts, but not any number at any length: this goes into events and annotations."""
    cut = (text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..." for text in texts)
    shown = [f"{quote}{text}{quote}" for text in cut]
    more = len(shown) - _MOST_QUOTES
    return ", ".join(shown) if more <= 0 else f"{', '.join(shown[:_MOST_QUOTES])} and {more} more"


def format_result(rules: Iterable[ForwardRule]) -> str:
    """Write the result annotation: a JSON list of public addresses, one object for each forward entry."""
    return json.dumps(
        [
            {
                "externalIP": rule.external_ip,
                "externalPort": str(rule.external_ports),
                "internalPort": str(rule.internal_ports),
                "protocol": rule.protocol.value,
            }
            for rule in rules
        ],
        separators=(",", ":"),
    )


def format_status(reason: str, message: str) -> str:
    """Write the status annotation of a pod that is not exposed: a reason and a sentence."""
    return f"{reason}: {message}"
