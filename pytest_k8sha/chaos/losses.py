"""What users of the API feel while members of the control plane are lost, and whether anything acknowledged is lost.

Each loss is an experiment. Beside it a probe writes and reads back, open loop, and a ledger keeps what was
acknowledged; both go by the cluster's stable address, as users do.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos.engines import engine_for
from pytest_k8sha.chaos.experiment import Experiment
from pytest_k8sha.chaos.order import order, text_of
from pytest_k8sha.errors import K8shaError, RequestError, WaitTimeout
from pytest_k8sha.probes import control_plane
from pytest_k8sha.probes import etcd as members
from pytest_k8sha.probes.api import apiwrite
from pytest_k8sha.probes.outage import Fault
from pytest_k8sha.recovery.ledger import Ledger, Outcome
from pytest_k8sha.recovery.loss import compare
from pytest_k8sha.recovery.stores import ConfigMapStore
from pytest_k8sha.recovery.writer import LedgerWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.probes.availability import Probe

HOLD = 3.0
"""Seconds without a quorum in which nothing may be acknowledged."""

LATENCY = 0.05
"""Seconds that each way between members takes in a slow network: a round trip of 100 ms, as between regions."""

RATE = 5.0
"""Writes a second, at the least."""

_TIMEOUT = 2.0
_SPARE = 5.0
_LOOK_EVERY = 0.02


@dataclass
class Bench:
    """What a loss is measured with. ``probe`` makes probes (`pytest_k8sha.availability`), ``folder`` is for files."""

    cluster: Cluster
    judge: Judge
    namespace: str
    goals: Mapping[str, float]
    probe: Callable[..., Probe]
    folder: Path

    def experiment(self, name: str, action: str, *, within: Experiment | None = None, **spec: Any) -> Experiment:
        wanted = order(name, action, **spec)
        return Experiment(self.cluster, wanted, engine_for(self.cluster, wanted), within=within)

    @contextmanager
    def watched(self, goal: str, subject: str) -> Iterator[tuple[Probe, Ledger]]:
        """Probe and ledger for the time of the block; then the longest downtime against the goal, and the ledger."""
        seconds = self.goals[goal]
        rate = max(RATE, 20.0 / seconds)
        target = apiwrite(self.cluster, namespace=self.namespace)
        store = ConfigMapStore(self.cluster.client, self.namespace, timeout=_TIMEOUT)
        ledger = Ledger.open(self.folder / f"{subject.replace(' ', '-')}.ledger")
        with self.probe(target, rate=rate, timeout=_TIMEOUT, objective=f"longest <= {seconds:g}s") as probe:
            with LedgerWriter(ledger, store, rate=RATE):
                yield probe, ledger
            probe.await_recovery(timeout=60.0)
        probe.judge(self.judge, subject)
        read = eventually(store.read, what="the ledger's store is read", accept=lambda _: True, timeout=30.0)
        loss = compare(ledger, read)
        self.judge.that(
            loss.clean,
            f"acknowledged writes: {subject}",
            seen=str(loss),
            rule="every write that was acknowledged is there afterwards, once, as it was written",
            remedy="see that etcd syncs to its disk (no --unsafe-no-fsync); start no member on an old disk",
        )

    @contextmanager
    def lost(self, goal: str, probe: Probe, experiment: Experiment) -> Iterator[Experiment]:
        """One loss for the time of the block, marked in the probe's course by when it was injected and taken back.

        After the block it is kept until the service is up again in spite of it, or has been down for longer than the
        goal allows: what comes back with the member was not made up for.
        """
        with experiment.running() as live:
            fault = Fault(experiment.order.title, *live.report.injected)
            probe.faults.append(fault)
            yield live
            with suppress(WaitTimeout):  # then the samples tell for how long it was down
                probe.await_recovery(timeout=self.goals[goal] + _SPARE)
        recovered = experiment.report.phase("recover")
        fault.undone = experiment.report.origin + (recovered.ended or recovered.began)
        self.judge.ok(f"{experiment.order.title} of {experiment.report.targets[0].name}", experiment.report.effect)


def api_servers(bench: Bench) -> None:
    """Each API server is lost once: killed, stopped, cut off from its etcd, by turns."""
    count = len(control_plane.endpoints(bench.cluster))
    if count < 2:
        bench.judge.bad("kube-apiserver", seen=f"{count} runs: when it is lost, nobody answers")
        return
    linked = "faults:links" in bench.cluster.capabilities.known
    actions = ("kill", "freeze", "cut" if linked else "stop")
    with bench.watched("api", "API while an API server is lost") as (probe, _):
        for member in range(count):
            spec = {"component": "kube-apiserver", "numbers": [member]}
            action = actions[member % len(actions)]
            with bench.lost("api", probe, bench.experiment(f"api-{member}", action, members=spec, blastRadius="50%")):
                pass


def store_members(bench: Bench) -> None:
    """The leader of etcd is killed, then another one frozen, then as many killed at once as the quorum can spare where
    that is more than one; writes go on, and no acknowledged one is lost."""
    if not _spare(bench):
        return
    losses = [("leader", "kill", {"which": "leader"}), ("follower", "freeze", {"which": "followers"})]
    more = (len(bench.cluster.etcd) - 1) // 2
    if more > 1:
        losses.append((f"{more}-at-once", "kill", {}))
    with bench.watched("writes", "writes while a member of etcd is lost") as (probe, _):
        for name, action, which in losses:
            spec = {"component": "etcd", "count": 1 if which else more, **which}
            with bench.lost("writes", probe, bench.experiment(f"etcd-{name}", action, members=spec, blastRadius="50%")):
                pass


def cut_off(bench: Bench) -> None:
    """The leader of etcd is cut off from its peers: it takes no write, the others go on, and it comes back."""
    if not _spare(bench):
        return
    cluster, judge = bench.cluster, bench.judge
    spec = {"component": "etcd", "which": "leader"}
    with bench.watched("writes", "writes while a member of etcd is cut off") as (probe, _):
        experiment = bench.experiment("etcd-alone", "cut", members=spec, blastRadius="50%")
        with bench.lost("writes", probe, experiment) as live:
            [target] = live.report.targets
            try:
                cluster.etcd.put(target.member, "/k8sha/alone", b"nobody may acknowledge this", timeout=_TIMEOUT)
            except RequestError as error:
                judge.ok(f"{target}, alone", f"{live.report.effect}; a write was not acknowledged: {error}")
            else:
                judge.bad(
                    f"{target}, alone",
                    seen="it acknowledged a write without a quorum",
                    rule="a member that is cut off acknowledges nothing",
                )
    judge.ok("etcd, together again", experiment.report.phase("steady after").said)


def quorum(bench: Bench) -> None:
    """So many members of etcd are killed that no quorum is left, and nothing is acknowledged; then one comes back.

    The time from that start to the first acknowledged write is measured, and the ledger compared.
    """
    if not _spare(bench):
        return
    judge, faults = bench.judge, bench.cluster.faults
    count = len(bench.cluster.etcd)
    lost = count - count // 2
    store = ConfigMapStore(bench.cluster.client, bench.namespace, timeout=_TIMEOUT)
    ledger = Ledger.open(bench.folder / "quorum.ledger")
    experiment = bench.experiment(
        "etcd-quorum",
        "kill",
        members={"component": "etcd", "count": lost},
        blastRadius=f"{100 * lost / count + 0.5:.0f}%",
        accept=["quorum"],
    )
    with LedgerWriter(ledger, store, rate=RATE):
        eventually(lambda: _acknowledged(ledger, 0.0), what="writes are acknowledged before", timeout=30.0)
        with experiment.running() as live:
            without = _clock.now()
            live.hold(HOLD)
            started = _clock.now()
            live.over()
            faults.start("etcd", live.report.targets[0].member)
            meanwhile = [a for a in ledger.attempts.values() if a.invoked > without and _ok_before(a, started)]
            try:
                first = eventually(
                    lambda: _acknowledged(ledger, started),
                    what="a write",
                    timeout=2 * bench.goals["quorum"],
                    interval=0.05,
                )
            except WaitTimeout as error:
                first = []
                judge.bad("writes, after the quorum's return", seen=str(error))
    judge.that(
        not meanwhile,
        f"writes with {count - lost} of {count} members of etcd",
        seen=f"{len(meanwhile)} were acknowledged" if meanwhile else "none was acknowledged",
        rule="without a quorum nothing is acknowledged",
    )
    if first:
        took = min(a.settled or 0.0 for a in first) - started
        judge.measure("first write after the quorum's return", round(took, 2), "s", lo=0.0, hi=round(took, 2))
        judge.that(
            took <= bench.goals["quorum"],
            "writes, after the quorum's return",
            seen=f"the first was acknowledged {took:.1f} s after a member was started",
            rule=f"a write is acknowledged within {bench.goals['quorum']:g} s of the quorum's return",
            remedy="look at how long that etcd takes to start, and at --election-timeout",
        )
    loss = compare(ledger, eventually(store.read, accept=lambda _: True, what="the ledger's store is read"))
    judge.that(
        loss.clean,
        "acknowledged writes: the quorum was lost",
        seen=str(loss),
        rule="every write that was acknowledged is there afterwards, once, as it was written",
    )


def election(bench: Bench) -> None:
    """The leader of etcd is killed in a network of 100 ms round trip: how long there is none is measured."""
    if not _spare(bench):
        return
    judge, goal = bench.judge, bench.goals["election"]
    slow = bench.experiment(
        "slow-network", "delay", members={"component": "etcd"}, latency=text_of(LATENCY), blastRadius="100%"
    )
    with slow.running() as outer:
        judge.ok("the network between members", outer.report.effect)
        spec = {"component": "etcd", "which": "leader"}
        killed = bench.experiment("leader-dies", "kill", members=spec, blastRadius="50%", within=outer)
        before = members.look(bench.cluster.etcd)
        with killed.running() as live:
            [target] = live.report.targets
            others = [place for place in range(len(bench.cluster.etcd)) if place != target.member]
            gone = before[target.member].status
            began, ended = live.report.injected
            lo, hi = _elected(bench.cluster, others, gone.member if gone else "", began, ended, 3 * goal)
    if hi is None:
        judge.bad("etcd", seen=f"nobody led {lo:.1f} s after {target} was killed", rule=f"a leader within {goal:g} s")
        return
    judge.measure("etcd without a leader", round(hi, 2), "s", lo=round(lo, 2), hi=round(hi, 2))
    seen = f"{target} was killed, and a new leader known to a majority after {lo:.2f} to {hi:.2f} s"
    if lo <= goal < hi:
        judge.unsure("etcd", f"{seen}: the goal of {goal:g} s lies between")
        return
    judge.that(
        hi <= goal,
        "etcd",
        seen=seen,
        rule=f"etcd has a leader again within {goal:g} s, with a round trip of {2000 * LATENCY:.0f} ms between members",
        remedy="--election-timeout about ten round trips, --heartbeat-interval about one (etcd's tuning guide)",
    )


def _elected(
    cluster: Cluster, others: list[int], gone: str, began: float, ended: float, patience: float
) -> tuple[float, float | None]:
    """Seconds between which the others came to agree on a leader other than ``gone``; no upper end: they did not."""
    lo, deadline = 0.0, _clock.Deadline(patience)
    while not deadline.passed:
        asked = _clock.now()
        try:
            leaders = {cluster.etcd.status(place).leader for place in others}
        except K8shaError:
            leaders = set()
        if len(leaders) == 1 and not leaders & {"0", gone}:
            return lo, _clock.now() - began
        lo = max(0.0, asked - ended)
        _clock.pause(_LOOK_EVERY)
    return lo, None


def _spare(bench: Bench) -> bool:
    """Whether one member may be lost; where none may, that is the finding, and nothing is broken for it."""
    found = members.look(bench.cluster.etcd)
    [seen] = members.judge_voters(found)
    voters = len({m.id for one in found for m in one.members if not m.learner})
    if voters >= members.VOTERS:
        return True
    bench.judge.bad(seen.subject, seen=f"{seen.seen}: no member was taken away", rule=seen.rule, remedy=seen.remedy)
    return False


def _acknowledged(ledger: Ledger, since: float) -> list[Any]:
    return [a for a in list(ledger.attempts.values()) if a.outcome is Outcome.OK and (a.settled or 0.0) > since]


def _ok_before(attempt: Any, moment: float) -> bool:
    return attempt.outcome is Outcome.OK and attempt.settled is not None and attempt.settled < moment
