"""The control plane's programs as targets: an engine on top of the faults of the cluster's provider.

Every fault is journalled where it is made (`pytest_k8sha.fleet.faults`). Its effect is measured at the program itself:
at its own address, not at the stable one, behind which another member may answer.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pytest_k8sha import _clock
from pytest_k8sha.chaos import preflight
from pytest_k8sha.chaos.engine import Candidates, Observation, Target
from pytest_k8sha.errors import EnvironmentFailure, K8shaError, NotEvaluated, RequestError, UsageError
from pytest_k8sha.kube import filling
from pytest_k8sha.probes import control_plane, listening

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_k8sha.chaos.engine import Plan
    from pytest_k8sha.chaos.order import Members, Order
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.providers.base import Listener


_READS = 3


class NoLeader(EnvironmentFailure):
    """Nobody leads, at least at this moment: an election takes a second or two."""

    retryable = True


class MembersEngine:
    """Stops, kills, freezes and restarts programs of control-plane members (see `ChaosEngine`)."""

    name = "members"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._before: dict[Target, str] = {}
        self._quick: dict[Target, float] = {}

    def resolve(self, order: Order) -> Candidates:
        wanted = _members(order)
        running = set(self._cluster.faults.running(wanted.component))
        total = self._count()
        unknown = [number for number in wanted.numbers if number >= total]
        if unknown:
            raise UsageError(
                f"{order.name}: cluster {self._cluster.name} has no such member",
                value=", ".join(map(str, unknown)),
                allowed=map(str, range(total)),
            )
        chosen = running & set(wanted.numbers) if wanted.numbers else running
        if wanted.which != "any":
            leader = self.leader(wanted.component)
            chosen &= {leader} if wanted.which == "leader" else running - {leader}
        targets = tuple(Target(wanted.component, f"member-{number}", member=number) for number in sorted(chosen))
        return Candidates(targets, total, f"{wanted.component} members")

    def risks(self, order: Order, chosen: tuple[Target, ...]) -> Mapping[str, list[str]]:
        wanted = _members(order)
        if order.spec.action == "delay":
            return {}
        if order.spec.action == "fill":
            return {"outage": ["a full etcd takes no write of anybody"]}
        running = self._cluster.faults.running(wanted.component)
        return preflight.member_risks(wanted.component, self._count(), running, [t.member for t in chosen])

    def steady(self, order: Order) -> Observation:  # noqa: ARG002 - part of the Protocol
        return steady(self._cluster)

    def inject(self, plan: Plan) -> None:
        faults, action = self._cluster.faults, plan.order.spec.action
        if action in {"cut", "delay"} and "faults:links" not in self._cluster.capabilities.known:
            raise NotEvaluated(
                f"cluster {self._cluster.name} has nothing between its members that could be cut",
                remedy="make it with several members and links=true",
            )
        if action == "delay":
            self._quick = {target: self._round_trip(target) for target in plan.targets}
        self._before = {t: faults.instance(t.kind, t.member) for t in plan.targets}
        for target in plan.targets:
            match action:
                case "stop":
                    faults.stop(target.kind, target.member)
                case "kill":
                    faults.kill(target.kind, target.member)
                case "freeze":
                    faults.freeze(target.kind, target.member)
                case "restart":
                    faults.kill(target.kind, target.member)
                    faults.start(target.kind, target.member)
                case "fill":
                    faults.fill(target.kind, target.member)
                case "cut":
                    faults.cut(target.kind, target.member)
                case "delay":
                    faults.delay(target.kind, target.member, plan.order.spec.latency or 0.0)

    def observe(self, plan: Plan) -> Observation:
        return Observation.all_of([self._felt(plan.order, target) for target in plan.targets])

    def lasts(self, plan: Plan) -> bool:
        return plan.order.spec.action != "restart"

    def recover(self, plan: Plan) -> None:
        faults, wrong = self._cluster.faults, []
        for target in plan.targets:
            try:
                match plan.order.spec.action:
                    case "freeze":
                        faults.thaw(target.kind, target.member)
                    case "fill":
                        faults.relieve(target.kind, target.member)
                    case "cut" | "delay":
                        faults.mend(target.kind, target.member)
                    case _:
                        faults.start(target.kind, target.member)
            except K8shaError as error:
                wrong.append(f"{target}: {error}")
        if wrong:
            raise EnvironmentFailure("; ".join(wrong))

    def leader(self, component: str) -> int:
        """The member whose program leads. Raises `NoLeader` when nobody does, or it cannot be told who."""
        if component == "etcd":
            return etcd_leader(self._cluster)
        lease = control_plane.leader_leases(self._cluster).get(component)
        holder = ((lease or {}).get("spec") or {}).get("holderIdentity") or ""
        member = self._cluster.faults.member_of(holder) if holder else None
        if member is None:
            raise NoLeader(f"it cannot be told which {component} leads ({holder or 'no Lease says'})")
        return member

    def _count(self) -> int:
        """The members in all. A server that has just started is not in default/kubernetes yet, so the provider's own
        list goes first."""
        known = {one.member for one in self._cluster.provider.listeners(self._cluster.state) if one.member >= 0}
        return len(known) or int(self._cluster.capabilities.counts.get("members") or 1)

    def _felt(self, order: Order, target: Target) -> Observation:
        match order.spec.action:
            case "restart":
                now = self._cluster.faults.instance(target.kind, target.member)
                other = bool(now) and now != self._before.get(target)
                return Observation(other, f"{target} is {'another' if other else 'the same'} process now")
            case "fill":
                whose = filling.raised(self._cluster.etcd)
                return Observation(bool(whose), f"{filling.ALARM} is raised by {', '.join(whose) or 'nobody'}")
            case "cut":
                return self._is_alone(target)
            case "delay":
                return self._is_slow(target, 2 * (order.spec.latency or 0.0))
            case _:
                return self._is_silent(target)

    def _is_silent(self, target: Target) -> Observation:
        listener = _listener(self._cluster, target)
        if listener is None:
            gone = target.member not in self._cluster.faults.running(target.kind)
            return Observation(gone, f"{target} {'does not run' if gone else 'still runs'}")
        answer = listening.ask(listener)
        where = f"{listener.host}:{listener.port}"
        if answer.certificate is not None:
            return Observation(holds=False, seen=f"{target} still answers at {where}")
        return Observation(holds=True, seen=f"{target} does not answer at {where}: {answer.problem}")

    def _is_alone(self, target: Target) -> Observation:
        """A member of etcd that hears no peer knows of no leader; an API server without etcd is not ready."""
        if target.kind == "etcd":
            leader = self._cluster.etcd.status(target.member).leader
            return Observation(
                leader == "0", f"{target} knows of {'no leader' if leader == '0' else f'leader {leader}'}"
            )
        try:
            health = control_plane.health(self._cluster, self._endpoint(target), "/readyz")
        except RequestError as error:
            return Observation(holds=True, seen=f"{target} is not ready: {error}")
        failed = [name for name in health.failed if name.startswith("etcd")]
        said = f"its checks {', '.join(failed)} fail" if failed else "its checks of etcd say ok"
        return Observation(bool(failed), f"{target}: {said}")

    def _is_slow(self, target: Target, least: float) -> Observation:
        """A read by quorum crosses the links once in each direction, at the least."""
        quick, now = self._quick.get(target, 0.0), self._round_trip(target)
        said = f"a read at {target} takes {1000 * now:.0f} ms, {1000 * quick:.0f} ms before"
        if quick >= least:
            return Observation(holds=None, seen=f"{said}: it was as slow before")
        return Observation(now >= least, said)

    def _round_trip(self, target: Target) -> float:
        """The quickest of a few reads by quorum, in seconds: what else keeps the machine busy only adds to it."""
        if target.kind == "etcd":
            read: Callable[[], object] = partial(self._cluster.etcd.healthy, target.member, timeout=10.0)
        else:
            url = self._endpoint(target).url
            client = self._cluster.client.at(url, server_name=control_plane.SERVER_NAME)
            read = partial(client.get, "/api/v1/namespaces/kube-system")
        read()  # the first one of a connection also shakes hands
        return min(_timed(read) for _ in range(_READS))

    def _endpoint(self, target: Target) -> control_plane.Endpoint:
        """The API server of a member, at its own address, listed or not at this moment."""
        listener = _listener(self._cluster, target)
        if listener is None:
            raise NotEvaluated(f"it is not known where {target} listens")
        return control_plane.Endpoint(listener.host, listener.port, f"https://{listener.host}:{listener.port}")


def _timed(read: Callable[[], object]) -> float:
    begun = _clock.now()
    read()
    return _clock.now() - begun


def steady(cluster: Cluster) -> Observation:
    """Whether every API server is ready by its own word, and every member of etcd serves and follows one leader."""
    found = control_plane.endpoints(cluster)
    said = control_plane.answers(cluster, found)
    wrong = [one for one in control_plane.judge_health(found, said) if not one.ok]
    if wrong:
        return Observation(holds=False, seen=f"{wrong[0].subject}: {wrong[0].seen}")
    if not found:
        return Observation(holds=None, seen="default/kubernetes lists no API server")
    try:
        cluster.client.get("/readyz")
    except RequestError as error:
        return Observation(holds=False, seen=f"the cluster's own address: {error}")
    try:
        etcd = cluster.etcd
    except NotEvaluated:
        return Observation(holds=True, seen=f"{len(found)} API servers are ready")
    leaders = set()
    for member in range(len(etcd)):
        try:
            etcd.healthy(member)
            leaders.add(etcd.status(member).leader)
        except K8shaError as error:
            return Observation(holds=False, seen=f"etcd of member {member}: {error}")
    if len(leaders) != 1 or leaders == {"0"}:
        return Observation(holds=False, seen=f"the members of etcd do not agree on a leader: {sorted(leaders)}")
    return Observation(holds=True, seen=f"{len(found)} API servers are ready, {len(etcd)} members of etcd agree")


def etcd_leader(cluster: Cluster) -> int:
    """The place of the member that leads etcd. Raises `NoLeader` when none of those that answer says so."""
    etcd, told = cluster.etcd, []
    for member in range(len(etcd)):
        try:
            status = etcd.status(member)
        except K8shaError as error:
            told.append(str(error))
            continue
        if status.leader == status.member:
            return member
    raise NoLeader(f"no member of etcd leads{': ' if told else ''}{'; '.join(told)}")


def _members(order: Order) -> Members:
    wanted = order.spec.members
    if wanted is None:
        raise UsageError(f"{order.name}: this engine needs the block `members`", value=order.spec.block)
    return wanted


def _listener(cluster: Cluster, target: Target) -> Listener | None:
    found = cluster.provider.listeners(cluster.state)
    return next((one for one in found if (one.component, one.member) == (target.kind, target.member)), None)
