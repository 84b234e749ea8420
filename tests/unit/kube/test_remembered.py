"""Answers that are remembered for a while."""

from __future__ import annotations

import pytest

from poddnat.kube import Remembered
from vpc_emulator import ManualClock


def test_name_is_asked_about_again_once_its_time_is_up() -> None:
    clock, asked = ManualClock(), list[str]()
    remembered = Remembered(lambda name: asked.append(name), 60.0, clock=clock)  # noqa: PLW0108
    for clock.now in (0.0, 59.0, 60.0):
        remembered("node-1")
    assert asked == ["node-1", "node-1"]


def test_failure_is_not_remembered() -> None:
    answers = [None, "yes"]

    def ask(_name: str) -> str:
        if (answer := answers.pop(0)) is None:
            raise ConnectionError
        return answer

    remembered = Remembered(ask, 60.0)
    with pytest.raises(ConnectionError):
        remembered("node-1")
    assert remembered("node-1") == "yes"
