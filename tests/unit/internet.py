"""Where credentials come from without an AccessKey: a node's metadata and STS, on loopback behind a proxy.

The SDK knows both by fixed addresses, but goes through the proxies that HTTP_PROXY and HTTPS_PROXY name.
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.hushed import STS_SECRET, STS_TOKEN

if TYPE_CHECKING:
    import ssl

METADATA = "100.100.100.200"
STS = "sts.aliyuncs.com"
ROLE = "worker-role"

# The SDK asks for new credentials a quarter of an hour before the old ones end.
_EARLY = dt.timedelta(minutes=15)


class Internet:
    """The proxy, and all that is behind it."""

    def __init__(self, certificate: ssl.SSLContext, sts: str = STS) -> None:
        """``certificate`` is that of STS, which has the name ``sts``."""
        self.key_id = "sts-1"
        """Of the temporary key that is given out now; its secret and its token are always the same."""
        self.fresh_seconds = 3600.0
        """After how long a key that is given out wants renewing."""
        self.oidc_token = ""
        """The service account's token that STS takes; empty: STS is away."""
        self.assumed: list[dict[str, str]] = []
        """What STS was asked for."""
        internet = self

        class Proxy(_Handler):
            def do_CONNECT(self) -> None:
                if self.path != f"{sts}:443" or not internet.oidc_token:
                    self.send_error(502)
                    return
                self.send_response(200)
                self.end_headers()
                self.close_connection = True
                with certificate.wrap_socket(self.connection, server_side=True) as secure:
                    Sts(secure, self.client_address, self.server)

            def do_GET(self) -> None:
                target = urlsplit(self.path)
                if target.netloc != METADATA:
                    self.send_error(502)
                    return
                folder = "/latest/meta-data/ram/security-credentials/"
                found = {folder: ROLE, f"{folder}{ROLE}": json.dumps({"Code": "Success", **internet.credentials()})}
                self.answer(200 if target.path in found else 404, found.get(target.path, ""))

            def do_PUT(self) -> None:
                self.answer(200, "token-of-the-metadata-service")

            def do_POST(self) -> None:
                """Pass a call on to the emulator."""
                target = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                onward = http.client.HTTPConnection(target.netloc, timeout=10)
                onward.request("POST", f"{target.path or '/'}?{target.query}", body, dict(self.headers))
                answer = onward.getresponse()
                self.answer(answer.status, answer.read().decode())
                onward.close()

        class Sts(_Handler):
            def do_GET(self) -> None:
                asked = dict(parse_qsl(urlsplit(self.path).query))
                internet.assumed.append(asked)
                if asked.get("OIDCToken") != internet.oidc_token:
                    self.answer(400, json.dumps({"Code": "AuthenticationFail.OIDCToken.Invalid"}))
                else:
                    self.answer(200, json.dumps({"Credentials": internet.credentials()}))

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def credentials(self) -> dict[str, str]:
        """Give out the temporary key of now."""
        end = dt.datetime.now(dt.UTC) + _EARLY + dt.timedelta(seconds=self.fresh_seconds)
        return {
            "AccessKeyId": self.key_id,
            "AccessKeySecret": STS_SECRET,
            "SecurityToken": STS_TOKEN,
            "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Be quiet."""
