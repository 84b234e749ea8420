"""The sync hook of the CompositeController for PodDNATs."""

from hooks.border import Json
from poddnat.mappings import Mappings
from poddnat.progress import Later
from poddnat.witness import Witness


def poddnat_sync(mappings: Mappings, witness: Witness, body: Json) -> Json | Later:
    """Bring the PodDNAT's forward entries to what it asks for."""
    answer = mappings.sync(witness.poddnat(body["parent"]))
    if isinstance(answer, Later):
        return answer
    return {"status": answer.status, "children": [], "resyncAfterSeconds": answer.resync_after}
