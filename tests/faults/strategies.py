"""Which steps histories are drawn from, and how often."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from tests.faults.cloud import EIPS, FIRST_PORT, GATEWAYS, POD_IPS, Others
from tests.faults.steps import (
    ACTIONS,
    CODES,
    CREATE,
    DELETE,
    AddFixed,
    AddPod,
    ClockJump,
    DeletePod,
    DeleteSet,
    EditPod,
    EipLeaves,
    EipReturns,
    FailEntry,
    GatewayBusy,
    GatewayGone,
    Kill,
    LoseAnswer,
    LoseApiAnswer,
    LoseRequest,
    OthersStick,
    Pass,
    Quota,
    Refuse,
    RestoreKey,
    RevokeKey,
    Scale,
    SettleTime,
    SlipRow,
    SomebodyAdds,
    SomebodyDeletes,
    SomebodyEdits,
    SomebodyFrees,
    SomebodyRenames,
    SomebodyTakes,
    Start,
    StartSecond,
    Stick,
    ThrottleCalls,
    TimeOut,
    UseUpRate,
)
from tests.faults.world import OWNERSHIP
from vpc_emulator.assets import LISTING_ORDERS

_seconds = st.sampled_from([0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0, 310.0])
_names = st.sampled_from(["a", "b", "c", "d"])
_fixed_names = st.sampled_from(["s-0", "s-1"])
_ips = st.sampled_from(POD_IPS[:4])
_ports = st.sampled_from(["80", "81", "80,81", "80/tcpudp", "80-82,90", "80/tcp,80/udp"])
_protocols = st.sampled_from(["tcp", "udp"])
_actions = st.sampled_from(["*", *ACTIONS])
_times = st.sampled_from([1, 2, 5, 30])
_addresses = st.sampled_from([address for addresses in EIPS.values() for address in addresses])
_gateways = st.sampled_from(GATEWAYS)
_numbers = st.integers(0, 5)
_foreign_names = st.sampled_from(["ops", "", OWNERSHIP.name_of("uid-1"), OWNERSHIP.name_of("uid-2")])
_outside = st.integers(FIRST_PORT, FIRST_PORT + 4)

PODS = st.one_of(
    st.builds(AddPod, _names, _ips, _ports, _protocols),
    st.builds(EditPod, _names, st.sampled_from(["", "80", "81", "80,82"]), _protocols),
    st.builds(DeletePod, _names, st.sampled_from([False, False, True])),
)
_fixed = st.builds(
    AddFixed,
    st.integers(0, 1),
    _ips,
    st.sampled_from(["80", "81", "80,81", "80/tcpudp", "80-82"]),
    release=st.sampled_from(["Follow", "Follow", "Follow", "Never"]),
)
FIXED_PODS = st.one_of(
    _fixed,
    _fixed,
    st.builds(DeletePod, _fixed_names, st.sampled_from([False, False, False, True])),
    st.builds(EditPod, _fixed_names, st.sampled_from(["", "80", "80,82"])),
    st.builds(Scale, st.integers(0, 2)),
    st.builds(DeleteSet),
)
PROCESSES = st.one_of(
    st.builds(Kill),
    st.builds(Start),
    st.builds(Start),
    st.builds(StartSecond),
    st.builds(ClockJump, st.sampled_from([0.0, 5.0, 4000.0]), st.sampled_from([0.0, -4000.0, 4000.0])),
)
CALLS = st.one_of(
    st.builds(Refuse, st.sampled_from(CODES), _actions, _times),
    st.builds(ThrottleCalls, st.sampled_from([0.0, 0.5, 20.0]), _actions, _times),
    st.builds(LoseRequest, _actions, _times),
    st.builds(LoseAnswer, _actions, _times),
    st.builds(TimeOut, st.sampled_from([0.0, 1.0, 12.0, 40.0, math.inf]), _actions),
    st.builds(FailEntry),
    st.builds(Stick, st.sampled_from([0.0, 30.0, 200.0]), st.sampled_from([CREATE, CREATE, DELETE])),
    st.builds(UseUpRate, _actions),
    st.builds(SlipRow, _times),
    st.builds(LoseApiAnswer),
)
CLOUD = st.one_of(
    st.builds(SettleTime, st.sampled_from([0.0, 0.1, 3.0, 200.0])),
    st.builds(GatewayBusy, _gateways, st.booleans()),
    st.builds(Quota, _gateways, st.integers(0, 3)),
    st.builds(EipLeaves, _addresses),
    st.builds(EipReturns, _addresses, st.booleans()),
    st.builds(GatewayGone),
    st.builds(RevokeKey),
    st.builds(RestoreKey),
)
OTHERS = st.one_of(
    st.builds(SomebodyDeletes, _numbers),
    st.builds(SomebodyEdits, _numbers, _outside),
    st.builds(SomebodyRenames, _numbers, _foreign_names),
    st.builds(SomebodyTakes, _numbers, st.booleans()),
    st.builds(SomebodyAdds, _addresses, _outside, st.sampled_from([*POD_IPS[:4], "172.16.1.14"])),
    st.builds(SomebodyFrees, _numbers),
    st.builds(OthersStick, st.sampled_from([30.0, 200.0])),
)
OTHER_PROGRAMS = st.builds(
    Others,
    st.sampled_from([0, 0, 40, 90, 140, 600]),  # None, one page, two, three, many.
    st.sampled_from([0, 1, 20]),
    st.sampled_from(LISTING_ORDERS),
)
# By kind, so that a kind is not the more frequent the more steps belong to it.
STEPS = st.sampled_from(
    [st.builds(Pass, _seconds)] * 4 + [PODS] * 2 + [FIXED_PODS] * 2 + [CALLS] * 2 + [PROCESSES, CLOUD, OTHERS]
).flatmap(lambda kind: kind)
