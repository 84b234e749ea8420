"""DecoratorController and CompositeController manifests: what the stand-in takes from them.

It understands what a controller of annotated objects needs. What Metacontroller knows besides (customize
hooks, children of composites, finalize hooks of decorators, hook version v2, client certificates) is refused,
not ignored.
"""

from __future__ import annotations

import copy
import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from metacontroller_standin.memory_store import timestamp
from metacontroller_standin.selectors import matches

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]

API_VERSION = "metacontroller.k8s.io/v1alpha1"
DEFAULT_TIMEOUT = 10.0

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class ManifestError(ValueError):
    """A manifest is wrong, or asks for what the stand-in does not do."""


@dataclass(frozen=True)
class SecretKey:
    """Where a bearer token is kept."""

    namespace: str
    name: str
    key: str
    scheme: str = "Bearer"


@dataclass(frozen=True)
class Authorities:
    """Which certificate authorities a hook's server may have: given as PEM, or by where that is kept."""

    pem: str = ""
    secret: SecretKey | None = None


@dataclass(frozen=True)
class Webhook:
    """One hook: `sync` or `finalize`, and its address."""

    name: str
    url: str
    timeout: float = DEFAULT_TIMEOUT
    authorization: SecretKey | None = None
    authorities: Authorities | None = None
    """None: those that the system trusts."""


@dataclass(frozen=True)
class ParentRule:
    """Which objects a controller looks after."""

    api_version: str
    plural: str
    label_selector: Json | None = None
    annotation_selector: Json | None = None
    ignore_status_changes: bool = False

    def selects(self, obj: Json) -> bool:
        """Tell whether an object is one of them, by its labels and annotations."""
        metadata = obj["metadata"]
        return matches(self.label_selector, metadata.get("labels") or {}) and matches(
            self.annotation_selector, metadata.get("annotations") or {}, equal="matchAnnotations"
        )


@dataclass(frozen=True)
class AttachmentRule:
    """One kind of objects that a decorator makes."""

    api_version: str
    plural: str
    update_method: str = "OnDelete"


@dataclass(frozen=True)
class DecoratorSpec:
    """A DecoratorController; `body` is what hooks get as `controller`."""

    name: str
    body: Json
    parents: tuple[ParentRule, ...]
    attachments: tuple[AttachmentRule, ...]
    sync: Webhook
    resync_period: float | None = None


@dataclass(frozen=True)
class CompositeSpec:
    """A CompositeController; `body` is what hooks get as `controller`."""

    name: str
    body: Json
    parent: ParentRule
    sync: Webhook
    finalize: Webhook | None = None
    resync_period: float | None = None
    finalizer: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "finalizer", f"metacontroller.io/compositecontroller-{self.name}")


ControllerSpec = DecoratorSpec | CompositeSpec


def is_controller(manifest: Json) -> bool:
    """Tell whether a manifest is one that `parse` reads."""
    kinds = ("DecoratorController", "CompositeController")
    return manifest.get("apiVersion") == API_VERSION and manifest.get("kind") in kinds


def parse(manifest: Json) -> ControllerSpec:
    """Read one controller's manifest."""
    if not is_controller(manifest):
        message = f"neither a DecoratorController nor a CompositeController: {manifest.get('kind')}"
        raise ManifestError(message)
    try:
        if manifest["kind"] == "DecoratorController":
            return _decorator(manifest)
        return _composite(manifest)
    except KeyError as error:
        message = f"{manifest['kind']} {manifest['metadata'].get('name')}: {error.args[0]} is missing"
        raise ManifestError(message) from None


def point_at(manifests: Iterable[Json], base_url: str) -> list[Json]:
    """Return copies of manifests whose hooks are on another server, under the same paths."""
    scheme, host, *_ = urlsplit(base_url)
    moved = copy.deepcopy(list(manifests))
    for manifest in filter(is_controller, moved):
        for hook in manifest["spec"]["hooks"].values():
            _, _, path, query, _ = urlsplit(hook["webhook"]["url"])
            hook["webhook"]["url"] = urlunsplit((scheme, host, path, query, ""))
    return moved


def _decorator(manifest: Json) -> DecoratorSpec:
    spec = manifest["spec"]
    _refuse(manifest, spec["hooks"], "finalize", "customize")
    plurals = [(rule["apiVersion"].rpartition("/")[0], rule["resource"]) for rule in spec["resources"]]
    if len(set(plurals)) < len(plurals):
        # Metacontroller keeps one selector for each kind, the last: certainly not what was meant.
        message = f"DecoratorController {manifest['metadata']['name']} has two rules for one resource"
        raise ManifestError(message)
    return DecoratorSpec(
        name=manifest["metadata"]["name"],
        body=_as_stored(manifest),
        parents=tuple(_parent(rule) for rule in spec["resources"]),
        attachments=tuple(_attachment(rule) for rule in spec.get("attachments") or []),
        sync=_webhook(manifest, "sync"),
        resync_period=spec.get("resyncPeriodSeconds"),
    )


def _composite(manifest: Json) -> CompositeSpec:
    spec = manifest["spec"]
    _refuse(manifest, spec["hooks"], "customize", "preUpdateChild", "postUpdateChild")
    _refuse(manifest, spec, "childResources")
    if not spec.get("generateSelector"):
        message = f"CompositeController {manifest['metadata']['name']}: only generateSelector: true is known here"
        raise ManifestError(message)
    return CompositeSpec(
        name=manifest["metadata"]["name"],
        body=_as_stored(manifest),
        parent=_parent(spec["parentResource"]),
        sync=_webhook(manifest, "sync"),
        finalize=_webhook(manifest, "finalize") if "finalize" in spec["hooks"] else None,
        resync_period=spec.get("resyncPeriodSeconds"),
    )


def _refuse(manifest: Json, part: Json, *keys: str) -> None:
    for key in keys:
        if part.get(key):
            name = f"{manifest['kind']} {manifest['metadata']['name']}"
            message = f"{name}: the stand-in does not know {key}"
            raise ManifestError(message)


def _parent(rule: Json) -> ParentRule:
    return ParentRule(
        api_version=rule["apiVersion"],
        plural=rule["resource"],
        label_selector=rule.get("labelSelector"),
        annotation_selector=rule.get("annotationSelector"),
        ignore_status_changes=bool(rule.get("ignoreStatusChanges")),
    )


def _attachment(rule: Json) -> AttachmentRule:
    method = (rule.get("updateStrategy") or {}).get("method") or "OnDelete"
    if method not in ("OnDelete", "Recreate", "InPlace", "RollingRecreate", "RollingInPlace"):
        message = f"unknown update method {method!r}"
        raise ManifestError(message)
    return AttachmentRule(rule["apiVersion"], rule["resource"], method.removeprefix("Rolling"))


def _webhook(manifest: Json, name: str) -> Webhook:
    hook = manifest["spec"]["hooks"][name]
    if hook.get("version", "v1") != "v1":
        message = f"{manifest['metadata']['name']}: only hook version v1 is known here"
        raise ManifestError(message)
    webhook = hook["webhook"]
    _refuse(manifest, webhook, "service", "etag", "basicAuth", "clientTLS")
    return Webhook(
        name=name,
        url=webhook["url"],
        timeout=_seconds(webhook["timeout"]) if "timeout" in webhook else DEFAULT_TIMEOUT,
        authorization=_secret_key(webhook.get("authorization")),
        authorities=_authorities(manifest, webhook.get("caBundle")),
    )


def _secret_key(authorization: Json | None) -> SecretKey | None:
    if authorization is None:
        return None
    ref = authorization["secretRef"]
    return SecretKey(ref["namespace"], ref["name"], ref["key"], authorization.get("type") or "Bearer")


def _authorities(manifest: Json, bundle: Json | None) -> Authorities | None:
    if bundle is None:
        return None
    _refuse(manifest, bundle, "configMapRef")
    if "inline" in bundle:
        return Authorities(pem=bundle["inline"])
    ref = bundle["secretRef"]
    return Authorities(secret=SecretKey(ref["namespace"], ref["name"], ref.get("key") or "ca.crt"))


def _seconds(duration: str) -> float:
    """Read a duration as Go writes it: `10s`, `1m30s`, `500ms`."""
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        message = f"not a duration: {duration!r}"
        raise ManifestError(message)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _as_stored(manifest: Json) -> Json:
    """Give a manifest from a file what it would have if it were read back from an API server."""
    body = copy.deepcopy(manifest)
    system = {
        "uid": str(uuid.uuid4()),
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": timestamp(),
    }
    body["metadata"] = {**system, **body["metadata"]}
    for hook in body["spec"]["hooks"].values():
        hook.setdefault("version", "v1")
    body.setdefault("status", {})
    return body
