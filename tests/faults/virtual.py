"""Threads in virtual time: the real code with its real waits, in an order that is the same in every run.

Code under test believes to have threads, locks, conditions and a pool. Here one of them runs at a time, and goes on
until it waits; time passes only when all wait. So minutes cost nothing, and what failed once fails again.
"""

from __future__ import annotations

import itertools
import math
import threading
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vpc_emulator import ManualClock


class KilledError(BaseException):
    """The process of this thread was killed. No handler of errors may stop it, as none stops SIGKILL."""


class Task:
    """A thread that runs only when it is its turn."""

    def __init__(self, work: Callable[[], object], owner: object, name: str) -> None:
        self.owner = owner
        self.name = name
        self.wake_at = -math.inf
        self.turn = 0
        self.done = False
        self.killed = False
        self.error: BaseException | None = None
        self._work = work
        self._go, self._back = threading.Lock(), threading.Lock()  # A good deal faster than semaphores.
        self._go.acquire()
        self._back.acquire()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self.killed:
                self._work()
        except KilledError:
            pass
        except BaseException as error:  # noqa: BLE001 - told to the test, which runs in another thread
            self.error = error
        self.done = True
        self._back.release()

    def resume(self) -> None:
        """Let it run until it waits or ends."""
        if not self._thread.ident:
            self._thread.start()
        self._go.release()
        self._back.acquire()
        if self.done:
            self._thread.join()
        if self.error is not None:
            raise self.error

    def hand_back(self) -> None:
        """Wait for the next turn; called by the thread itself."""
        self._back.release()
        self._go.acquire()
        if self.killed:
            raise KilledError


class Scheduler:
    """Whose turn it is, by the time until which each waits; among equals, who has waited longest."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.owner: object = None
        """Whom threads belong to that are made outside of any."""
        self._tasks: list[Task] = []
        self._current: Task | None = None
        self._turns = itertools.count()

    def spawn(self, work: Callable[[], object], name: str, *, owner: object = None) -> Task:
        """Make a thread; it belongs to whom its maker belongs to."""
        task = Task(work, owner or (self._current.owner if self._current else self.owner), name)
        task.turn = next(self._turns)
        self._tasks.append(task)
        return task

    def block(self, until: float) -> None:
        """Wait until then, or until woken. Outside of a thread nothing can wait."""
        task = self._current
        assert task is not None, "only a thread can wait"
        if task.killed:
            raise KilledError
        task.wake_at, task.turn = until, next(self._turns)
        task.hand_back()

    def sleep(self, seconds: float) -> None:
        """Wait for some seconds."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.block(until)

    def wake(self, task: Task) -> None:
        """Make it a thread's turn."""
        task.wake_at = min(task.wake_at, self.clock.now)

    @property
    def current(self) -> Task:
        """The thread that runs."""
        assert self._current is not None
        return self._current

    def run(self, until: Callable[[], bool], limit: float) -> bool:
        """Let time pass until a condition holds, at most so many seconds; tell whether it holds."""
        end = self.clock.now + limit
        while not until():
            task = min(self._tasks, key=lambda task: (task.wake_at, task.turn), default=None)
            if task is None or task.wake_at > end:
                self.clock.now = end
                return until()
            self.clock.now = max(self.clock.now, task.wake_at)
            self._resume(task)
        return True

    def _resume(self, task: Task) -> None:
        self._current = task
        try:
            task.resume()
        finally:
            self._current = None
            if task.done:
                self._tasks.remove(task)

    def kill(self, owner: object = None) -> None:
        """End the threads of an owner, or all, wherever they are."""
        for task in [task for task in self._tasks if owner is None or task.owner is owner]:
            task.killed = True
            self._resume(task)

    @contextmanager
    def installed(self, *modules: str) -> Iterator[None]:
        """Give these modules the virtual threads for a while."""
        fake = SimpleNamespace(
            Lock=threading.Lock,
            Condition=lambda: Condition(self),
            Event=lambda: Event(self),
            Thread=lambda **about: Thread(self, **about),
        )
        with ExitStack() as stack:
            for module in modules:
                stack.enter_context(patch(f"{module}.threading", fake))
            yield


class Condition:
    """As ``threading.Condition``. Nobody else runs while it is held, so it needs no lock."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting: list[Task] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        pass

    def wait(self, timeout: float | None = None) -> None:
        task = self._scheduler.current
        self._waiting.append(task)
        try:
            self._scheduler.block(math.inf if timeout is None else self._scheduler.clock.now + timeout)
        finally:
            if task in self._waiting:
                self._waiting.remove(task)

    def wait_for(self, predicate: Callable[[], object], timeout: float | None = None) -> object:
        end = math.inf if timeout is None else self._scheduler.clock.now + timeout
        while not (found := predicate()) and self._scheduler.clock.now < end:
            self.wait(end - self._scheduler.clock.now)
        return found

    def notify(self) -> None:
        if self._waiting:
            self._scheduler.wake(self._waiting.pop(0))

    def notify_all(self) -> None:
        while self._waiting:
            self.notify()


class Event:
    """As ``threading.Event``."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._condition = Condition(scheduler)
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self._condition.notify_all()

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        self._condition.wait_for(self.is_set, timeout)
        return self._set


class Thread:
    """As ``threading.Thread``, as far as it is used."""

    def __init__(self, scheduler: Scheduler, *, target: Callable[[], object], name: str, daemon: bool) -> None:
        assert daemon
        self._scheduler, self._target, self._name = scheduler, target, name

    def start(self) -> None:
        self._scheduler.spawn(self._target, self._name)


class Pool:
    """As ``ThreadPoolExecutor``, as far as it is used."""

    def __init__(self, scheduler: Scheduler, size: int, *, thread_name_prefix: str) -> None:
        self._scheduler, self._name = scheduler, thread_name_prefix
        self._free = size
        self._queue: list[Callable[[], object]] = []

    def submit(self, work: Callable[..., object], *args: Any) -> None:
        self._queue.append(lambda: work(*args))
        if self._free:
            self._free -= 1
            self._scheduler.spawn(self._work, self._name)

    def _work(self) -> None:
        while self._queue:
            self._queue.pop(0)()
        self._free += 1
