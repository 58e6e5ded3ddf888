"""The survey of a cluster's tenants: probe pods among them, every way dialled twice over, with the policies lifted and
with the policies in force."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.errors import ApiError, NotEvaluated
from pytest_k8sha.kube import apiservers
from pytest_k8sha.tenancy.network import policy as written
from pytest_k8sha.tenancy.network.admin import API_VERSION as ADMIN_VERSION
from pytest_k8sha.tenancy.network.admin import KINDS, AdminPolicy
from pytest_k8sha.tenancy.network.ground import (
    LABEL,
    PORTS,
    SCTP_PORT,
    Ground,
    Site,
    address_of,
    prepare,
    serve_sctp,
)
from pytest_k8sha.tenancy.network.places import SCTP, TCP, UDP, Address, Namespace, Pod, Service
from pytest_k8sha.tenancy.network.settle import Settled, patience_after, settle
from pytest_k8sha.tenancy.network.table import Ask, Cell, Listener, Promise, Route, Table, cells, expect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.spec import Destination, Visitor
    from pytest_k8sha.tenancy.network.places import Place
    from pytest_k8sha.tenancy.network.policy import Policy
    from pytest_k8sha.tenancy.tenant import Tenant

METADATA = Address("169.254.169.254", "the cloud's metadata service")
"""The address of the metadata service of the large clouds."""

KUBELET, ETCD = 10250, 2379
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"

NAME_LABEL = "kubernetes.io/metadata.name"

SLOW = 4.5
"""Seconds to wait for a name server that is asked over TCP: it closes after two or three, and the agent gives up after
five."""

LIFT = "k8sha-lift"

LIFTED_DEADLINE = 90.0
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
    visitors: Mapping[str, Visitor] = field(default_factory=dict)
    """Who comes from a namespace that stands in for a declared visitor's."""
    tenants: Sequence[Tenant] = ()
    unasked: Mapping[str, str] = field(default_factory=dict)
    """What was left out of the table, and why."""

    @property
    def table(self) -> Table:
        return self.settled.table

    def tenant(self, place: Any) -> str:
        """The tenant that a pod belongs to; empty for everybody else."""
        return _owner(self.owner, place)

    def to(self, *places: Address) -> list[Cell]:
        wanted = set(places)
        return [cell for cell in self.table if cell.target in wanted]


def survey(
    cluster: Cluster,
    tenants: Sequence[Tenant],
    *,
    routes: Sequence[Route] = ROUTES,
    between: Callable[[str, str], bool] = lambda _, __: True,
) -> Survey:
    """Surveys the tenants' main namespaces by these ``routes``; of ways from one tenant to another those that
    ``between`` wants, by their names. Their policies are lifted for the probe pods only, by a policy that adds to them,
    and are in force again afterwards; nothing of the tenants' own is changed.

    Raises `NotEvaluated` where the run may not put pods there.
    """
    foreign = [t.name for t in tenants if not t.owned]
    if foreign:
        raise NotEvaluated(f"probe pods may go only to tenants that this run made, not to {', '.join(foreign)}")
    outside = cluster.create_namespace("outside", {"pod-security.kubernetes.io/enforce": "privileged"})
    visitors, unasked = invite(cluster, tenants)
    sites = [Site(t.namespace, t.expects.labels, ports=tuple(v.port for v in t.expects.visitors)) for t in tenants]
    sites += [Site(space, visitor.labels, services=False) for space, visitor in visitors.items()]
    declared = [d for t in tenants for d in t.expects.destinations]
    ground = prepare(
        cluster,
        [*sites, Site(outside, node_ports=True)],
        host_site=outside,
        host_ports=[d.port for d in declared if d.stand_in],
    )
    nodes = [address_of(n) for n in cluster.resource("v1", "Node").list()]
    owner = {t.namespace: t.name for t in tenants}
    for node, words in serve_sctp(ground, [*owner, outside]).items():
        unasked.setdefault("SCTP", f"the kernel of {node} does not have it: {words}")
    mine = [p for n in owner for p in ground.pods[n]]
    ways = [
        cell
        for cell in ways_of(ground, owner, visitors, routes)
        if (pair := [_owner(owner, cell.source), _owner(owner, cell.target)])
        and (len({*pair} - {""}) < 2 or between(pair[0], pair[1]))
    ]
    ways += infrastructure(cluster, mine)
    ways += [cell for t in tenants for cell in destinations(ground, t.expects.destinations, ground.pods[t.namespace])]
    ways = list(dict.fromkeys(ways))
    slow = [cell for p in mine for cell in names(cluster, p, TCP)]
    eyes = ground.eyes()
    lift(cluster, owner, ground.mark)
    try:
        with ThreadPoolExecutor(1) as beside:
            lifted = beside.submit(eyes.look, slow, patience=SLOW)
            opened = settle(
                eyes,
                Rules.of(cluster).promises(ways, nodes),
                timeout=LIFTED_DEADLINE,
                agreeing=1,
                counts=lambda cell: cell.ask is not Ask.HTTP,  # nothing need answer there
            )
            patience = patience_after(opened.table.seen)
            opened.table.add(Rules.of(cluster).promises(slow, nodes), lifted.result())
    finally:
        since = unlift(cluster, owner)  # also when the look failed: nobody stays open for it
    rules = Rules.of(cluster)
    before = opened.table.seen
    found = settle(eyes, rules.promises(ways, nodes), lifted=before, since=since, patience=patience)
    found.table.add(rules.promises(slow, nodes), eyes.look(slow, patience=SLOW))
    return Survey(ground, rules, owner, outside, nodes, opened, found, visitors, tenants, unasked)


def _owner(owner: Mapping[str, str], place: Any) -> str:
    return owner.get(place.namespace.name, "") if isinstance(place, Pod) else ""


def invite(cluster: Cluster, tenants: Sequence[Tenant]) -> tuple[dict[str, Visitor], dict[str, str]]:
    """A namespace for each visitor that the tenants declare, labelled as the visitor's is; and those that cannot be
    stood in for, with the reason."""
    made: dict[str, Visitor] = {}
    refused: dict[str, str] = {}
    for visitor in (v for t in tenants for v in t.expects.visitors):
        if NAME_LABEL in visitor.namespace:
            reason = f"its namespace is known by {NAME_LABEL}, which no other namespace can carry"
            refused[f"visitor {visitor.name}"] = reason
        elif not any(visitor.alike(other) for other in made.values()):
            made[cluster.create_namespace("visitor", visitor.namespace)] = visitor
    return made, refused


def destinations(ground: Ground, declared: Sequence[Destination], sources: Sequence[Pod]) -> list[Cell]:
    """From each source to what it may reach outside. Where a probe stands in, the nonce comes back."""
    found: list[Cell] = []
    for one in declared:
        host = next((p for p in ground.host if p.ip == one.address), None)
        place: Place = host if host and one.stand_in else Address(one.address, f"{one.name} at {one.address}")
        ask = Ask.ECHO if place is host else Ask.HTTP
        found += cells(sources, [Listener(place, ((TCP, one.port),), ask=ask, what=f"{one.name} at {one.address}")])
    return found


def ways_of(
    ground: Ground, owner: Mapping[str, str], visitors: Mapping[str, Visitor], routes: Sequence[Route]
) -> list[Cell]:
    """Every pod to every other, by every route; the outsiders' services have node ports as well. Visitors come, and
    nobody goes to them."""
    residents = [p for p in ground.every if p.namespace.name not in visitors]
    listeners = [Listener(p, POD_PORTS, ground.before(p)[:1]) for p in residents]
    found = cells(residents, listeners, routes=routes, nodes=ground.nodes)
    # Names and services lead to the same two ports; one of them is enough.
    found = [
        cell
        for cell in found
        if not cell.source.same(cell.target) and (cell.route is Route.POD_IP or cell.ends[0][1] == PORTS[0])
    ]
    tenants = [p for p in ground.every if p.namespace.name in owner]
    outer = tuple((protocol, port) for port in ground.outer[:2] for protocol in (TCP, UDP))
    host = [Listener(p, outer, what=f"a server outside, on {p.node}") for p in ground.host]
    sctp = [Listener(p, ((SCTP, SCTP_PORT),)) for p in ground.sctp]
    coming = [p for p in ground.every if p.namespace.name in visitors]
    open_ = [Listener(p, tuple((TCP, port) for port in ground.served[p.namespace.name])) for p in tenants]
    return found + cells(tenants, host) + cells(coming, open_) + cells(residents, sctp)


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
    known = {node.ip: node for node in nodes}
    servers = apiservers.listed(cluster.client)
    ends = tuple((known.get(ip, Address(ip, "the API server")), port) for ip, port in servers.items())
    if not ends:
        return []
    address = service["spec"]["clusterIP"]
    return [Cell(source, Route.SERVICE_IP, TCP, address, 443, ends, Ask.HTTP, "the API server")]


def names(cluster: Cluster, source: Pod, protocol: str = UDP) -> list[Cell]:
    """The cluster's name server by its service, as pods find it. Over TCP it is asked by a request of HTTP, for the
    agent speaks nothing else: the server takes it for the beginning of a long question, and closes the connection after
    some seconds. That proves that a connection was made."""
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
        ends = tuple(service.backends(protocol, 53, pods))
        ask = Ask.DNS if protocol == UDP else Ask.SLOW
        if ends:
            what = "the cluster's name server"
            found.append(Cell(source, Route.SERVICE_IP, protocol, service.cluster_ip, 53, ends, ask, what))
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
    for namespace in (found.outside, *found.visitors):
        cluster.delete_namespace(namespace, wait=False)
