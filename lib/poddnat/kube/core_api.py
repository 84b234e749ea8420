"""The calls of the core API group that are made, under the names and with the options that the client gives them.

The client's own CoreV1Api knows all kinds of that group: it loads 235 modules, which take 21 MB. No answer is taken
apart here either; all are read as the API server's own JSON.
"""

from typing import Any
from urllib.parse import quote

from kubernetes import client
from kubernetes.client.exceptions import ApiException

_HTTP_OK = range(200, 300)
_QUERY = {
    "limit": "limit",
    "field_selector": "fieldSelector",
    "_continue": "continue",
    "watch": "watch",
    "resource_version": "resourceVersion",
    "timeout_seconds": "timeoutSeconds",
    "allow_watch_bookmarks": "allowWatchBookmarks",
}
"""The parameters of a list, as Python and as the API server names them."""


class CoreApi:
    """Reads and writes objects of the core group; calls give urllib3's response, and raise an ``ApiException``."""

    def __init__(self, api_client: client.ApiClient) -> None:
        self.api_client = api_client

    def read_namespaced_pod(self, name: str, namespace: str, **options: Any) -> Any:
        """Read a pod."""
        return self._call("GET", ("namespaces", namespace, "pods", name), **options)

    def read_node(self, name: str, **options: Any) -> Any:
        """Read a node."""
        return self._call("GET", ("nodes", name), **options)

    def read_namespace(self, name: str, **options: Any) -> Any:
        """Read a namespace."""
        return self._call("GET", ("namespaces", name), **options)

    def list_pod_for_all_namespaces(self, **options: Any) -> Any:
        """List or watch all pods; a watch's answer is not read."""
        return self._call("GET", ("pods",), **options)

    def patch_namespaced_pod(self, name: str, namespace: str, body: object, **options: Any) -> Any:
        """Patch a pod."""
        return self._call("PATCH", ("namespaces", namespace, "pods", name), body, **options)

    def patch_namespaced_pod_status(self, name: str, namespace: str, body: object, **options: Any) -> Any:
        """Patch a pod's status."""
        return self._call("PATCH", ("namespaces", namespace, "pods", name, "status"), body, **options)

    def list_namespaced_event(self, namespace: str, **options: Any) -> Any:
        """List events."""
        return self._call("GET", ("namespaces", namespace, "events"), **options)

    def create_namespaced_event(self, namespace: str, body: object, **options: Any) -> Any:
        """Create an event."""
        return self._call("POST", ("namespaces", namespace, "events"), body, **options)

    def _call(
        self,
        method: str,
        path: tuple[str, ...],
        body: object = None,
        *,
        _request_timeout: Any,
        _content_type: str = "application/json",
        _headers: dict[str, str] | None = None,
        _preload_content: bool = False,
        **parameters: object,
    ) -> Any:
        headers = {"Accept": "application/json", **(_headers or {})}
        if body is not None:
            headers["Content-Type"] = _content_type
        verb, url, sent_headers, sent, _no_form = self.api_client.param_serialize(
            method,
            "/".join(["/api/v1", *(quote(part, safe="") for part in path)]),
            query_params=[(_QUERY[key], value) for key, value in parameters.items() if value is not None],
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        answer: Any = self.api_client.call_api(verb, url, sent_headers, sent, _request_timeout=_request_timeout)
        if answer.status not in _HTTP_OK or not parameters.get("watch"):
            answer.read()
        if answer.status not in _HTTP_OK:
            raise ApiException.from_response(http_resp=answer, body=None, data=None)
        return answer.response
