"""The sync hook of the DecoratorController for pods that carry a result but no longer the request."""

from hooks.border import Json
from hooks.pod_answer import write
from poddnat.controllers import PodReconciler, RequeueAfter
from poddnat.kube import LiveReader


def pod_opt_out(pods: PodReconciler, live: LiveReader, body: Json) -> Json | RequeueAfter:
    """Take back what the pod was given."""
    return write(pods.opt_out(live.opted_out_pod(body["object"])))
