"""The sync hook of the DecoratorController for annotated pods."""

from hooks.pod_answer import write
from hooks.validation import Json
from poddnat.api import API_VERSION, KIND
from poddnat.controllers import PodReconciler, RequeueAfter
from poddnat.kube import LiveReader

POD_DNATS = f"{KIND}.{API_VERSION}"


def pod_sync(reconciler: PodReconciler, live: LiveReader, body: Json) -> Json | RequeueAfter:
    """Tell what an annotated pod should have."""
    pod = body["object"]
    observed = body["attachments"][POD_DNATS].get(pod["metadata"]["name"])
    # Ports are reserved only for a pod that is there. What is exposed in the end, the PodDNAT's own sync decides.
    live.check_pod(pod, observed)
    return write(reconciler.sync(pod, observed))
