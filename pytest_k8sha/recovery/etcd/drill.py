"""The whole of a restore, on a cluster of ours: writes, a snapshot, more writes, the loss of every member, the restore.

The judging is in `pytest_k8sha.recovery.etcd.judging`; here it is done, and written down.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import Inconclusive, K8shaError
from pytest_k8sha.model import nonce
from pytest_k8sha.probes import canary, control_plane
from pytest_k8sha.probes.api import apiread
from pytest_k8sha.probes.availability import availability
from pytest_k8sha.probes.interval import Interval
from pytest_k8sha.probes.sample import Outcome as Sent
from pytest_k8sha.recovery.etcd import content, moment, snapshot, trial
from pytest_k8sha.recovery.etcd.gateway import Gateway, KeyValue, MemberGone, WatchEnd
from pytest_k8sha.recovery.history import Rta
from pytest_k8sha.recovery.ledger import Ledger, Outcome
from pytest_k8sha.recovery.stores import ConfigMapStore
from pytest_k8sha.recovery.writer import LedgerWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.probes.availability import Probe
    from pytest_k8sha.probes.outage import Fault
    from pytest_k8sha.providers.base import Storage, Tools
    from pytest_k8sha.recovery.loss import Loss
    from pytest_k8sha.recovery.plan import EtcdPlan

LISTED = (
    ("v1", "Namespace"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
)
"""Kinds whose lists are compared: nothing changes them all the time, as it does Leases and Nodes."""

BEFORE, AFTER = 10, 10
"""Acknowledged writes before the snapshot and after it."""

PROBES = 10.0
"""Samples a second of the probe that measures the outage."""

_RATE = 20.0
_SILENCE = 3.0
"""Seconds within which a watch must say something; its compaction error comes at once."""
_START = 90.0
_AGREE = 20.0


@dataclass(frozen=True)
class Taken:
    """A snapshot, read by a trial restore. ``refused`` says why it could not be restored; its content is empty then."""

    path: Path
    integrity: snapshot.Integrity
    refused: str = ""
    revision: int = 0
    content: dict[bytes, KeyValue] = field(default_factory=dict, repr=False)

    @property
    def good(self) -> bool:
        return not (self.integrity.problem or self.refused)


@dataclass(frozen=True)
class MemberAfter:
    """One member after the restore, before any API server wrote to it. ``watch`` resumed where an informer would."""

    name: str
    difference: content.Difference
    digest: str
    revision: int
    watch: WatchEnd


@dataclass
class Drill:
    """What a restore led to. ``source`` is what the snapshot lacks of what it was taken of, None for one that was
    given; ``revision`` the newest one before the disaster; ``inject`` is when the members were killed, on the monotonic
    clock; ``rto`` the seconds until the API served again, None when a probe saw no outage; ``rta`` has it by its parts,
    verification included."""

    taken: Taken
    source: content.Difference | None
    revision: int
    digest: str
    members: list[MemberAfter]
    inject: Interval
    loss: Loss
    rto: Interval | None
    rta: Rta | None = None
    disagreements: list[str] = field(default_factory=list)
    servers: int = 0
    listed: int = 0
    missing: list[str] = field(default_factory=list)
    """Workloads that were there before the snapshot and are not ready afterwards, and why."""
    workloads: int = 0
    canary: str = ""
    """The node on which a new pod was placed afterwards."""
    trouble: str = ""


def examine(tools: Tools, path: Path, folder: Path) -> Taken:
    """Judges a snapshot's trailer and restores it for trial in ``folder``, which must be private and empty."""
    found = snapshot.integrity(path)
    try:
        trial.restore(tools, path, folder / "data")
        with trial.member(tools, folder / "data") as member:
            # The restore skips revisions, so the newest one says nothing of the snapshot; its keys do.
            everything = member.content()
            newest = max((one.mod_revision for one in everything.values()), default=0)
            return Taken(path, found, "", newest, everything)
    except trial.Unrestorable as error:
        return Taken(path, found, str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def age(cluster: Cluster, taken: Taken) -> Interval:
    """How old the content is by the server's clock, in seconds. Raises `Inconclusive` where nothing in it tells."""
    now = control_plane.server_time(cluster)
    then = moment.moment(taken.content)
    # The server's Date header has whole seconds.
    hi = max(0.0, now + 1 - then.lo)
    return Interval(min(max(0.0, now - then.hi), hi), hi)


def run(cluster: Cluster, plan: EtcdPlan, namespace: str, folder: Path) -> Drill:
    """Restores the cluster. ``namespace`` is the run's own; ``folder`` is private and takes snapshot and ledger.

    Nothing is broken before the snapshot was restored for trial. Raises `Inconclusive` when it is no good, and then
    the cluster was left alone. An error later puts the old data back.
    """
    storage = cluster.storage
    gateways = Gateway.all_of(storage.access)
    workload = nonce("kept")
    canary.placed(cluster, namespace, workload, timeout=60.0)
    # Those that serve before the disaster: one that is lost is to be missed.
    servers = [
        cluster.client.at(e.url, server_name=control_plane.SERVER_NAME) for e in control_plane.endpoints(cluster)
    ]
    # One API server by itself: when nobody serves behind a balancer, each attempt would leave a socket half open.
    store = ConfigMapStore(servers[0], namespace)
    ledger = Ledger.open(folder / f"{nonce('ledger')}.jsonl")
    try:
        with availability(
            apiread(cluster), rate=PROBES, timeout=1.0, settle=60.0, journal=cluster.guard.journal
        ) as probe:
            with LedgerWriter(ledger, store, rate=_RATE):
                _acknowledged(ledger, BEFORE)
                taken, source = _snapshot(cluster, plan, storage, gateways, folder)
                _acknowledged(ledger, _count(ledger) + AFTER)
                revision = max(gateway.revision for gateway in gateways)
                fault = _lose(cluster, gateways, probe)
            inject = Interval(fault.start, fault.end or fault.start)
            began = _clock.now()
            members = _restore(cluster, plan, storage, gateways, taken, revision)
            probe.await_recovery(_START)
            outage = probe.outage()
        rto = outage.recovery_of(fault) if outage.failed else None
        loss = ledger.compare(store.read(), inject=inject)
        found = Drill(taken, source, revision, content.digest(taken.content), members, inject, loss, rto)
        _look(cluster, found, namespace, workload, servers)
        if rto is not None:
            noticed = min(s.done for s in outage.samples if s.outcome is not Sent.MISSED and not s.ok)
            found.rta = Rta.between(inject, max(noticed, inject.lo), began, rto, _clock.now())
    finally:
        ledger.close()
    return found


def _acknowledged(ledger: Ledger, count: int) -> None:
    what = f"{count} writes are acknowledged"
    eventually(lambda: _count(ledger) >= count, what=what, timeout=60.0, interval=0.05)


def _count(ledger: Ledger) -> int:
    return sum(attempt.outcome is Outcome.OK for attempt in list(ledger.attempts.values()))


def _snapshot(
    cluster: Cluster, plan: EtcdPlan, storage: Storage, gateways: list[Gateway], folder: Path
) -> tuple[Taken, content.Difference | None]:
    """The snapshot to restore; of one that was taken here also what the trial restore lacks of the source."""
    path = plan.snapshot
    if path is None:
        path = folder / f"{nonce('snapshot')}.db"
        snapshot.take(storage, path)
    taken = examine(storage.tools, path, _fresh(storage))
    if not taken.good:
        raise Inconclusive(
            f"the snapshot {path.name} is no good, and the cluster was left alone: "
            f"{taken.integrity.problem or taken.refused}"
        )
    if not plan.foreign and not moment.uid_of(taken.content, cluster.capabilities.uid):
        raise Inconclusive(
            f"the snapshot {path.name} is of another cluster, and this one was left alone",
            remedy="if it is meant, say so: etcd.foreign: true in the restore plan",
        )
    if plan.snapshot is not None:
        return taken, None
    return taken, content.compare(gateways[0].content(taken.revision), taken.content)


def _fresh(storage: Storage) -> Path:
    place = storage.scratch / nonce("trial")
    place.mkdir(mode=0o700)
    return place


def _lose(cluster: Cluster, gateways: list[Gateway], probe: Probe) -> Fault:
    """The disaster: every member of etcd is killed, and stays down."""
    try:
        # All at once: how long the killing takes is part of the error bar of the RTO, and a large store dies slowly.
        with ThreadPoolExecutor(len(gateways)) as pool, probe.fault("every member of etcd is lost"):
            list(pool.map(lambda member: cluster.faults.kill("etcd", member), range(len(gateways))))
        _prove_gone(gateways)
    except BaseException:
        cluster.faults.heal()
        raise
    return probe.faults[-1]


def _restore(
    cluster: Cluster, plan: EtcdPlan, storage: Storage, gateways: list[Gateway], taken: Taken, revision: int
) -> list[MemberAfter]:
    """Restores, and reads each member before anybody writes to it."""
    place = _fresh(storage)
    try:
        data = {member: place / str(member) for member in plan.members or range(len(gateways))}
        for member, target in data.items():
            who = storage.alone(member) if plan.members else storage.membership(member)
            trial.restore(storage.tools, taken.path, target, membership=who, bump=plan.bump)
        with storage.replace(data):
            return [_member(gateway, taken, revision) for gateway in gateways]
    finally:
        cluster.faults.heal()
        shutil.rmtree(place, ignore_errors=True)


def _prove_gone(gateways: list[Gateway]) -> None:
    """The disaster counts when it was seen: no member answers."""
    for gateway in gateways:
        with suppress(MemberGone):
            gateway.status()
            raise Inconclusive(
                f"etcd {gateway.name} was killed and still answers: there was no disaster to recover from"
            )


def _member(gateway: Gateway, taken: Taken, revision: int) -> MemberAfter:
    eventually(lambda: "leader" in gateway.status(), what=f"etcd {gateway.name} serves", timeout=_START, interval=0.05)
    there = gateway.content()
    return MemberAfter(
        gateway.name,
        content.compare(taken.content, there),
        content.digest(there),
        gateway.revision,
        gateway.watch(revision + 1, timeout=_SILENCE),
    )


@contextmanager
def _noted(found: Drill, what: str) -> Iterator[None]:
    try:
        yield
    except K8shaError as error:
        found.trouble = found.trouble or f"{what}: {error}"


def _look(cluster: Cluster, found: Drill, namespace: str, workload: str, servers: list[Client]) -> None:
    """What a user would see now."""
    cluster.snapshot.forget()
    with _noted(found, "the workloads could not be looked at"):
        deployments = cluster.resource("apps/v1", "Deployment")
        found.workloads = 1

        def ready() -> bool:
            there = deployments.find(workload, namespace)
            found.missing = [] if there else [f"Deployment {namespace}/{workload} is not there"]
            if there and not there.get("status", {}).get("readyReplicas"):
                found.missing = [f"Deployment {namespace}/{workload} has no ready pod"]
            return not found.missing

        with suppress(K8shaError):
            eventually(
                ready, what="the workload is ready", timeout=30.0 if deployments.find(workload, namespace) else 1.0
            )
    with _noted(found, "no new pod was placed"):
        found.canary = canary.placed(cluster, namespace, nonce("after"), timeout=60.0)
    with _noted(found, "the lists could not be compared"):
        found.servers = len(servers)

        def agree() -> bool:
            found.listed, found.disagreements = _compare_lists(servers)
            return not found.disagreements

        with suppress(K8shaError):
            eventually(agree, what="the lists agree", timeout=_AGREE)


def _compare_lists(servers: list[Client]) -> tuple[int, list[str]]:
    """How many objects the lists hold, and where a list from a server's memory or from another server differs from
    the first server's read of etcd."""
    wrong, count = [], 0
    for api_version, kind in LISTED:
        path = servers[0].discovery.find(api_version, kind).path()
        wanted: dict[str, str] | None = None
        for server in servers:
            for version in ("", "0"):
                items = server.request("GET", path, query={"resourceVersion": version} if version else None)["items"]
                seen = {_name(item): str(item["metadata"]["resourceVersion"]) for item in items}
                if wanted is None:
                    wanted, count = seen, count + len(seen)
                elif seen != wanted:
                    odd = sorted({*seen.items()} ^ {*wanted.items()})
                    source = "its memory (resourceVersion=0)" if version else "etcd"
                    wrong.append(f"{kind} from {source} of {server.server}: {len(odd)} differ, such as {odd[0][0]}")
    return count, wrong


def _name(item: dict[str, Any]) -> str:
    meta = item["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"
