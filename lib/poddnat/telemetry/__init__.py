"""TODO telemetry."""

from poddnat.telemetry import gauges
from poddnat.telemetry.metrics import CONTENT_TYPE, Metrics

__all__ = ["CONTENT_TYPE", "Metrics", "gauges"]
