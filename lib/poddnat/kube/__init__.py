"""TODO kube."""

from poddnat.kube.active_endpoint import ActiveEndpoint
from poddnat.kube.client import KubeClient, KubeError
from poddnat.kube.connection import connect, connect_as_user, connect_to
from poddnat.kube.informer import FixedPodInformer, PodDNATInformer
from poddnat.kube.leader_election import LeaderElector, request_timeout
from poddnat.kube.live_read import LiveReader, NoSuchObjectError
from poddnat.kube.remembered import Remembered

__all__ = [
    "ActiveEndpoint",
    "FixedPodInformer",
    "KubeClient",
    "KubeError",
    "LeaderElector",
    "LiveReader",
    "NoSuchObjectError",
    "PodDNATInformer",
    "Remembered",
    "connect",
    "connect_as_user",
    "connect_to",
    "request_timeout",
]
