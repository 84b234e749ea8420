"""The short texts for the SDK's errors."""

from __future__ import annotations

import pytest

from poddnat.error_texts import why_no_answer, why_no_credentials
from tests.hushed import OIDC_TOKEN, STS_SECRET, STS_TOKEN, leaks

POOL = "Max retries exceeded with url: /?Action=AssumeRoleWithOIDC&OIDCToken={} (Caused by {})"
REFUSED = 'NewConnectionError("HTTPSConnection: Failed to establish a new connection: [Errno 111] Connection refused")'
CHAIN = (
    "unable to load credentials from any of the providers in the chain: ["
    "'EnvironmentVariableCredentialsProvider: Environment variable accessKeyId cannot be empty', "
    "'OIDCRoleArnCredentialsProvider: {}', 'CLIProfileCredentialsProvider: unable to open it', "
    "'EcsRamRoleCredentialsProvider: {}']"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            CHAIN.format(POOL.format(OIDC_TOKEN, REFUSED), "Failed to get RAM session credentials. HttpCode=404"),
            "the service account's RAM role: connection refused; "
            "the node's RAM role: Failed to get RAM session credentials. HttpCode=404",
            id="all ways",
        ),
        pytest.param(POOL.format(OIDC_TOKEN, REFUSED), "connection refused", id="one way"),
        pytest.param(
            POOL.format(OIDC_TOKEN, "who knows"),
            "Max retries exceeded with url: / (Caused by who knows)",
            id="another reason",
        ),
        pytest.param(
            'error refreshing credentials, http_code: 400, result: {"RequestId": "1", "Code": "AuthenticationFail.X"}',
            "refused with AuthenticationFail.X",
            id="refused",
        ),
        pytest.param(
            f'error retrieving credentials: {{"AccessKeySecret": "{STS_SECRET}", "SecurityToken":"{STS_TOKEN}"}}',
            'error retrieving credentials: {"AccessKeySecret": "...", "SecurityToken":"..."}',
            id="half an answer",
        ),
    ],
)
def test_missing_credentials_are_explained_without_secrets(text: str, expected: str) -> None:
    assert why_no_credentials(text) == expected
    assert leaks(expected) == []


def test_reason_is_taken_out_of_the_call_around_it() -> None:
    assert why_no_answer(POOL.format("", REFUSED)) == "connection refused"
    assert why_no_answer("something else") == "none that can be read"
