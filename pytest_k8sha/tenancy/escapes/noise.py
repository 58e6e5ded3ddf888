"""A noisy neighbour: what a tenant may take of a node's CPU and memory, and what that does to who lives beside it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import Inconclusive, NotEvaluated, RequestError, WaitTimeout
from pytest_k8sha.tenancy.escapes import stage
from pytest_k8sha.tenancy.matrix import several
from pytest_k8sha.tenancy.network.agent import LANES
from pytest_k8sha.tenancy.network.ground import usable_nodes
from pytest_k8sha.tenancy.podsecurity import author
from pytest_k8sha.tenancy.quantity import parse
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

REQUESTS = 120
"""Of one train: enough that its 99th percentile is not its slowest request."""

PATIENCE = 10.0
"""Seconds after which a request counts as lost."""

BUSY = 0.5
"""The share of what it may take that a burner must have taken for its noise to count."""

STARTING = 20.0
"""Seconds for a burner to begin."""

NOISE = 5.0
"""Seconds of requests at least, while it burns: a limit is enforced in periods of a tenth of a second, and one train
may be over in less than one second."""

TAKE = 384 * 2**20
"""Bytes that a pod without a limit takes, to show that nothing stops it."""

MOST = 2**30
"""Bytes that the check takes at most: on a larger limit it is not evaluated."""

DEADLINE = 60.0
"""Seconds for the memory to be taken, or the taker to be killed."""

SERVED = 60.0
"""Seconds for a server to answer its first request: its pod is ready as soon as its program has been started."""

UNBOUNDED = frozenset({"max", "-1"})


@dataclass(frozen=True)
class Train:
    """Requests one after the other, each sent when the last was answered; seconds each, None where no answer came."""

    latencies: tuple[float | None, ...]
    problem: str = ""
    """Why the first that was lost was lost."""

    @property
    def lost(self) -> int:
        return sum(one is None for one in self.latencies)

    @property
    def p99(self) -> float:
        """The nearest-rank 99th percentile of those that were answered, in seconds; infinite without any."""
        known = sorted(one for one in self.latencies if one is not None)
        return known[-(-len(known) * 99 // 100) - 1] if known else float("inf")

    def keeps(self, slo: float) -> bool:
        return not self.lost and self.p99 <= slo

    def __str__(self) -> str:
        why = f" ({self.problem})" if self.problem else ""
        return f"p99 {self.p99 * 1000:.0f} ms, {self.lost} of {len(self.latencies)} lost{why}"


@dataclass(frozen=True)
class Meter:
    """A container's CPU by its control group: seconds used, times throttled, CPUs allowed (None: no bound)."""

    used: float
    throttled: int
    allowed: Fraction | None


def ride(cluster: Cluster, pod: dict[str, Any], *, seconds: float = 0.0) -> Train:
    """A train of requests to the pod's server, over a forwarded port: no network policy is in the way. It goes on for
    so many ``seconds`` at least."""
    agent, clock = stage.agent(cluster, pod), _clock.Deadline(seconds)
    found: list[float | None] = []
    problem = ""
    while len(found) < REQUESTS or not clock.passed:
        with agent.line(LANES) as line:
            while line.room:
                lane = line.send("/hostname")
                line.listen(PATIENCE)
                found.append(lane.latency)
                if lane.latency is None:
                    problem = problem or lane.problem or f"no answer in {PATIENCE:g} s"
                if lane.problem:
                    break
    return Train(tuple(found), problem)


def await_served(cluster: Cluster, pod: dict[str, Any]) -> None:
    """Waits until the pod's server answers. Raises `Inconclusive` when it never does."""

    def problem() -> str:
        (lane,) = stage.agent(cluster, pod).batch(["/hostname"], PATIENCE)
        return "" if lane.status == 200 else lane.problem or f"HTTP status {lane.status}"

    try:
        eventually(problem, what="the server answers", timeout=SERVED, interval=0.1, accept=lambda said: not said)
    except WaitTimeout as error:
        raise Inconclusive(f"the server in pod {pod['metadata']['name']} does not answer: {error}") from error


def meter(cluster: Cluster, pod: dict[str, Any]) -> Meter:
    """Reads the control group, version 2 or 1, from inside the container. Raises `Inconclusive` where there is none."""

    def file(path: str) -> str:
        return (stage.read(cluster.client, pod, f"/sys/fs/cgroup/{path}") or "").strip()

    stat = _pairs(file("cpu.stat"))
    if "usage_usec" in stat:
        quota, _, period = file("cpu.max").partition(" ")
        return Meter(stat["usage_usec"] / 1e6, stat.get("nr_throttled", 0), _allowed(quota, period))
    stat, used = _pairs(file("cpu/cpu.stat")), file("cpuacct/cpuacct.usage")
    if not used:
        raise Inconclusive("the pod does not see its control group, so what it takes cannot be told")
    allowed = _allowed(file("cpu/cpu.cfs_quota_us"), file("cpu/cpu.cfs_period_us"))
    return Meter(int(used) / 1e9, stat.get("nr_throttled", 0), allowed)


def _pairs(text: str) -> dict[str, int]:
    return {
        name: int(value) for name, _, value in (line.partition(" ") for line in text.splitlines()) if value.isdigit()
    }


def _allowed(quota: str, period: str) -> Fraction | None:
    return Fraction(int(quota), int(period or 100_000)) if quota and quota not in UNBOUNDED else None


def judge_cpu(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant], *, slo: float) -> None:
    """On one node the neighbour serves, and the tenant's pod, of which nothing is said but what it runs, burns every
    CPU that it gets. The same requests before and after show what the machine does without it."""
    node = _ground(cluster, tenants)
    image = stage.ensure_image(cluster)
    one, other = tenants[0], tenants[1]
    with stage.running(cluster, [stage.pod(other, image, stage.SERVE, node=node.name)]) as (server,):
        await_served(cluster, server)
        before = ride(cluster, server)
        if not before.keeps(slo):
            raise Inconclusive(f"{other} is not served within {slo:g} s without any noise: {before}")
        burner = stage.pod(one, image, ("stress", f"--cpus={node.cpus}"), node=node.name)
        del burner["spec"]["containers"][0]["resources"]
        made = stage.create(author(one), burner)
        try:
            (burning,) = stage.await_ready(cluster, [made])
            _await_burning(cluster, burning)
            clock, first = _clock.Deadline(DEADLINE), meter(cluster, burning)
            during = ride(cluster, server, seconds=NOISE)
            last, span = meter(cluster, burning), clock.spent
        finally:
            stage.remove(cluster, [made])
        after = ride(cluster, server)
        _judge_burner(judge, f"{one} burns CPU on {node.name}", first, last, span, node.cpus)
        _judge_served(judge, f"{other} beside it", (before, during, after), slo)
        _judge_unharmed(judge, cluster, f"the pod of {other} beside it", server)
    for name, train in (("before", before), ("during", during), ("after", after)):
        judge.measure(f"p99 {name}", round(train.p99, 4), "s")
    judge.measure("CPUs burned", round((last.used - first.used) / span, 3), "CPUs")


def _await_burning(cluster: Cluster, pod: dict[str, Any]) -> None:
    """Waits until the burner takes its share: its pod is ready as soon as its program has been started. One that never
    does is judged by what it took."""
    clock, before = _clock.Deadline(STARTING), meter(cluster, pod)

    def burns() -> bool:
        nonlocal clock, before
        now, span = meter(cluster, pod), clock.spent
        share = (now.used - before.used) / (span * float(now.allowed or 1))
        clock, before = _clock.Deadline(STARTING), now
        return share >= BUSY

    with suppress(WaitTimeout):
        eventually(burns, what="the burner burns", timeout=STARTING, interval=0.3)


@dataclass(frozen=True)
class Place:
    """The node where it happens."""

    name: str
    cpus: int
    memory: Fraction


def _ground(cluster: Cluster, tenants: Sequence[Tenant]) -> Place:
    several(tenants)
    owned(tenants)
    nodes = {n["metadata"]["name"]: n["status"]["allocatable"] for n in cluster.resource("v1", "Node").list()}
    names = [address.node for address in usable_nodes(cluster)]
    if not names:
        raise NotEvaluated(f"cluster {cluster.name} has no node that an ordinary pod can run on")
    chosen = names[-1]
    cpus = parse(nodes[chosen]["cpu"])
    return Place(chosen, max(1, int(cpus)), parse(nodes[chosen]["memory"]))


def _judge_burner(judge: Judge, subject: str, first: Meter, last: Meter, span: float, cpus: int) -> None:
    burned, throttled = (last.used - first.used) / span, last.throttled - first.throttled
    told = f"it burned {burned:.2f} CPUs of {cpus}"
    if last.allowed is None:
        judge.bad(subject, seen=f"{told}, and has no limit")
    elif burned < BUSY * float(last.allowed):
        judge.unsure(subject, f"{told}, less than half of the {float(last.allowed):g} that it may: it made no noise")
    elif not throttled:
        judge.unsure(subject, f"{told} and was never throttled, although it may use {float(last.allowed):g}")
    else:
        judge.ok(subject, f"{told} and was throttled {throttled} times, at {float(last.allowed):g}")


def _judge_served(judge: Judge, subject: str, trains: tuple[Train, Train, Train], slo: float) -> None:
    before, during, after = trains
    told = f"before: {before}; meanwhile: {during}; afterwards: {after}"
    if during.keeps(slo):
        judge.ok(subject, told)
    elif after.keeps(slo):
        judge.bad(subject, seen=f"it is not served within {slo:g} s ({told})")
    else:
        judge.unsure(subject, f"it is not served within {slo:g} s after the noise either ({told})")


def _judge_unharmed(judge: Judge, cluster: Cluster, subject: str, pod: dict[str, Any]) -> None:
    meta = pod["metadata"]
    now = cluster.resource("v1", "Pod").find(meta["name"], meta["namespace"])
    if now is None or now["metadata"]["uid"] != meta["uid"] or now["metadata"].get("deletionTimestamp"):
        judge.bad(subject, seen="it is gone")
        return
    restarts = sum(s.get("restartCount", 0) for s in now["status"].get("containerStatuses") or [])
    phase, reason = now["status"].get("phase"), now["status"].get("reason", "")
    judge.that(
        phase == "Running" and not restarts,
        subject,
        seen=f"{phase} {reason}".strip() + f", {restarts} restarts",
    )


# --- memory ------------------------------------------------------------------------------------------------------


def judge_memory(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """The tenant's pod, of which nothing is said but what it runs, takes half as much again as it may. It must be
    killed for it, and nobody beside it."""
    node = _ground(cluster, tenants)
    image = stage.ensure_image(cluster)
    one, other = tenants[0], tenants[1]
    client = author(one)
    taker = stage.pod(one, image, ("pause",), node=node.name, restartPolicy="Never")
    del taker["spec"]["containers"][0]["resources"]
    # A rehearsal tells what the namespace gives to a container that asks for nothing.
    given = client.resource("v1", "Pod").create(taker, dry_run=True)["spec"]["containers"][0].get("resources") or {}
    limit = parse((given.get("limits") or {}).get("memory", "0"))
    take = int(limit * 3 / 2) if limit else TAKE
    if take > MOST or take > node.memory / 4:
        raise NotEvaluated(f"a container may take {int(limit)} bytes on {node.name}, more than this check takes")
    args = [f"--mem-total={take}", "--mem-alloc-size=8Mi", "--mem-alloc-sleep=5ms"]
    taker["spec"]["containers"][0]["args"] = ["stress", *args]
    with stage.running(cluster, [stage.pod(other, image, stage.SERVE, node=node.name)]) as (server,):
        made = stage.create(client, taker)
        try:
            _judge_taker(judge, cluster, f"{one} takes {take // 2**20} MiB on {node.name}", made, take, int(limit))
        finally:
            stage.remove(cluster, [made])
        _judge_unharmed(judge, cluster, f"the pod of {other} beside it", server)


def _judge_taker(judge: Judge, cluster: Cluster, subject: str, pod: dict[str, Any], take: int, limit: int) -> None:
    resource, meta = cluster.resource("v1", "Pod"), pod["metadata"]

    def end() -> str:
        for status in resource.get(meta["name"], meta["namespace"])["status"].get("containerStatuses") or []:
            state = status.get("state") or {}
            if "terminated" in state:
                return str(state["terminated"].get("reason", ""))
            if "running" in state and _held(cluster, pod) >= take * 0.95:
                return "took it"
        return ""

    try:
        told = eventually(end, what="the memory is taken, or its taker killed", timeout=DEADLINE, interval=0.3)
    except WaitTimeout as error:
        judge.unsure(subject, str(error))
        return
    if told == "OOMKilled" and not limit:
        judge.bad(subject, seen="nothing but the end of the node's own memory stopped it")
    elif told == "OOMKilled":
        judge.ok(subject, f"it was killed for it (OOMKilled), at {limit // 2**20} MiB")
    elif told == "took it":
        judge.bad(subject, seen="it has all of that, and nothing stopped it")
    else:
        judge.unsure(subject, f"it ended otherwise: {told}")


def _held(cluster: Cluster, pod: dict[str, Any]) -> int:
    """Bytes that the container holds, by its control group; 0 while that cannot be read."""
    for path in ("memory.current", "memory/memory.usage_in_bytes"):
        try:
            text = stage.read(cluster.client, pod, f"/sys/fs/cgroup/{path}")
        except (Inconclusive, RequestError):
            return 0
        if text and text.strip().isdigit():
            return int(text)
    return 0
