"""The finalize hook of the CompositeController for PodDNATs."""

from hooks.border import Json
from poddnat import logs
from poddnat.mappings import Mappings
from poddnat.poddnat_object import spec_of
from poddnat.progress import Later
from poddnat.witness import Witness


def poddnat_finalize(mappings: Mappings, witness: Witness, body: Json) -> Json | Later:
    """Take the PodDNAT's forward entries off the cloud."""
    parent = witness.dying_poddnat(body["parent"])
    logs.add(gateway=str(spec_of(parent).get("tableId", "")))
    answer = mappings.finalize(parent)
    if isinstance(answer, Later):
        return answer
    return {
        "status": answer.status,
        "children": [],
        "finalized": answer.finalized,
        "resyncAfterSeconds": 0 if answer.finalized else answer.resync_after,
    }
