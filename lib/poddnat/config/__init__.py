"""TODO config."""

from poddnat.config.pool import NO_LIMITS, Limits, Policy
from poddnat.config.values import AccessKey, Endpoints, Values, ValuesError, load
from poddnat.config.values_file import ValuesFile

__all__ = ["NO_LIMITS", "AccessKey", "Endpoints", "Limits", "Policy", "Values", "ValuesError", "ValuesFile", "load"]
