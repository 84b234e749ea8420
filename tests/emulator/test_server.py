"""The server under many clients at once, and when it stops."""

import contextlib
import json
import socket
import threading
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from darabonba.exceptions import UnretryableException

from tests.emulator.support import GATEWAY, Cloud
from vpc_emulator import Emulator, EmulatorServer, Fault


def test_parallel_creates_of_one_port_leave_one_winner(cloud: Cloud, emulator: Emulator) -> None:
    def attempt(number: int) -> str:
        try:
            cloud.create(internal_port=str(100 + number))
        except AlibabaCloudException as error:
            return str(error.code)
        return "OK"

    with ThreadPoolExecutor(8) as pool:
        outcomes = Counter(pool.map(attempt, range(40)))
    assert outcomes == {"OK": 1, "InvalidParameter.ForwardEntry.Duplicated": 39}
    assert len(emulator.forward_entries(GATEWAY)) == 1


def test_calls_after_stop_find_nobody(emulator: Emulator) -> None:
    with EmulatorServer(emulator) as server:
        cloud = Cloud(server.endpoint)
        cloud.create()
    with pytest.raises(UnretryableException):
        cloud.create()


def test_stop_does_not_wait_for_slow_answers(emulator: Emulator) -> None:
    emulator.add_fault(Fault("delay", seconds=30))
    with EmulatorServer(emulator) as server:
        cloud = Cloud(server.endpoint)

        def call() -> None:
            with contextlib.suppress(UnretryableException):
                cloud.create()

        caller = threading.Thread(target=call)
        caller.start()
        while emulator.faults.list():
            threading.Event().wait(0.01)
    caller.join(timeout=5)
    assert not caller.is_alive()


def test_two_servers_keep_apart(server: EmulatorServer, emulator: Emulator) -> None:
    other = Emulator(emulator.world)
    with EmulatorServer(other) as second:
        Cloud(second.endpoint).create()
    assert Cloud(server.endpoint).entries() == []
    assert other.bugs == []


def test_unknown_http_method_is_refused_in_the_shape_of_the_api(server: EmulatorServer) -> None:
    request = urllib.request.Request(server.url, method="PUT")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=5)
    with caught.value as answer:
        assert json.load(answer)["Code"] == "UnsupportedHTTPMethod"


def test_garbage_does_not_stop_the_server(server: EmulatorServer) -> None:
    host, _, port = server.endpoint.partition(":")
    for garbage in (b"\x16\x03\x01\x02\n\n", b"POST / HTTP/9.9\r\n\r\n", b"GET\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    assert Cloud(server.endpoint).entries() == []
