"""The pod's side of the contract: the annotations that users write, and those that they read.

The four request annotations are those of ACK's own ``natgw`` controller, so that manifests written for it work
unchanged.
"""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence

from poddnat.api import port_list
from poddnat.api import release_strategy as release
from poddnat.api.poddnat import RESYNC_TRIGGERED_AT
from poddnat.model import ExposedPort, Exposure, Transport, WorkingPort

POD_DNAT = "k8s.aliyun.com/pod-dnat"
EXPOSE_PORT = "k8s.aliyun.com/pod-dnat-expose-port"
EXPOSE_PROTOCOL = "k8s.aliyun.com/pod-dnat-expose-protocol"
FIXED = "k8s.aliyun.com/pod-dnat-fixed"
RELEASE_STRATEGY = "k8s.aliyun.com/pod-dnat-release-strategy"
PREFER_OWN_PORTS = "poddnat.alibabacloud.com/prefer-own-ports"
"""No annotation of ACK's: its controller doesn't know it."""

STATUS = "k8s.aliyun.com/pod-dnat-status"
RESULT = "k8s.aliyun.com/pod-dnat-result"

READY = "Ready"

_REQUESTS = (POD_DNAT, EXPOSE_PORT, EXPOSE_PROTOCOL, FIXED, RELEASE_STRATEGY, PREFER_OWN_PORTS)
_OURS = "poddnat.alibabacloud.com/"
_KNOWN = frozenset((*_REQUESTS, STATUS, RESULT, RESYNC_TRIGGERED_AT, f"{_OURS}ready"))
"""The last one belongs in a readiness gate, but who has it here as well means nothing else."""
_LONGEST_KEY = 100
_MOST_ODDITIES = 5
_ALIKE = 0.8
"""How alike a key is to one of ours that may be meant for it."""

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
    is_on = _switch(annotations, POD_DNAT, problems) if POD_DNAT in annotations else False
    if not is_on and not problems:
        return None
    fixed = _switch(annotations, FIXED, problems) if annotations.get(FIXED, "").strip() else False
    prefer_own = _switch(annotations, PREFER_OWN_PORTS, problems) if PREFER_OWN_PORTS in annotations else False
    strategy = _release(annotations.get(RELEASE_STRATEGY, ""), problems)
    usual = _transport(annotations.get(EXPOSE_PROTOCOL, ""), problems)
    items = _items(annotations.get(EXPOSE_PORT, ""), usual, problems)
    if problems:
        raise AnnotationError(problems)
    return Exposure(items, fixed, strategy, prefer_own)


def oddities(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """List, each in one sentence, what a pod that asks for ports has annotations for that have no effect.

    ACK may add keys, so this refuses nothing.
    """
    if POD_DNAT not in annotations or annotations[POD_DNAT].strip().lower() == "false":
        return ()
    found = []
    for key in sorted(annotations):
        if key not in _KNOWN and (key.startswith((POD_DNAT, _OURS)) or _is_alike(key, PREFER_OWN_PORTS)):
            words = {_word(known): known for known in _REQUESTS[1:]}
            near = difflib.get_close_matches(_word(key[:_LONGEST_KEY]), words, n=1)
            hint = f"did you mean {words[near[0]]}?" if near else f"known are {', '.join(_REQUESTS)}"
            name = port_list.visible(key[:_LONGEST_KEY])
            found.append(
                f"The annotation {name} has no effect ({hint}); the user has to correct it, or to take it off."
            )
    if annotations.get(RELEASE_STRATEGY, "").strip() and annotations.get(FIXED, "").strip().lower() != "true":
        found.append(
            f'{RELEASE_STRATEGY} has no effect on a pod that is not fixed: the user has to set {FIXED}: "true".'
        )
    return tuple(found[:_MOST_ODDITIES])


def near_misses(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """List, as shown, the annotations that may be meant for us of a pod without POD_DNAT, or with a misspelt one."""
    alike = (key for key in annotations if _is_alike(key, POD_DNAT))
    ours = (key for key in annotations if key.startswith(POD_DNAT) and key not in (STATUS, RESULT))
    return _shown({*alike, *ours})


def unknown(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """List, as shown, the keys that begin as ACK's do and are none of these."""
    return _shown(key for key in annotations if key.startswith(POD_DNAT) and key not in _KNOWN)


def _shown(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(port_list.visible(key[:_LONGEST_KEY]) for key in sorted(keys))


def without_effect(keys: Sequence[str]) -> str:
    """Say, in one sentence, that annotations, as shown, have no effect on a pod that has no POD_DNAT."""
    subject, has, them = ("annotation", "has", "it") if len(keys) == 1 else ("annotations", "have", "them")
    names = ", ".join(keys[:_MOST_ODDITIES])
    why = f"no effect on a pod without {POD_DNAT} (did you mean that?)"
    return f"The {subject} {names} {has} {why}; the user has to add that, or to take {them} off."


def _word(key: str) -> str:
    """Give the part of a key that tells it from the others: their domains are easily taken for each other."""
    return key.rpartition("/")[2].removeprefix("pod-dnat-")


def _is_alike(key: str, known: str) -> bool:
    return difflib.SequenceMatcher(None, key[:_LONGEST_KEY], known).ratio() >= _ALIKE


def _switch(annotations: Mapping[str, str], key: str, problems: list[str]) -> bool:
    value = annotations[key]
    known = _SWITCH.get(value.strip().lower())
    if known is None:
        problems.append(f'{key} is {port_list.brief([value])}: use "true" to turn it on or "false" to turn it off')
    return bool(known)


def _release(value: str, problems: list[str]) -> str:
    try:
        return release.parse(value).text
    except ValueError as error:
        problems.append(f"{RELEASE_STRATEGY} is {port_list.brief([value])}: {error}")
        return release.FOLLOW.text


def _transport(value: str, problems: list[str]) -> Transport:
    try:
        return Transport(value.strip().lower() or "tcp")
    except ValueError:
        problems.append(f"{EXPOSE_PROTOCOL} is {port_list.brief([value])}: use {port_list.PROTOCOLS}")
        return Transport.TCP


def _items(value: str, usual: Transport, problems: list[str]) -> tuple[ExposedPort, ...]:
    try:
        return port_list.parse(value, usual)
    except port_list.PortListError as error:
        problems += [f"{EXPOSE_PORT} {problem}" for problem in error.problems]
        return ()


def format_result(working: Iterable[WorkingPort]) -> str:
    """Write the result annotation: a JSON list of public addresses, one object for each item of the pod's list."""
    return json.dumps(
        [
            {
                "externalIP": port.external_ip,
                "externalPort": port.mapping.external.shown,
                "internalPort": port.mapping.internal.shown,
                "protocol": port.mapping.transport.value,
            }
            for port in working
        ],
        separators=(",", ":"),
    )


def format_status(reason: str, message: str) -> str:
    """Write the status annotation of a pod that is not exposed: a reason and a sentence."""
    return f"{reason}: {message}"
