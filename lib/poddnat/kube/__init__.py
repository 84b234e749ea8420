"""The API server: the client, informers, leader election, and the EndpointSlice that leads to the active replica.

Nobody else knows the Kubernetes client. It knows pods and PodDNATs as objects to list, watch and write, but nothing of
the cloud.
"""

from poddnat.kube.active_endpoint import ActiveEndpoint
from poddnat.kube.client import KubeClient
from poddnat.kube.connection import connect, connect_as_user, connect_to, namespace_of_context
from poddnat.kube.errors import KubeError, NotServedError
from poddnat.kube.informer import PodDNATInformer, PodInformer
from poddnat.kube.inspector import Held, Inspector, namespace_of_server
from poddnat.kube.leader_election import LeaderElector, request_timeout
from poddnat.kube.live_read import AnothersError, LiveReader, NoSuchObjectError
from poddnat.kube.uninstaller import SHOWN, Uninstaller

__all__ = [
    "SHOWN",
    "ActiveEndpoint",
    "AnothersError",
    "Held",
    "Inspector",
    "KubeClient",
    "KubeError",
    "LeaderElector",
    "LiveReader",
    "NoSuchObjectError",
    "NotServedError",
    "PodDNATInformer",
    "PodInformer",
    "Uninstaller",
    "connect",
    "connect_as_user",
    "connect_to",
    "namespace_of_context",
    "namespace_of_server",
    "request_timeout",
]
