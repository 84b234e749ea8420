"""How long the port registry waits for pods and PodDNATs. All in seconds."""

RESERVATION_SECONDS = 600.0
"""How long ports are reserved for a pod whose PodDNAT does not show them: creating one, or mending an annotation."""

WAITING_SECONDS = 90.0
"""How long a pod in the queue may be silent: it asks again every 30 seconds, so one that misses three times is gone."""

NAMESPACE_LIMIT_RETRY_SECONDS = 30.0
"""When a pod asks again that is over its namespace's limit: nothing tells it that another pod gave ports back."""
