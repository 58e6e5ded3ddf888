"""What happens when a leader dies: who takes over, after how long, and whether work goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import Inconclusive, RequestError, WaitTimeout
from pytest_k8sha.probes import canary, control_plane
from pytest_k8sha.probes.faults import injected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster

_EVERY = 0.2


@dataclass
class Succession:
    """One leader's end. Times are seconds from its kill; between ``lo`` and ``hi`` somebody else came to lead."""

    name: str
    before: str
    member: int
    allowed: float
    after: str = ""
    lo: float = 0.0
    hi: float = 0.0


def candidates(
    cluster: Cluster, judge: Judge, allowed: float, names: Iterable[str] = control_plane.LEADERS
) -> list[Succession]:
    """The leaders that can be replaced: they hold a Lease, and another program of their kind runs. ``allowed`` is how
    many seconds nobody may lead.

    Those that cannot are bad. Raises `Inconclusive` when it cannot be told which member leads.
    """
    found = []
    leases, faults = control_plane.leader_leases(cluster), cluster.faults
    for name in names:
        lease = leases[name]
        holder = ((lease or {}).get("spec") or {}).get("holderIdentity") or ""
        running = faults.running(name)
        if lease is None or not holder:
            judge.bad(
                name,
                seen=f"{len(running)} run, and no Lease kube-system/{name} says who leads",
                remedy=f"start {name} with --leader-elect=true on each member",
            )
        elif len(running) < 2:
            judge.bad(
                name,
                seen=f"{len(running)} runs: {holder} has nobody who could take over",
                remedy=f"run {name} on three members",
            )
        else:
            member = faults.member_of(holder)
            if member is None:
                raise Inconclusive(f"it cannot be told which member {holder} is")
            found.append(Succession(name, holder, member, allowed))
    return found


def replace(cluster: Cluster, judge: Judge, namespace: str, found: list[Succession]) -> None:
    """Kills the leaders, all at once, waits for others to lead, and has a new pod made and scheduled.

    Puts each leader before the judge and measures its replacement; the killed programs run again afterwards.
    """
    faults = cluster.faults
    placed = canary.placed(cluster, namespace, "before")
    judge.control(bool(placed), "a Deployment gets its pod while all is well")

    def kill() -> None:
        for one in found:
            faults.kill(one.name, one.member)

    def start() -> None:
        for one in found:
            faults.start(one.name, one.member)

    begun = _clock.now()
    with injected(kill, undo=start):
        ended = _clock.now()
        _watch(cluster, found, begun, ended)
        for one in found:
            _judge(judge, one)
        if all(one.after for one in found):
            _work_goes_on(cluster, judge, namespace)


def _watch(cluster: Cluster, found: list[Succession], begun: float, ended: float) -> None:
    """Looks at the Leases until each has another holder. A look that fails says nothing, and widens the error bar."""

    def all_replaced() -> bool:
        for one in found:
            if one.after:
                continue
            asked = _clock.now()
            try:
                lease = control_plane.leader_leases(cluster)[one.name]
            except RequestError:
                continue
            holder = ((lease or {}).get("spec") or {}).get("holderIdentity") or ""
            if holder and holder != one.before:
                one.after, one.hi = holder, _clock.now() - begun
            else:
                one.lo = max(0.0, asked - ended)
        return all(one.after for one in found)

    try:
        eventually(
            all_replaced,
            what="others lead",
            timeout=max(one.allowed for one in found),
            interval=_EVERY,
            growth=1.0,
        )
    except WaitTimeout:
        return


def _judge(judge: Judge, one: Succession) -> None:
    if one.after:
        judge.measure(f"{one.name} replaced after", round(one.hi, 2), "s", lo=round(one.lo, 2), hi=round(one.hi, 2))
    judge.that(
        bool(one.after) and one.lo <= one.allowed,
        one.name,
        seen=f"{one.before} was killed, {one.after} led after {one.lo:.1f} to {one.hi:.1f} s"
        if one.after
        else f"{one.before} was killed, and nobody led within {one.allowed:.0f} s",
        rule=f"another candidate leads within {one.allowed:.0f} s",
        remedy=f"run {one.name} on three members with --leader-elect=true; see why the others do not take the Lease",
    )


def _work_goes_on(cluster: Cluster, judge: Judge, namespace: str) -> None:
    begun = _clock.now()
    try:
        node = canary.placed(cluster, namespace, "after")
    except WaitTimeout as error:
        judge.bad(
            "a new Deployment",
            seen=canary.trouble(error),
            rule="after the change of leaders a new Deployment gets its pod",
            remedy="read the logs of the new leaders: they lead and do not work",
        )
        return
    judge.measure("first pod after the takeover", round(_clock.now() - begun, 2), "s")
    judge.ok("a new Deployment", f"its pod is ready on {node}")
