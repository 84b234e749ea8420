"""What operators see of a running server: metrics.

It reads what the others know and counts what they tell it. Nothing here decides anything. It has no labels without
bounds.
"""

from poddnat.telemetry import gauges
from poddnat.telemetry.metrics import CONTENT_TYPE, Metrics

__all__ = ["CONTENT_TYPE", "Metrics", "gauges"]
