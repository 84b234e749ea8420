"""The sync hook of the DecoratorController for annotated pods."""

from hooks.border import Json
from hooks.pod_answer import write
from poddnat.poddnat_object import API_VERSION, KIND
from poddnat.pods import Pods
from poddnat.progress import Later
from poddnat.witness import Witness

POD_DNATS = f"{KIND}.{API_VERSION}"


def pod_sync(pods: Pods, witness: Witness, body: Json) -> Json | Later:
    """Tell what an annotated pod should have."""
    pod = body["object"]
    observed = body["attachments"][POD_DNATS].get(pod["metadata"]["name"])
    # Whom ports are promised to has to be there. What is exposed in the end is for the PodDNAT's own sync to see.
    if observed is None or not witness.knows(observed):
        witness.pod(pod)
    return write(pods.sync(pod, observed))
