"""The emulated cloud of a benchmark, in a process of its own so that it doesn't share our interpreter's lock."""

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poddnat.config import AccessKey, Endpoints, Values
from poddnat.config.pool import PoolEntry
from poddnat.model import ForwardRule, Ports, Protocol

REGION, VPC, ZONE, CLUSTER = "cn-hangzhou", "vpc-bench", "cn-hangzhou-j", "bench"
KEY = AccessKey("bench-key", "bench-secret")
JITTER = 0.3
PORTS = Ports(1024, 65535)


@dataclass(frozen=True)
class EmulatedCloud:
    """A running emulator, seen from outside."""

    url: str
    gateway_ids: tuple[str, ...]
    pid: int = 0

    @property
    def values(self) -> Values:
        pool = tuple(PoolEntry(gateway_id, ZONE, PORTS, None) for gateway_id in self.gateway_ids)
        return Values(CLUSTER, REGION, VPC, pool, KEY, Endpoints(self.url, self.url))

    @property
    def values_file(self) -> dict[str, Any]:
        """What a user would write to use all of it."""
        ports = {"portRangeStart": PORTS.first, "portRangeEnd": PORTS.last}
        pool = [{"natgwId": gateway_id, "zoneId": ZONE, **ports} for gateway_id in self.gateway_ids]
        return {
            "clusterID": CLUSTER,
            "regionID": REGION,
            "vpcID": VPC,
            "networkController": {"natGwPool": pool},
            "credential": {"accessKey": KEY.key_id, "accessSecret": KEY.secret},
            "endpoints": {"vpc": self.url, "ecs": self.url},
        }

    def rule(self, gateway: int, number: int) -> ForwardRule:
        ip = f"172.{16 + gateway}.{number // 250}.{number % 250 + 1}"
        return ForwardRule(eip_of(gateway), Ports.of(PORTS.first + number), ip, Ports.of(80), Protocol.TCP)

    def calls(self) -> dict[tuple[str, str], int]:
        """Count the calls so far, by action and outcome."""
        counts = self._ask("GET", "calls")["counts"]
        return {(action, outcome): n for action, outcomes in counts.items() for outcome, n in outcomes.items()}

    def entries(self) -> int:
        """Count the entries of all tables."""
        return sum(len(gateway["entries"]) for gateway in self._ask("GET", "state")["gateways"].values())

    def entry_ids(self) -> dict[str, str]:
        """Give the id of each entry by its name."""
        entries = [row for gateway in self._ask("GET", "state")["gateways"].values() for row in gateway["entries"]]
        return {row["ForwardEntryName"]: row["ForwardEntryId"] for row in entries}

    def reset_calls(self) -> None:
        self._ask("POST", "reset-calls")

    def lay_fault(self, fault: Mapping[str, Any]) -> None:
        self._ask("POST", "faults", fault)

    def change(self, *changes: tuple[str, Mapping[str, Any]]) -> None:
        self._ask("POST", "world", [{"do": do, "with": arguments} for do, arguments in changes])

    def _ask(self, method: str, what: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_emulator/{what}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        content: dict[str, Any] = json.loads(text) if text else {}
        return content


def eip_of(gateway: int) -> str:
    return f"203.0.113.{gateway + 1}"


def gateway_of(rule: ForwardRule) -> int:
    return int(rule.external_ip.rpartition(".")[2]) - 1


def gateway_ids(gateways: int) -> tuple[str, ...]:
    return tuple(f"ngw-bench{number}" for number in range(gateways))


def account(
    gateways: int, *, at_once: int, settle: float, jitter: float, entries: Mapping[int, list[dict[str, str]]]
) -> dict[str, Any]:
    """Describe an account of so many gateways, each with a vSwitch of its own; ``entries`` are there by its number."""
    ids = gateway_ids(gateways)
    return {
        "regions": [REGION],
        "credentials": [{"access_key_id": KEY.key_id, "access_key_secret": KEY.secret}],
        "vpcs": [{"id": VPC, "cidr": "172.0.0.0/8"}],
        "route_tables": [
            {"id": f"vtb-{n}", "vpc": VPC, "default_route": {"type": "NatGateway", "id": ids[n]}}
            for n in range(gateways)
        ],
        "vswitches": [
            {"id": f"vsw-{n}", "vpc": VPC, "zone": ZONE, "cidr": f"172.{16 + n}.0.0/16", "route_table": f"vtb-{n}"}
            for n in range(gateways)
        ],
        "nat_gateways": [
            {
                "id": ids[n],
                "vpc": VPC,
                "vswitch": f"vsw-{n}",
                "quota": 100_000,
                "writes_at_once": at_once,
                "settle_seconds": settle,
                "settle_jitter": jitter,
                "eips": [eip_of(n)],
                "entries": entries.get(n, []),
            }
            for n in range(gateways)
        ],
        "network_interfaces": [
            {"id": f"eni-{n}", "vswitch": f"vsw-{n}", "private_ips": f"172.{16 + n}.0.0/19"} for n in range(gateways)
        ],
    }


@contextmanager
def emulated_cloud(
    *,
    gateways: int = 1,
    at_once: int = 1,
    settle: float,
    jitter: float = JITTER,
    entries: Sequence[tuple[ForwardRule, str]] = (),
    rate_limit: Mapping[str, Any] | None = None,
) -> Iterator[EmulatedCloud]:
    """Run it; ``entries`` are there from the start, each with its name, on the gateway whose address they use."""
    mine: dict[int, list[dict[str, str]]] = {}
    for rule, name in entries:
        mine.setdefault(gateway_of(rule), []).append(_entry(rule, name))
    world = account(gateways, at_once=at_once, settle=settle, jitter=jitter, entries=mine)
    if rate_limit is not None:
        world["rate_limit"] = dict(rate_limit)
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "world.json")
        path.write_text(json.dumps(world), encoding="utf-8")
        listen = f"127.0.0.1:{port}"
        program = subprocess.Popen(
            [sys.executable, "-m", "poddnat", "emulator", "--listen", listen, "--world", str(path)],
            stdout=subprocess.DEVNULL,
        )
        try:
            cloud = EmulatedCloud(f"http://{listen}", gateway_ids(gateways), program.pid)
            _wait_for(cloud)
            yield cloud
        finally:
            program.terminate()
            program.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _entry(rule: ForwardRule, name: str) -> dict[str, str]:
    return {
        "external_ip": rule.external_ip,
        "external_port": str(rule.external_ports),
        "internal_ip": rule.internal_ip,
        "internal_port": str(rule.internal_ports),
        "protocol": rule.protocol.value,
        "name": name,
    }


def _wait_for(cloud: EmulatedCloud) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            cloud.calls()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
