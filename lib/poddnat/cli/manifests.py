"""Manifests to try, as people have them: lists, folders, several documents, and what an API server would refuse."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from poddnat.api import INSTALLATION, Installation, annotations, installation, without_nulls
from poddnat.cli.manifest_problems import problems_of, shown, template_of
from poddnat.config import Oddity, YamlError, load_documents

Manifest = dict[str, Any]

WORKLOADS = {
    "Pod": ("v1",),
    "Deployment": ("apps/v1",),
    "StatefulSet": ("apps/v1", "apps.kruise.io/v1beta1", "apps.kruise.io/v1alpha1"),
    "ReplicaSet": ("apps/v1",),
    "DaemonSet": ("apps/v1",),
    "Job": ("batch/v1",),
    "CronJob": ("batch/v1",),
}
"""The kinds whose pods are simulated, each with the API versions that there are of it."""

_VERSIONS = {**WORKLOADS, "Namespace": ("v1",)}
_SUFFIXES = (".yaml", ".yml", ".json")
_COUNTS = {
    "Deployment": ("spec", "replicas"),
    "StatefulSet": ("spec", "replicas"),
    "ReplicaSet": ("spec", "replicas"),
    "Job": ("spec", "parallelism"),
    "CronJob": ("spec", "jobTemplate", "spec", "parallelism"),
}
"""Where each kind says how many pods it has; 1, where it doesn't say so."""


class ManifestsError(ValueError):
    """The manifests to try can't be used; the text says which and why."""


@dataclass
class Manifests:
    """What was found to try."""

    workloads: list[Manifest] = field(default_factory=list)
    namespaces: list[Manifest] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    """A sentence on each object with pods of its own that can't be simulated."""
    notes: list[str] = field(default_factory=list)
    """What else is to be told."""


def read_manifests(paths: Iterable[Path]) -> Manifests:
    """Read files, folders and, for ``-``, the standard input.

    Raises:
        ManifestsError: something can't be read, or an API server would refuse it, or there is nothing to run.
    """
    found, seen = Manifests(), set[tuple[str, ...]]()
    for path, text in _texts(paths):
        try:
            documents = load_documents(text)
        except YamlError as error:
            raise ManifestsError(f"{path}: it is not YAML: {error}") from None
        for content, oddities in documents:
            for place, obj in _objects(_without_answers(without_nulls(content)), path):
                _add(found, obj, list(_below(place, oddities)), path)
                _check_seen(seen, obj, path)
    if not found.workloads and not found.passed_over:
        raise ManifestsError(f"there is no {', '.join(WORKLOADS)} in the manifests")
    return found


def unserved(found: Manifests, served_by: Installation) -> Iterator[str]:
    """Say in a sentence of each workload that its pods are another installation's, though they ask for ports."""
    for workload in found.workloads:
        metadata = template_of(workload).get("metadata") or {}
        if annotations.POD_DNAT in (metadata.get("annotations") or {}) and not served_by.serves(metadata):
            whose = f"{installation.of_pod(metadata)}, by the label {INSTALLATION} of its pods or for want of it"
            yield f"{_name(workload)} is left alone: it is for {whose}, and these values are of {served_by}."


def count_pods(workload: Manifest) -> int:
    """Tell how many pods a workload has at first; a DaemonSet as on one node."""
    if workload["kind"] not in _COUNTS:
        return 1
    *above, key = _COUNTS[workload["kind"]]
    for part in above:
        workload = workload[part]
    count: int = workload.get(key, 1)
    return count


def _texts(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    for path in paths:
        try:
            if str(path) == "-":
                yield path, sys.stdin.read()
            elif path.is_dir():
                files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
                if not files:
                    raise ManifestsError(f"{path} has no file that ends in {', '.join(_SUFFIXES)}")
                for file in files:
                    yield file, file.read_text(encoding="utf-8")
            else:
                yield path, path.read_text(encoding="utf-8")
        except OSError as error:
            raise ManifestsError(f"{path} can't be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ManifestsError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error


def _objects(content: Any, path: Path, place: str = "") -> Iterator[tuple[str, Manifest]]:
    """Give all objects of a document, those of lists one by one, with where each is in it."""
    if content is None:
        return
    if not isinstance(content, dict) or not isinstance(content.get("kind"), str) or not content["kind"]:
        raise ManifestsError(f"{path}: a document is no object of Kubernetes: it has no kind, such as kind: Pod")
    items = content.get("items")
    if content["kind"].endswith("List") and isinstance(items, list):
        for index, item in enumerate(items):
            # Items of a list of one kind need not say theirs.
            own = {"apiVersion": content.get("apiVersion"), "kind": content["kind"].removesuffix("List")}
            whole = {**own, **item} if own["kind"] and isinstance(item, dict) else item
            yield from _objects(whole, path, f"{place}items[{index}].")
    else:
        yield place, content


def _without_answers(value: Any) -> Any:
    """Leave out what poddnat has told of a pod that is copied from a cluster: nothing is told of the simulated one."""
    if isinstance(value, dict):
        answers = (annotations.STATUS, annotations.RESULT)
        return {key: _without_answers(part) for key, part in value.items() if key not in answers}
    return [_without_answers(part) for part in value] if isinstance(value, list) else value


def _below(place: str, oddities: Iterable[Oddity]) -> Iterator[Oddity]:
    """Give those oddities of a document that are in one object of it, by their places there."""
    for oddity in oddities:
        if oddity.place.startswith(place):
            yield replace(oddity, place=oddity.place.removeprefix(place))


def _add(found: Manifests, obj: Manifest, oddities: list[Oddity], path: Path) -> None:
    kind, version = obj["kind"], obj.get("apiVersion")
    known = _VERSIONS.get(kind, ())
    if version in known:
        if problems := problems_of(obj, oddities):
            raise ManifestsError("\n".join(f"{path}: {_name(obj)} {problem}" for problem in problems))
        if (text := _asks_in_vain(obj)) is not None:
            found.passed_over.append(f"{_name(obj)} asks for no public ports. {text}")
        (found.namespaces if kind == "Namespace" else found.workloads).append(obj)
        if not count_pods(obj):
            found.notes.append(f"{_name(obj)} has no pods: {'.'.join(_COUNTS[kind])} is 0.")
    elif known and not (isinstance(version, str) and "." in version.partition("/")[0]):
        said = f"whose apiVersion is {shown(version)}: no API server has that" if version else "without apiVersion"
        raise ManifestsError(f"{path}: {_name(obj)} {said}; write apiVersion: {known[0]}")
    elif _has_template(obj.get("spec")):
        text = f"{_name(obj)} is passed over: how a {kind} of {version} makes its pods is not simulated"
        found.passed_over.append(
            f"{text}; try its pod template as a Pod or StatefulSet with the annotations of its pods."
        )


def _asks_in_vain(obj: Manifest) -> str | None:
    """Say which annotations of an object's pods may be meant to ask for ports, and don't; None: there is none."""
    found = (template_of(obj).get("metadata") or {}).get("annotations") or {}
    near = annotations.near_misses(found) if annotations.POD_DNAT not in found else ()
    return annotations.without_effect(near) if near else None


def _check_seen(seen: set[tuple[str, ...]], obj: Manifest, path: Path) -> None:
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name"):
        return
    key = (obj["kind"], str(obj.get("apiVersion")), str(metadata.get("namespace", "default")), str(metadata["name"]))
    if key in seen:
        raise ManifestsError(f"{path}: {_name(obj)} is there twice; keep one, or give one another name")
    seen.add(key)


def _has_template(value: object) -> bool:
    if isinstance(value, dict):
        return isinstance(value.get("containers"), list) or any(map(_has_template, value.values()))
    return isinstance(value, list) and any(map(_has_template, value))


def _name(obj: Manifest) -> str:
    metadata = obj.get("metadata")
    name = metadata.get("name") or metadata.get("generateName") if isinstance(metadata, dict) else None
    return f"{obj['kind']} {name}" if name else str(obj["kind"])
