"""All pauses, retries and time-outs of the commands, in seconds unless a name says otherwise."""

THROTTLED_FIRST = 1.0
"""Pause before a call is made again that the cloud throttled and gave no time for; it doubles each time."""

THROTTLED_LONGEST = 16.0
"""Longest such pause."""

THROTTLED_CALLS = 6
"""So many times a call is made at most, the first one included: somebody waits at a terminal."""

CONFLICT_TRIES = 5
"""So many times a change is tried that others came before, without a pause: each time, somebody else had got on."""

AUDIT_PAUSE = 2.0
"""Between the two comparisons that both have to show a finding: work in progress passes in that time."""

DRAIN_LOOK = 1.0
"""Between two looks at which PodDNATs a drain has left."""

DRAIN_SURE_AFTER = 5.0
"""How long no PodDNAT may have been there before that is believed: what makes them anew does so within seconds."""

DRAIN_TIMEOUT = 600.0
"""How long a drain takes at most, unless it is told otherwise."""

LEASE_LOOK = 0.5
"""Between two looks at whether the server renews its Lease."""

LEASE_RENEWED_WITHIN = 5.0
"""How long that is watched: a server renews it every two seconds."""

HOOKS_HEARD_WITHIN = 30.0
"""Younger pods may not have been heard of yet, without anything being wrong."""

PROBE_TIMEOUT = 3.0
"""How long a public address may take to answer."""

TASK_POLL = 0.1
"""Between two looks at whether one-off tasks are done."""

TASK_TIMEOUT = 600.0
"""How long one-off tasks may take in all: a gateway that other programs write to lets few of our writes through."""

SIMULATION_POLL = 0.05
"""Between two looks at whether the simulated cluster has come to rest."""

SIMULATION_TIMEOUT = 60.0
"""How long the simulated cluster may take to come to rest."""

POD_STOPS = 1.0
"""How long a deleted pod takes to end in a cluster to try things in: about as long as a real one."""
