"""Installations: several may run in one cluster, each for pods of its own, which a label on the pod tells.

The one without a name serves the pods without that label, so an only installation needs no name. A PodDNAT bears the
same label as its pod: by it Metacontroller calls the right hooks. What Metacontroller itself has written on a PodDNAT,
the name of the DecoratorController that made it, counts for more: who changes the label by hand gives nothing away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INSTALLATION = "poddnat.alibabacloud.com/installation"
"""Label of pods and PodDNATs: the name of the installation whose they are."""

_DECORATOR = "metacontroller.k8s.io/decorator-controller"
_POD_DNAT = "pod-dnat"


@dataclass(frozen=True)
class Installation:
    """One installation, by its name; empty: the one that serves the pods without the label."""

    name: str = ""

    def named(self, name: str) -> str:
        """Give the name that an object of the whole cluster has in this installation."""
        return f"{name}-{self.name}" if self.name else name

    @property
    def attached_by(self) -> tuple[str, str]:
        """The annotation that Metacontroller puts on the PodDNATs that it makes for this installation: its mark."""
        return _DECORATOR, self.named(_POD_DNAT)

    @property
    def finalizer(self) -> str:
        """What keeps a PodDNAT until its finalize hook lets it go.

        A PodDNAT has it from the first moment: Metacontroller would put it on by two requests more, and sync all anew
        for that.
        """
        return f"metacontroller.io/compositecontroller-{self.named('poddnat')}"

    @property
    def label(self) -> str | None:
        """The value of the label on its pods and PodDNATs; None: they have no such label."""
        return self.name or None

    @property
    def labels(self) -> dict[str, str]:
        """The labels that its PodDNATs have."""
        return {INSTALLATION: self.name} if self.name else {}

    @property
    def selector(self) -> str:
        """What selects its pods and PodDNATs, as kubectl and the API server read it."""
        return f"{INSTALLATION}={self.name}" if self.name else f"!{INSTALLATION}"

    def serves(self, pod_metadata: Mapping[str, Any]) -> bool:
        """Whether a pod with this metadata is one of its pods."""
        return _label_of(pod_metadata) == self.label

    def has(self, poddnat_metadata: Mapping[str, Any]) -> bool:
        """Whether a PodDNAT with this metadata is one of its own, whatever label somebody has given it."""
        marked = marked_by(poddnat_metadata)
        return marked == self.name if marked is not None else self.is_labelled(poddnat_metadata)

    def is_labelled(self, metadata: Mapping[str, Any]) -> bool:
        """Whether an object has the label that its own have."""
        return _label_of(metadata) == self.label

    def __str__(self) -> str:
        return f"the installation {self.name}" if self.name else "the installation without a name"


UNNAMED = Installation()


def of_pod(metadata: Mapping[str, Any]) -> Installation:
    """Tell whose pod this is, by its metadata; whether there is such an installation is not known."""
    return Installation(_label_of(metadata) or "")


def of_poddnat(metadata: Mapping[str, Any]) -> Installation:
    """Tell whose PodDNAT this is, by its metadata."""
    marked = marked_by(metadata)
    return Installation(marked) if marked is not None else of_pod(metadata)


def marked_by(metadata: Mapping[str, Any]) -> str | None:
    """Read off a PodDNAT's metadata the name of the installation that had it made; None: none had."""
    mark = str((metadata.get("annotations") or {}).get(_DECORATOR, ""))
    if mark == _POD_DNAT:
        return ""
    name = mark.removeprefix(f"{_POD_DNAT}-")
    return name if name and name != mark else None


def _label_of(metadata: Mapping[str, Any]) -> str | None:
    label: str | None = (metadata.get("labels") or {}).get(INSTALLATION)
    return label
