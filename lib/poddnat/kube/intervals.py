"""Every pause, retry, time-out and time to live towards the API server; in seconds, or as shares of a lease's time."""

REQUEST_TIMEOUT = 5.0
"""How long an answer may take: hooks wait for it, and Metacontroller waits for hooks no longer than 10 seconds."""

WATCH_TIMEOUT = 300
"""After how long the API server ends a watch; whole seconds, as its API wants them."""

INFORMER_FIRST_RETRY = 1.0
"""When a list and watch begins again after a failure."""

INFORMER_LONGEST_RETRY = 5.0
"""The most to wait between failures: what an informer doesn't know of yet may be an IP that another pod has now."""

EVENT_TTL = 3600.0
"""How long the API server keeps an event (its --event-ttl); after that, the same event may be written again."""

RENEW_DEADLINE_SHARE = 2 / 3
"""Share of a lease's duration after which a leader without a renewal stops writing: before another one may start."""

RENEW_SHARE = 2 / 15
"""Share of a lease's duration between two renewals: five in the time of the deadline, so that some may fail."""

RETRY_SHARE = 1 / 15
"""Share of a lease's duration between two tries to acquire it: a standby notices soon that it is free."""

LEASE_REQUEST_SHARE = 1 / 5
"""Share of a lease's duration that an answer may take: three tries fit into the time of the deadline."""
