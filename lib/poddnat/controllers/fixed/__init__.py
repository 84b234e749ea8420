"""Fixed pods: their public addresses and ports outlive them, and serve the next pod of the same name.

The PodDNAT of a fixed pod is no attachment of the pod. It carries a record of whose it is (``poddnat.api.fixed``), and
three things happen to it:

- *Retained while away.* When the pod goes, or can't have its ports, its PodDNAT is suspended: the entries are
  withdrawn and the pod's side is taken off it; the external side is retained. The pod's successor, a pod of the same
  name and owner, gets it back.
- *Released by strategy.* While no pod has the ports, each sync of the PodDNAT checks the absence by the release
  strategy (``poddnat.api.release_strategy``), and deletes the PodDNAT when it is over.
- *Repaired when spoilt.* Metacontroller doesn't call a pod's hook when somebody edits or deletes a PodDNAT that is no
  attachment, so the pod is synced from here.

``RetainedPodDNATs`` reads and writes such PodDNATs, for the reconcilers. ``FixedPodController`` stands above the
reconcilers and has the only thread: it suspends when a pod is gone, and repairs.
"""
