"""The survey of a cluster's tenants: probe pods among them, every way dialled twice over, with the policies lifted and
with the policies in force."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.errors import ApiError, NotEvaluated
from pytest_k8sha.tenancy.network import policy as written
from pytest_k8sha.tenancy.network.admin import API_VERSION as ADMIN_VERSION
from pytest_k8sha.tenancy.network.admin import KINDS, AdminPolicy
from pytest_k8sha.tenancy.network.ground import HOST_PORT, LABEL, PORTS, Ground, Site, address_of, prepare
from pytest_k8sha.tenancy.network.places import TCP, UDP, Address, Namespace, Pod, Service
from pytest_k8sha.tenancy.network.settle import Settled, patience_after, settle
from pytest_k8sha.tenancy.network.table import Ask, Cell, Listener, Promise, Route, Table, cells, expect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.network.policy import Policy
    from pytest_k8sha.tenancy.tenant import Tenant

METADATA = Address("169.254.169.254", "the cloud's metadata service")
"""The address of the metadata service of the large clouds."""

KUBELET, ETCD = 10250, 2379
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"

LIFT = "k8sha-lift"

LIFTED_DEADLINE = 30.0
"""Seconds for every way to open once the policies are lifted."""

POD_PORTS = tuple((protocol, port) for port in PORTS for protocol in (TCP, UDP))
ROUTES = (Route.POD_IP, Route.SERVICE_IP, Route.SERVICE_NAME, Route.NODE_PORT)

OUTSIDERS = 2
"""So many nodes get a pod of the namespace that belongs to no tenant."""


@dataclass
class Rules:
    """Every policy of a cluster."""

    policies: list[Policy]
    admin: list[AdminPolicy] = field(default_factory=list)

    @classmethod
    def of(cls, cluster: Cluster) -> Rules:
        """Raises `FileProblems` for an object that this engine does not understand: then nothing can be expected."""
        found = [written.of(o) for o in cluster.resource(written.API_VERSION, "NetworkPolicy").list()]
        above: list[AdminPolicy] = []
        for kind in KINDS:
            with suppress(NotEvaluated):  # the cluster does not have the kind
                above += [AdminPolicy.of(o) for o in cluster.resource(ADMIN_VERSION, kind).list()]
        return cls(found, above)

    def promises(self, ways: Sequence[Cell], nodes: Sequence[Address]) -> dict[Cell, Promise]:
        return {cell: expect(self.policies, self.admin, cell, nodes) for cell in ways}


@dataclass
class Survey:
    """What was found. ``owner`` says which tenant a namespace belongs to; the outsiders' one belongs to none."""

    ground: Ground
    rules: Rules
    owner: Mapping[str, str]
    outside: str
    every_node: list[Address]
    lifted: Settled
    settled: Settled

    @property
    def table(self) -> Table:
        return self.settled.table

    def tenant(self, place: Any) -> str:
        """The tenant that a pod belongs to; empty for everybody else."""
        return self.owner.get(place.namespace.name, "") if isinstance(place, Pod) else ""

    def to(self, *places: Address) -> list[Cell]:
        wanted = set(places)
        return [cell for cell in self.table if cell.target in wanted]


def survey(cluster: Cluster, tenants: Sequence[Tenant]) -> Survey:
    """Surveys the tenants' main namespaces. Their policies are lifted for the probe pods only, by a policy that adds to
    them, and are in force again afterwards; nothing of the tenants' own is changed.

    Raises `NotEvaluated` where the run may not put pods there.
    """
    foreign = [t.name for t in tenants if not t.owned]
    if foreign:
        raise NotEvaluated(f"probe pods may go only to tenants that this run made, not to {', '.join(foreign)}")
    outside = cluster.create_namespace("outside", {"pod-security.kubernetes.io/enforce": "privileged"})
    sites = [Site(t.namespace, t.expects.labels) for t in tenants]
    ground = prepare(cluster, [*sites, Site(outside, node_ports=True)], host_site=outside)
    nodes = [address_of(n) for n in cluster.resource("v1", "Node").list()]
    owner = {t.namespace: t.name for t in tenants}
    ways = ways_of(ground, owner)
    ways += infrastructure(cluster, [p for n in owner for p in ground.pods[n]])
    eyes = ground.eyes()
    lift(cluster, owner, ground.mark)
    opened = settle(
        eyes,
        Rules.of(cluster).promises(ways, nodes),
        timeout=LIFTED_DEADLINE,
        agreeing=1,
        counts=lambda cell: cell.ask is not Ask.HTTP,  # nothing need answer there
    )
    since = unlift(cluster, owner)
    rules = Rules.of(cluster)
    before = opened.table.seen
    patience = patience_after(before)
    found = settle(eyes, rules.promises(ways, nodes), lifted=before, since=since, patience=patience)
    return Survey(ground, rules, owner, outside, nodes, opened, found)


def ways_of(ground: Ground, owner: Mapping[str, str]) -> list[Cell]:
    """Every pod to every other, by every route; the outsiders' services have node ports as well."""
    listeners = [Listener(p, POD_PORTS, ground.before(p)[:1]) for p in ground.every]
    found = cells(ground.every, listeners, routes=ROUTES, nodes=ground.nodes)
    # Names and services lead to the same two ports; one of them is enough.
    found = [
        cell
        for cell in found
        if not cell.source.same(cell.target) and (cell.route is Route.POD_IP or cell.ends[0][1] == PORTS[0])
    ]
    outer = ((TCP, HOST_PORT), (UDP, HOST_PORT))
    host = [Listener(p, outer, what=f"a server outside, on {p.node}") for p in ground.host]
    tenants = [p for p in ground.every if p.namespace.name in owner]
    return found + cells(tenants, host)


def infrastructure(cluster: Cluster, sources: Sequence[Pod]) -> list[Cell]:
    """From each source to what the cluster itself is made of."""
    nodes = cluster.resource("v1", "Node").list()
    listeners = []
    for node in nodes:
        place = address_of(node)
        listeners.append(Listener(place, ((TCP, KUBELET),), ask=Ask.HTTP, what=f"the kubelet of {place.node}"))
        if CONTROL_PLANE in (node["metadata"].get("labels") or {}):
            listeners.append(Listener(place, ((TCP, ETCD),), ask=Ask.HTTP, what=f"etcd on {place.node}"))
    listeners.append(Listener(METADATA, ((TCP, 80),), ask=Ask.HTTP, what=METADATA.name))
    found = cells(sources, listeners)
    for source in sources:
        found += api_server(cluster, source, [address_of(n) for n in nodes])
        found += names(cluster, source)
    return found


def api_server(cluster: Cluster, source: Pod, nodes: Sequence[Address]) -> list[Cell]:
    """The API server by its service. Its endpoints are the addresses of control-plane nodes, or of something else."""
    service = cluster.resource("v1", "Service").get("kubernetes", "default")
    slices = cluster.resource("discovery.k8s.io/v1", "EndpointSlice").list(
        "default", labels="kubernetes.io/service-name=kubernetes"
    )
    known = {node.ip: node for node in nodes}
    ends = tuple(
        (known.get(ip, Address(ip, "the API server")), port["port"])
        for part in slices
        for port in part.get("ports") or []
        for endpoint in part.get("endpoints") or []
        for ip in endpoint["addresses"]
    )
    if not ends:
        return []
    address = service["spec"]["clusterIP"]
    return [Cell(source, Route.SERVICE_IP, TCP, address, 443, ends, Ask.HTTP, "the API server")]


def names(cluster: Cluster, source: Pod) -> list[Cell]:
    """The cluster's name server by its service, as pods find it."""
    services = cluster.resource("v1", "Service").list("kube-system", labels="k8s-app=kube-dns")
    space = Namespace.of(cluster.resource("v1", "Namespace").get("kube-system"))
    found = []
    for service in map(Service.of, services):
        labels = ",".join(f"{k}={v}" for k, v in service.selector.items())
        pods = [
            Pod.of(p, space)
            for p in cluster.resource("v1", "Pod").list("kube-system", labels=labels)
            if p.get("status", {}).get("podIP")
        ]
        ends = tuple(service.backends(UDP, 53, pods))
        if ends:
            found.append(
                Cell(source, Route.SERVICE_IP, UDP, service.cluster_ip, 53, ends, Ask.DNS, "the cluster's name server")
            )
    return found


def lift(cluster: Cluster, namespaces: Mapping[str, str], mark: str) -> float:
    """Allows the probe pods everything, by one further policy in each namespace; returns when that was accepted."""
    spec = {
        "podSelector": {"matchLabels": {LABEL: mark}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{}],
        "egress": [{}],
    }
    policies = cluster.resource(written.API_VERSION, "NetworkPolicy")
    for namespace in namespaces:
        policies.create({"metadata": {"name": LIFT}, "spec": spec}, namespace)
    return _clock.now()


def unlift(cluster: Cluster, namespaces: Mapping[str, str]) -> float:
    """Takes `lift` back; returns when that was accepted."""
    policies = cluster.resource(written.API_VERSION, "NetworkPolicy")
    for namespace in namespaces:
        try:
            policies.delete(LIFT, namespace)
        except ApiError as error:
            if error.status != 404:
                raise
    return _clock.now()


def clear(cluster: Cluster, found: Survey) -> None:
    """Takes down what the survey put up."""
    unlift(cluster, found.owner)
    found.ground.clear()
    cluster.delete_namespace(found.outside, wait=False)
