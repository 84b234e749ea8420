"""Every pause, retry, time-out and time to live of placement; all in seconds."""

ROUTES_TTL = 300.0
"""How long the VPC's routes are taken to be as they were read: people change them, and seldom."""

MISSING_ADDRESS_FIRST, MISSING_ADDRESS_LONGEST = 5.0, 60.0
"""When to look again for an address that no network interface has: Terway attaches it before the pod runs, but the API
may show it a moment later. If it doesn't, each look costs a call for each node."""

REQUEST_TTL = 90.0
"""How long an address is looked up that nobody asks for any more: a pod that is still there asks at least each 60 s."""

PREFIXES_TTL = 300.0
"""How long a node's IP prefixes are taken to be as they were read; an address in none of them has them read again."""

MISSING_ADDRESS_RETRY_AFTER = 10.0
"""When a pod without a network interface is synced again: most often an operator has to act first."""

NODE_TTL = 600.0
"""How long a node is taken to be virtual, or not: a node doesn't change its kind, but its name may be used again."""

NAMESPACE_TTL = 60.0
"""How long a namespace's labels are taken to be as they were read: whoever labels it waits no longer than this."""

GATHER_TIME = 0.02
"""How long to wait for more addresses before a call: many hooks ask at the same moment, and one call serves them."""

LONGEST_WAIT = 0.25
"""How long a hook waits for a look-up: Metacontroller's shortest pause is a second. No hook waits while look-ups take
longer, or fail."""

FIRST_RETRY = 2.0
"""When to call again after a failure, unless the cloud says itself when."""

LONGEST_RETRY = 30.0
"""The most to wait between two calls that fail: by then pods wait for nothing else."""

STOP_TIMEOUT = 1.0
"""How long to wait at the end for a call under way: nobody needs its answer any more."""
