"""The reconcilers that the hooks call: for pods, for PodDNATs, for fixed pods; authorization and drift detection.

They join what the cluster says with what the gateways have. They know nothing of Flask and HTTP, and don't wait for
the cloud.
"""

from poddnat.controllers.assignment import Assignments, no_free_ports
from poddnat.controllers.authorization import Authorizer, Verdict, check_pod, outside_pool
from poddnat.controllers.cluster import Cluster
from poddnat.controllers.drift import DriftDetector
from poddnat.controllers.exposure_timer import ExposureTimer
from poddnat.controllers.forward_entries import ForwardEntries
from poddnat.controllers.lifecycle import LifecycleController
from poddnat.controllers.listener import ControllersListener
from poddnat.controllers.pod import PodReconciler
from poddnat.controllers.pod_answer import PodAnswer
from poddnat.controllers.poddnat import PodDNATReconciler
from poddnat.controllers.poddnat_queue import PodDNATQueue
from poddnat.controllers.poddnat_status import PodDNATAnswer, StatusReporter
from poddnat.controllers.port_claims import PortClaims
from poddnat.controllers.problems import (
    cluster_id_shared,
    name_taken_by_others,
    not_adopted,
    on_node_network,
    on_virtual_node,
    orphans_left,
    without_ipv4,
)
from poddnat.controllers.refusals import Refusals
from poddnat.controllers.reminder import Reminder
from poddnat.controllers.requeue import RequeueAfter
from poddnat.controllers.retained import RetainedPodDNATs

__all__ = [
    "Assignments",
    "Authorizer",
    "Cluster",
    "ControllersListener",
    "DriftDetector",
    "ExposureTimer",
    "ForwardEntries",
    "LifecycleController",
    "PodAnswer",
    "PodDNATAnswer",
    "PodDNATQueue",
    "PodDNATReconciler",
    "PodReconciler",
    "PortClaims",
    "Refusals",
    "Reminder",
    "RequeueAfter",
    "RetainedPodDNATs",
    "StatusReporter",
    "Verdict",
    "check_pod",
    "cluster_id_shared",
    "name_taken_by_others",
    "no_free_ports",
    "not_adopted",
    "on_node_network",
    "on_virtual_node",
    "orphans_left",
    "outside_pool",
    "without_ipv4",
]
