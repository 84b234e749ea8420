"""Reads a mapping key by key, and knows the path to each, so that a mistake in a file can be named."""

from collections.abc import Collection, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Any, Self


class WorldError(ValueError):
    """A mistake in the world, with the path to it."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'the world'}: {problem}")


class Node:
    """One mapping in the file."""

    def __init__(self, data: object, path: str = "") -> None:
        if not isinstance(data, Mapping):
            raise WorldError(path, "is not a mapping")
        self._data: Mapping[str, Any] = data
        self._path = path
        self._seen: set[str] = set()

    def error(self, key: str, problem: str) -> WorldError:
        """Return the error to raise about a key."""
        return WorldError(self._at(key), problem)

    def finish(self) -> None:
        """Complain about keys that nobody asked for: most often they are misspelt."""
        for key in self._data:
            if key not in self._seen:
                raise self.error(str(key), f"is not known here (known: {', '.join(sorted(self._seen))})")

    def string(self, key: str, *, default: str | None = None) -> str:
        """Return a string; a number is taken as its digits."""
        value = self._get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise self.error(key, "is missing" if value is None else "is not a string")
        return str(value)

    def strings(self, key: str, *, need: bool = False) -> tuple[str, ...]:
        """Return a list of strings; a single one may stand for itself."""
        value = self._get(key)
        items = [value] if isinstance(value, str) else value or []
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise self.error(key, "is not a list of strings")
        if need and not items:
            raise self.error(key, "is missing")
        return tuple(items)

    def integer(self, key: str, *, default: int | None = None, low: int = 1) -> int:
        """Return a whole number."""
        value = self._get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise self.error(key, f"is not a whole number of at least {low}")
        return value

    def number(self, key: str, *, default: float, high: float = float("inf")) -> float:
        """Return a number that is not negative."""
        value = self._get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
            raise self.error(key, f"is not a number from 0 to {high}")
        return float(value)

    def boolean(self, key: str, *, default: bool = False) -> bool:
        """Return true or false."""
        value = self._get(key)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise self.error(key, "is neither true nor false")
        return value

    def address(self, key: str, *, default: str | None = None) -> str:
        """Return an IPv4 address."""
        text = self.string(key, default=default)
        try:
            return text and str(IPv4Address(text))
        except AddressValueError as error:
            raise self.error(key, f"{text} is not an IPv4 address") from error

    def network(self, text: str) -> IPv4Network:
        """Read an IPv4 network, or one address as a network of itself."""
        try:
            return IPv4Network(text)
        except (AddressValueError, NetmaskValueError, ValueError) as error:
            raise WorldError(self._path, f"{text} is not an IPv4 network") from error

    def known(self, key: str, things: Collection[str], *, default: str | None = None) -> str:
        """Return the id of something that the file has described before."""
        name = self.string(key, default=default)
        if name not in things and name != default:
            raise self.error(key, f"{name} is not described in this file")
        return name

    def child(self, key: str) -> Self | None:
        """Return the mapping under a key."""
        value = self._get(key)
        return None if value is None else type(self)(value, self._at(key))

    def items(self, key: str, *, shorthand: str = "") -> list[Self]:
        """Return the mappings of a list; with a shorthand, a string stands for a mapping with that key."""
        value = self._get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error(key, "is not a list")
        full = [{shorthand: item} if shorthand and isinstance(item, str) else item for item in value]
        return [type(self)(item, f"{self._at(key)}[{at}]") for at, item in enumerate(full)]

    def _get(self, key: str) -> Any:
        self._seen.add(key)
        return self._data.get(key)

    def _at(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key
