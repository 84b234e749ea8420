"""Manifests to try, as people have them: lists, folders, several documents, and what an API server would refuse."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from poddnat.api import without_nulls
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

_SUFFIXES = (".yaml", ".yml", ".json")
_REPLICAS = {"Deployment": "replicas", "StatefulSet": "replicas", "ReplicaSet": "replicas", "Job": "parallelism"}


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
            for obj in _objects(without_nulls(content), path):
                _add(found, obj, oddities, path)
                _check_seen(seen, obj, path)
    if not found.workloads and not found.passed_over:
        raise ManifestsError(f"there is no {', '.join(WORKLOADS)} in the manifests")
    return found


def count_pods(workload: Manifest) -> int:
    """Tell how many pods a workload has at first; a DaemonSet as on one node."""
    if workload["kind"] == "CronJob":
        return count_pods({"kind": "Job", "spec": workload["spec"]["jobTemplate"]["spec"]})
    count: int = workload["spec"].get(_REPLICAS.get(workload["kind"], ""), 1)
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


def _objects(content: Any, path: Path) -> Iterator[Manifest]:
    if content is None:
        return
    if not isinstance(content, dict) or not isinstance(content.get("kind"), str):
        raise ManifestsError(f"{path}: a document is no object of Kubernetes: it has no kind, such as kind: Pod")
    items = content.get("items")
    if content["kind"].endswith("List") and isinstance(items, list):
        for item in items:
            # Items of a list of one kind need not say theirs.
            own = {"apiVersion": content.get("apiVersion"), "kind": content["kind"].removesuffix("List")}
            yield from _objects({**own, **item} if own["kind"] and isinstance(item, dict) else item, path)
    else:
        yield content


def _add(found: Manifests, obj: Manifest, oddities: list[Oddity], path: Path) -> None:
    kind, version = obj["kind"], obj.get("apiVersion")
    is_known = version in WORKLOADS.get(kind, ())
    if kind == "Namespace" or is_known:
        if problems := [*_problems(obj), *_odd(oddities)]:
            raise ManifestsError("\n".join(f"{path}: {_name(obj)} {problem}" for problem in problems))
        (found.namespaces if kind == "Namespace" else found.workloads).append(obj)
        if kind not in ("Namespace", "Pod") and not count_pods(obj):
            found.notes.append(f"{_name(obj)} has no pods: spec.{_REPLICAS[kind]} is 0.")
    elif kind in WORKLOADS and (version is None or "." not in version.partition("/")[0]):
        right = WORKLOADS[kind][0]
        said = f"whose apiVersion is {version}: no API server has that any more" if version else "without apiVersion"
        raise ManifestsError(f"{path}: {_name(obj)} {said}; write apiVersion: {right}")
    elif _has_template(obj.get("spec")):
        text = f"{_name(obj)} is passed over: how a {kind} of {version} makes its pods is not simulated"
        found.passed_over.append(
            f"{text}; try its pod template as a Pod or StatefulSet with the annotations of its pods."
        )


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


def _odd(oddities: list[Oddity]) -> Iterator[str]:
    for oddity in oddities:
        yield f"has {oddity}"


def _problems(obj: Manifest) -> Iterator[str]:
    """Tell what an API server would refuse an object for."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        yield "without metadata.name"
        return
    for key in ("name", "generateName", "namespace"):
        if key in metadata and not isinstance(metadata[key], str):
            yield _unquoted(f"metadata.{key}", metadata[key])
    yield from _metadata_problems(metadata, "metadata")
    if obj["kind"] == "Namespace":
        return
    needed = {"Pod": ["spec"], "Job": ["spec", "spec.template"], "CronJob": ["spec", *_path_of_jobs()]}
    usual = ["spec", "spec.selector", "spec.template"]
    for path in needed.get(obj["kind"], usual):
        value = _at(obj, path)
        if not value:
            yield f"without {path}"
            return
        if not isinstance(value, dict):
            yield f"whose {path} is not a mapping of keys to values"
            return
    yield from _template_problems(obj)


def _path_of_jobs() -> list[str]:
    return ["spec.jobTemplate", "spec.jobTemplate.spec", "spec.jobTemplate.spec.template"]


def _at(obj: object, path: str) -> object:
    for key in path.split("."):
        obj = obj.get(key) if isinstance(obj, dict) else None
    return obj


def _template_problems(obj: Manifest) -> Iterator[str]:
    base = {"Pod": "", "CronJob": "spec.jobTemplate.spec.template"}.get(obj["kind"], "spec.template")
    if base:
        metadata = _at(obj, f"{base}.metadata")
        if isinstance(metadata, dict):
            yield from _metadata_problems(metadata, f"{base}.metadata")
        elif metadata is not None:
            yield f"whose {base}.metadata is not a mapping of keys to values"
    spec = f"{base}.spec".lstrip(".")
    containers = _at(obj, f"{spec}.containers")
    if not isinstance(containers, list) or not containers:
        yield f"without {spec}.containers; list at least one"
    jobs = "spec.jobTemplate.spec" if obj["kind"] == "CronJob" else "spec"
    key = "parallelism" if obj["kind"] == "CronJob" else _REPLICAS.get(obj["kind"], "")
    counted = _at(obj, f"{jobs}.{key}") if key else None
    if counted is not None and (not isinstance(counted, int) or isinstance(counted, bool) or counted < 0):
        yield f"whose {jobs}.{key} is {counted!r}, not a number of pods"
    start = _at(obj, "spec.ordinals.start")
    if start is not None and (not isinstance(start, int) or isinstance(start, bool) or start < 0):
        yield f"whose spec.ordinals.start is {start!r}, not a number from 0 on"


def _metadata_problems(metadata: Mapping[str, Any], where: str) -> Iterator[str]:
    for part in ("annotations", "labels"):
        found = metadata.get(part)
        if found is not None and not isinstance(found, dict):
            yield f'whose {where}.{part} is a list; write keys and values, such as k8s.aliyun.com/pod-dnat: "true"'
            continue
        for key, value in (found or {}).items():
            if not isinstance(value, str):
                yield _unquoted(f"{where}.{part}.{key}", value)


def _unquoted(where: str, value: object) -> str:
    if isinstance(value, bool):
        return f'whose {where} is {str(value).lower()}, a boolean to YAML; write "{str(value).lower()}", in quotes'
    if isinstance(value, list):
        return f'whose {where} is a list; write one text, in quotes: "{",".join(map(str, value))}"'
    if isinstance(value, dict):
        return f"whose {where} is a mapping; write a text, in quotes"
    return f'whose {where} is {value}, no text to YAML; write "{value}", in quotes'
