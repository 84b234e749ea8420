"""The list of ports that a pod's annotation holds: ``80,53/udp,9000-9010/udp,27015/tcpudp``.

Items are separated by commas. Each is a port or a range, perhaps with a protocol; case and spaces don't matter.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache

from poddnat.model import HIGHEST_PORT, LOWEST_PORT, MOST_ITEMS, ExposedPort, Ports, Protocol, Transport

EXAMPLE = '"80,53/udp,9000-9010/udp"'
PROTOCOLS = '"tcp", "udp" or "tcpudp"'

_ITEM = re.compile(r"([0-9]{1,9})(?:\s*-\s*([0-9]{1,9}))?(?:\s*/\s*(\S.*))?", re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,9}")
_MOST_QUOTES = 5
_LONGEST_QUOTE = 40
_LONGEST_KEPT = 200


class PortListError(ValueError):
    """A list can't be understood; each problem names the items, and what would be right."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class _ItemError(ValueError):
    """One item is wrong; the text says what would be right."""


def parse(text: str, usual: Transport) -> tuple[ExposedPort, ...]:
    """Read a list in its order; ``usual`` is for items that name no protocol.

    The pods of a workload all have the same list, so short ones that were seen lately are not read again.

    Raises:
        PortListError: items are wrong or overlap each other, or there is none, or there are too many.
    """
    return _parse_short(text, usual) if len(text) <= _LONGEST_KEPT else _parse(text, usual)


def _parse(text: str, usual: Transport) -> tuple[ExposedPort, ...]:
    if not text.strip():
        raise PortListError([f"names no port: list the ports that the pod listens on, such as {EXAMPLE}"])
    if (count := text.count(",") + 1) > MOST_ITEMS:
        some = "neighbouring ports can be one item, such as 9000-9010"
        raise PortListError([f"lists {count} items; list {MOST_ITEMS} at most ({some})"])
    items: list[tuple[ExposedPort, str]] = []
    wrong: dict[str, dict[str, None]] = {}
    for part in map(str.strip, text.split(",")):
        try:
            items.append((_item(part, usual), part))
        except _ItemError as error:
            wrong.setdefault(str(error), {})[part] = None
    problems = [
        f"has the {'item' if len(found) == 1 else 'items'} {brief(found)}: {right}" for right, found in wrong.items()
    ]
    clashes = dict.fromkeys(f'"{_cut(one)}" and "{_cut(other)}"' for one, other in _overlapping(items))
    if clashes:
        problems.append(f"lists {brief(clashes, quote='')}, which overlap: list each port once for each protocol")
    if problems:
        raise PortListError(problems)
    return tuple(item for item, _ in items)


_parse_short = lru_cache(maxsize=1024)(_parse)


def _item(text: str, usual: Transport) -> ExposedPort:
    found = _ITEM.fullmatch(text)
    if found is None:
        use = (
            f"use ports from {LOWEST_PORT} to {HIGHEST_PORT} or ranges of them, separated by commas, such as {EXAMPLE}"
        )
        raise _ItemError(f"there is a comma too many; {use}" if not text else _odd_character(text) + use)
    first, last = int(found[1]), int(found[2] or found[1])
    if not (LOWEST_PORT <= first <= HIGHEST_PORT and LOWEST_PORT <= last <= HIGHEST_PORT):
        raise _ItemError(f"ports go from {LOWEST_PORT} to {HIGHEST_PORT}")
    if first > last:
        raise _ItemError(f"write the lower port first, such as {last}-{first}")
    if found[3] and not found[2] and _NUMBER.fullmatch(found[3]):
        low, high = sorted((first, int(found[3])))
        raise _ItemError(f"write a range with a hyphen, such as {low}-{high}")
    return ExposedPort(Ports(first, last), _transport(found[3]) if found[3] else usual)


def _odd_character(text: str) -> str:
    """Name the first character that no item has, as typed by an input method or pasted along; empty: there is none."""
    odd = next((character for character in text if not (character.isascii() and character.isprintable())), "")
    if not odd:
        return ""
    name = f"U+{ord(odd):04X} {unicodedata.name(odd, 'a control character')}"
    return f"{visible(odd)} is {name}; " if visible(odd) == odd else f"it has an invisible character, {name}; "


def _transport(text: str) -> Transport:
    try:
        return Transport(text.lower())
    except ValueError:
        raise _ItemError(f"{_odd_character(text)}the protocol after a port is {PROTOCOLS}") from None


def _overlapping(items: Sequence[tuple[ExposedPort, str]]) -> Iterator[tuple[str, str]]:
    """Find items that overlap one that begins no later, as they are written."""
    for protocol in (Protocol.TCP, Protocol.UDP):
        widest: tuple[ExposedPort, str] | None = None
        for item, text in sorted((pair for pair in items if protocol in pair[0].transport.protocols), key=_first):
            if widest is not None and widest[0].ports.overlaps(item.ports):
                yield widest[1], text
            if widest is None or item.ports.last > widest[0].ports.last:
                widest = item, text


def _first(pair: tuple[ExposedPort, str]) -> int:
    return pair[0].ports.first


def brief(texts: Collection[str], *, quote: str = '"') -> str:
    """Show texts, but not any number at any length: this goes into events and annotations."""
    shown = [f"{quote}{_cut(text) if quote else text}{quote}" for text in list(texts)[:_MOST_QUOTES]]
    more = len(texts) - _MOST_QUOTES
    return ", ".join(shown) if more <= 0 else f"{', '.join(shown)} and {more} more"


def visible(text: str) -> str:
    """Show what people can't see in a text: characters without width, controls, spaces other than the usual one."""
    return "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in text)


def _cut(text: str) -> str:
    return visible(text) if len(text) <= _LONGEST_QUOTE else f"{visible(text[:_LONGEST_QUOTE])}..."
