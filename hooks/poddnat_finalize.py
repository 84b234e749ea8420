"""The finalize hook of the CompositeController for PodDNATs."""

from hooks.border import Json
from poddnat.mappings import Mappings
from poddnat.progress import Later
from poddnat.witness import Witness


def poddnat_finalize(mappings: Mappings, witness: Witness, body: Json) -> Json | Later:
    """Take the PodDNAT's forward entries off the cloud."""
    answer = mappings.finalize(witness.dying_poddnat(body["parent"]))
    if isinstance(answer, Later):
        return answer
    return {
        "status": answer.status,
        "children": [],
        "finalized": answer.finalized,
        "resyncAfterSeconds": 0 if answer.finalized else answer.resync_after,
    }
