"""Fixed pods in histories of what may happen to them: their external side stays, and leads to nobody else."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from metacontroller_standin.waiting import wait_until
from poddnat.api import FIXED
from poddnat.api.annotations import RELEASE_STRATEGY
from tests.unit.hooks.world import ADDRESSES, EXPOSE_80, PORTS, Cluster, World, cluster, running

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

NEVER = {**EXPOSE_80, FIXED: "true", RELEASE_STRATEGY: "Never"}
STEPS = ("delete", "create", "typo", "mend", "thief", "edit", "lose request", "lose answer", "settle")

_numbers = itertools.count(1)


class FreeAddresses:
    """Gives each pod the first address that no pod has: what one leaves goes to the next at once."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __iter__(self) -> Iterator[str]:
        under_way: deque[str] = deque(maxlen=8)  # Given to a pod whose status doesn't show it yet, if it ever will.
        while True:
            held = {pod["status"].get("podIP") for pod in _pods(self._world)}
            for address in held.intersection(under_way):
                under_way.remove(address)
            free = next(address for address in ADDRESSES if address not in held and address not in under_way)
            under_way.append(free)
            yield free


class History:
    """One fixed pod, and what should have become of it."""

    def __init__(self, busy: Cluster) -> None:
        self._standin = busy.standin
        self._world = busy.world
        self._owner = self._make_owner(f"arena-{next(_numbers)}")
        self._name = f"{self._owner['name']}-0"
        self._thieves = 0
        self._is_right = True
        self.do("create")
        wait_until(self._is_exposed, 60, "the pod to be exposed for the first time")
        self._external = self._spec()["externalIP"], self._spec()["portMapping"][0]["externalPort"]

    def do(self, step: str) -> None:
        match step:
            case "delete" if self._pod() is not None:
                self._delete_pod(self._name)
            case "create" if self._pod() is None:
                metadata = {"name": self._name, "namespace": "default", "annotations": NEVER}
                spec = {"containers": [{"name": "web", "image": "nginx"}]}
                made = {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "ownerReferences": [self._owner]}}
                self._world.api.create(self._world.api.resource("v1", "pods"), {**made, "spec": spec})
                self._is_right = True
            case "typo" | "mend" if (pod := self._pod()) is not None:
                self._world.annotate(pod, {PORTS: "80" if step == "mend" else "http"})
                self._is_right = step == "mend"
            case "thief":
                self._thieves += 1
                self._world.make_pod(EXPOSE_80, name=f"thief-{self._name}-{self._thieves}", ip="", nodeName="node-1")
            case "edit":
                patch = {"spec": {"internalIP": ADDRESSES[-1]}}
                self._world.api.patch(self._world.poddnats, self._name, patch, "default")
            case "lose request" | "lose answer":
                self._world.connection.lose("PATCH", done=step == "lose answer")
            case "settle":
                self.settle()

    def settle(self) -> None:
        self._standin.wait_idle(60, horizon=0.1)
        wait_until(self._is_as_it_should, 60, f"{self._name} to be as it should")

    def end(self) -> None:
        for pod in _pods(self._world):
            self._delete_pod(pod["metadata"]["name"])
        self._world.api.delete(self._world.poddnats, self._name, "default")
        wait_until(lambda: not self._world.entries(), 60, "the entries to go")

    def _delete_pod(self, name: str) -> None:
        self._world.api.delete(self._world.api.resource("v1", "pods"), name, "default", grace_period=0)

    def _is_as_it_should(self) -> bool:
        spec = self._spec()
        external = spec["externalIP"], spec["portMapping"][0]["externalPort"]
        assert external == self._external
        if self._pod() is not None and self._is_right:
            return self._is_exposed() and self._leads_home()
        return not self._entries() and self._leads_home()

    def _is_exposed(self) -> bool:
        ip = ((self._pod() or {}).get("status") or {}).get("podIP")
        return [entry.internal_ip for entry in self._entries()] == [ip]

    def _leads_home(self) -> bool:
        """Whether each entry leads to a pod that is there, and the thieves are exposed at ports of their own."""
        wanting = {pod["status"].get("podIP") for pod in _pods(self._world) if pod["metadata"]["name"] != self._name}
        others = [entry.internal_ip for entry in self._world.entries() if entry not in self._entries()]
        return sorted(others) == sorted(ip or "" for ip in wanting)

    def _entries(self) -> list[Any]:
        (port,) = (mapping["externalPort"] for mapping in self._spec()["portMapping"])
        return [entry for entry in self._world.entries() if entry.external_port == port]

    def _spec(self) -> Json:
        nothing = {"portMapping": [{"externalPort": ""}]}
        return (self._world.poddnat(self._name) or {"spec": nothing})["spec"]  # type: ignore[no-any-return]

    def _pod(self) -> Json | None:
        return next((pod for pod in _pods(self._world) if pod["metadata"]["name"] == self._name), None)

    def _make_owner(self, name: str) -> Json:
        metadata = {"name": name, "namespace": "default"}
        owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": {"replicas": 1}}
        made = self._world.api.create(self._world.api.resource_of(owner), owner)
        about = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name}
        return {**about, "uid": made["metadata"]["uid"], "controller": True}


def _pods(world: World) -> list[Json]:
    found: list[Json] = world.api.list(world.api.resource("v1", "pods"), "default")["items"]
    return found


@pytest.fixture(scope="module")
def busy() -> Iterator[Cluster]:
    """One cluster for all histories."""
    with running() as world, cluster(world, addresses=FreeAddresses(world)) as busy:
        yield busy


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a history that fails waits; to shorten it takes minutes
)
@given(st.lists(st.sampled_from(STEPS), min_size=2, max_size=9))
def test_external_side_of_a_fixed_pod_stays_and_leads_to_it_alone(busy: Cluster, steps: list[str]) -> None:
    history = History(busy)
    for step in steps:
        history.do(step)
    history.settle()
    history.end()
