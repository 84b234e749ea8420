"""How the API server is reached: by a kubeconfig file, as the pod's service account, or at a plain address."""

import os
from pathlib import Path

import yaml
from kubernetes import client, config

from poddnat.kube.errors import KubeError

MOST_CONNECTIONS = 64
"""That are kept open: one for each thread that may ask at once. The library's own default is five for each core."""


def connect(kubeconfig: Path | None) -> client.ApiClient:
    """Connect with a kubeconfig file, or with the pod's service account when there is none.

    Raises:
        KubeError: neither tells where the API server is.
    """
    _check_file(kubeconfig)
    configuration = client.Configuration()
    # Whoever calls has a time-out, and decides about the next try.
    configuration.retries = False
    configuration.connection_pool_maxsize = MOST_CONNECTIONS
    try:
        if kubeconfig is not None:
            config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, yaml.YAMLError, OSError, TypeError, ValueError) as error:
        why = _one_line(error)
        if kubeconfig is None:
            raise KubeError(f"there is no service account here; outside a cluster use --kubeconfig ({why})") from error
        raise KubeError(f"{kubeconfig} is not a kubeconfig that can be used: {why}") from error
    return client.ApiClient(configuration)


def connect_as_user(kubeconfig: Path | None, context: str | None) -> client.ApiClient:
    """Connect as kubectl does: by the file given, or KUBECONFIG, or ~/.kube/config; in a pod, else, as its account.

    Raises:
        KubeError: none of them tells where the API server is.
    """
    _check_file(kubeconfig)
    try:
        api: client.ApiClient = config.new_client_from_config(  # type: ignore[no-untyped-call]
            config_file=None if kubeconfig is None else str(kubeconfig), context=context
        )
    except (config.ConfigException, yaml.YAMLError, OSError, TypeError, ValueError) as error:
        if kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            return connect(None)
        which = f"{kubeconfig} is not a kubeconfig" if kubeconfig is not None else "there is no kubeconfig"
        why = "" if kubeconfig is not None else "; --kubeconfig or KUBECONFIG names one"
        raise KubeError(f"{which} that can be used: {_one_line(error)}{why}") from error
    return api


def namespace_of_context(kubeconfig: Path | None, context: str | None) -> str:
    """Tell which namespace a kubeconfig's context names, as kubectl takes it where none is given."""
    try:
        contexts, current = config.list_kube_config_contexts(  # type: ignore[no-untyped-call]
            config_file=None if kubeconfig is None else str(kubeconfig)
        )
    except (config.ConfigException, yaml.YAMLError, OSError, TypeError, ValueError):
        return "default"  # In a pod there is none.
    chosen = next((one for one in contexts if one["name"] == context), None) if context else current
    return str((chosen or {}).get("context", {}).get("namespace") or "default")


def connect_to(url: str) -> client.ApiClient:
    """Connect to an API server that asks nobody who they are, such as one on loopback."""
    return client.ApiClient(client.Configuration(host=url))


def _check_file(kubeconfig: Path | None) -> None:
    # The library only says that there is no configuration.
    if kubeconfig is not None and not kubeconfig.exists():
        raise KubeError(f"{kubeconfig} can't be read: there is no such file")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
