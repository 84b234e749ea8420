"""YAML as people write it: what it comes to, and what it silently does to texts that look otherwise."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

_INT = "tag:yaml.org,2002:int"
_PLAIN = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_MERGE = "<<"


class YamlError(ValueError):
    """A text is not YAML; the message says where, and quotes nothing of it."""


@dataclass(frozen=True)
class Oddity:
    """What YAML takes otherwise than it looks: the place of it, and a sentence."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(frozen=True)
class Misread(Oddity):
    """A number that is written as none looks, such as 0777: what is written, and what YAML finds there."""

    written: str
    found: str


class Loader(yaml.SafeLoader):
    """Loads what JSON can say too, with dates as texts, as kubectl does; notes the oddities of documents on the way."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.oddities: list[Oddity] = []

    def construct_document(self, node: Any) -> Any:
        """Construct a document, once it is looked through."""
        self.oddities += dict.fromkeys(_oddities(node, "", frozenset()))
        return super().construct_document(node)


def _refuse(_: yaml.Loader, node: yaml.Node) -> None:
    raise yaml.constructor.ConstructorError(problem="found a value of a type of its own", problem_mark=node.start_mark)


Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)
for _tag in ("binary", "omap", "pairs", "set"):
    Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _refuse)


def load_documents(text: str) -> list[tuple[Any, list[Oddity]]]:
    """Load all documents of a text, each with its oddities.

    Raises:
        YamlError: it is not YAML.
    """
    documents = []
    try:
        loader = Loader(text)
        while loader.check_data():  # type: ignore[no-untyped-call]
            content = loader.get_data()
            documents.append((content, loader.oddities))
            loader.oddities = []
    except yaml.YAMLError as error:
        raise YamlError(_without_quote(error)) from None
    except (ValueError, RecursionError) as error:
        # Such as a number of very many digits, or a thousand brackets.
        raise YamlError("it has a value that can't be read") from error
    return documents


def _without_quote(error: yaml.YAMLError) -> str:
    # The error quotes the line that it stumbled over, perhaps that of a secret.
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "it has a character that YAML does not allow"
    return f"{error.problem} in line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"


def _oddities(node: yaml.Node, place: str, above: frozenset[int]) -> Iterator[Oddity]:
    if id(node) in above:
        raise yaml.constructor.ConstructorError(problem="found a value that holds itself", problem_mark=node.start_mark)
    above |= {id(node)}
    match node:
        case yaml.MappingNode():
            yield from _doubled(node, place)
            for key, value in node.value:
                yield from _oddities(value, _join(place, key.value), above)
        case yaml.SequenceNode():
            for index, item in enumerate(node.value):
                yield from _oddities(item, f"{place}[{index}]", above)
        case yaml.ScalarNode(tag=tag, value=value) if tag == _INT and not _PLAIN.fullmatch(value):
            line = node.start_mark.line + 1
            number = yaml.SafeLoader.construct_yaml_int(yaml.SafeLoader(""), node)
            right = f'write {number}, or "{value}" for the text'
            if re.fullmatch("0[0-9]+", value):
                right = f"write {value.lstrip('0') or 0}, or {number} if that is meant"
            found = f"{value} in line {line}, {number} to YAML"
            yield Misread(place, f"{value} in line {line} is {number} to YAML; {right}", value, found)


def _doubled(node: yaml.MappingNode, place: str) -> Iterator[Oddity]:
    lines: dict[tuple[str, str], list[int]] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value != _MERGE:
            lines.setdefault((key.tag, key.value), []).append(key.start_mark.line + 1)
    for (_, name), found in lines.items():
        if len(found) > 1:
            several = ", ".join(map(str, found[:-1])) + f" and {found[-1]}"
            yield Oddity(_join(place, name), f"given {len(found)} times, in lines {several}; keep one")


def _join(place: str, key: Any) -> str:
    return f"{place}.{key}" if place else str(key)
