"""Every time-out and retry of the cloud's package, in seconds."""

CONNECT_TIMEOUT = 5.0
"""How long a connection may take: the API answers from within the region."""

READ_TIMEOUT = 10.0
"""How long an answer may take; what is cut off may still have been done, so this is far above what the API needs."""

DENIED_RETRY_AFTER = 30.0
"""When to ask again after the credentials were refused: an operator who mends them wants to see it work."""

UNUSABLE_RETRY_AFTER = 30.0
"""When to ask again for a gateway that can't be used: who mends that, or pays the bill, wants to see it work."""

ADDRESS_RETRY_AFTER = 30.0
"""When to ask again for an external address that can't serve: another one may be free by then."""

TOLD_AFTER = 30.0
"""How long a read has to fail, in a way that usually passes, before pods are told, where few tries fit in."""

FAILURES_TO_TELL = 3
"""So many failures in a row, of what may pass by itself, are told to people."""

CLOUD_RETRY_AFTER = 15.0
"""When to ask again after the cloud has not answered as it should: that passes by itself."""

REJECTED_RETRY_AFTER = 45.0
"""When to ask again for what the cloud refuses as it is: the pod may have to be changed, or the cloud be wrong."""

THROTTLED_FIRST_RETRY, THROTTLED_LONGEST_RETRY = 0.5, 5.0
"""Between two calls of an action that is throttled, where the cloud doesn't say when the next one passes.

Limits are for a minute: who waits longer is late when that is over, and a call each 5 s is a small part of them.
"""

THROTTLED_TRY = 0.5
"""Between two calls of an action that was throttled, until one of them has passed: one call tries first."""

THROTTLED_SPACING = 0.05
"""Between two calls after that: six times as many as a limit of 200 a minute grants, and few are under way at once."""

THROTTLED_FOR = 60.0
"""How long an action counts as throttled after its gate opens: so long a limit's window is."""
