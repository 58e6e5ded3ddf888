"""The cluster's name server while a pod of it is lost: how many questions go unanswered.

It is asked from this machine, by a Service of the run's own with a node port, which leads to the same pods by the same
rules of the nodes as the cluster's own Service. A question is asked once; a resolver in a pod asks twice.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha.chaos.experiment import Experiment
from pytest_k8sha.chaos.order import order
from pytest_k8sha.chaos.pods import PodsEngine
from pytest_k8sha.chaos.serving.traffic import node_address
from pytest_k8sha.errors import Inconclusive, NotEvaluated
from pytest_k8sha.model import nonce
from pytest_k8sha.probes.availability import availability
from pytest_k8sha.probes.target import Target
from pytest_k8sha.workloads.model import ZONE, serves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_k8sha.chaos.serving.objectives import Demand
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.probes.availability import Probe

Object = dict[str, Any]

SPACE = "kube-system"
LABEL = "k8s-app=kube-dns"
"""By which kubeadm, CoreDNS's own chart and the cloud providers mark the Service and the pods of the name server."""

NAME = "kubernetes.default.svc.cluster.local"
RATE = 50.0
TIMEOUT = 1.0
WATCHED = "5s"
"""How long questions go on after the loss was measured: enough of them to tell an error rate of one in a hundred."""


@dataclass(frozen=True)
class NameServer:
    """The Service of the cluster's name server, and its pods."""

    service: Object
    pods: list[Object]

    @property
    def ready(self) -> list[Object]:
        return [p for p in self.pods if serves(p)]

    @property
    def subject(self) -> str:
        return f"Service {SPACE}/{self.service['metadata']['name']}"


def find(cluster: Cluster) -> NameServer:
    """Raises `NotEvaluated` where the cluster has none under the label that all know."""
    services = cluster.resource("v1", "Service").list(SPACE, labels=LABEL)
    if not services:
        raise NotEvaluated(f"there is no name server: no Service in {SPACE} with the label {LABEL}")
    return NameServer(services[0], cluster.resource("v1", "Pod").list(SPACE, labels=LABEL))


def judge_places(cluster: Cluster, judge: Judge) -> None:
    """Two ready pods at least, on two nodes, and in two zones where there are two."""
    server, nodes = find(cluster), cluster.resource("v1", "Node").list()
    zones = {n["metadata"]["name"]: (n["metadata"].get("labels") or {}).get(ZONE, "") for n in nodes}
    on = sorted({p["spec"]["nodeName"] for p in server.ready})
    told = f"{len(server.ready)} ready pods on {', '.join(on) or 'no node'}"
    judge.that(
        len(server.ready) >= 2,
        server.subject,
        seen=told,
        rule="the name server has two ready pods or more",
        remedy="kubectl -n kube-system scale deployment coredns --replicas=2",
    )
    judge.that(
        len(on) >= 2,
        f"{server.subject} over nodes",
        seen=told,
        rule="its pods are on two nodes or more",
        remedy="give the Deployment of CoreDNS a topologySpreadConstraint on kubernetes.io/hostname, and restart it: "
        "its anti-affinity is a wish, and the first node of a cluster gets both",
    )
    known = {zones[n] for n in on if zones.get(n)}
    if len({z for z in zones.values() if z}) < 2:
        judge.skip(f"{server.subject} over zones", "the nodes are in fewer than two zones")
    else:
        judge.that(len(known) >= 2, f"{server.subject} over zones", seen=f"zones {', '.join(sorted(known)) or 'none'}")


@contextmanager
def asked(cluster: Cluster, server: NameServer, demand: Demand) -> Iterator[Probe]:
    """A probe of the name server, by a node port of the run's own.

    Raises `Inconclusive` when it cannot be reached from here.
    """
    ports = [p for p in server.service["spec"]["ports"] if p.get("protocol") == "UDP"]
    if not ports:
        raise NotEvaluated(f"{server.subject} has no UDP port")
    services = cluster.resource("v1", "Service")
    port = {"name": "dns", "protocol": "UDP", "port": 53, "targetPort": ports[0].get("targetPort", 53)}
    name = nonce("k8sha-dns")
    made = services.create(
        {
            "metadata": {"name": name},
            "spec": {"type": "NodePort", "selector": server.service["spec"]["selector"], "ports": [port]},
        },
        SPACE,
    )
    try:
        nodes = cluster.resource("v1", "Node").list()
        found = node_address(cluster, nodes, (), int(made["spec"]["ports"][0]["nodePort"]))
        if found is None:
            raise Inconclusive(f"{server.subject} cannot be reached from this machine")
        target = Target(f"dns://{found[0]}:{found[1]}/{NAME}")
        with availability(
            target, rate=RATE, timeout=TIMEOUT, objective=demand.felt, journal=cluster.guard.journal
        ) as probe:
            yield probe
    finally:
        services.delete(name, SPACE)


def lose_pod(cluster: Cluster, judge: Judge, demand: Demand) -> None:
    """One pod of the name server is killed without grace; questions go on."""
    server = find(cluster)
    if not judge.control(bool(server.ready), "the name server has a ready pod"):
        return
    name = min(p["metadata"]["name"] for p in server.ready)
    wanted = order(
        "name-server",
        "kill",
        pods={"namespaces": [SPACE], "names": [name]},
        blastRadius="100%",
        accept=["system", "outage", "budget", "foreign"],
        hold=WATCHED,
        recoverWithin=f"{demand.within:g}s",
    )
    with asked(cluster, server, demand) as probe, probe.fault("a pod of the name server"):
        Experiment(cluster, wanted, PodsEngine(cluster)).run()
    probe.judge(judge, server.subject)
