"""Checks the signature of a request: ACS3-HMAC-SHA256 (reference: "V3 signature mechanism")."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote

from vpc_emulator import exceptions as errors
from vpc_emulator.assets import Credential

_ALGORITHM: Final = "ACS3-HMAC-SHA256"
_AUTHORIZATION: Final = re.compile(
    _ALGORITHM + r"\s+Credential=(?P<key>[^,]+),\s*SignedHeaders=(?P<headers>[^,]+),"
    r"\s*Signature=(?P<signature>[0-9a-f]+)"
)


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: str = "127.0.0.1"


def authenticate(request: Request, credentials: Mapping[str, Credential]) -> Credential:
    """Return whose request it is, or raise the error that the cloud answers."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise errors.IncompleteSignature
    credential = credentials.get(found["key"])
    if credential is None:
        raise errors.AccessKeyNotFound
    expected = sign(request, found["headers"].split(";"), credential.access_key_secret)
    if not hmac.compare_digest(expected, found["signature"]):
        raise errors.SignatureDoesNotMatch
    _check_token(request, credential)
    return credential


def sign(request: Request, signed_headers: list[str], secret: str) -> str:
    """Return the signature of a request. The body's hash is part of it, so a changed body shows."""
    headers = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in signed_headers)
    canonical = "\n".join(
        [
            request.method,
            request.path,
            _canonical_query(request.query),
            headers,
            ";".join(signed_headers),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    to_sign = f"{_ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


def _canonical_query(query: str) -> str:
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)


def _check_token(request: Request, credential: Credential) -> None:
    """Compare the token of a temporary key (STS) with the one the world lists."""
    token = request.headers.get("x-acs-security-token", "")
    if credential.security_token and not token:
        raise errors.SecurityTokenMissing
    if token != credential.security_token:
        raise errors.SecurityTokenMismatch
