"""Calls webhooks and sorts what comes back: an answer, "later", or an error."""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
from collections import Counter
from email.utils import parsedate_to_datetime
from math import ceil
from time import time
from typing import TYPE_CHECKING, Any, TypeVar

import urllib3

from metacontroller_standin.answers import AnswerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from metacontroller_standin.api import Api
    from metacontroller_standin.manifests import Authorities, SecretKey, Webhook

Json = dict[str, Any]
Answer = TypeVar("Answer")

OK = 200
TOO_MANY_REQUESTS = 429


class HookError(Exception):
    """A hook did not answer as it should."""


class TooManyRequestsError(Exception):
    """A hook wants to be asked later."""

    def __init__(self, after: int) -> None:
        super().__init__(f"asked to come back after {after} s")
        self.after = after


class HookClient:
    """The hooks of all controllers; counts its calls."""

    def __init__(self, api: Api, workers: int) -> None:
        """Take the `api` that has the secrets with bearer tokens."""
        self._api = api
        self._workers = workers
        self._pools: dict[Authorities | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._headers: dict[Webhook, dict[str, str]] = {}
        self.calls: Counter[tuple[str, int]] = Counter()
        """How often each URL answered with each status; 0 stands for no answer."""

    def prepare(self, webhook: Webhook) -> None:
        """Read a webhook's token and authorities. Like Metacontroller once, at the start."""
        headers = {"Content-Type": "application/json", "User-Agent": "Go-http-client/1.1"}
        if webhook.authorization is not None:
            headers["Authorization"] = self._authorization(webhook.authorization)
        self._headers[webhook] = headers
        if webhook.authorities not in self._pools:
            self._pools[webhook.authorities] = self._pool(webhook.authorities)

    def _authorization(self, where: SecretKey) -> str:
        return f"{where.scheme} {self._secret(where).strip()}"

    def _pool(self, authorities: Authorities | None) -> urllib3.PoolManager:
        context = None
        if authorities is not None:
            pem = self._secret(authorities.secret) if authorities.secret else authorities.pem
            context = ssl.create_default_context(cadata=pem)
        return urllib3.PoolManager(maxsize=4 * self._workers, retries=False, ssl_context=context)

    def _secret(self, where: SecretKey) -> str:
        secret = self._api.get(self._api.resource("v1", "secrets"), where.name, where.namespace)
        data = secret.get("data") or {}
        if where.key not in data:
            message = f"secret {where.namespace}/{where.name} has no key {where.key}"
            raise HookError(message)
        return base64.b64decode(data[where.key]).decode()

    def ask(self, webhook: Webhook, request: Json, read: Callable[[bytes], Answer]) -> Answer:
        """Call a hook and `read` its answer; raise for all else than a 200 that can be read."""
        try:
            return read(self._call(webhook, request))
        except (HookError, AnswerError) as error:
            # What users find in the event: in Metacontroller's words, so that they can look them up.
            message = f"{webhook.name} hook failed (version=v1): {error}"
            raise HookError(message) from error

    def _call(self, webhook: Webhook, request: Json) -> bytes:
        try:
            response = self._pools[webhook.authorities].request(
                "POST",
                webhook.url,
                body=json.dumps(request, separators=(",", ":")).encode(),
                headers=self._headers[webhook],
                timeout=webhook.timeout,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._count(webhook, 0)
            message = f"http error: {error}"
            raise HookError(message) from error
        self._count(webhook, response.status)
        if response.status == TOO_MANY_REQUESTS:
            raise TooManyRequestsError(retry_after(response.headers.get("Retry-After", "")))
        if response.status != OK:
            body = response.data.decode(errors="replace")
            message = f"unsupported status code: {response.status} body: {body}"
            raise HookError(message)
        return response.data

    def _count(self, webhook: Webhook, status: int) -> None:
        with self._lock:
            self.calls[webhook.url, status] += 1

    def close(self) -> None:
        """Close the idle connections."""
        for pool in self._pools.values():
            pool.clear()


def retry_after(header: str) -> int:
    """Read Retry-After as Metacontroller does: whole seconds or a date; anything else, such as 1.5, is 0."""
    if re.fullmatch(r"[+-]?[0-9]+", header):
        return int(header)
    try:
        return ceil(parsedate_to_datetime(header).timestamp() - time())
    except ValueError:
        return 0
