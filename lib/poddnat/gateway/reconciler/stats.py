"""What can be told of one gateway's work at a moment, for metrics and for people who look."""

from collections.abc import Mapping
from dataclasses import dataclass

from poddnat.gateway.reconciler.calls import Kind


@dataclass(frozen=True)
class GatewayStats:
    """One gateway's work queue, concurrency and table, all of one moment."""

    waiting: Mapping[Kind, int]
    """PodDNATs that wait for their turn to write, by what they have to write next."""
    oldest_seconds: Mapping[Kind, float]
    """How long the longest waiting of them has been waiting; 0 where none waits."""
    watching: int
    """PodDNATs with nothing to write that wait for an entry to settle, or for something in their way to go."""
    in_flight: int
    """Writes sent and not answered yet."""
    unsettled: int
    """Writes accepted whose entries are still Pending or Deleting, as far as is known."""
    limit: int
    """How many unsettled writes the gateway bears, as learned so far."""
    entries: int
    """Entries of the table as last seen, foreign ones too."""
    quota: int | None
    """How many entries the table takes; None: neither the values file nor a refusal has told."""
    loaded: bool
    """Whether the table has been listed since the start; before, the other figures mean little."""
