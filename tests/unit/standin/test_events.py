from __future__ import annotations

import socket

from metacontroller_standin.api import Api
from metacontroller_standin.events import EventRecorder


def test_event_of_a_failed_sync_is_left_out_while_the_api_server_is_away() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default", "uid": "uid-1"}}
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Api(address) as api:
        EventRecorder(api).sync_error(pod, OSError("the hook does not answer"))
        assert api.requests["create", "Event"] == 0
