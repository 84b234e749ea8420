"""The server on the wire: TLS, and callers who send too much, too slowly, or nonsense."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
import yaml
from flask import Flask, request

from hooks.app import create_app
from hooks.certificate import Certificate, CertificateError
from hooks.server import _THREADS, LARGEST_REQUEST, HookServer
from metacontroller_standin.kubeconfig import kubeconfig
from metacontroller_standin.waiting import wait_until
from poddnat.kube import connect
from tests.unit.hooks import certificates
from tests.unit.hooks.test_validation import HOOKS, ONE_OF_EACH, PATHS, request_about
from tests.unit.hooks.world import World, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.hooks.certificates import Files


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with running() as world:
        yield world


@pytest.fixture(scope="module")
def server(shared: World) -> Iterator[HookServer]:
    with HookServer(create_app(shared.service), longest_read=1) as server:
        yield server


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return certificates.make(tmp_path)


@pytest.fixture
def secure(shared: World, files: Files) -> Iterator[HookServer]:
    certificate = Certificate(files.cert, files.key)
    with HookServer(create_app(shared.service), certificate=certificate, longest_read=1) as server:
        yield server


def connection(server: HookServer) -> socket.socket:
    """Connect to a server."""
    host, _, port = server.url.partition("://")[2].partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def talk(server: HookServer, *said: bytes) -> bytes:
    """Say something, and return all that is answered until the server hangs up."""
    with connection(server) as wire:
        # Who is refused early may find that nobody listens any more.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in said:
                wire.sendall(piece)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while more := wire.recv(65536):
                answer += more
    return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def is_well(server: HookServer, context: ssl.SSLContext | None = None) -> bool:
    with urllib.request.urlopen(f"{server.url}/healthz", timeout=20, context=context) as response:
        return bool(response.status == 200)


# TLS


def test_certificate_that_the_caller_trusts_is_shown(secure: HookServer, files: Files) -> None:
    assert secure.url.startswith("https://")
    assert is_well(secure, files.trusting())


def test_caller_who_trusts_another_certificate_does_not_talk(secure: HookServer, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = certificates.make(tmp_path / "other")
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        is_well(secure, other.trusting())


def test_old_tls_is_not_spoken(secure: HookServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with connection(secure) as wire, pytest.raises(ssl.SSLError):
        context.wrap_socket(wire)


def test_caller_without_tls_gets_no_answer(secure: HookServer) -> None:
    assert talk(secure, b"GET /healthz HTTP/1.0\r\n\r\n") == b""


def test_caller_who_never_shakes_hands_keeps_nobody_waiting(secure: HookServer, files: Files) -> None:
    with connection(secure), connection(secure):
        assert is_well(secure, files.trusting())


def test_hooks_are_answered_over_tls(shared: World, secure: HookServer, files: Files) -> None:
    body = json.dumps(request_about(shared, "pod-sync-no-ip")).encode()
    with urllib.request.urlopen(f"{secure.url}/pod/sync", body, timeout=20, context=files.trusting()) as response:
        assert "attachments" in json.load(response)


def test_certificate_is_replaced_without_a_restart(secure: HookServer, files: Files) -> None:
    before = files.trusting()
    certificates.make(files.cert.parent)
    assert is_well(secure, files.trusting())
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        is_well(secure, before)


def test_certificate_that_can_not_be_used_leaves_the_old_one_in_use(
    secure: HookServer, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    before = files.trusting()
    files.key.write_text("no key")
    assert is_well(secure, before)
    assert "stays in use" in caplog.text


def test_key_of_another_certificate_is_refused(files: Files, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(CertificateError, match="are not a PEM certificate and its key: key values mismatch"):
        Certificate(files.cert, certificates.make(tmp_path / "other").key)


def test_certificate_that_is_none_is_refused(files: Files) -> None:
    files.cert.write_text("no certificate")
    with pytest.raises(CertificateError, match="are not a PEM certificate and its key"):
        Certificate(files.cert, files.key)


def test_key_that_is_not_there_is_named(files: Files) -> None:
    files.key.unlink()
    with pytest.raises(CertificateError, match=f"{files.key} can't be read: No such file or directory"):
        Certificate(files.cert, files.key)


# Too much


@pytest.mark.parametrize("path", PATHS)
def test_request_that_says_it_is_too_large_is_refused_unread(server: HookServer, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGEST_REQUEST + 1}\r\n\r\n"
    assert status_of(talk(server, head.encode())) == 413


def test_request_that_does_not_say_how_large_it_is_is_refused_unread(server: HookServer) -> None:
    head = b"POST /pod/sync HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = talk(server, head, b"100000\r\n" + b" " * 0x100000 + b"\r\n")
    assert status_of(answer) == 411
    # What was not read is not taken for another request.
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_head_and_body_of_an_answer_leave_together(server: HookServer, path: str) -> None:
    with connection(server) as wire:
        for _ in range(20):
            wire.sendall(f"GET {path} HTTP/1.1\r\nHost: poddnat\r\n\r\n".encode())
            assert wire.recv(65536).endswith(b"ok\n")


def test_answer_without_a_body_is_sent(server: HookServer) -> None:
    with connection(server) as wire:
        wire.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: poddnat\r\n\r\n")
        assert wire.recv(65536).endswith(b"\r\n\r\n")


def test_caller_who_waits_for_leave_to_send_its_request_gets_it(server: HookServer) -> None:
    with connection(server) as wire:
        wire.sendall(b"POST /pod/sync HTTP/1.1\r\nHost: poddnat\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert status_of(wire.recv(65536)) == 100
        wire.sendall(b"{}")
        assert status_of(wire.recv(65536)) == 400


def test_header_that_is_too_large_is_refused(server: HookServer) -> None:
    assert status_of(talk(server, b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")) == 413


# Too slowly


@pytest.mark.parametrize(
    "begun",
    [
        b"POST /pod/sync HTTP/1.1\r\nHost: a\r\n",
        b"POST /pod/sync HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["header", "body"],
)
def test_callers_who_stop_in_the_middle_are_hung_up_on(server: HookServer, begun: bytes) -> None:
    # More of them than there are threads: the next one to call has to wait for them to be given up.
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(connection(server)).sendall(begun)
        wait_until(lambda: is_well(server), 30, "an answer")


@pytest.mark.parametrize("begun", [b"X: ", b"Content-Length: 100000\r\n\r\n"], ids=["header", "body"])
def test_callers_who_send_a_request_in_drops_are_hung_up_on(shared: World, begun: bytes) -> None:
    app = create_app(shared.service)
    with HookServer(app, longest_read=5, longest_request=0.5) as server, contextlib.ExitStack() as stack:
        callers = [stack.enter_context(connection(server)) for _ in range(30)]
        for caller in callers:
            caller.sendall(b"POST /pod/sync HTTP/1.1\r\nHost: a\r\n" + begun)
        enough = threading.Event()
        dripping = threading.Thread(target=drip, args=(callers, enough))
        dripping.start()
        try:
            assert is_well(server)
        finally:
            enough.set()
            dripping.join()


def drip(callers: list[socket.socket], enough: threading.Event) -> None:
    """Send a byte after the other on each connection."""
    while not enough.wait(0.1):
        for caller in callers:
            with contextlib.suppress(OSError):
                caller.sendall(b"x")


# Nonsense


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"HELLO\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /pod/sync HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n",
        b"POST /pod/sync HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /pod/sync HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /pod/sync HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"POST /pod/sync HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
    ],
    ids=repr,
)
def test_nonsense_is_refused_without_telling_about_the_inside(server: HookServer, said: bytes) -> None:
    answer = talk(server, said)
    assert answer == b"" or 400 <= status_of(answer) < 600
    assert b"Traceback" not in answer
    assert b".py" not in answer
    assert is_well(server)


# No insides in answers


def with_a_fault_inside(app: Flask) -> Flask:
    """Let every path fail, whatever it is about to do."""

    def fail() -> None:
        raise RuntimeError(f"a secret of {request.path}")

    app.before_request(fail)
    return app


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/nothing", *[HOOKS[name] for name in ONE_OF_EACH]]
)
def test_no_path_tells_what_failed_inside(shared: World, path: str) -> None:
    with HookServer(with_a_fault_inside(create_app(shared.service))) as server:
        answer = talk(server, f"POST {path} HTTP/1.0\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.splitlines()[0] in {b"HTTP/1.1 500 INTERNAL SERVER ERROR", b"HTTP/1.0 500 INTERNAL SERVER ERROR"}
    assert body == b"poddnat failed unexpectedly; its log has the details\n"


def test_each_thread_that_may_ask_the_api_server_keeps_its_connection(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(kubeconfig("https://127.0.0.1:6443")))
    api = connect(file)
    watches_and_other_threads = 16
    assert api.configuration.connection_pool_maxsize >= _THREADS + watches_and_other_threads
    assert api.rest_client.pool_manager.connection_pool_kw["maxsize"] == api.configuration.connection_pool_maxsize
