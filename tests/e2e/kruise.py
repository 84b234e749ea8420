"""OpenKruise's kinds that own pods, as far as the hook server asks for them; their controllers don't run here."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _crd(group: str, version: str, kind: str, plural: str) -> Json:
    content = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [{"name": version, "served": True, "storage": True, "schema": content}],
        },
    }


ADVANCED = _crd("apps.kruise.io", "v1beta1", "StatefulSet", "statefulsets")
GAME_SERVERS = _crd("game.kruise.io", "v1alpha1", "GameServerSet", "gameserversets")
