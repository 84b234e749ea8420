"""What to tell people when a pod can't be exposed, or a PodDNAT is another's, came second, or has left entries."""

from collections.abc import Mapping
from typing import Any

from poddnat.api import INSTALLATION, PORT_TAKEN, Installation, Problem, installation, pod_facts
from poddnat.controllers.intervals import (
    API_SERVER_REFUSED_RETRY,
    CLAIMED_EARLIER_RETRY,
    NAME_TAKEN_RETRY,
    NOT_ADOPTED_RETRY,
    NOT_SERVED_RETRY,
)
from poddnat.model import ForwardEntry


def on_node_network(pod: Mapping[str, Any]) -> Problem | None:
    """Tell that a pod's address is its node's; None: it is its own."""
    if not pod_facts.shares_node_network(pod):
        return None
    text = "The pod uses its node's network (hostNetwork: true), so exposing it would expose the node"
    return Problem("HostNetwork", f"{text}; the user has to give it a network of its own.", 0.0)


def on_virtual_node(node: str) -> Problem:
    """Tell that a pod's node is virtual."""
    text = f"The pod runs on the virtual node {node} (ECI), whose pods DNAT does not support"
    return Problem("VirtualNode", f"{text}; the user has to run it on an ECS node.", 0.0)


def without_ipv4(pod: Mapping[str, Any]) -> Problem | None:
    """Tell that a pod has addresses, but no IPv4 one; None: it has one, or none at all."""
    if not (ipv6 := pod_facts.ipv6_only(pod)):
        return None
    text = f"The pod has only an IPv6 address, {ipv6}, and NAT gateways translate IPv4 alone"
    return Problem("NoIPv4Address", f"{text}; the user has to run it with an IPv4 address.", 0.0)


def not_adopted(name: str) -> Problem:
    """Tell that a PodDNAT was made by somebody else, such as ACK's own controller."""
    text = f"PodDNAT {name} was not made by poddnat but by ACK's natgw controller or by hand, and is left alone"
    return Problem("NotAdopted", f'{text}; an operator has to run "poddnat adopt".', NOT_ADOPTED_RETRY)


def not_served(pod_metadata: Mapping[str, Any], served_by: Installation) -> Problem:
    """Tell that the hooks of an installation were called for a pod that is another's."""
    whose = installation.of_pod(pod_metadata)
    text = f"The pod is for {whose} by its labels, and the hooks of {served_by} were called for it"
    act = "an operator has to see that the key installation of the values file is what the controllers are named after"
    return Problem("WrongInstallation", f"{text}; {act}.", NOT_SERVED_RETRY)


def given_over(pod_metadata: Mapping[str, Any]) -> Problem:
    """Tell that a pod's label has changed, so that another installation is to serve it."""
    text = f"By its label {INSTALLATION} the pod is for {installation.of_pod(pod_metadata)} now"
    rest = "the public ports that it had are given back, and it gets others from that one"
    return Problem("InstallationChanged", f"{text}: {rest}; nobody has to act if there is such a one.", 0.0)


def name_taken_by_others(poddnat_metadata: Mapping[str, Any]) -> Problem:
    """Tell that a PodDNAT of another installation is in a pod's way, and stays there."""
    whose = installation.of_poddnat(poddnat_metadata)
    text = f"PodDNAT {poddnat_metadata['name']} is still there, of {whose}, which has not deleted it"
    return Problem("NameTaken", f"{text}; an operator has to see that the server of that one runs.", NAME_TAKEN_RETRY)


def label_restored(of: Installation) -> Problem:
    """Tell that a PodDNAT's label was changed by hand, and is what it was again."""
    text = f"Somebody has changed this PodDNAT's label {INSTALLATION}, and it was put right: it is that of {of}"
    return Problem("LabelRestored", f"{text}; the user has to label the pod, to have another one serve it.", 0.0)


def cluster_id_shared(gateway_id: str, count: int) -> Problem:
    """Tell that another installation of this cluster names its entries as this one does."""
    text = f"Another installation in this cluster has forward entries of {count} PodDNATs on {gateway_id} under this"
    text = f"{text} one's clusterID, which are left alone"
    return Problem("ClusterIdShared", f"{text}; an operator has to give each a clusterID of its own in its values.")


def entry_left(gateway_id: str, entry: ForwardEntry) -> Problem:
    """Tell that an entry is left behind which may be that of a PodDNAT that goes, though nothing proves it."""
    text = f"Forward entry {entry.entry_id} on {gateway_id} ({entry.rule}) is left, because its pod can't confirm it"
    return Problem("EntryLeft", f"{text}; an operator has to delete it, unless somebody else uses it.", 0.0)


def refused_by_api_server(why: str) -> Problem:
    """Tell that the API server refused what has to be read or written for a pod, such as for a quota or a right."""
    text = f"The API server refuses what poddnat has to do for this pod ({why.rstrip('.')})"
    act = "an operator has to raise the quota, change the policy or grant the right that it names"
    return Problem("ApiServerRefused", f"{text}; {act}.", API_SERVER_REFUSED_RETRY)


def claimed_earlier(external_ip: str, uid: str) -> Problem:
    """Explain that another PodDNAT asked for the same ports first, though it may have no entries now."""
    text = f"PodDNAT {uid} asked for some of these ports of {external_ip} first"
    return Problem(PORT_TAKEN, f"{text}; nobody has to act, another port is used.", CLAIMED_EARLIER_RETRY)


def orphans_left(gateway_id: str, count: int, *, shared: bool) -> Problem:
    """Tell that so many PodDNATs are gone whose entries are left; ``shared``: another cluster has this clusterID."""
    if shared:
        text = f"Another cluster makes forward entries on {gateway_id} under this cluster's clusterID"
        act = "an operator has to give each cluster a clusterID of its own in its values; until then none is collected"
        return Problem("ClusterIdShared", f"{text}; {act}.")
    text = f"{count} PodDNATs with forward entries on {gateway_id} are gone at once, so the entries are kept"
    act = 'an operator has to see why ("poddnat audit" lists them), and may delete them by "poddnat audit --fix"'
    return Problem("ManyOrphans", f"{text}; {act}.")
