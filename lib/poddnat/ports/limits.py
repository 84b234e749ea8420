"""How many public ports a pod and a namespace may have, and what a pod is told when it asks for more. Pure."""

from poddnat.api import Problem, ProblemError
from poddnat.config import Limits
from poddnat.ports.intervals import NAMESPACE_LIMIT_RETRY


class LimitError(ProblemError):
    """A pod asks for more ports than it may have."""


def check(limits: Limits, namespace: str, asked: int, *, current: int, others: int) -> None:
    """See that a pod may have ``asked`` ports, of which it has ``current``, while its namespace has ``others`` more.

    A limit never takes away what is there: a pod may have as many as it has.

    Raises:
        LimitError: it may not.
    """
    if asked <= current:
        return
    asks = f"The pod asks for {asked} public port{'' if asked == 1 else 's'}"
    most = limits.ports_per_pod
    if most is not None and asked > most:
        text = f"{asks}, but one pod may have {most} (limits.portsPerPod in the values)"
        act = "the user has to list fewer, or an operator has to raise the limit"
        raise LimitError(Problem("TooManyPorts", f"{text}; {act}."))
    most = limits.ports_per_namespace
    if most is not None and others + asked > most:
        # The text leaves out how many the others have: it would change with each of them.
        text = f"{asks}, more than is left of the {most} for namespace {namespace} (limits.portsPerNamespace)"
        act = "the user has to expose fewer there, or an operator has to raise the limit"
        raise LimitError(Problem("NamespaceLimitReached", f"{text}; {act}.", NAMESPACE_LIMIT_RETRY))
