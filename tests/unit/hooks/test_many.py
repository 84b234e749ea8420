"""What a hook does among very many PodDNATs, counted in lines of code that run for it."""

from __future__ import annotations

import sys
import uuid
from typing import TYPE_CHECKING, Any

from metacontroller_standin.apply import DECORATOR
from metacontroller_standin.waiting import wait_until
from tests.unit.hooks.world import EIP, EXPOSE_80, GATEWAY, answer, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from tests.unit.hooks.world import Json, World

FEW, MANY = 10, 1000


def lines_run(call: Callable[[], object]) -> int:
    """Count the lines that a call runs on this thread, those of the libraries among them."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def add_poddnats(world: World, upto: int) -> None:
    """Let there be so many PodDNATs, each of a pod and with a port of its own."""
    for number in range(len(world.service.poddnats.all()), upto):
        metadata: Json = {"namespace": "default", "name": f"other-{number}", "generation": 1}
        owner = {"apiVersion": "v1", "kind": "Pod", "name": f"other-{number}", "uid": str(uuid.uuid4())}
        metadata |= {"annotations": {DECORATOR: "pod-dnat"}, "ownerReferences": [{**owner, "controller": True}]}
        mapping = {"externalPort": str(1000 + number), "internalPort": "80"}
        spec = {"tableId": GATEWAY, "externalIP": EIP, "internalIP": f"172.16.4.{number % 250}", "protocol": "tcp"}
        poddnat = {"apiVersion": "alibabacloud.com/v1", "kind": "PodDNAT", "metadata": metadata}
        world.memory.add("alibabacloud.com/v1", "poddnats", {**poddnat, "spec": {**spec, "portMapping": [mapping]}})
    wait_until(lambda: len(world.service.poddnats.all()) == upto, 20, "all to be seen")


def test_hooks_do_as_much_among_many_poddnats_as_among_few() -> None:
    with running(last_port=9000) as world:
        ready = world.make_pod(EXPOSE_80)
        poddnat = world.expose(ready)
        new = world.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.8")
        answer(lambda: world.sync_pod(new))
        hooks: dict[str, Callable[[], object]] = {
            "sync of a new pod": lambda: world.sync_pod(new),
            "sync of a pod": lambda: world.sync_pod(ready, poddnat),
            "sync of a PodDNAT": lambda: world.sync_poddnat(poddnat),
        }
        add_poddnats(world, FEW)
        few = {hook: min(lines_run(call) for _ in range(5)) for hook, call in hooks.items()}
        add_poddnats(world, MANY)
        many = {hook: min(lines_run(call) for _ in range(5)) for hook, call in hooks.items()}
    assert {hook: lines for hook, lines in many.items() if lines > few[hook] + MANY // 4} == {}
