"""Worlds larger and longer than a demo's, in virtual time: other people's changing entries, stuck ones, refusals.

One gateway and its reconciler, against a model of the gateway; delays are a real gateway's, 5 s ± 10 % until an entry
is Available. Nothing here depends on how busy this machine is.
"""

from collections.abc import Callable, Iterator
from statistics import median

from poddnat import backoff
from poddnat.cloud import Scope
from poddnat.gateway import OwnEntries
from poddnat.gateway.read_budget import ReadBudget
from poddnat.gateway.reconciler import Kind, ReadPage
from tests.unit.gateway.model import OWNERSHIP, ModelGateway, busy, rule

SETTLE = 5.0
HOUR = 3600.0
CHURN = 3.0
"""Seconds in which somebody else replaces one of their entries, and one pod of ours is replaced."""
LARGE = 5000
OTHER_EIP = "203.0.113.2"


class BudgetedGates:
    """Lets everything through but refreshing, which goes by the read budget."""

    def __init__(self, gateway: ModelGateway) -> None:
        self.budget = ReadBudget(lambda: True, clock=lambda: gateway.now)

    def wait(self, kind: Kind | None) -> float:  # noqa: ARG002
        return 0.0

    def refresh_wait(self) -> float:
        return self.budget.wait()


def _world(*, at_once: int, foreign: int = 0, seed: int = 1, jitter: float = 0.1) -> ModelGateway:
    backoff._RANDOM.seed(seed)  # The jitter of delays is the same in every run.
    gateway = ModelGateway(at_once=at_once, settle=SETTLE, jitter=jitter, foreign=foreign, seed=seed)
    gateway.gates = gates = BudgetedGates(gateway)

    def spend(call: object, pages: int) -> None:
        for _ in range(pages):
            gates.budget.spend(refresh=isinstance(call, ReadPage) and call.refresh)

    gateway.on_read = spend
    if foreign:
        gateway.every(CHURN, gateway.churn)
    return gateway


def finalized() -> dict[str, float]:
    """Delete 1 to 100 PodDNATs at once, in tables of 1 to 100 pages: the longest wait after the last entry went."""
    lags, writes = [], 0
    for foreign, at_once, count in _worlds():
        gateway = _world(at_once=at_once, foreign=foreign)
        _all(gateway, range(count))
        _all(gateway, range(count), release=True)
        lags.append(gateway.now - gateway.last_gone_at)
        gateway.calls.clear()
        gateway.pass_time(HOUR / 6)
        writes += gateway.calls["written"] + gateway.calls["refused"]
    return {"finalized_lag_s": max(lags), "finalized_writes_at_rest": writes}


def _worlds() -> Iterator[tuple[int, int, int]]:
    for foreign in (0, 60, 120, LARGE):
        for at_once in (1, 8):
            for count in (1, 25, 100):
                yield foreign, at_once, count


def _all(gateway: ModelGateway, numbers: range, *, release: bool = False) -> float:
    """Have PodDNATs created or released, and return the seconds that it took."""
    began = gateway.now
    for number in numbers:
        gateway.want(number, release=release)
    gateway.run(limit=3 * HOUR)
    if gateway.waiting:
        raise RuntimeError(f"{gateway.waiting} PodDNATs never got there")
    return gateway.now - began


def replaced() -> dict[str, float]:
    """Replace one pod each 3 s in a table of 5,000 entries for a quarter of an hour."""
    gateway = _world(at_once=8, foreign=LARGE)
    _all(gateway, range(40))
    asked: dict[str, float] = {}
    numbers = iter(range(10_000))

    def replace() -> None:
        number = next(numbers)
        gateway.want(number, release=True)
        asked[f"uid-{number + 40}"] = gateway.now
        gateway.want(number + 40)

    gateway.every(CHURN, replace)
    gateway.calls.clear()
    gateway.first_done_at.clear()
    gateway.pass_time(HOUR / 4)
    waits = [gateway.first_done_at[uid] - at for uid, at in asked.items() if uid in gateway.first_done_at]
    return {"churn_reads_a_minute": gateway.calls["read"] / 15, "churn_ready_s": median(waits)}


def at_rest() -> dict[str, float]:
    """Let an active and a standby replica refresh ten large tables as their budgets allow: calls a minute."""
    now = [0.0]
    budgets = [ReadBudget(lambda: True, clock=lambda: now[0]), ReadBudget(lambda: False, clock=lambda: now[0])]
    reads = 0
    while now[0] < HOUR:
        for budget in budgets:
            while budget.wait() <= 0:
                budget.spend(refresh=True)
                reads += 1
        now[0] += 0.1
    return {"two_replicas_reads_a_minute": reads / 60}


def one_stuck() -> dict[str, float]:
    """Have one entry, one address, and one pod refused for half an hour: by how much others are delayed, at most."""
    delays, told = [], []
    for at_once in (1, 8):
        alone = _all(_world(at_once=at_once), range(20))
        for spoil in (_stick_entry, _refuse_address, _refuse_pod):
            gateway = _world(at_once=at_once)
            spoil(gateway)
            gateway.want(1000, rules=(rule(1000, OTHER_EIP),))
            gateway.pass_time(2 * SETTLE)
            began = gateway.now
            for number in range(20):
                gateway.want(number)
            gateway.run(until=lambda gateway=gateway: gateway.waiting == 1, limit=HOUR)  # type: ignore[misc]
            delays.append(gateway.now - began - alone)
            gateway.run(until=lambda gateway=gateway: "uid-1000" in gateway.problems, limit=HOUR)  # type: ignore[misc]
            told.append(gateway.problems_at["uid-1000"])
    return {"one_stuck_delays_others_s": max(delays), "one_stuck_told_after_s": max(told)}


def _stick_entry(gateway: ModelGateway) -> None:
    gateway.stuck.add("2000")


def _refuse_address(gateway: ModelGateway) -> None:
    gateway.refused[OTHER_EIP] = busy(Scope.ADDRESS)


def _refuse_pod(gateway: ModelGateway) -> None:
    gateway.refused["2000"] = busy(Scope.GATEWAY)


def deleted_while_pending() -> dict[str, float]:
    """Delete one in four of 200 pods while their entries are Pending, against deleting them afterwards."""
    late, early = _world(at_once=8), _world(at_once=8)
    without = _all(late, range(200)) + _all(late, range(0, 200, 4), release=True)
    began = early.now
    for number in range(200):
        early.want(number)
    for number in range(0, 200, 4):
        early.when_pending(number, lambda number=number: early.want(number, release=True))  # type: ignore[misc]
    early.run(limit=HOUR)
    return {"deleted_while_pending_ratio": (early.now - began) / without}


def rows_never_listed() -> dict[str, float]:
    """Have a listing of three pages miss ten rows of ours each time, for six hours: how many seem to have gone."""
    gateway = _world(at_once=8, foreign=120)
    _all(gateway, range(25))
    gateway.hidden = {rule(number) for number in range(10)}
    rest = [(OwnEntries(f"uid-{number}", OWNERSHIP.name_of(f"uid-{number}")), (rule(number),)) for number in range(25)]
    gone: set[str] = set()

    def look() -> None:
        gone.update(own.uid for own, rules in rest if gateway.reconciler.working(own, rules) is None)

    gateway.every(1.0, look)
    gateway.pass_time(6 * HOUR)
    if gateway.missed == 0:
        raise RuntimeError("no listing has missed a row")
    return {"rows_never_listed_gone": len(gone)}


PARTS: list[tuple[str, str, Callable[[], dict[str, float]]]] = [
    ("PodDNATs deleted together", "virtual, 1 to 100 pages", finalized),
    ("a pod replaced each 3 s", f"virtual, {LARGE:,} entries", replaced),
    ("ten large tables at rest, two replicas", "virtual", at_rest),
    ("rows that no listing shows", "virtual, 3 pages", rows_never_listed),
    ("one that is stuck", "virtual, old and new gateway", one_stuck),
    ("one in four deleted while Pending", "virtual, 200 pods", deleted_while_pending),
]
