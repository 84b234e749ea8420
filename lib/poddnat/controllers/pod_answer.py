"""What the pod hooks answer."""

from dataclasses import dataclass, field
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True)
class PodAnswer:
    """What a pod should have: attachments, and annotations to set (None: to remove)."""

    attachments: list[Manifest] = field(default_factory=list)
    annotations: dict[str, str | None] = field(default_factory=dict)
    resync_after: float = 0.0
    """Seconds after which to ask again although nothing has changed in the cluster; 0: never."""
    opted_out: bool = False
    """Whether the pod asks for nothing."""
    exposed: bool = False
    """Whether its PodDNAT says that all it asks for works."""
    refused: str = ""
    """Why the pod is refused all or some of what it asks for, as a reason; empty: it isn't."""
