"""How long the port registry waits for pods and PodDNATs, and they for it; all in seconds."""

RESERVATION_TTL = 600.0
"""How long ports are reserved for a pod whose PodDNAT does not show them: creating one, or mending an annotation."""

TAKEN_TTL = 600.0
"""How long a port is given to nobody after an entry of others was seen there: the next listing shows it."""

WAITING_TTL = 90.0
"""How long a pod in the queue may be silent: it asks at least every 30 s, so one that misses three times is gone."""

PRECEDENCE = 120.0
"""How long the free ports of an address are withheld for the first pod in the queue that needs more than there are."""

NAMESPACE_LIMIT_RETRY = 30.0
"""When a pod asks again that is over its namespace's limit: nothing tells it that another pod gave ports back."""
