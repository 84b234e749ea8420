"""Why a pod can, or can't, be reached: the chain from its annotations to its public ports, link by link.

``read_facts`` reads all that the chain depends on, as far as the user may; ``explain`` judges it by the server's own
rules, and does no I/O. What the server decides is not decided anew here.
"""

from poddnat.cli.explain.chain import LINKS, broken_link, explain
from poddnat.cli.explain.facts import Facts, Server, Unread
from poddnat.cli.explain.links import Link, State
from poddnat.cli.explain.probe import Outcome, Probe, probe
from poddnat.cli.explain.reading import read_facts

__all__ = [
    "LINKS",
    "Facts",
    "Link",
    "Outcome",
    "Probe",
    "Server",
    "State",
    "Unread",
    "broken_link",
    "explain",
    "probe",
    "read_facts",
]
