"""Whatever is called in whatever order, the table keeps its promises."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.emulator.support import EIP, GATEWAY, REGION, TABLE, small_world
from vpc_emulator import Emulator, ForwardEntry, ManualClock, World
from vpc_emulator.exceptions import ApiError
from vpc_emulator.values import parse_ports

QUOTA = 6
WRITES = 3
ports = st.one_of(
    st.integers(1, 12).map(str), st.tuples(st.integers(1, 9), st.just(3)).map(lambda p: f"{p[0]}/{sum(p)}")
)


def _claims(entry: ForwardEntry) -> list[tuple[str, str, str, int]]:
    sides = (("out", entry.external_ip, entry.external_port), ("in", entry.internal_ip, entry.internal_port))
    claims = []
    for side, address, text in sides:
        found = parse_ports(text)
        assert found is not None
        claims += [(side, address, entry.protocol, port) for port in found.each()]
    return claims


class Table(RuleBasedStateMachine):
    """Creates, deletes, foreign entries and time in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.emulator = Emulator(World.from_dict(small_world()), clock=self.clock, seed=1)
        self.emulator.set_quota(GATEWAY, QUOTA)
        self.emulator.set_writes_at_once(GATEWAY, WRITES)
        self.emulator.set_settle(GATEWAY, 10, jitter=0.5)
        self.accepted: set[str] = set()

    @rule(
        external=ports,
        internal=ports,
        host=st.integers(1, 2),
        protocol=st.sampled_from(["tcp", "UDP"]),
    )
    def create(self, external: str, internal: str, host: int, protocol: str) -> None:
        parameters = {
            "RegionId": REGION,
            "ForwardTableId": TABLE,
            "ExternalIp": EIP,
            "ExternalPort": external,
            "InternalIp": f"172.16.1.{host}",
            "InternalPort": internal,
            "IpProtocol": protocol,
        }
        try:
            answer = self.emulator.create_forward_entry(parameters)
        except ApiError:
            return
        self.accepted.add(answer["ForwardEntryId"])

    @rule(pick=st.integers(0, 10))
    def delete(self, pick: int) -> None:
        entries = self.emulator.forward_entries(GATEWAY)
        if not entries:
            return
        entry = entries[pick % len(entries)]
        parameters = {"RegionId": REGION, "ForwardTableId": TABLE, "ForwardEntryId": entry.id}
        try:
            self.emulator.delete_forward_entry(parameters)
        except ApiError:
            return
        self.accepted.discard(entry.id)

    @rule(seconds=st.integers(1, 20))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def nothing_is_held_twice(self) -> None:
        claims = [claim for entry in self.emulator.forward_entries(GATEWAY) for claim in _claims(entry)]
        assert len(claims) == len(set(claims))

    @invariant()
    def quota_and_writes_at_once_are_kept(self) -> None:
        entries = self.emulator.forward_entries(GATEWAY)
        assert len(entries) <= QUOTA
        assert sum(entry.status != "Available" for entry in entries) <= WRITES

    @invariant()
    def accepted_entries_stay_until_deleted(self) -> None:
        entries = self.emulator.forward_entries(GATEWAY)
        assert {entry.id for entry in entries if entry.status != "Deleting"} == self.accepted

    def teardown(self) -> None:
        self.clock.advance(100)
        assert {entry.status for entry in self.emulator.forward_entries(GATEWAY)} <= {"Available"}


TestTable = Table.TestCase
TestTable.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
