"""How many public ports a pod and a namespace may have, and what is told when it would be more. Pure."""

from poddnat.api import Problem, ProblemError
from poddnat.config import Limits


class LimitError(ProblemError):
    """A pod asks for more ports than it may have."""


def check(limits: Limits, namespace: str, wanted: int, *, had: int, others: int) -> None:
    """See that a pod may have so many ports, of which it has some already, and other pods of its namespace some.

    A limit never takes away what is there: a pod may have as many as it has.

    Raises:
        LimitError: it may not.
    """
    if wanted <= had:
        return
    asks = f"The pod asks for {wanted} public port{'' if wanted == 1 else 's'}"
    most = limits.ports_per_pod
    if most is not None and wanted > most:
        text = f"{asks}, but one pod may have {most} (limits.portsPerPod in the values)"
        act = "the user has to list fewer, or an operator has to raise the limit"
        raise LimitError(Problem("TooManyPorts", f"{text}; {act}."))
    most = limits.ports_per_namespace
    if most is not None and others + wanted > most:
        # How many the others have is not told: the text would change with each of them.
        text = f"{asks}, more than is left of the {most} for namespace {namespace} (limits.portsPerNamespace)"
        act = "the user has to expose fewer there, or an operator has to raise the limit"
        raise LimitError(Problem("NamespaceLimitReached", f"{text}; {act}.", 30.0))
