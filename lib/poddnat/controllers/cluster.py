"""The cluster, as all reconcilers see it."""

from typing import NamedTuple

from poddnat.kube import KubeClient, PodDNATInformer, PodInformer


class Cluster(NamedTuple):
    """Live reads and writes by the client, and what the informers have stored."""

    client: KubeClient
    poddnats: PodDNATInformer
    pods: PodInformer
