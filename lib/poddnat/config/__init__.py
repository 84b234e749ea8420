"""The values file: read, checked, followed, and turned into the pool of gateways and addresses.

It names every mistake in a file at once, with its place and what would be right. It doesn't know what the cloud or the
cluster says of the things that the file names.
"""

from poddnat.config.pool import NO_LIMITS, Limits, Policy
from poddnat.config.values import AccessKey, Endpoints, Values, ValuesError, load, load_text
from poddnat.config.values_file import ValuesFile
from poddnat.config.yaml_text import Misread, Oddity, YamlError, load_documents

__all__ = [
    "NO_LIMITS",
    "AccessKey",
    "Endpoints",
    "Limits",
    "Misread",
    "Oddity",
    "Policy",
    "Values",
    "ValuesError",
    "ValuesFile",
    "YamlError",
    "load",
    "load_documents",
    "load_text",
]
