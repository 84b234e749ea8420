"""The Warning event of an object, as the API server takes it."""

from collections.abc import Mapping
from typing import Any

from poddnat import timestamps
from poddnat.timestamps import rfc3339


def warning_event(
    regarding: Mapping[str, Any], name: str, reason: str, message: str, *, component: str
) -> dict[str, Any]:
    """Write the event; ``name`` is its own, and ``component`` its source."""
    metadata, now = regarding["metadata"], rfc3339(timestamps.now())
    return {
        "metadata": {"name": name, "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": regarding["apiVersion"],
            "kind": regarding["kind"],
            **{key: metadata[key] for key in ("name", "namespace", "uid")},
        },
        "type": "Warning",
        "reason": reason,
        "message": message[:1024],
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": component},
        "reportingComponent": component,
    }
