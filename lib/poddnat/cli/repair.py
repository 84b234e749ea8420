"""Mend what an audit has found: leftovers are deleted, and PodDNATs whose entries are missing are synced again.

Leftovers go through the gateway's own driver: it heeds the gateway's pace and the account's rate limit, survives lost
answers, and asks the API server once more before each delete. Creating entries is left to the server: it alone may
judge whether a PodDNAT may have them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from poddnat.api import CHECK_ASKED_AT
from poddnat.cli.audit import Finding, Kind
from poddnat.cli.tasks import run_tasks
from poddnat.cloud import CloudClient
from poddnat.config import Values
from poddnat.gateway import Fleet, OwnEntries, Ownership
from poddnat.kube import KubeClient, KubeError
from poddnat.timestamps import now, rfc3339


@dataclass(frozen=True)
class Step:
    """Something to do; ``text`` tells people."""

    finding: Finding
    text: str


def steps_for(findings: Iterable[Finding]) -> list[Step]:
    """Plan the repair, one step for each leftover entry and each PodDNAT; foreign entries are never touched."""
    steps: dict[tuple[str, str], Step] = {}
    for finding in findings:
        if finding.kind is Kind.LEFTOVER:
            text = f"delete entry {finding.entry_id} on {finding.gateway_id}, {finding.rule}: {finding.detail}"
            steps["entry", finding.entry_id] = Step(finding, text)
        elif finding.kind in (Kind.MISSING, Kind.DRIFTED) and not finding.by_hand:
            text = f"have PodDNAT {finding.poddnat} synced again: its entries are {finding.kind}"
            steps.setdefault(("poddnat", finding.uid), Step(finding, text))
    return list(steps.values())


class Repair:
    """Carries out steps."""

    def __init__(self, values: Values, cloud: CloudClient, cluster: KubeClient) -> None:
        self._values = values
        self._cloud = cloud
        self._cluster = cluster
        self._ownership = Ownership(values.cluster_id)

    def run(self, steps: Sequence[Step], done: Callable[[Step, bool], None], *, patience: float = 600.0) -> None:
        """Do the steps; ``done`` is told of each how it went. No delete is waited for longer than ``patience`` seconds.

        Raises:
            ClusterError: the API server did not tell which PodDNATs there are, or did not take a change.
        """
        asked_at = rfc3339(now())
        for step in steps:
            if step.finding.kind is not Kind.LEFTOVER:
                namespace, _, name = step.finding.poddnat.partition("/")
                self._cluster.trigger_resync(namespace, name, asked_at, CHECK_ASKED_AT)
                done(step, True)  # noqa: FBT003  # also where it has gone since: so do its entries
        leftovers = [step for step in steps if step.finding.kind is Kind.LEFTOVER]
        for step, gone in self._swept(leftovers, patience) if leftovers else ():
            done(step, gone)

    def _swept(self, steps: list[Step], patience: float) -> Iterator[tuple[Step, bool]]:
        """Have leftovers deleted."""
        liveness = _Liveness(self._cluster)
        fleet = Fleet(self._values, self._cloud, self._ownership, liveness, lambda _gateway, _entries: None)
        uids = {step.finding.uid for step in steps}
        gone: set[str] = set()
        begun: set[tuple[str, str]] = set()

        def is_swept(step: Step) -> bool:
            uid, gateway = step.finding.uid, fleet.get(step.finding.gateway_id)
            if gateway is None or not gateway.loaded:
                return False
            if uid not in gone:
                gone.update(liveness.gone_of(uids))  # Asked once more, now that something is to be deleted.
            mine = OwnEntries(uid, self._ownership.name_of(uid))
            if uid in gone and (gateway.gateway_id, uid) not in begun:
                begun.add((gateway.gateway_id, uid))
                gateway.orphan(mine)
            return uid in gone and not gateway.concerns(mine)

        return run_tasks(fleet, steps, is_swept, patience=patience)


class _Liveness:
    """Which PodDNATs exist: asked of the API server, since nobody follows them here."""

    def __init__(self, cluster: KubeClient) -> None:
        self._cluster = cluster
        self._alive = self._list()

    def is_alive(self, uid: str) -> bool:
        return uid in self._alive

    def gone_of(self, uids: Collection[str]) -> set[str]:
        try:
            self._alive = self._list()
        except KubeError:
            return set()
        return set(uids) - self._alive

    def _list(self) -> set[str]:
        return {item["metadata"]["uid"] for item in self._cluster.poddnats()[0]}
