"""Every pause, retry and interval of this package, with its reason. All are seconds unless they say otherwise."""

# Writes.
RETRY_FIRST, RETRY_LONGEST = 0.5, 30.0
"""Between two tries of one PodDNAT's write that was refused for a reason of its own."""
SUSPEND_FIRST, SUSPEND_LONGEST = 0.25, 30.0
"""Between two tries on a gateway, or an address, that refuses everything: one call tries first."""
CONCURRENCY_FIRST, CONCURRENCY_LONGEST = 0.25, 5.0
"""Between two writes that the gateway refuses as too many, where what is known of it does not explain that."""
REJECTED_APART = 3.0
"""Between two tries of any of those that are refused for themselves: a hundred of them take a tenth of the limit."""
QUOTA_RETRY = 60.0
"""After a gateway said that its table is full: the quota may have been raised."""

SETTLE_TIME_LONGEST_FIRST = 10.0
"""The longest that the first write seen to settle counts as, where nothing is known yet: it may have been stuck."""
SETTLE_TIME_LONGEST_STEP = 10.0
"""Half of the longest that a write late beyond all expectation is given before it is expected again."""

# Reads.
POLL_FIRST, POLL_LONGEST = 0.2, 20.0
"""Between two reads that ask for the same and found it unchanged, where nothing is known of how long it takes."""
PRESUMED_RECHECK = 0.5
"""Before an entry is asked for that has to have settled, as the gateway took the next write: its pod wants to know."""
POLL_TOGETHER = 0.8
"""Entries that settle beside each other are asked for together, so often: who waits is told about a second later."""
CONFLICT_RECHECK = 30.0
"""Between two looks at somebody else's entry that is in a PodDNAT's way."""
REFRESH = 300.0
"""Between two listings of a table when nothing asks for one; longer where the read budget does not allow it."""
TABLE_RETRY_FIRST, TABLE_RETRY_LONGEST = 0.5, 30.0
"""Before a table is read on after a read failed."""

# What all tables' refreshing may cost together, in calls a minute. The API allows 200 calls a minute for each action.
ACTIVE_READS_A_MINUTE = 40.0
"""On the active replica: a fifth of what the API allows, as other clients share that."""
STANDBY_READS_A_MINUTE = 8.0
"""On a standby, which has time."""
STANDBY_PAUSE = 0.6
"""Between any two reads on a standby, its first listing's too: that leaves half of the limit to the active replica."""
READS_SAVED_UP = 10.0
"""Seconds' worth of reads that may be saved up, so that a small table is read in one go."""
LEAST_REFRESH_READS_A_MINUTE = 8.0
"""What is left for refreshing however many reads others wait for."""

STUCK_AFTER = 90.0
"""An entry that has not moved for so long is told in its PodDNAT's status."""
REQUEUE_LONGEST = 20.0
"""The longest that a hook is asked to wait before it asks again."""
DRIVER_MISSING_RETRY = 1.0
"""When a hook asks again about a gateway that has no driver yet, as the cloud hasn't told which gateways there are."""
TAKEN_RETRY_AFTER = 30.0
"""When a hook asks again whose port or pod address somebody else has: as often as that is looked at."""
QUOTA_RETRY_AFTER = 30.0
"""When a hook asks again that waits for room in the table: others may have given entries back."""
ADDRESS_LEFT_RETRY_AFTER = 30.0
"""When a hook asks again whose address has left its gateway: the pod moves, if it can, by its own hook."""
STUCK_RETRY_AFTER = 15.0
"""When a hook asks again about an entry that doesn't move."""

GONE_GATHER = 2.0
"""How long PodDNATs that go and leave entries behind are counted before those are deleted: a mass is not."""

# The gateways themselves: DescribeNatGateways.
GATEWAYS_EVERY = 60.0
"""Between two readings of what gateways and addresses there are: people change them, and pods are moved then."""
GATEWAYS_RETRY_FIRST, GATEWAYS_RETRY_LONGEST = 1.0, 30.0
"""Before they are read again after that failed: nothing works before the first answer."""
MISSING_RECHECK = 5.0
"""Between two answers that leave out a gateway or an address that was there."""
MISSING_BELIEVED_AFTER = 30.0
"""A gateway or an address counts as gone once every answer has left it out for so long."""
JOIN_WITHIN = 1.0
"""How long a read that nobody needs any more is waited for at the end."""
