"""Who is let in: signatures, keys, policies, versions."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from alibabacloud_tea_openapi import utils_models
from alibabacloud_vpc20160428 import models as vpc
from darabonba.runtime import RuntimeOptions

from tests.emulator.support import REGION, Cloud, Refusal
from tests.hushed import STS_SECRET, STS_TOKEN
from vpc_emulator import Emulator, EmulatorServer
from vpc_emulator.listing import EntryListing


def test_wrong_secret_does_not_match(server: EmulatorServer) -> None:
    with Refusal("SignatureDoesNotMatch", 400):
        Cloud(server.endpoint, secret="other").entries()


def test_unknown_key_is_not_found(server: EmulatorServer) -> None:
    with Refusal("InvalidAccessKeyId.NotFound", 404):
        Cloud(server.endpoint, key="nobody").entries()


def test_values_that_need_escaping_are_signed_alike(cloud: Cloud) -> None:
    assert cloud.entries(forward_entry_name="a b&c=d/ü~*+%41") == []


def test_temporary_key_with_its_token_is_let_in(server: EmulatorServer) -> None:
    assert Cloud(server.endpoint, key="sts-key", secret=STS_SECRET, token=STS_TOKEN).entries() == []


def test_temporary_key_without_token_is_refused(server: EmulatorServer) -> None:
    with Refusal("MissingSecurityToken", 400):
        Cloud(server.endpoint, key="sts-key", secret=STS_SECRET).entries()


def test_temporary_key_with_another_token_is_refused(server: EmulatorServer) -> None:
    with Refusal("InvalidSecurityToken.MismatchWithAccessKey", 400):
        Cloud(server.endpoint, key="sts-key", secret=STS_SECRET, token="old").entries()


def test_key_may_do_only_what_its_policy_lists(server: EmulatorServer) -> None:
    reader = Cloud(server.endpoint, key="reader")
    assert reader.entries() == []
    with Refusal("Forbidden.RAM", 403):
        reader.create()
    with Refusal("Forbidden.RAM", 403):
        reader.interfaces()


def test_revoked_key_is_unknown_until_restored(cloud: Cloud, emulator: Emulator) -> None:
    emulator.revoke_credential("key")
    with Refusal("InvalidAccessKeyId.NotFound", 404):
        cloud.entries()
    emulator.restore_credential("key")
    assert cloud.entries() == []


def test_changed_policy_holds_at_once(cloud: Cloud, emulator: Emulator) -> None:
    emulator.set_allowed_actions("key", ["vpc:CreateForwardEntry"])
    with Refusal("Forbidden.RAM"):
        cloud.entries()


def _call(cloud: Cloud, action: str, version: str) -> Any:
    params = utils_models.Params(
        action=action,
        version=version,
        protocol="HTTP",
        pathname="/",
        method="POST",
        auth_type="AK",
        style="RPC",
        req_body_type="formData",
        body_type="json",
    )
    request = utils_models.OpenApiRequest(query={"RegionId": REGION})
    return cloud.vpc.call_api(params, request, RuntimeOptions())


@pytest.mark.parametrize(
    ("action", "version", "code"),
    [
        pytest.param("ModifyForwardEntry", "2016-04-28", "Forbidden.RAM", id="not in the policy"),
        pytest.param("CreateForwardEntry", "2014-05-26", "InvalidAction.NotFound", id="of the other product"),
        pytest.param("CreateForwardEntry", "2020-01-01", "InvalidVersion", id="unknown version"),
        pytest.param("CreateForwardEntry", "", "MissingParameter", id="no version"),
        pytest.param("", "2016-04-28", "MissingParameter", id="no action"),
    ],
)
def test_unknown_action_or_version_is_refused(cloud: Cloud, action: str, version: str, code: str) -> None:
    with Refusal(code):
        _call(cloud, action, version)


def test_action_of_the_policy_that_is_not_emulated_is_told_as_such(cloud: Cloud, emulator: Emulator) -> None:
    emulator.set_allowed_actions("key", ["vpc:ModifyForwardEntry"])
    with Refusal("InvalidAction.NotFound"):
        _call(cloud, "ModifyForwardEntry", "2016-04-28")


def test_unsigned_request_is_refused_in_the_shape_of_the_api(server: EmulatorServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{server.url}/?RegionId=cn-hangzhou", timeout=5)
    with caught.value as answer:
        body = json.load(answer)
    assert set(body) == {"Code", "Message", "RequestId", "HostId", "Recommend"}
    assert (body["Code"], body["HostId"]) == ("IncompleteSignature", server.endpoint)


def test_bug_of_the_emulator_looks_like_an_internal_error_and_is_kept(
    cloud: Cloud, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(EntryListing, "describe_forward_table_entries")
    with Refusal("InternalError", 500):
        cloud.vpc.describe_forward_table_entries(vpc.DescribeForwardTableEntriesRequest(region_id=REGION))
    assert "AttributeError" in emulator.bugs.pop()
