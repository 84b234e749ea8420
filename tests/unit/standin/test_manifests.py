from __future__ import annotations

import base64
import copy
from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.api import ApiError
from metacontroller_standin.hook_client import retry_after
from metacontroller_standin.manifests import Authorities, ManifestError, ParentRule, SecretKey, parse, point_at
from metacontroller_standin.selectors import matches
from metacontroller_standin.standin import StandIn
from metacontroller_standin.waiting import wait_until
from tests.unit.standin.hook_server import HookServer, Reply
from tests.unit.standin.scenario import manifests

if TYPE_CHECKING:
    from metacontroller_standin.api import Api

Json = dict[str, Any]


def changed(index: int, *path: str, to: Any) -> Json:
    manifest = copy.deepcopy(manifests()[index])
    place = manifest["spec"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return manifest


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        pytest.param(changed(0, "hooks", "finalize", to={"webhook": {}}), "finalize", id="decorator's finalize"),
        pytest.param(
            changed(0, "resources", to=[{"apiVersion": "v1", "resource": "pods"}] * 2), "two rules", id="two rules"
        ),
        pytest.param(changed(2, "childResources", to=[{}]), "childResources", id="children"),
        pytest.param(changed(2, "generateSelector", to=False), "generateSelector", id="selector"),
        pytest.param(changed(2, "hooks", "customize", to={"webhook": {}}), "customize", id="customize"),
        pytest.param(changed(0, "hooks", "sync", "version", to="v2"), "v1", id="hook version"),
        pytest.param(changed(0, "hooks", "sync", "webhook", to={"timeout": "5s"}), "url is missing", id="no url"),
        pytest.param(
            changed(0, "hooks", "sync", "webhook", to={"url": "http://x", "timeout": "5"}), "duration", id="timeout"
        ),
        pytest.param({"apiVersion": "v1", "kind": "Pod", "metadata": {}}, "Pod", id="another kind"),
    ],
)
def test_what_the_stand_in_does_not_do_is_refused(manifest: Json, complaint: str) -> None:
    with pytest.raises(ManifestError, match=complaint):
        parse(manifest)


def test_hooks_get_what_an_api_server_would_add() -> None:
    manifest = changed(2, "hooks", "finalize", to={"webhook": {"url": "http://x/f", "timeout": "1m30s"}})
    spec = parse(manifest)
    assert spec.body["spec"]["hooks"]["finalize"]["version"] == "v1"
    assert spec.body["status"] == {}
    assert spec.body["metadata"].keys() >= {"uid", "resourceVersion", "generation", "creationTimestamp", "name"}
    assert getattr(spec, "finalize").timeout == 90  # noqa: B009  # either kind of spec, as far as types know


def test_hooks_are_moved_to_another_server_under_their_paths() -> None:
    moved = point_at(manifests(), "http://10.0.0.1:99")
    urls = [hook["webhook"]["url"] for one in moved for hook in one["spec"]["hooks"].values()]
    assert sorted(urls) == [
        "http://10.0.0.1:99/finalize-poddnat",
        "http://10.0.0.1:99/sync-optout",
        "http://10.0.0.1:99/sync-pod",
        "http://10.0.0.1:99/sync-poddnat",
    ]


@pytest.mark.parametrize(
    ("operator", "allowed", "annotations", "selected"),
    [
        ("Exists", None, {"a": "false"}, True),
        ("Exists", None, {}, False),
        ("DoesNotExist", None, {}, True),
        ("In", ["", "true"], {"a": ""}, True),
        ("In", ["", "true"], {}, False),
        ("NotIn", ["x"], {}, True),
        ("NotIn", ["x"], {"a": "x"}, False),
    ],
)
def test_selectors(operator: str, allowed: list[str] | None, annotations: dict[str, str], *, selected: bool) -> None:
    selector = {"matchExpressions": [{"key": "a", "operator": operator, "values": allowed}]}
    rule = ParentRule("v1", "pods", annotation_selector=selector)
    assert rule.selects({"metadata": {"annotations": annotations}}) is selected


def test_selectors_join_their_parts() -> None:
    selector = {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}
    assert matches(selector, {"a": "1", "b": ""})
    assert not matches(selector, {"a": "1"})
    with pytest.raises(ValueError, match="Near"):
        matches({"matchExpressions": [{"key": "a", "operator": "Near"}]}, {})


@pytest.mark.parametrize(("header", "seconds"), [("3", 3), ("1.5", 0), ("", 0), ("soon", 0), (" 3", 0)])
def test_retry_after_is_a_whole_number_or_nothing(header: str, seconds: int) -> None:
    assert retry_after(header) == seconds


def test_retry_after_may_be_a_date() -> None:
    assert retry_after("Thu, 01 Jan 2099 00:00:00 GMT") > 10**9


def with_token(url: str) -> list[Json]:
    (manifest,) = point_at(manifests()[:1], url)
    reference = {"name": "hooks", "namespace": "default", "key": "token"}
    manifest["spec"]["hooks"]["sync"]["webhook"]["authorization"] = {"secretRef": reference}
    return [manifest]


def test_a_webhooks_token_comes_from_its_secret(api: Api) -> None:
    data = {"token": base64.b64encode(b"s3cret\n").decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hooks", "namespace": "default"}, "data": data}
    api.create(api.resource("v1", "secrets"), secret)
    pod = {"metadata": {"name": "p", "namespace": "default", "annotations": {"k8s.aliyun.com/pod-dnat": "true"}}}
    api.create(api.resource("v1", "pods"), pod)
    with HookServer(lambda _path, _body: Reply({})) as hook, StandIn(api, with_token(hook.url)) as standin:
        wait_until(lambda: hook.requests, 5, "a call")
        standin.wait_idle()
        assert standin.counts().hook_calls == {f"{hook.url}/sync-pod": 1}
        assert not standin.counts().writes
    assert {headers["Authorization"] for _, _, headers in hook.requests} == {"Bearer s3cret"}


def test_a_missing_secret_is_told_at_the_start(api: Api) -> None:
    with pytest.raises(ApiError, match="hooks"), StandIn(api, with_token("http://127.0.0.1:9")):
        pass


def test_a_webhooks_authorities_come_from_the_manifest_or_a_secret() -> None:
    ref = {"name": "tls", "namespace": "default"}
    webhooks = [{"url": "https://x", "caBundle": bundle} for bundle in ({"inline": "PEM"}, {"secretRef": ref})]
    found = [parse(changed(0, "hooks", "sync", "webhook", to=webhook)).sync.authorities for webhook in webhooks]
    assert found == [Authorities(pem="PEM"), Authorities(secret=SecretKey("default", "tls", "ca.crt"))]
