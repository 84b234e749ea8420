"""What can be wrong with the values file's content, and what people read of it: the place, and what would be right.

``schemas/values.json`` says what each key looks like; here is also what a schema can't say, such as which ranges
exclude each other.
"""

import difflib
import ipaddress
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from poddnat.config.label_selector import Operator
from poddnat.config.pool import PoolEntry
from poddnat.config.yaml_text import Misread, Oddity
from poddnat.files import below, place_of, schema_validator

_NETWORK = "networkController"
_POOL = (_NETWORK, "natGwPool")
_ALIKE, _ALIKE_IN_POOL = 0.8, 0.6
"""From when on an unknown key counts as a known one misspelt: nearer where other programs have keys of their own."""
_SELECTOR = ("matchLabels", "matchExpressions")
_PLACEHOLDER = re.compile(r"\s*<.*>\s*", re.DOTALL)


def problems_of(content: object) -> list[str]:
    """List all that is wrong with the file's content (as YAML gives it), each in one sentence; none: it is fine."""
    errors = list(_validator().iter_errors(content))
    problems = [text for error in errors for text in (*_explain(error), *_misspelt(error))]
    problems += _range_problems(content)
    if isinstance(content, dict):
        problems += _choice_problems(content)
        pool = list(_readable(content, errors))
        problems += _overlaps(pool)
        problems += _quota_conflicts(pool)
        network = content.get(_NETWORK)
        if isinstance(network, dict):
            problems += _blocked_problems(network)
            problems += _namespace_problems(network)
    return sorted(dict.fromkeys(problems))


@cache
def _validator() -> Draft202012Validator:
    return schema_validator("values.json")


def _explain(error: ValidationError) -> Iterator[str]:
    """Say what is wrong, where, and what would be right."""
    path = place_of(error) or "the file"
    schema: dict[str, Any] = dict(error.schema) if isinstance(error.schema, Mapping) else {}
    right = schema.get("description", "")
    if error.validator == "required" and isinstance(error.instance, Mapping):
        missing = [key for key in schema["required"] if key not in error.instance]
        for key in missing:
            description = schema["properties"].get(key, {}).get("description", "")
            yield f"{below(place_of(error), key)}: missing; {_uncapitalised(description)}"
    elif error.validator == "additionalProperties":
        return  # What becomes of unknown keys depends on where they are.
    elif isinstance(error.instance, str) and _PLACEHOLDER.fullmatch(error.instance):
        yield f"{path}: still the placeholder {error.instance!r}; put the real value: {_uncapitalised(right)}"
    elif error.validator == "enum" and isinstance(error.instance, str) and (meant := _closest(error.instance, schema)):
        yield f"{path}: {_observed(error.instance)} is not known; did you mean {meant}?"
    elif not error.absolute_path or error.absolute_path[0] == "credential":
        yield f"{path}: it does not fit; {_uncapitalised(right)}"  # What is there may be the secret.
    else:
        yield f"{path}: {_observed(error.instance)} does not fit; {_uncapitalised(right) or error.message}"


def _misspelt(error: ValidationError) -> Iterator[str]:
    """Name the unknown keys that are a mistake: any in the pool, elsewhere those that nearly are one of ours.

    Elsewhere other programs have keys of their own. But a limit that is misspelt would be no limit.
    """
    is_pools = tuple(error.absolute_path)[: len(_POOL)] == _POOL
    for key, near, known in _unknown_keys(error):
        if near or is_pools:
            hint = f"did you mean {near}?" if near else f"known here: {', '.join(known)}"
            yield f"{below(place_of(error), key)}: unknown key; {hint}"


def _foreign(error: ValidationError) -> Iterator[str]:
    if tuple(error.absolute_path)[: len(_POOL)] != _POOL:
        for key, near, _ in _unknown_keys(error):
            if not near:
                yield f"{below(place_of(error), key)}: poddnat doesn't know this key, and leaves it to others"


def _unknown_keys(error: ValidationError) -> Iterator[tuple[str, str, list[str]]]:
    """List unknown keys, with the known one that is much like it, if any, and all that are known there."""
    if error.validator != "additionalProperties" or not isinstance(error.instance, Mapping):
        return
    known = list(dict(error.schema)["properties"])  # type: ignore[arg-type]
    lower = {key.lower(): key for key in known}
    cutoff = _ALIKE_IN_POOL if tuple(error.absolute_path)[: len(_POOL)] == _POOL else _ALIKE
    for key in (str(key) for key in error.instance if key not in known):
        near = difflib.get_close_matches(key.lower(), lower, n=1, cutoff=cutoff)
        yield key, lower[near[0]] if near else "", known


def warnings_of(content: Mapping[str, Any]) -> list[str]:
    """List what is odd about content that has no problems, each in one sentence."""
    errors = list(_validator().iter_errors(content))
    found = [text for error in errors for text in _foreign(error)]
    pool = list(_readable(content, errors))
    found += [
        *_empty_eips(content[_NETWORK]),
        *_repeated_eips(content[_NETWORK]),
        *_shared_between_gateways(pool),
        *_zones(pool),
    ]
    found += _all_blocked(content[_NETWORK], pool)
    return list(dict.fromkeys(found))


def is_relevant(oddity: Oddity) -> bool:
    """Whether what YAML takes otherwise than it looks matters here: numbers of others' keys don't."""
    return not isinstance(oddity, Misread) or oddity.place.startswith(f"{_NETWORK}.")


def _empty_eips(network: Mapping[str, Any]) -> Iterator[str]:
    for index, entry in enumerate(network["natGwPool"]):
        if entry.get("eips") == []:
            yield (
                f"networkController.natGwPool[{index}].eips is empty, which gives pods every EIP of "
                f"{entry['natgwId']}; leave it out if that is meant, or list the EIPs that they may get"
            )


def _repeated_eips(network: Mapping[str, Any]) -> Iterator[str]:
    for index, entry in enumerate(network["natGwPool"]):
        eips = entry.get("eips") or []
        for eip in sorted({eip for eip in eips if eips.count(eip) > 1}):
            yield f"networkController.natGwPool[{index}].eips: {eip} is listed {eips.count(eip)} times; once is enough"


def _shared_between_gateways(pool: Iterable[tuple[int, PoolEntry]]) -> Iterator[str]:
    first: dict[str, tuple[int, str]] = {}
    for index, entry in pool:
        for eip in dict.fromkeys(entry.eips or ()):
            other, gateway_id = first.setdefault(eip, (index, entry.gateway_id))
            if gateway_id != entry.gateway_id:
                yield (
                    f"networkController.natGwPool[{index}].eips: {eip} is listed for {entry.gateway_id} and, in "
                    f"natGwPool[{other}], for {gateway_id}; an EIP is on one gateway only, so take it out of the other"
                )


def _zones(pool: Iterable[tuple[int, PoolEntry]]) -> Iterator[str]:
    first: dict[str, tuple[int, str]] = {}
    for index, entry in pool:
        other, zone = first.setdefault(entry.gateway_id, (index, entry.zone_id))
        if zone != entry.zone_id:
            yield (
                f"networkController.natGwPool[{index}].zoneId: {entry.zone_id} differs from that of "
                f"natGwPool[{other}], {zone}, though both are of {entry.gateway_id}; a gateway is in one zone, "
                f"so give that in both"
            )


def _all_blocked(network: Mapping[str, Any], pool: Sequence[tuple[int, PoolEntry]]) -> Iterator[str]:
    blocked = [ipaddress.IPv4Network(text) for text in network.get("blockedEips") or ()]
    eips = [ipaddress.IPv4Address(eip) for _, entry in pool for eip in entry.eips or ()]
    listed = all(entry.eips for _, entry in pool)
    everything = any(not network.prefixlen for network in blocked)
    if everything or (listed and all(any(eip in network for network in blocked) for eip in eips)):
        yield "networkController.blockedEips: every EIP of the pool is blocked, so no pod gets ports; leave some open"


def _closest(word: str, schema: Mapping[str, Any]) -> str:
    known = {value.lower(): value for value in schema["enum"]}
    return next((known[near] for near in difflib.get_close_matches(word.lower(), known, n=1)), "")


def _uncapitalised(text: str) -> str:
    text = text.rstrip(".")
    # An abbreviation ("ID", "EIP") keeps its capitals.
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _observed(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  # about what fits a line


def _range_problems(content: object) -> Iterator[str]:
    """Find ranges that are upside down, also when other things are wrong: all problems are shown at once."""
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


def _readable(content: Mapping[str, Any], errors: Sequence[ValidationError]) -> Iterator[tuple[int, PoolEntry]]:
    """Read the pool's entries that the schema finds nothing wrong with, but for keys too many."""
    wrong = {tuple(error.absolute_path)[:3] for error in errors if error.validator != "additionalProperties"}
    network = content.get(_POOL[0])
    pool = network.get(_POOL[1]) if isinstance(network, dict) else None
    for index, entry in enumerate(pool if isinstance(pool, list) else []):
        if (*_POOL, index) not in wrong:
            with suppress(ValueError):  # Upside down: found already.
                yield index, PoolEntry.read(entry)


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


def _quota_conflicts(pool: Iterable[tuple[int, PoolEntry]]) -> Iterator[str]:
    """Find gateways with different quotas in two entries: a gateway has one table, and so one quota."""
    quotas: dict[str, tuple[int, int]] = {}
    for index, entry in pool:
        if entry.quota is None:
            continue
        first, quota = quotas.setdefault(entry.gateway_id, (index, entry.quota))
        if quota != entry.quota:
            yield (
                f"networkController.natGwPool[{index}].quota: {entry.quota} differs from that of natGwPool[{first}], "
                f"{quota}, though both are of {entry.gateway_id}; give one quota for a gateway"
            )


def _blocked_problems(network: dict[str, Any]) -> Iterator[str]:
    blocked = network.get("blockedEips")
    for index, text in enumerate(blocked if isinstance(blocked, list) else []):
        # Python takes numbers for addresses too; the schema has refused them by now.
        with suppress(ValueError):
            whole = ipaddress.IPv4Interface(str(text))
            if "/" in str(text) and whole.ip != whole.network.network_address:
                right = f"write {whole.network} for the network, or {whole.ip} for the one address"
                yield f"networkController.blockedEips[{index}]: {text!r} has bits set behind its prefix; {right}"


def _namespace_problems(network: dict[str, Any]) -> Iterator[str]:
    allowed = network.get("allowedNamespaces")
    if not isinstance(allowed, dict):
        return
    where = "networkController.allowedNamespaces"
    if not allowed.get("names") and "selector" not in allowed:
        yield f"{where}: it names no namespace; list names, give a selector, or leave it out to allow all"
    selector = allowed.get("selector", ...)
    if selector is None or (isinstance(selector, dict) and not any(map(selector.get, _SELECTOR))):
        yield f"{where}.selector: empty, it would fit every namespace; leave allowedNamespaces out to allow all"
    expressions = selector.get("matchExpressions") if isinstance(selector, dict) else None
    for index, expression in enumerate(expressions if isinstance(expressions, list) else []):
        if isinstance(expression, dict):
            yield from _expression_problems(expression, f"{where}.selector.matchExpressions[{index}].values")


def _expression_problems(expression: dict[str, Any], where: str) -> Iterator[str]:
    try:
        operator = Operator(expression["operator"])
    except (KeyError, ValueError):
        return  # The schema has found it.
    values = expression.get("values")
    if operator.takes_values and values in (None, []):
        yield f"{where}: missing; {operator} needs at least one value"
    elif not operator.takes_values and values:
        yield f"{where}: {operator} takes no values; leave them out"
