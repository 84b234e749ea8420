"""Whatever happens: once it is over, everybody has what they asked for, nothing is left over, nobody was robbed.

Run by hand for long: ``python -m tests.faults.test_histories 2000`` tells how much was tried. A seed behind that number
brings the same histories again.
"""

from __future__ import annotations

import logging
import secrets
import sys
import time
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.faults.cloud import POD_IPS
from tests.faults.cluster import is_fixed
from tests.faults.steps import AddFixed, AddPod, Step, heal
from tests.faults.strategies import OTHER_PROGRAMS, STEPS
from tests.faults.world import REFRESH, BrokenInvariantError, World, running

RECOVERY_SECONDS = 1000.0
QUIET_SECONDS = 400.0

_histories = st.one_of(st.lists(STEPS, min_size=1, max_size=8), st.lists(STEPS, min_size=12, max_size=30))
_worlds = st.fixed_dictionaries(
    {
        "settle": st.sampled_from([0.5, 0.0, 5.0]),
        "at_once": st.sampled_from([1, 4]),
        "latency": st.sampled_from([0.02, 0.2]),
        "routed": st.booleans(),
        "seed": st.integers(0, 3),
        "others": OTHER_PROGRAMS,
    }
)
_settings = settings(
    max_examples=100,
    derandomize=True,  # The same ones each time, so that nobody's change is stopped by chance; long runs try others.
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Tally:
    """How much was tried."""

    def __init__(self) -> None:
        self.histories = 0
        self.tables: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()
        self.outcomes: Counter[tuple[str, str]] = Counter()

    def add(self, world: World, steps: list[Step]) -> None:
        self.histories += 1
        self.tables[f"{world.others.entries} entries of others, {world.others.changing} changing"] += 1
        self.steps.update(type(step).__name__ for step in steps)
        for call in world.emulator.calls:
            self.outcomes[call.action, call.outcome if call.answered else f"{call.outcome}, unanswered"] += 1
        for action, count in world.network.cut_off.items():
            self.outcomes[action, "timed out"] += count

    def __str__(self) -> str:
        total = f"{self.histories} histories, {self.steps.total()} steps, {self.outcomes.total()} calls"
        lines = [total, "", "tables:"]
        lines += [f"{count:8} {table}" for table, count in self.tables.most_common()]
        lines += ["", "steps:"]
        lines += [f"{count:8} {name}" for name, count in self.steps.most_common()]
        lines += ["", "outcomes of calls:"]
        lines += [f"{count:8} {action} {outcome}" for (action, outcome), count in self.outcomes.most_common()]
        return "\n".join(lines)


def check(steps: list[Step], about: dict[str, Any], tally: Tally | None = None) -> None:
    """Let a history happen, end its faults, and see that all comes right."""
    with running(**about) as world:
        for step in [AddPod("a", POD_IPS[0]), AddFixed(0, POD_IPS[4]), *steps]:
            step.do(world)
            world.check_foreign()
        heal(world)
        world.settles(RECOVERY_SECONDS)
        world.pass_time(2 * REFRESH)  # What is left of the dead is collected when it was listed twice.
        world.settles(2 * REFRESH)
        world.stays_quiet(QUIET_SECONDS)
        come_back(world)
        if tally is not None:
            tally.add(world, steps)


def come_back(world: World) -> None:
    """Let fixed pods go and come back with other IPs: nothing of them works meanwhile, and then it is as it was."""
    before = world.outsides()
    pods = {name: pod for name, pod in world.cluster.pods.items() if is_fixed(name)}
    for name in pods:
        world.delete_pod(name)
    world.settles(QUIET_SECONDS)
    for number, pod in enumerate(pods.values()):
        world.return_pod(pod, f"172.16.1.{10 + number}")
    world.settles(QUIET_SECONDS)
    if world.outsides() != before:
        world.fail([f"the fixed pods had {before}, and came back with {world.outsides()}"])


@_settings
@given(steps=_histories, about=_worlds)
def test_all_comes_right_whatever_happens(steps: list[Step], about: dict[str, Any]) -> None:
    check(steps, about)


def _main(histories: int, number: int) -> None:
    tally = Tally()
    began = time.monotonic()
    sys.stdout.write(f"seed {number}\n")

    @seed(number)
    @settings(_settings, max_examples=histories, derandomize=False, database=None)
    @given(steps=_histories, about=_worlds)
    def run(steps: list[Step], about: dict[str, Any]) -> None:
        try:
            check(steps, about, tally)
        except BrokenInvariantError as error:
            sys.stderr.write(f"{steps} {about}: {str(error).splitlines()[:3]}\n")  # Shrinking takes a while.
            raise

    logging.disable()
    try:
        run()
    finally:
        sys.stdout.write(f"{tally}\n{time.monotonic() - began:.0f} seconds\n")


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(1_000_000))
