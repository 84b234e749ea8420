"""The sync hook of the DecoratorController for annotated pods."""

from hooks.border import Json
from hooks.pod_answer import write
from poddnat.pods import Pods
from poddnat.progress import Later

POD_DNATS = "PodDNAT.alibabacloud.com/v1"


def pod_sync(pods: Pods, body: Json) -> Json | Later:
    """Tell what an annotated pod should have."""
    pod = body["object"]
    observed = body["attachments"][POD_DNATS].get(pod["metadata"]["name"])
    return write(pods.sync(pod, observed))
