"""Objects as the tables that kubectl prints."""

from __future__ import annotations

import datetime as dt
import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from metacontroller_standin.memory_tables import age, at
from poddnat.files import MANIFESTS

if TYPE_CHECKING:
    from metacontroller_standin.api import Api
    from metacontroller_standin.memory_api import MemoryApi

AS_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
CONDITIONS = {"status": {"conditions": [{"type": "Other"}, {"type": "Ready", "status": "True"}], "list": ["a", "b"]}}


def read_table(memory: MemoryApi, path: str) -> dict[str, Any]:
    """Read as kubectl get does."""
    request = urllib.request.Request(memory.url + path, headers={"Accept": AS_TABLE})
    with urllib.request.urlopen(request, timeout=5) as response:
        found: dict[str, Any] = json.loads(response.read())
    return found


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ('.status.conditions[?(@.type=="Ready")].status', "True"),
        (".status.conditions[?(@.type=='None')].status", None),
        (".status.list[1]", "b"),
        (".status.list[2]", None),
        (".spec.nothing", None),
    ],
)
def test_json_paths_of_columns(path: str, found: str | None) -> None:
    assert at(CONDITIONS, path) == found


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (119, "119s"),
        (125, "2m5s"),
        (180, "3m"),
        (700, "11m"),
        (11000, "3h3m"),
        (40000, "11h"),
        (200000, "2d"),
    ],
)
def test_age_is_written_as_kubectl_does(seconds: float, shown: str) -> None:
    since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds + 0.2)
    assert age(since.isoformat()) == shown


def test_poddnats_have_the_columns_of_the_crd(memory: MemoryApi, api: Api) -> None:
    crd = yaml.safe_load((MANIFESTS / "crd.yaml").read_text(encoding="utf-8"))
    memory.register_crd(crd)
    spec = {"externalIP": "203.0.113.10", "internalIP": "172.16.1.7", "tableId": "ngw-1"}
    made = {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}
    resource = api.resource("alibabacloud.com/v1", "poddnats")
    api.create(resource, {"apiVersion": "alibabacloud.com/v1", "kind": "PodDNAT", **made})
    for path in ("", "/web"):
        table = read_table(memory, f"/apis/alibabacloud.com/v1/namespaces/default/poddnats{path}")
        names = [column["name"] for column in table["columnDefinitions"]]
        columns = crd["spec"]["versions"][0]["additionalPrinterColumns"]
        assert names == ["Name", *(column["name"] for column in columns)]
        (row,) = table["rows"]
        shown = dict(zip(names, row["cells"], strict=True))
        assert (shown["Name"], shown["External"], shown["Ready"]) == ("web", "203.0.113.10", None)
        assert row["object"]["metadata"]["name"] == "web"


def test_pods_show_what_runs(memory: MemoryApi, api: Api) -> None:
    pods = api.resource("v1", "pods")
    spec = {"containers": [{"name": "a"}, {"name": "b"}]}
    api.create(pods, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
    status = {"phase": "Running", "containerStatuses": [{"name": "a", "ready": True}]}
    api.patch(pods, "web", {"status": status}, "default", "status")
    (row,) = read_table(memory, "/api/v1/pods")["rows"]
    assert row["cells"][:3] == ["web", "1/2", "Running"]


def test_watch_that_lists_first_says_when_the_list_ends(memory: MemoryApi, api: Api) -> None:
    api.create(api.resource("v1", "pods"), {"metadata": {"name": "web", "namespace": "default"}, "spec": {}})
    path = "/api/v1/pods?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1"
    with urllib.request.urlopen(memory.url + path, timeout=5) as response:
        events = [json.loads(line) for line in response.read().splitlines()]
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
