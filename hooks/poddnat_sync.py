"""The sync hook of the CompositeController for PodDNATs."""

from hooks.border import Json
from poddnat import logs
from poddnat.mappings import Mappings
from poddnat.poddnat_object import spec_of
from poddnat.progress import Later
from poddnat.witness import Witness


def poddnat_sync(mappings: Mappings, witness: Witness, body: Json) -> Json | Later:
    """Bring the PodDNAT's forward entries to what it asks for."""
    parent = witness.poddnat(body["parent"])
    logs.add(gateway=str(spec_of(parent).get("tableId", "")))
    answer = mappings.sync(parent)
    if isinstance(answer, Later):
        return answer
    return {"status": answer.status, "children": [], "resyncAfterSeconds": answer.resync_after}
