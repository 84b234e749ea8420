"""Credentials without an AccessKey: the RAM role of the node, and that of the service account (RRSA)."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from metacontroller_standin.waiting import wait_until
from tests.hushed import OIDC_TOKEN, STS_SECRET, STS_TOKEN
from tests.unit.hooks import certificates
from tests.unit.hooks.world import GATEWAY, cloud
from tests.unit.internet import STS, Internet
from vpc_emulator import EmulatorServer
from vpc_emulator.world import POD_DNAT_ACTIONS, Credential

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vpc_emulator import Emulator

# The SDK reads its environment when it is imported, so it takes a process of its own; this one asks the cloud once
# for each line that it is sent. The authority that has signed for STS is ours.
PROGRAM = """
import sys, certifi
certifi.where = lambda: sys.argv[2]
from poddnat import logs
from poddnat.cloud import CloudClient, CloudError
from poddnat.config import Endpoints, Values
logs.log_to_stderr(None)
cloud = CloudClient(Values("c", "cn-hangzhou", "vpc-1", (), None, Endpoints(sys.argv[1], sys.argv[1])))
for _ in sys.stdin:
    try:
        print(*[gateway.gateway_id for gateway in cloud.describe_nat_gateways()], flush=True)
    except CloudError as error:
        print(error, flush=True)
"""


class Program:
    """The cloud's client, with the environment of a container."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self) -> str:
        """Have it read the gateways; return their ids, or the error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        return self._process.stdout.readline().rstrip("\n")


@pytest.fixture
def files(tmp_path: Path) -> certificates.Files:
    return certificates.make(tmp_path, host=STS)


@pytest.fixture
def internet(files: certificates.Files) -> Iterator[Internet]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    with Internet(context) as internet:
        yield internet


@pytest.fixture
def emulator() -> Emulator:
    """A cloud that knows the first temporary key."""
    emulator = cloud()
    give_key(emulator, "sts-1")
    return emulator


def give_key(emulator: Emulator, key_id: str) -> None:
    emulator.credentials[key_id] = Credential(key_id, STS_SECRET, STS_TOKEN, POD_DNAT_ACTIONS)


@contextmanager
def running(emulator: Emulator, files: certificates.Files, **environment: str) -> Iterator[Program]:
    # With DEBUG=sdk, the SDK shows the headers and addresses of all that it sends.
    environ = {**os.environ, **environment, "HOME": str(files.cert.parent), "DEBUG": "sdk"}
    with EmulatorServer(emulator) as server:
        command = [sys.executable, "-c", PROGRAM, server.url, str(files.cert)]
        # What it writes to stderr shows with the test's own output, where secrets are looked for.
        with subprocess.Popen(command, env=environ, text=True, stdin=-1, stdout=-1) as process:
            yield Program(process)
            assert process.stdin is not None
            process.stdin.close()


def test_ram_role_of_the_node_is_used(internet: Internet, emulator: Emulator, files: certificates.Files) -> None:
    with running(emulator, files, HTTP_PROXY=internet.url) as program:
        assert program.ask() == GATEWAY


def test_ram_role_of_the_service_account_is_used_and_renewed_with_the_mounted_token(
    internet: Internet, emulator: Emulator, files: certificates.Files, tmp_path: Path
) -> None:
    mounted = tmp_path / "token"
    mounted.write_text(f"{OIDC_TOKEN}-1")
    rrsa = {
        "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/poddnat",
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/ack-rrsa-c-test",
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(mounted),
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
    }
    with running(emulator, files, HTTPS_PROXY=internet.url, **rrsa) as program:
        away = program.ask()
        assert away.startswith("DescribeNatGateways: NoCredentials: the service account's RAM role: ")
        assert f"host='{STS}'" in away

        internet.oidc_token, internet.fresh_seconds = f"{OIDC_TOKEN}-1", 1.0
        assert program.ask() == GATEWAY
        assert internet.assumed[-1]["RoleArn"] == rrsa["ALIBABA_CLOUD_ROLE_ARN"]

        # Kubelet replaces the token, STS the key; the old ones are good for nothing any more.
        internet.oidc_token, internet.key_id = f"{OIDC_TOKEN}-2", "sts-2"
        emulator.revoke_credential("sts-1")
        give_key(emulator, "sts-2")
        refused = "DescribeNatGateways: NoCredentials: refused with AuthenticationFail.OIDCToken.Invalid"
        wait_until(lambda: program.ask() == refused, 10, "the key to be renewed", interval=0.1)
        mounted.write_text(f"{OIDC_TOKEN}-2")
        assert program.ask() == GATEWAY


def test_sts_inside_the_vpc_is_asked_where_the_environment_says_so(emulator: Emulator, tmp_path: Path) -> None:
    host = "sts-vpc.cn-hangzhou.aliyuncs.com"
    files = certificates.make(tmp_path, host=host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    (tmp_path / "token").write_text(OIDC_TOKEN)
    environment = {
        "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/poddnat",
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/ack-rrsa-c-test",
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(tmp_path / "token"),
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
        "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED": "true",
        "ALIBABA_CLOUD_STS_REGION": "cn-hangzhou",
    }
    # The one server that is behind the proxy has this name: another one's would be refused.
    with Internet(context, host) as internet:
        internet.oidc_token = OIDC_TOKEN
        with running(emulator, files, HTTPS_PROXY=internet.url, **environment) as program:
            assert program.ask() == GATEWAY
        assert internet.assumed
