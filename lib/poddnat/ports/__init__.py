"""TODO ports."""

from poddnat.ports.queue import PortRequest
from poddnat.ports.registry import Allocation, PortRegistry

__all__ = ["Allocation", "PortRegistry", "PortRequest"]
