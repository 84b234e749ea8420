"""What SIGTERM does, step by step, and what losing the Lease does."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from hooks import replica
from hooks.intervals import HAND_OVER
from hooks.replica import Lease, Replica

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from poddnat.config import Values

LEASE = Lease("poddnat-system", "poddnat", 15)
STARTED = ["service starts", "server starts", "election starts"]


class Steps(list[str]):
    """What happens, in order; stands for the service, the election, and the server, too."""

    may_write: Callable[[], bool]
    on_lost: Callable[[], None]

    def part(self, name: str) -> Callable[..., Any]:
        """Make what makes a part that notes when it is started and stopped."""

        def make(*_: object, **options: Any) -> Any:
            if name == "service":
                self.may_write = options["may_write"]
            if name == "election":
                self.on_lost = options["on_drifted"]
            return _Part(name, self)

        return make


class _Part:
    url = "http://127.0.0.1:0"
    holder = "poddnat-0"
    active = True

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
    for name in ("KubeClient", "CloudClient", "create_app"):
        monkeypatch.setattr(replica, name, lambda *_, **__: None)
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
