"""Where hooks are sent: the EndpointSlice that leads the Service to the active replica."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.api import Api
from metacontroller_standin.kinds import ServedKind
from metacontroller_standin.memory_api import MemoryApi
from poddnat.kube import ActiveEndpoint, connect_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubernetes.client import ApiClient

Json = dict[str, Any]

SERVICE = "kubernetes.io/service-name"


class Place:
    """An API server with replicas, one of which points to itself."""

    def __init__(self, memory: MemoryApi, client: ApiClient) -> None:
        self.memory = memory
        self.api = Api(memory.url)
        self._client = client

    def replica(self, ip: str) -> ActiveEndpoint:
        where: Json = {"namespace": "poddnat-system", "service": "poddnat", "ip": ip, "port": 8080}
        return ActiveEndpoint(self._client, **where, request_timeout=5.0)

    def shown(self) -> Json:
        slices = self.api.resource("discovery.k8s.io/v1", "endpointslices")
        return self.api.get(slices, "poddnat-active", "poddnat-system")

    def edit(self, patch: Json) -> None:
        slices = self.api.resource("discovery.k8s.io/v1", "endpointslices")
        self.api.patch(slices, "poddnat-active", patch, "poddnat-system")

    def delete(self) -> None:
        slices = self.api.resource("discovery.k8s.io/v1", "endpointslices")
        self.api.delete(slices, "poddnat-active", "poddnat-system")


@pytest.fixture
def place() -> Iterator[Place]:
    memory = MemoryApi()
    memory.register(ServedKind("discovery.k8s.io", ("v1",), "endpointslices", "EndpointSlice", has_status=False))
    client = connect_to(memory.url)
    with memory:
        place = Place(memory, client)
        yield place
        place.api.close()
        client.close()  # type: ignore[no-untyped-call]


def leads_to(shown: Json) -> tuple[list[str], list[tuple[str, int]]]:
    addresses = [address for endpoint in shown["endpoints"] for address in endpoint["addresses"]]
    return addresses, [(port["name"], port["port"]) for port in shown["ports"]]


def test_service_is_led_to_the_replica_by_the_name_of_its_port(place: Place) -> None:
    place.replica("172.16.9.1").publish()
    assert leads_to(place.shown()) == (["172.16.9.1"], [("http", 8080)])
    assert place.shown()["metadata"]["labels"][SERVICE] == "poddnat"
    assert place.shown()["addressType"] == "IPv4"


def test_another_replica_leads_it_to_itself_and_to_nobody_else(place: Place) -> None:
    place.replica("172.16.9.1").publish()
    place.replica("172.16.9.2").publish()
    assert leads_to(place.shown())[0] == ["172.16.9.2"]


def test_nothing_is_written_where_all_is_right(place: Place) -> None:
    replica = place.replica("172.16.9.1")
    replica.publish()
    before = place.shown()["metadata"]["resourceVersion"]
    replica.publish()
    assert place.shown()["metadata"]["resourceVersion"] == before


@pytest.mark.parametrize(
    "patch",
    [
        {"endpoints": []},
        {"endpoints": [{"addresses": ["172.16.9.7"]}]},
        {"ports": []},
        {"ports": [{"name": "https", "port": 8080}]},
        {"metadata": {"labels": {SERVICE: "another"}}},
    ],
)
def test_what_somebody_changed_is_put_right(place: Place, patch: Json) -> None:
    replica = place.replica("172.16.9.1")
    replica.publish()
    place.edit(patch)
    replica.publish()
    assert leads_to(place.shown()) == (["172.16.9.1"], [("http", 8080)])
    assert place.shown()["metadata"]["labels"][SERVICE] == "poddnat"


def test_what_somebody_deleted_is_there_again(place: Place) -> None:
    replica = place.replica("172.16.9.1")
    replica.publish()
    place.delete()
    replica.publish()
    assert leads_to(place.shown())[0] == ["172.16.9.1"]


def test_api_server_that_is_away_is_only_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.memory.stop()
    place.replica("172.16.9.1").publish()
    assert "hooks can't be led here by the EndpointSlice poddnat-system/poddnat-active" in caplog.text
