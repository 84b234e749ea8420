"""The part of Alibaba Cloud's VPC and ECS OpenAPIs that pod DNAT needs, on loopback.

The real SDKs reach it as they reach the cloud; what it knows and what it leaves out stands in README.md here.
It holds state and rules only: it forwards no packet.
"""

from vpc_emulator.clock import ManualClock
from vpc_emulator.faults import Fault
from vpc_emulator.forward_table import ForwardEntry
from vpc_emulator.models import Emulator
from vpc_emulator.server import EmulatorServer
from vpc_emulator.world import World, WorldError

__all__ = ["Emulator", "EmulatorServer", "Fault", "ForwardEntry", "ManualClock", "World", "WorldError"]
