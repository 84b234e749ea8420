"""What SIGTERM does, step by step, and what losing the Lease does."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from hooks import replica
from hooks.app import create_app
from hooks.intervals import HAND_OVER
from hooks.replica import Lease, Replica
from metacontroller_standin.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from poddnat.config import Values
    from tests.unit.hooks.world import World

LEASE = Lease("poddnat-system", "poddnat", 15)
STARTED = ["service starts", "server starts", "election starts"]


class Steps(list[str]):
    """What happens, in order; stands for the service, the election, and the server, too."""

    may_write: Callable[[], bool]
    on_lost: Callable[[], None]
    ended_thread: Callable[[], str]

    def part(self, name: str) -> Callable[..., Any]:
        """Make what makes a part that notes when it is started and stopped."""

        def make(*_: object, **options: Any) -> Any:
            if name == "service":
                self.may_write = options["may_write"]
            if name == "election":
                self.on_lost = options["on_stopped_leading"]
            return _Part(name, self)

        return make

    def note_ended_thread(self, *_: object, ended_thread: Callable[[], str], **__: object) -> None:
        self.ended_thread = ended_thread


class _Part:
    url = "http://127.0.0.1:0"
    holder = "poddnat-0"
    is_leader = True

    def __init__(self, name: str, steps: Steps) -> None:
        self._name = name
        self._steps = steps

    def start(self) -> None:
        self._steps.append(f"{self._name} starts")

    def stop(self) -> None:
        self._steps.append(f"{self._name} stops")
        assert not self._steps.may_write(), "nothing may be written once the end has begun"

    def take_over(self) -> None:
        self._steps.append(f"{self._name} takes over")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    monkeypatch.setattr(replica, "Service", steps.part("service"))
    monkeypatch.setattr(replica, "LeaderElector", steps.part("election"))
    monkeypatch.setattr(replica, "HookServer", steps.part("server"))
    monkeypatch.setattr("hooks.replica.time.sleep", lambda seconds: steps.append(f"{seconds} s pass"))
    for name in ("KubeClient", "CloudClient"):
        monkeypatch.setattr(replica, name, lambda *_, **__: None)
    monkeypatch.setattr(replica, "create_app", steps.note_ended_thread)
    monkeypatch.delenv("POD_IP", raising=False)
    return steps


@pytest.fixture
def handlers() -> Iterator[None]:
    """Have the signals' handlers put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def make(lease: Lease | None) -> Replica:
    return Replica(cast("Values", None), Path("values.yaml"), None, "127.0.0.1", 0, lease)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_lease_is_given_back_only_when_all_work_has_ended_and_hooks_are_answered_a_while_longer(
    steps: Steps, number: signal.Signals
) -> None:
    made = make(LEASE)
    made.stop_on_signals()
    assert steps.may_write()
    signal.raise_signal(number)
    assert made.run() is True
    assert steps == [*STARTED, "service stops", "election stops", f"{HAND_OVER} s pass", "server stops"]


@pytest.mark.usefixtures("steps")
def test_signal_that_interrupts_any_line_of_an_earlier_one_does_not_block() -> None:
    made, ended = make(None), list[bool]()

    def interrupt(frame: FrameType, event: str, _argument: object) -> Any:
        if event == "line" and frame.f_code.co_filename != __file__:
            sys.settrace(None)
            made._on_signal(signal.SIGTERM, frame)
            sys.settrace(interrupt)
        return interrupt

    def signalled_twice() -> None:
        sys.settrace(interrupt)
        made._on_signal(signal.SIGINT, None)
        sys.settrace(None)
        ended.append(made.run())

    serving = threading.Thread(target=signalled_twice, daemon=True)
    serving.start()
    serving.join(10)
    assert ended == [True]


@pytest.mark.usefixtures("handlers")
def test_replica_without_a_lease_ends_without_a_pause(steps: Steps) -> None:
    made = make(None)
    made.stop_on_signals()
    signal.raise_signal(signal.SIGTERM)
    assert made.run() is True
    assert steps == ["service starts", "server starts", "service stops", "server stops"]


def test_replica_that_loses_its_lease_ends_with_a_failure(steps: Steps) -> None:
    made = make(LEASE)
    ended: list[bool] = []
    serving = threading.Thread(target=lambda: ended.append(made.run()))
    serving.start()
    steps.on_lost()
    serving.join(10)
    assert ended == [False]
    assert steps[-4:] == ["service stops", "election stops", f"{HAND_OVER} s pass", "server stops"]


def fail() -> None:
    raise ZeroDivisionError("as nobody expected")


def serve(made: Replica, ended: list[bool]) -> threading.Thread:
    """Have a replica serve on a thread of its own, and wait until it does."""
    before = threading.excepthook
    serving = threading.Thread(target=lambda: ended.append(made.run()))
    serving.start()
    wait_until(lambda: threading.excepthook is not before, 10, "the replica to serve")
    return serving


def test_replica_one_of_whose_threads_ends_unexpectedly_ends_with_a_failure(
    steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    made, ended, before = make(LEASE), list[bool](), threading.excepthook
    serving = serve(made, ended)
    assert steps.ended_thread() == ""
    failing = threading.Thread(target=fail, name="gateway-ngw-1")
    failing.start()
    for thread in (failing, serving):
        thread.join(10)
    assert ended == [False]
    assert steps[-4:] == ["service stops", "election stops", f"{HAND_OVER} s pass", "server stops"]
    assert steps.ended_thread() == "gateway-ngw-1"
    assert threading.excepthook is before
    (reported,) = (record for record in caplog.records if record.levelno == logging.CRITICAL)
    assert "the thread gateway-ngw-1 has ended unexpectedly" in reported.getMessage()
    assert reported.exc_info is not None
    assert reported.exc_info[0] is ZeroDivisionError


@pytest.mark.filterwarnings("error")
def test_thread_that_ends_itself_ends_nothing_else(steps: Steps) -> None:
    made, ended = make(None), list[bool]()
    serving = serve(made, ended)
    leaving = threading.Thread(target=sys.exit)
    leaving.start()
    leaving.join(10)
    made._on_signal(signal.SIGTERM, None)
    serving.join(10)
    assert ended == [True]
    assert steps.ended_thread() == ""


def test_health_tells_which_thread_has_ended(world: World) -> None:
    ended = [""]
    client = create_app(world.service, ended_thread=lambda: ended[0]).test_client()
    assert (client.get("/healthz").status_code, client.get("/healthz").text) == (200, "ok\n")
    ended[0] = "gateway-ngw-1"
    response = client.get("/healthz")
    assert response.status_code == 503
    assert response.text == "not healthy: the thread gateway-ngw-1 has ended unexpectedly\n"
