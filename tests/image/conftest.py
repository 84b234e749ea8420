"""The control plane and its pods, as in tests/e2e."""

from tests.e2e.conftest import (
    controlplane,
    installed,
    kubelet,
    namespace,
    pod_addresses,
    printed,
    pytest_collection_finish,
    pytest_runtest_makereport,
)

__all__ = [
    "controlplane",
    "installed",
    "kubelet",
    "namespace",
    "pod_addresses",
    "printed",
    "pytest_collection_finish",
    "pytest_runtest_makereport",
]
