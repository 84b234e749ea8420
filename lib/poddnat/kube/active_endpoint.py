"""The active endpoint: an EndpointSlice that leads the Service, and so the hooks, to the active replica.

The Service selects no pods: replicas that stand by are Ready too, or a Deployment of two could never be complete, and
a node with the active one never be drained. One object with one writer is changed at once, and nobody has to take
anything back from a replica that has died.
"""

import ipaddress
import logging
from typing import Any

import urllib3.exceptions
from kubernetes import client
from kubernetes.client.exceptions import ApiException

log = logging.getLogger(__name__)

PORT_NAME = "http"
"""The Service's name for the port of the hooks."""
_NOT_FOUND = 404


class ActiveEndpoint:
    """Leads a Service's callers to one address."""

    def __init__(
        self, api: client.ApiClient, *, namespace: str, service: str, ip: str, port: int, request_timeout: float
    ) -> None:
        """``request_timeout``: how many seconds an answer of the API server may take."""
        self._slices = client.DiscoveryV1Api(api)
        self._namespace, self._service = namespace, service
        self._ip, self._port = ip, port
        self._request_timeout = request_timeout
        self._labels = {
            "kubernetes.io/service-name": service,
            "endpointslice.kubernetes.io/managed-by": "poddnat",
        }

    def publish(self) -> None:
        """Make the EndpointSlice lead to this address; a failure is only logged."""
        name = f"{self._service}-active"
        where: Any = {"namespace": self._namespace, "_request_timeout": self._request_timeout}
        try:
            try:
                observed: Any = self._slices.read_namespaced_endpoint_slice(name, **where)
            except ApiException as error:
                if error.status != _NOT_FOUND:
                    raise
                self._slices.create_namespaced_endpoint_slice(body=self._desired(name), **where)
                return
            if not self._is_desired(observed):
                desired = self._desired(name)
                observed.metadata.labels = {**(observed.metadata.labels or {}), **self._labels}
                observed.endpoints, observed.ports = desired.endpoints, desired.ports
                self._slices.replace_namespaced_endpoint_slice(name, body=observed, **where)
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            why = error.reason if isinstance(error, ApiException) else error
            log.warning("hooks can't be led here by the EndpointSlice %s/%s: %s", self._namespace, name, why)

    def _is_desired(self, observed: Any) -> bool:
        addresses = [address for endpoint in observed.endpoints or [] for address in endpoint.addresses]
        ports = [(port.name, port.port) for port in observed.ports or []]
        marked = self._labels.items() <= (observed.metadata.labels or {}).items()
        return marked and addresses == [self._ip] and ports == [(PORT_NAME, self._port)]

    def _desired(self, name: str) -> client.V1EndpointSlice:
        ready = client.V1EndpointConditions(ready=True)
        return client.V1EndpointSlice(
            metadata=client.V1ObjectMeta(name=name, labels=self._labels),
            address_type=f"IPv{ipaddress.ip_address(self._ip).version}",
            endpoints=[client.V1Endpoint(addresses=[self._ip], conditions=ready)],
            ports=[client.DiscoveryV1EndpointPort(name=PORT_NAME, port=self._port, protocol="TCP")],
        )
