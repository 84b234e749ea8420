"""Hooks that answer at once, and nothing behind them: what Metacontroller and the API server take by themselves.

The answers are those of ours when all is well: a PodDNAT for a pod with an IP, a status for a PodDNAT, and the pod's
annotations once that status is there. No call is answered "later", nothing is looked up, nothing is kept.
"""

import argparse
import ipaddress
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from poddnat.api import Condition, PodDNAT, is_ready, manifest, parse_spec, status, working_ports
from poddnat.api.annotations import READY, RESULT, STATUS, format_result
from poddnat.model import PortMapping, Ports, Transport, WorkingPort

POD_DNATS = "PodDNAT.alibabacloud.com/v1"
Json = dict[str, Any]


def pod_sync(body: Json) -> Json:
    pod, observed = body["object"], body["attachments"][POD_DNATS]
    ip = (pod.get("status") or {}).get("podIP")
    if not ip:
        return {"attachments": []}
    metadata = pod["metadata"]
    port = Ports.of(1024 + int(ipaddress.ip_address(ip)) % 60_000)
    mapping = PortMapping(port, Ports.of(80), Transport.TCP)
    wanted = PodDNAT("ngw-bench0", "203.0.113.1", ip, (mapping,), "eni-0", "vsw-0", "cn-hangzhou-j")
    poddnat = observed.get(metadata["name"])
    answer: Json = {"attachments": [manifest(metadata["namespace"], metadata["name"], wanted, poddnat)]}
    if poddnat is not None and is_ready(poddnat):
        answer["annotations"] = {STATUS: READY, RESULT: format_result(working_ports(poddnat["status"]))}
    return answer


def poddnat_sync(body: Json) -> Json:
    parent = body["parent"]
    wanted = parse_spec(parent["spec"])
    working = [WorkingPort(wanted.external_ip, wanted.internal_ip, wanted.mappings[0], ("fwd-0",))]
    ready = Condition(ready=True, reason="Ready", message=f"1 forward entry works on {wanted.external_ip}.")
    return {"status": status(parent.get("status") or {}, working, ready, "2026-01-01T00:00:00Z"), "children": []}


def poddnat_finalize(body: Json) -> Json:
    return {"status": body["parent"].get("status") or {}, "children": [], "finalized": True}


def pod_opt_out(_body: Json) -> Json:
    return {"attachments": []}


HOOKS: dict[str, Callable[[Json], Json]] = {
    "/pod/sync": pod_sync,
    "/pod/opt-out": pod_opt_out,
    "/poddnat/sync": poddnat_sync,
    "/poddnat/finalize": poddnat_finalize,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = json.dumps(HOOKS[self.path](body)).encode()
        self.send_response_only(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.floor")
    parser.add_argument("port", type=int)
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), _Handler).serve_forever()


if __name__ == "__main__":
    main()
