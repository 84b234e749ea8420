"""The cluster, as all reconcilers see it."""

from typing import NamedTuple

from poddnat.api import UNNAMED, Installation
from poddnat.kube import KubeClient, PodDNATInformer, PodInformer


class Cluster(NamedTuple):
    """Live reads and writes by the client, what the informers have stored, and whose pods are served."""

    client: KubeClient
    poddnats: PodDNATInformer
    pods: PodInformer
    installation: Installation = UNNAMED
