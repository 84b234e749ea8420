"""The configuration file: ACK's own values file for its ``natgw`` controller, and a few keys more.

``schemas/values.json`` says what each key looks like; here is what a schema can't say: which ranges exclude each
other, and how to tell people all that is wrong at once, in words that name the place and what would be right.
"""

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from poddnat.files import schema_validator
from poddnat.model import Ports

_POOL = ("networkController", "natGwPool")
_PLACEHOLDER = re.compile(r"\s*<.*>\s*", re.DOTALL)


class ValuesError(ValueError):
    """The values file can't be used; every problem is named, one a line."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        super().__init__("\n".join([f"{source} can't be used:", *(f"  {problem}" for problem in problems)]))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class PoolEntry:
    """Ports that pods may get: a range, on all or some of one NAT gateway's EIPs."""

    gateway_id: str
    zone_id: str
    ports: Ports
    eips: tuple[str, ...] | None
    """None: all EIPs of the gateway, whatever they are at the time."""

    def offers(self, external_ip: str, ports: Ports) -> bool:
        """Whether these ports of that address belong to this entry."""
        within = self.ports.first <= ports.first and ports.last <= self.ports.last
        return within and (self.eips is None or external_ip in self.eips)


@dataclass(frozen=True)
class AccessKey:
    """A static key pair; the secret stays out of ``repr`` and so out of logs."""

    key_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Endpoints:
    """Other servers than the cloud's own, as URLs: the emulator, or a proxy."""

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

    @property
    def gateway_ids(self) -> tuple[str, ...]:
        """The pool's gateways, each once, in the file's order."""
        return tuple(dict.fromkeys(entry.gateway_id for entry in self.pool))

    def allows(self, gateway_id: str, external_ip: str, ports: Ports) -> bool:
        """Whether the pool lets pods have these ports."""
        return any(entry.gateway_id == gateway_id and entry.offers(external_ip, ports) for entry in self.pool)


def load(path: Path) -> Values:
    """Read the values file.

    Raises:
        ValuesError: it can't be read, or something in it is wrong.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValuesError(str(path), [f"it can't be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ValuesError(str(path), [f"it is not UTF-8 text: {error.reason} at byte {error.start}"]) from error
    except yaml.YAMLError as error:
        # The error quotes the line that it stumbled over, perhaps that of the secret.
        raise ValuesError(str(path), [f"it is not YAML: {_without_quote(error)}"]) from None
    return parse(content, source=str(path))


def parse(content: object, *, source: str = "the values file") -> Values:
    """Check the file's content (as YAML gives it) and turn it into ``Values``; ``source`` is for error messages.

    Raises:
        ValuesError: something in it is wrong.
    """
    errors = list(_validator().iter_errors(content))
    problems = [text for error in errors for text in _explain(error)]
    problems += _range_problems(content)
    if isinstance(content, dict):
        problems += _choice_problems(content)
        problems += _overlaps(_readable(content, errors))
    if problems or not isinstance(content, dict):
        raise ValuesError(source, sorted(dict.fromkeys(problems)))
    return _build(content)


def _without_quote(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "it has a character that YAML does not allow"
    return f"{error.problem} in line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"


@cache
def _validator() -> Draft202012Validator:
    return schema_validator("values.json")


def _build(content: dict[str, Any]) -> Values:
    key = content.get("credential") or {}
    endpoints = content.get("endpoints") or {}
    return Values(
        cluster_id=content["clusterID"],
        region_id=content["regionID"],
        vpc_id=content["vpcID"],
        pool=_pool(content),
        credential=AccessKey(key["accessKey"], key["accessSecret"]) if key.get("accessKey") else None,
        endpoints=Endpoints(vpc=endpoints.get("vpc"), ecs=endpoints.get("ecs")),
    )


def _pool(content: dict[str, Any]) -> tuple[PoolEntry, ...]:
    return tuple(map(_pool_entry, content["networkController"]["natGwPool"]))


def _pool_entry(entry: dict[str, Any]) -> PoolEntry:
    eips = entry.get("eips")
    return PoolEntry(
        gateway_id=entry["natgwId"],
        zone_id=entry["zoneId"],
        ports=Ports.of(int(entry["portRangeStart"]), int(entry["portRangeEnd"])),
        eips=tuple(eips) if eips else None,
    )


def _explain(error: ValidationError) -> Iterator[str]:
    """Say what is wrong, where, and what would be right."""
    path = _path(error)
    schema: dict[str, Any] = dict(error.schema) if isinstance(error.schema, Mapping) else {}
    right = schema.get("description", "")
    if error.validator == "required" and isinstance(error.instance, Mapping):
        missing = [key for key in schema["required"] if key not in error.instance]
        for key in missing:
            wanted = schema["properties"].get(key, {}).get("description", "")
            yield f"{_join(path, key)}: missing; {_uncapitalised(wanted)}"
    elif error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = list(schema["properties"])
        for key in (str(key) for key in error.instance if key not in known):
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
            yield f"{_join(path, key)}: unknown key; {hint}"
    elif isinstance(error.instance, str) and _PLACEHOLDER.fullmatch(error.instance):
        yield f"{path}: still the placeholder {error.instance!r}; put the real value: {_uncapitalised(right)}"
    elif not error.absolute_path or error.absolute_path[0] == "credential":
        yield f"{path}: it does not fit; {_uncapitalised(right)}"  # What is there may be the secret.
    else:
        yield f"{path}: {_shown(error.instance)} does not fit; {_uncapitalised(right) or error.message}"


def _path(error: ValidationError) -> str:
    path = ""
    for part in error.absolute_path:
        path = f"{path}[{part}]" if isinstance(part, int) else _join(path, part)
    return path or "the file"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path and path != "the file" else key


def _uncapitalised(text: str) -> str:
    text = text.rstrip(".")
    # An abbreviation ("ID", "EIP") keeps its capitals.
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  # about what fits a line


def _range_problems(content: object) -> Iterator[str]:
    """Find ranges that are upside down, also when other things are wrong: all problems are told at once."""
    try:
        pool = list(content["networkController"]["natGwPool"])  # type: ignore[index]
    except (KeyError, TypeError):
        return
    for index, entry in enumerate(pool):
        try:
            start, end = _number(entry["portRangeStart"]), _number(entry["portRangeEnd"])
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if start > end:
            where = f"networkController.natGwPool[{index}].portRangeEnd"
            yield f"{where}: {end} lies below portRangeStart, {start}; swap them or widen the range"


def _number(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError  # An integer to Python, but not to people.
    return int(value)


def _choice_problems(content: dict[str, Any]) -> Iterator[str]:
    controllers = content.get("enableControllers", ["natgw"])
    if isinstance(controllers, list) and "natgw" not in controllers:
        yield 'enableControllers: "natgw" is not listed, so there would be nothing to do; add it'
    key = content.get("credential")
    given = [name for name in ("accessKey", "accessSecret") if isinstance(key, dict) and key.get(name)]
    if len(given) == 1:
        yield f"credential: only {given[0]} is set; set both, or neither to use the node's RAM role"


def _readable(content: dict[str, Any], errors: Sequence[ValidationError]) -> Iterator[tuple[int, PoolEntry]]:
    """Read the pool's entries that the schema finds nothing wrong with, but for keys too many."""
    wrong = {tuple(error.absolute_path)[:3] for error in errors if error.validator != "additionalProperties"}
    network = content.get(_POOL[0])
    pool = network.get(_POOL[1]) if isinstance(network, dict) else None
    for index, entry in enumerate(pool if isinstance(pool, list) else []):
        if (*_POOL, index) not in wrong:
            with suppress(ValueError):  # Upside down: told already.
                yield index, _pool_entry(entry)


def _overlaps(pool: Iterable[tuple[int, PoolEntry]]) -> Iterator[str]:
    for (i, one), (j, other) in itertools.combinations(pool, 2):
        if one.ports.overlaps(other.ports) and (shared := _shared_eips(one, other)):
            yield (
                f"networkController.natGwPool[{j}]: ports {other.ports.first}-{other.ports.last} overlap those of "
                f"natGwPool[{i}], {one.ports.first}-{one.ports.last}, on {shared}; keep the ranges apart"
            )


def _shared_eips(one: PoolEntry, other: PoolEntry) -> str:
    if one.eips is not None and other.eips is not None:
        return ", ".join(ip for ip in one.eips if ip in other.eips)
    if one.gateway_id == other.gateway_id:
        return f"EIPs of {one.gateway_id}"
    return ""
