"""What operators see of a running server: metrics for Prometheus.

It counts events that are reported to it, and reads gauges off the other parts. Nobody else knows Prometheus' client.
Nothing here decides anything. Label values are bounded.
"""

from poddnat.telemetry.metrics import CONTENT_TYPE, Metrics
from poddnat.telemetry.state_gauges import StateGauges

__all__ = ["CONTENT_TYPE", "Metrics", "StateGauges"]
