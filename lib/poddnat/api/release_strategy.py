"""The release strategy: when the external side of a fixed pod that is absent is released.

Decisions only: from the annotation's text, and from what the pod's owner asks for, to a decision.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(h|ms|m|s|us|µs|ns)", re.ASCII)
_LONGEST = 10 * 365 * 86400.0
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_SPAN = re.compile(r"\s*(\d{1,9})\s*-\s*(\d{1,9})\s*", re.ASCII)

_WORDS = {"follow": "Follow", "never": "Never"}


@dataclass(frozen=True)
class ReleaseStrategy:
    """One release strategy, as written: ``Follow``, ``Never``, or a duration such as ``5m30s``."""

    text: str

    @property
    def follows(self) -> bool:
        """Whether the external side is released with the pod's owner, or once that has no such replica any more."""
        return self.text == "Follow"

    @property
    def seconds(self) -> float | None:
        """After how many seconds of absence the external side is released; None: however long it takes."""
        return _duration(self.text)


FOLLOW = ReleaseStrategy("Follow")


def parse(text: str) -> ReleaseStrategy:
    """Read a release strategy; empty is the default, ``Follow``.

    Raises:
        ValueError: it is none; the text says what would be right.
    """
    text = text.strip()
    if not text:
        return FOLLOW
    if (word := _WORDS.get(text.lower())) is not None:
        return ReleaseStrategy(word)
    seconds = _duration(text)
    if seconds is None or not 0 < seconds <= _LONGEST:
        raise ValueError('use "Follow", "Never", or a time to keep the ports for, such as "5m30s", of at most 87600h')
    return ReleaseStrategy(text)


def _duration(text: str) -> float | None:
    """Read a duration as Go writes it, in seconds."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def ordinal_of(pod: str, owner: str) -> int | None:
    """Read the ordinal off the name of a stateful set's pod; None: the name has no such form."""
    number = pod.removeprefix(f"{owner}-")
    return int(number) if number != pod and _NUMBER.fullmatch(number) else None


def has_replica(spec: Mapping[str, Any], ordinal: int) -> bool:
    """Tell from the spec of a StatefulSet or its like whether a pod of this ordinal is one of its replicas.

    ``spec.replicas`` and ``spec.ordinals.start`` are Kubernetes'; OpenKruise's Advanced StatefulSet skips
    ``spec.reserveOrdinals`` (numbers, and since 1.8 texts such as ``"3-5"``), its GameServerSet
    ``spec.reserveGameServerIds``.
    """
    replicas = spec.get("replicas")
    start = int((spec.get("ordinals") or {}).get("start") or 0)
    reserved = [*_spans(spec.get("reserveOrdinals") or ()), *_spans(spec.get("reserveGameServerIds") or ())]
    if ordinal < start or any(first <= ordinal <= last for first, last in reserved):
        return False
    skipped, reach = 0, start - 1
    for first, last in sorted(reserved):
        low, high = max(first, reach + 1), min(last, ordinal)
        if low <= high:
            skipped, reach = skipped + high - low + 1, high
    return ordinal - start - skipped < (1 if replicas is None else int(replicas))


def _spans(values: Collection[Any]) -> list[tuple[int, int]]:
    spans = []
    for value in values:
        if (span := _SPAN.fullmatch(str(value))) is not None:
            spans.append((int(span[1]), int(span[2])))
        elif _NUMBER.fullmatch(str(value).strip()):
            spans.append((int(value), int(value)))
    return spans
