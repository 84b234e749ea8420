"""The sync hook of the DecoratorController for pods that carry a result but no longer the request."""

from hooks.border import Json
from hooks.pod_answer import write
from poddnat.pods import Pods
from poddnat.progress import Later
from poddnat.witness import Witness


def pod_opt_out(pods: Pods, witness: Witness, body: Json) -> Json | Later:
    """Take back what the pod was given."""
    return write(pods.opt_out(witness.opted_out_pod(body["object"])))
