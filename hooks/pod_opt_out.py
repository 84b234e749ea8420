"""The sync hook of the DecoratorController for pods that carry a result but no longer the request."""

from hooks.pod_answer import write
from hooks.validation import Json
from poddnat.controllers import PodReconciler, RequeueAfter
from poddnat.kube import LiveReader


def pod_opt_out(reconciler: PodReconciler, live: LiveReader, body: Json) -> Json | RequeueAfter:
    """Delete the pod's PodDNAT, and remove its result."""
    return write(reconciler.opt_out(live.opted_out_pod(body["object"])))
