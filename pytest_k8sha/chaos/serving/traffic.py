"""Traffic on the fronts of workloads while a trial goes on: one open-loop probe each, judged by what the trial demands.

A front is asked from this machine: at its load balancer's address, else at its node port, on a node that the trial
leaves alone. Whoever is behind it is found by the cluster's own Service, as for any user.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

from pytest_k8sha.errors import Inconclusive, K8shaError, UsageError
from pytest_k8sha.probes.availability import availability
from pytest_k8sha.probes.objective import Objective
from pytest_k8sha.probes.target import Target
from pytest_k8sha.workloads.model import is_ready

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from pytest_k8sha.chaos.serving.objectives import Demand
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.probes.availability import Probe
    from pytest_k8sha.workloads.fronts import Front

RECOVERY = 30.0
"""Seconds that a front has, after the trial, to be steady again, so that its last outage has an end."""


class Traffic:
    """Probes of fronts, from `__enter__` to `__exit__`. ``avoid`` are nodes that the trial touches."""

    def __init__(self, cluster: Cluster, fronts: Sequence[Front], demand: Demand, *, avoid: Sequence[str] = ()) -> None:
        self._cluster, self._fronts, self._demand = cluster, fronts, demand
        self._avoid = frozenset(avoid)
        self._stack = ExitStack()
        self.probes: list[tuple[Front, Probe]] = []
        self.open: list[tuple[Front, str]] = []
        """Fronts that are not asked, and why."""

    def __enter__(self) -> Self:
        nodes = self._cluster.resource("v1", "Node").list() if self._fronts else []
        with self._stack as stack:
            for front in self._fronts:
                self._begin(stack, front, nodes)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the traffic: what comes later is not judged. Idempotent."""
        self._stack.close()

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """Marks the fault on every probe, and waits afterwards until each front is steady again, or does not become
        so: the probe itself then says that its last outage has no end."""
        with ExitStack() as stack:
            for _, probe in self.probes:
                stack.enter_context(probe.fault(name))
            yield
        self.settle()

    def settle(self, timeout: float = RECOVERY) -> None:
        """Waits until every front answers steadily, for at most ``timeout`` seconds each."""
        for _, probe in self.probes:
            try:
                probe.await_recovery(timeout)
            except K8shaError:
                continue

    def judge(self, judge: Judge) -> None:
        """Puts each front before the judge, when the traffic has ended."""
        for front, why in self.open:
            judge.unsure(front, why)
        for front, probe in self.probes:
            if probe.objective is None:
                judge.skip(front, f"one request may take {probe.timeout:g} s: too coarse for {self._demand.felt}")
            else:
                probe.judge(judge, front)

    def _begin(self, stack: ExitStack, front: Front, nodes: list[dict[str, Any]]) -> None:
        try:
            target = Target(front.at(*self._address(front, nodes)).url, verify=False)
            objective = fitting(self._demand.felt, front.rate, front.timeout)
            probe = availability(
                target,
                rate=front.rate,
                timeout=front.timeout,
                objective=objective,
                journal=self._cluster.guard.journal,
            )
            self.probes.append((front, stack.enter_context(probe)))
        except (Inconclusive, UsageError) as error:
            self.open.append((front, error.problem))

    def _address(self, front: Front, nodes: list[dict[str, Any]]) -> tuple[str, int]:
        """Host and port under which this machine reaches the front. Raises `Inconclusive` when there are none."""
        for one in ((front.service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []:
            host = one.get("ip") or one.get("hostname")
            if host:
                return str(host), front.port
        found = node_address(self._cluster, nodes, self._avoid, front.node_port) if front.node_port else None
        if found is not None:
            return found
        raise Inconclusive(f"{front} cannot be reached from this machine: it has no load balancer and no node port")


def node_address(
    cluster: Cluster, nodes: Sequence[Mapping[str, Any]], avoid: Collection[str], port: int
) -> tuple[str, int] | None:
    """Where this machine reaches a node port: at the first ready node that is none of ``avoid``; None for none."""
    for node in nodes:
        if node["metadata"]["name"] in avoid or not is_ready(node):
            continue
        for address in node["status"].get("addresses") or []:
            if address["type"] == "InternalIP":
                return cluster.provider.dial(cluster.state, str(address["address"]), port)
    return None


def fitting(felt: str, rate: float, timeout: float) -> str | None:
    """The clauses of an objective that a probe of this rate and time-out can judge; None where there are none."""
    kept = []
    for clause in Objective.parse(felt).clauses:
        try:
            Objective((clause,)).fit(rate, timeout)
        except UsageError:
            continue
        kept.append(clause.text)
    return ", ".join(kept) or None
