"""API priority and fairness: a tenant that floods the API server is throttled, and its neighbour is still served.

The flood are LISTs that ask for a state which the server does not have yet: it holds each of them for up to three
seconds (``waitUntilFreshAndBlock`` in k8s.io/apiserver, `storage/cacher/watch_cache.go`) and so fills the seats of the
tenant's priority level, without work for the server and for whoever measures. It is sent once, and ends by itself.

The neighbour's requests are an open loop: each is due at a moment of the monotonic clock, and its latency counts from
there, so that a request that could not even be sent is late and not left out. Beside them runs a yardstick: the same
requests by the administrator, who is exempt from fairness. Where these are late too, the machine is slow, and nothing
is said about the tenants.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil
from threading import Barrier, BrokenBarrierError
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.errors import Inconclusive, NotEvaluated, TransportError
from pytest_k8sha.kube import apiservers
from pytest_k8sha.model import Verdict
from pytest_k8sha.tenancy.escalation import everybody
from pytest_k8sha.tenancy.matrix import several
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.tenancy.tenant import Persona, Tenant

API = "flowcontrol.apiserver.k8s.io"
SCHEMA_HEADER, LEVEL_HEADER = "x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid"

NEVER = str(2**62)
"""A resourceVersion that no server reaches."""

HELD = 3.2
"""Seconds after which a request is given up; the server itself lets those of the flood go after three."""
RATE, SECONDS = 20, 3.0
"""Requests a second of the neighbour and of the yardstick, and for how long."""
HANDS = 12
"""Threads of one open loop."""
WARM_UP = 60.0
"""Seconds that all connections together may take."""
ROUNDS = 3
CALM = 60.0
"""Seconds in which rounds are measured again that only show a slow machine."""
TELLING = 0.1
"""The share of late requests from which lateness is no accident of single requests."""


@dataclass(frozen=True)
class Level:
    """A priority level, as far as fairness needs it. ``queues`` is 0 where it refuses instead of queueing."""

    name: str
    exempt: bool
    queues: int


@dataclass(frozen=True)
class Flow:
    """What decided over a request: its flow schema and priority level, by name."""

    schema: str
    level: Level
    by: str
    """The distinguisher of the schema: ByUser, ByNamespace or nothing."""

    def __str__(self) -> str:
        return f"flow schema {self.schema}, level {self.level.name}"


@dataclass(frozen=True)
class Sample:
    """One request of a loop: seconds from when it was due until its answer; status 0 where none came."""

    latency: float
    status: int
    flow: tuple[str, str] | None = None
    problem: str = ""

    @property
    def told(self) -> bool:
        """Whether it says something of fairness: an answer of the server, or none in time."""
        return self.problem == "timeout" or (self.status > 0 and (self.status < 500 or self.flow is not None))


class Levels:
    """The flow schemas and priority levels of a cluster by uid, as the headers of an answer name them."""

    def __init__(self, schemas: Iterable[Mapping[str, object]], levels: Iterable[Mapping[str, object]]) -> None:
        named: dict[str, Level] = {}
        self._levels: dict[str, Level] = {}
        for item in levels:
            spec, meta = item["spec"], item["metadata"]
            response = (spec.get("limited") or {}).get("limitResponse") or {}  # type: ignore[attr-defined]
            queues = int((response.get("queuing") or {}).get("queues") or 0)
            level = Level(meta["name"], spec["type"] == "Exempt", queues)  # type: ignore[index]
            named[level.name] = self._levels[meta["uid"]] = level  # type: ignore[index]
        self._schemas: dict[str, tuple[str, str]] = {}
        for item in schemas:
            method = item["spec"].get("distinguisherMethod") or {}  # type: ignore[attr-defined]
            self._schemas[item["metadata"]["uid"]] = (item["metadata"]["name"], method.get("type", ""))  # type: ignore[index]

    @classmethod
    def of(cls, cluster: Cluster) -> Levels:
        """Raises `NotEvaluated` where the server does not offer them, `ApiError` and `TransportError`."""
        kinds = {kind.plural: kind for kind in cluster.kinds if kind.group == API}
        if not {"flowschemas", "prioritylevelconfigurations"} <= kinds.keys():
            raise NotEvaluated(f"the API server does not offer {API}")
        version = kinds["flowschemas"].api_version
        return cls(
            cluster.resource(version, "FlowSchema").list(),
            cluster.resource(version, "PriorityLevelConfiguration").list(),
        )

    def flow(self, uids: tuple[str, str] | None) -> Flow | None:
        """None for no header, and for what was made after this was read."""
        if uids is None or uids[0] not in self._schemas or uids[1] not in self._levels:
            return None
        name, by = self._schemas[uids[0]]
        return Flow(name, self._levels[uids[1]], by)


def uids_of(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """The uids of flow schema and priority level; None where the server sets none."""
    schema, level = headers.get(SCHEMA_HEADER, ""), headers.get(LEVEL_HEADER, "")
    return (schema, level) if schema and level else None


# --- at rest -----------------------------------------------------------------------------------------------------


def judge_flows(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """One request of everybody: a level that limits, and tenants that share one told apart in its queues."""
    levels = Levels.of(cluster)
    users: dict[str, set[str]] = {}
    flows: list[tuple[Tenant, Persona, Flow]] = []
    for tenant, persona in everybody(tenants):
        sample = _send(persona.client, _path(tenant), {"limit": 1}, _clock.now(), timeout=10.0)
        flow = levels.flow(sample.flow)
        if flow is None:
            _judge_headless(judge, str(persona), sample)
            continue
        flows.append((tenant, persona, flow))
        users.setdefault(flow.level.name, set()).add(tenant.name)
    for tenant, persona, flow in flows:
        others = sorted(users[flow.level.name] - {tenant.name})
        if flow.level.exempt:
            judge.bad(str(persona), seen=f"is decided by {flow}, which is exempt: nothing ever holds these requests up")
        elif not others:
            judge.ok(str(persona), f"{flow}; no other tenant uses the level")
        elif flow.by and flow.level.queues > 1:
            judge.ok(
                str(persona),
                f"{flow}; the level is shared with {', '.join(others)}, told apart {flow.by} in {flow.level.queues} "
                "queues",
            )
        else:
            why = (
                f"has {flow.level.queues or 'no'} queue{'' if flow.level.queues == 1 else 's'}"
                if flow.by
                else "nothing tells its users apart"
            )
            judge.bad(str(persona), seen=f"{flow}; the level is shared with {', '.join(others)}, and {why}")


def _judge_headless(judge: Judge, subject: str, sample: Sample) -> None:
    if sample.flow is not None:
        judge.unsure(subject, "its flow schema or level is not among those of the cluster: they have just changed")
    elif sample.status in {200, 403}:
        judge.bad(
            subject,
            seen="the answer names no flow schema: priority and fairness is switched off",
            remedy="start the API server with --enable-priority-and-fairness",
        )
    else:
        judge.unsure(subject, f"no answer of the API server: {sample.problem or sample.status}")


# --- under a flood -----------------------------------------------------------------------------------------------


def judge_flood(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant], *, slo: float, flood: int) -> None:
    """Each tenant in turn floods, with ``flood`` requests at once for each API server, since each has seats of its own;
    the next one must be served within ``slo`` seconds (its 99th percentile)."""
    several(tenants)
    owned(tenants)
    levels = Levels.of(cluster)
    flood *= max(1, len(apiservers.listed(cluster.client)))
    for one, other in zip(tenants, [*tenants[1:], tenants[0]], strict=True):
        flooding, served = _lister(one), _lister(other)
        kept, rounds, clock = Seen(), 0, _clock.Deadline(CALM)
        while rounds < ROUNDS:
            found = _measure(cluster, (one, flooding), (other, served), flood)
            seen = kept + found
            trial = Judge(judge.rule, judge.remedy)
            limited = _judge_flooder(trial, levels, f"{flooding} floods", seen.wave)
            _judge_served(trial, levels, f"{served} while {flooding} floods", seen, slo, limited=limited)
            if Verdict.INCONCLUSIVE not in {finding.verdict for finding in trial.findings}:
                break
            # Whatever cannot be told from one round may be from several: every sample counts, of all of them. A round
            # in which the machine was slow says nothing of the tenants: for a while it is measured once more instead.
            if not found.slow(slo) or clock.passed:
                kept, rounds = seen, rounds + 1
        judge.findings += trial.findings
        judge.measure(f"p99 of {other.name} before", round(p99(seen.before), 4), "s")
        judge.measure(f"p99 of {other.name} while {one.name} floods", round(p99(seen.during), 4), "s")
        judge.measure(f"p99 of the administrator while {one.name} floods", round(p99(seen.yard), 4), "s")
        judge.measure(f"refused of {one.name}", sum(s.status == 429 for s in seen.wave), "requests")


@dataclass
class Seen:
    """The samples of all rounds: of the neighbour before and during the flood, the yardstick's, and the flood's."""

    before: list[Sample] = field(default_factory=list)
    during: list[Sample] = field(default_factory=list)
    yard: list[Sample] = field(default_factory=list)
    wave: list[Sample] = field(default_factory=list)

    def __add__(self, more: Seen) -> Seen:
        return Seen(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(more).values(), strict=True)))

    def slow(self, slo: float) -> bool:
        """Whether the machine was: those were late whom the flood does not concern."""
        return p99(self.before) > slo or p99(self.yard) > slo


def _measure(cluster: Cluster, one: tuple[Tenant, Persona], other: tuple[Tenant, Persona], flood: int) -> Seen:
    """One round. Every connection is open before anything is measured; raises `Inconclusive` where that takes long."""
    ready, go = Barrier(flood + 2 * HANDS + 1), Barrier(flood + 2 * HANDS + 1)
    quiet = Barrier(HANDS + 1)
    served, admin = Loop(other[1].client, _path(other[0])), Loop(cluster.client, _path(other[0]))
    with ThreadPoolExecutor(flood + 2 * HANDS) as pool:
        wave = [pool.submit(_hold, one[1].client, _path(one[0]), ready, go) for _ in range(flood)]
        hands = [pool.submit(served.work, ready, quiet, go) for _ in range(HANDS)]
        yards = [pool.submit(admin.work, ready, None, go) for _ in range(HANDS)]
        try:
            ready.wait(WARM_UP)
            served.begin(RATE // 2)  # half a second without a flood
            quiet.wait(WARM_UP)
            quiet.wait(WARM_UP)
            before = served.take()
            served.begin(int(RATE * SECONDS))
            admin.begin(int(RATE * SECONDS))
            go.wait(WARM_UP)
            held = [future.result() for future in wave]
            for future in (*hands, *yards):
                future.result()
        except BrokenBarrierError as error:
            for barrier in (ready, quiet, go):
                barrier.abort()
            every: list[Future[Any]] = [*wave, *hands, *yards]
            cause = next((f.exception() for f in every if _broke(f)), None)
            raise Inconclusive(
                f"the flood could not be made ready: {cause or f'its connections were not open after {WARM_UP:.0f} s'}"
            ) from error
    return Seen(before, served.take(), admin.take(), held)


def _broke(future: Future[Any]) -> bool:
    return future.done() and not isinstance(future.exception(), (BrokenBarrierError, type(None)))


class Loop:
    """An open loop of LISTs of one identity: request number n is due at ``start + n / RATE``."""

    def __init__(self, client: Client, path: str) -> None:
        self._client, self._path = client, path
        self._due: list[float] = []
        self._samples: list[Sample] = []

    def begin(self, count: int) -> None:
        """Fixes the moments of the next ``count`` requests, from now on."""
        start = _clock.now() + 0.05
        self._due = [start + n / RATE for n in reversed(range(count))]

    def take(self) -> list[Sample]:
        """What was measured since the last time."""
        found, self._samples = self._samples, []
        return found

    def work(self, ready: Barrier, quiet: Barrier | None, go: Barrier) -> None:
        """One thread: opens its connection, works before the flood where there is a ``quiet`` time, and during it."""
        _warm(self._client, self._path)
        ready.wait(WARM_UP)
        if quiet:
            quiet.wait(WARM_UP)
            self._run()
            quiet.wait(WARM_UP)
        go.wait(WARM_UP)
        self._run()

    def _run(self) -> None:
        while True:
            try:
                due = self._due.pop()  # atomic, so that every moment is taken once
            except IndexError:
                return
            _clock.pause(due - _clock.now())
            self._samples.append(_send(self._client, self._path, {"limit": 1}, due, timeout=HELD))


def _hold(client: Client, path: str, ready: Barrier, go: Barrier) -> Sample:
    """One request of the flood."""
    _warm(client, path)
    ready.wait(WARM_UP)
    go.wait(WARM_UP)
    query = {"resourceVersion": NEVER, "resourceVersionMatch": "NotOlderThan"}
    return _send(client, path, query, _clock.now(), timeout=HELD)


def _warm(client: Client, path: str) -> None:
    """Opens this thread's connection; what the answer is does not matter yet."""
    _send(client, path, {"limit": 1}, _clock.now(), timeout=WARM_UP)


def _send(client: Client, path: str, query: Mapping[str, object], due: float, *, timeout: float) -> Sample:
    try:
        answer = client.answer(path, query=query, timeout=timeout)
    except TransportError as error:
        return Sample(_clock.now() - due, 0, problem=error.kind)
    return Sample(_clock.now() - due, answer.status, uids_of(answer.headers))


def p99(samples: Sequence[Sample]) -> float:
    """The 99th percentile by the nearest rank; infinite without samples."""
    ordered = sorted(sample.latency for sample in samples)
    return ordered[ceil(len(ordered) * 99 / 100) - 1] if ordered else float("inf")


def _judge_flooder(judge: Judge, levels: Levels, subject: str, wave: Sequence[Sample]) -> bool:
    """Whether the flood was seen to be limited."""
    told = [sample for sample in wave if sample.told]
    flows = [flow for sample in told if (flow := levels.flow(sample.flow))]
    refused = [levels.flow(sample.flow) for sample in told if sample.status == 429 and sample.flow]
    held = [sample for sample in told if sample.status != 429 and sample.latency > 1]
    headless = [sample for sample in wave if sample.flow is None and sample.status in {200, 403, 504}]
    if flows and all(flow.level.exempt for flow in flows):
        judge.bad(
            subject,
            seen=f"{len(held)} requests were held at once and none was refused: {flows[0]} is exempt",
            remedy="give the tenant's flow schema a priority level of type Limited",
        )
    elif not flows and 2 * len(headless) > len(wave):
        judge.bad(subject, seen="the answers name no flow schema: priority and fairness is switched off")
    elif refused:
        judge.ok(subject, f"{len(refused)} of {len(wave)} requests at once were refused (429) by {refused[0]}")
        return True
    else:
        judge.unsure(
            subject,
            f"none of {len(wave)} requests at once was refused: {len(held)} were held, {len(wave) - len(told)} had no "
            "answer that tells; --k8sha-flood sets how many are sent",
        )
    return False


def _judge_served(judge: Judge, levels: Levels, subject: str, seen: Seen, slo: float, *, limited: bool) -> None:
    before, during, yard = seen.before, seen.during, seen.yard
    told = [sample for sample in during if sample.told]
    refused = [flow for sample in told if sample.status == 429 and (flow := levels.flow(sample.flow))]
    late = [sample for sample in told if sample.latency > slo]
    exempt = [flow for sample in yard if (flow := levels.flow(sample.flow)) and flow.level.exempt]
    figures = f"p99 {p99(told):.3f} s, {p99(before):.3f} s before, the administrator's {p99(yard):.3f} s"
    if len(refused) >= max(2, TELLING * len(during)):
        judge.bad(subject, seen=f"{len(refused)} of {len(during)} requests were refused (429) by {refused[0]}")
    elif p99(told) <= slo and len(told) >= 0.9 * len(during):
        judge.ok(subject, f"{figures}; {slo} s is allowed{'' if limited else '; the flood was not seen to be limited'}")
    elif seen.slow(slo) or not exempt:
        judge.unsure(subject, f"too slow to tell who holds whom up: {figures}; {slo} s is allowed")
    elif len(late) < max(2, TELLING * len(during)):
        judge.unsure(subject, f"{len(late)} of {len(during)} requests were late or lost, too few to tell: {figures}")
    else:
        judge.bad(
            subject,
            seen=f"{len(late)} of {len(during)} requests took longer than {slo} s while the administrator's, which are "
            f"exempt, were in time: {figures}",
            remedy="give each tenant a priority level of its own, or queues and a distinguisher to the shared one",
        )


def _lister(tenant: Tenant) -> Persona:
    """Somebody of the tenant who may list its ConfigMaps. Raises `NotEvaluated` where nobody may."""
    for persona in tenant.personas.values():
        if persona.may("list", resource="configmaps", namespace=tenant.namespace)[0]:
            return persona
    raise NotEvaluated(f"nobody of {tenant} may list configmaps in {tenant.namespace}")


def _path(tenant: Tenant) -> str:
    return f"/api/v1/namespaces/{tenant.namespace}/configmaps"
