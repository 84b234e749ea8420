"""The sync hook of the DecoratorController for annotated pods."""

from hooks.border import Json
from hooks.pod_answer import write
from poddnat.api import API_VERSION, KIND
from poddnat.controllers import PodReconciler, RequeueAfter
from poddnat.kube import LiveReader

POD_DNATS = f"{KIND}.{API_VERSION}"


def pod_sync(pods: PodReconciler, live: LiveReader, body: Json) -> Json | RequeueAfter:
    """Tell what an annotated pod should have."""
    pod = body["object"]
    observed = body["attachments"][POD_DNATS].get(pod["metadata"]["name"])
    # Whom ports are promised to has to be there. What is exposed in the end is for the PodDNAT's own sync to see.
    if observed is None or not live.is_stored(observed):
        live.pod(pod)
    return write(pods.sync(pod, observed))
