"""How long a pod waits for its public ports to be chosen, on an address that has given out 60,000."""

import random
import time
from statistics import median

from poddnat.model import ExposedPort, Ports, Transport
from poddnat.ports.allocator import PROTOCOLS, PortAllocator, Slot

OFFERED = Ports(1024, 65535)
IN_USE = 60_000
_ROUNDS = 400
_LEAVE = 0.3

SINGLE = ExposedPort(Ports(80, 80), Transport.TCP)
RANGE = ExposedPort(Ports(9000, 9010), Transport.UDP)
BOTH = ExposedPort(Ports(27015, 27015), Transport.TCPUDP)


def measure() -> dict[str, float]:
    """Time what the port registry does for a pod: choose, claim, and release what an earlier pod had."""
    busy = _busy()
    stats = {
        f"allocate_{name}_us": _times(busy, item)
        for name, item in (("port", SINGLE), ("range", RANGE), ("tcpudp", BOTH))
    }
    fragmented = _fragmented()
    stats |= {
        f"allocate_{name}_fragmented_us": _times(fragmented, item)
        for name, item in (("port", SINGLE), ("range", RANGE), ("tcpudp", BOTH))
    }
    return stats


def _busy() -> PortAllocator:
    """Make an allocator that pods with a list of each form have filled, and then left in any order."""
    allocator = PortAllocator([OFFERED])
    rng = random.Random(1)  # noqa: S311
    claimants: list[str] = []
    while OFFERED.size - min(map(allocator.free_ports, PROTOCOLS)) < IN_USE:
        item = rng.choice((SINGLE, RANGE, BOTH))
        chosen = allocator.choose([item])
        assert chosen is not None
        claimants.append(f"pod {len(claimants)}")
        allocator.claim(claimants[-1], _slots(item, chosen[0]))
        if rng.random() < _LEAVE:
            at = rng.randrange(len(claimants))
            allocator.release(claimants[at])
            claimants[at] = claimants[-1]
            claimants.pop()
    return allocator


def _fragmented() -> PortAllocator:
    """Make an allocator in which every second port is taken, but for one row of free ones."""
    allocator = PortAllocator([OFFERED])
    row = Ports(40_000, 40_200)
    every_second = (Ports.of(port) for port in range(OFFERED.first, OFFERED.last + 1, 2))
    taken = [ports for ports in every_second if not row.contains(ports)]
    allocator.claim("others", [(ports, protocol) for ports in taken for protocol in PROTOCOLS])
    return allocator


def _times(allocator: PortAllocator, item: ExposedPort) -> float:
    """Return the microseconds (median) for one pod that comes and one that goes."""
    assert allocator.choose([item]) is not None  # the first of its shape puts in order what is free
    times = []
    for number in range(_ROUNDS):
        start = time.perf_counter()
        chosen = allocator.choose([item])
        assert chosen is not None
        allocator.claim(("new", number), _slots(item, chosen[0]))
        allocator.release(("new", number - 10))
        times.append(time.perf_counter() - start)
    for number in range(_ROUNDS):
        allocator.release(("new", number))
    return median(times) * 1e6


def _slots(item: ExposedPort, ports: Ports) -> list[Slot]:
    return [(ports, protocol) for protocol in item.transport.protocols]
