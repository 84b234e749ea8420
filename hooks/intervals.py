"""All pauses and time-outs of the hook server, in seconds."""

STANDBY_RETRY = 1
"""Metacontroller's pause before it calls a hook again that a standby did not answer: it takes whole seconds only."""

NO_SUCH_OBJECT_RETRY = 1
"""The pause after a call for an object that the API server does not have: Metacontroller's cache is a moment old."""

API_SERVER_AWAY_RETRY = 5
"""The pause after a call for which the API server could not be asked: it is not loaded further while it recovers."""

LONGEST_READ = 5
"""How long the next bytes of a request may take, so that a silent caller holds no thread."""

LONGEST_REQUEST = 10.0
"""How long a whole request may take to arrive: Metacontroller waits no longer for an answer."""

SHUTDOWN_TIMEOUT = 5
"""How long requests under way are waited for at the end: a part of the 30 s before the kubelet kills the process."""

HAND_OVER = 3.0
"""How long hooks are still answered after the Lease is given back, until the EndpointSlice leads elsewhere."""
