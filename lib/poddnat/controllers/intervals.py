"""All pauses, retries and time-outs of the reconcilers, in seconds; the other modules take them from here."""

REQUEUE_SOON = 1.0
"""Until an object is asked about again that waits for something under way. Metacontroller takes whole seconds."""
REQUEUE_AFTER_ERROR = 2.0
"""Until a pod is asked about again after the API server has failed: a bit longer, as it may be busy."""
LONGEST_REQUEUE = 20.0
"""A longer wait for the cloud is cut to this, so that an answer is never much older than what it tells of."""
QUEUE_RETRY = (0.2, 30.0)
"""First and longest pause before a PodDNAT on its way is synced again after that failed, or came too early."""
RESYNC = 300.0
"""Until a PodDNAT at rest is synced again; drift is found sooner, by each listing of its gateway's table."""
PROBATION = 2 * RESYNC
"""How long a PodDNAT has been Ready before its pod need not be asked at each sync: by then the pod's own hook has
surely seen the result, and would notice an opt-out."""

NO_FREE_PORTS_RETRY = 15.0
"""Until a pod in the queue for ports is asked about again: no event says that ports are reserved for it by now."""
POD_LEAVE_RETRY = 30.0
"""Until a pod that should leave its gateway or address is asked about again: no event tells that there is room."""
POD_REFUSED_RESYNC = 120.0
"""Until a pod is asked about again that only a change of its own can help: so it still counts as refused."""
POD_WITHOUT_IP_RESYNC = 120.0
"""Until a pod is asked about again that has lost its IP: its ports are reserved for it for longer than that."""
OPTED_OUT_RESERVATION = 60.0
"""How long the ports of a pod that has opted out are reserved for it: it may have been a mistake."""
API_SERVER_REFUSED_RETRY = 30.0
"""Until a pod is asked about again for which the API server refuses something: a quota may have been raised."""
NAME_TAKEN_RETRY = 10.0
"""Until a pod is asked about again whose PodDNAT's name is taken: no event of the pod tells that it is free."""
NAME_TAKEN_GRACE = 30.0
"""How long a PodDNAT may take to go before the next pod of its name has reported what the matter is."""

OTHERS_NAME_GRACE = 60.0
"""The same for that of another installation, which may look after those of absent pods each half a minute only."""

ABSENCE_RESYNC = 30.0
"""Until the absence of a fixed pod is checked again: its owner may have been scaled down meanwhile."""
SUCCESSOR_RESYNC = 10.0
"""The same while a successor is there that can't have the ports yet."""

LIFECYCLE_CHECK = 30.0
"""Between two looks at all PodDNATs, for pods whose end the watch has missed."""
LIFECYCLE_NOT_SYNCED_RETRY = 1.0
"""The same while this replica is not active, or has not listed everything yet."""
LIFECYCLE_RETRY = (1.0, 10.0)
"""First and longest pause after a look that failed for some."""

REMIND_AFTER = 2.0
"""After the hooks are back: until an object that waits gets a write, because nobody has asked about it."""
REMIND_REPORTED_AFTER = 10.0
"""The same where the reason why it waits is reported already; most of these are asked about by themselves till then."""
REMIND_EVERY = 0.5
"""Between two lots of such writes, of fifty each."""
SILENCE = RESYNC + 10.0
"""After so long without any call of a hook, the next one may be the first after an outage: what waits asks sooner."""
CALLED_AT_ONCE = 2.0
"""A change that is seen so soon after a call of a hook may be what that was for."""
CUT_OFF_AFTER = 15.0
"""No hook is called for so long after a change: the way to them is barred. Metacontroller calls them within seconds."""
CUT_OFF_TRY = 15.0
"""Between two writes, while it is barred, that find out whether it still is."""

PERMISSION_VALID = 30.0
"""How long a pod's permission for its PodDNAT is valid, so that one exposure doesn't cost several reads of the pod."""
PERMISSION_RETRY = 60.0
"""Until a refused PodDNAT is synced again; a change of it, or of its pod, comes sooner."""
NOT_ADOPTED_RETRY = 60.0
"""Until a PodDNAT of ACK's own controller is synced again; adopting it is a change, and comes sooner."""
NOT_SERVED_RETRY = 30.0
"""Until a pod is asked about again that is another installation's, though the hooks of this one were called for it."""
CLAIMED_EARLIER_RETRY = 30.0
"""Until a PodDNAT is synced again whose ports another one had asked for first."""

REFUSAL_GRACE = 60.0
"""How much later than due a refused pod may ask again and still be counted: Metacontroller's queue may be long."""
