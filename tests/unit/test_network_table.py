"""The truth table: its cells, what they promise, and what may be concluded from what was seen."""

from __future__ import annotations

from pytest_k8sha.tenancy.network.admin import AdminPolicy
from pytest_k8sha.tenancy.network.admin import evaluate as with_admin
from pytest_k8sha.tenancy.network.judging import names_of_others
from pytest_k8sha.tenancy.network.places import Address, Pod, Service, ServicePort
from pytest_k8sha.tenancy.network.table import (
    EVERY_ROUTE,
    Expected,
    Listener,
    Outcome,
    Route,
    Seen,
    Table,
    cells,
    expect,
    suspects,
)
from tests.unit.network_worlds import CACHE, DENY, NODE1, NODE2, OTHER, OUTSIDE, SYSTEM, WEB, policy

NODES = (NODE1, NODE2)
SERVICE = Service("web", "acme", "10.96.0.9", (ServicePort(80, 8080, node_port=30080),), {"app": "web"})


def test_every_source_meets_every_way() -> None:
    """Pod IP, service IP, service name, and the node port on each node; an address has one way."""
    listeners = [Listener(WEB, (("TCP", 8080), ("UDP", 8080)), (SERVICE,)), Listener(OUTSIDE, (("TCP", 443),))]
    found = cells([CACHE, OTHER], listeners, routes=EVERY_ROUTE, nodes=NODES)
    assert len(found) == 2 * (2 + 4 + 1 - 0)
    assert {(c.route, c.host, c.port) for c in found if c.source is CACHE} == {
        (Route.POD_IP, WEB.ip, 8080),
        (Route.SERVICE_IP, "10.96.0.9", 80),
        (Route.SERVICE_NAME, "web.acme.svc.cluster.local.", 80),
        (Route.NODE_PORT, NODE1.ip, 30080),
        (Route.NODE_PORT, NODE2.ip, 30080),
        (Route.ADDRESS, OUTSIDE.ip, 443),
    }
    assert {c.placement for c in found if c.source is CACHE} == {"other node", "outside"}
    assert {c.placement for c in found if c.source is OTHER and c.target is WEB} == {"same node"}


def test_a_service_promises_what_its_backend_does() -> None:
    """Its own address is never looked at."""
    one = cells([OTHER], [Listener(WEB, (("TCP", 8080),), (SERVICE,))], routes=[Route.SERVICE_IP])[0]
    assert expect([DENY], [], one, NODES).expected is Expected.BLOCKED
    assert expect([], [], one, NODES).expected is Expected.OPEN


def test_a_node_port_promises_only_what_every_reading_agrees_on() -> None:
    """The API does not say whether policies see the pod or the node behind which it was rewritten."""
    ways = cells([CACHE], [Listener(OTHER, (("TCP", 8080),), ())], nodes=NODES)
    assert len(ways) == 1
    door = Service("o", "globex", "10.96.0.8", (ServicePort(80, 8080, node_port=30081),), {"app": "web"})
    far = cells([CACHE], [Listener(OTHER, (("TCP", 8080),), (door,))], routes=[Route.NODE_PORT], nodes=[NODE1])[0]
    closed = policy("globex", podSelector={}, policyTypes=["Ingress"])
    # Its own node may be what the policies see, and that one always gets through.
    assert expect([closed], [], far, NODES).expected is Expected.UNDEFINED
    assert expect([closed], [], far, [NODE2]).expected is Expected.BLOCKED
    assert expect([DENY], [], far, NODES).expected is Expected.BLOCKED
    assert expect([], [], far, NODES).expected is Expected.OPEN


def _table(outcome: Outcome, lifted: Outcome | None, *policies: object) -> Table:
    cell = cells([OTHER], [Listener(WEB, (("TCP", 8080),))])[0]
    promise = expect(list(policies), [], cell, NODES)  # type: ignore[arg-type]
    return Table({cell: promise}, {cell: Seen(outcome)}, {cell: Seen(lifted)} if lifted else {})


def test_what_may_be_concluded() -> None:
    """Silence is a block only where the way works with the policies lifted; errors and missing names prove nothing."""
    cases = [
        (Outcome.OPEN, Outcome.OPEN, True, False),
        (Outcome.REACHED, Outcome.OPEN, True, False),
        (Outcome.BLOCKED, Outcome.OPEN, False, True),
        (Outcome.REFUSED, Outcome.OPEN, None, None),
        (Outcome.BLOCKED, Outcome.BLOCKED, False, None),
        (Outcome.NO_NAME, Outcome.OPEN, None, None),
        (Outcome.UNSEEN, Outcome.OPEN, None, None),
    ]
    for seen, lifted, when_open, when_blocked in cases:
        opened, closed = _table(seen, lifted), _table(seen, lifted, DENY)
        assert opened.agrees(next(iter(opened))) is when_open, (seen, lifted)
        assert closed.agrees(next(iter(closed))) is when_blocked, (seen, lifted)


def test_rows_are_plain() -> None:
    """One flat row a cell, for the record."""
    row = _table(Outcome.OPEN, Outcome.OPEN, DENY).rows()[0]
    assert row["agrees"] == "no"
    assert row["expected"] == "blocked"
    assert row["observed"] == "open"
    assert row["why"] == "ingress: isolated, and not allowed, by acme/default-deny"
    assert all(isinstance(value, (str, int)) for value in row.values())


def test_whose_names_resolve_is_told() -> None:
    """A name that leads nowhere does not resolve; a way that is blocked behind its name did; no answer says nothing.
    Names of one's own tenant are not told."""
    listeners = [Listener(WEB, (("TCP", 8080),), (SERVICE,))]
    ways = cells([OTHER, CACHE], listeners, routes=[Route.SERVICE_NAME])
    promises = {c: expect([], [], c, NODES) for c in ways}
    for outcome, told in ((Outcome.NO_NAME, "no"), (Outcome.BLOCKED, "yes"), (Outcome.UNSEEN, "not observed")):
        table = Table(promises, {c: Seen(outcome) for c in ways})
        rows = names_of_others(table, lambda pod: pod.namespace.name)
        assert [(row["of"], row["name"], row["resolves"]) for row in rows] == [
            ("acme", "web.acme.svc.cluster.local.", told)
        ]


def test_the_node_that_does_not_enforce_is_named() -> None:
    """Only the node where nothing is enforced is a suspect; one that failed once is not."""
    near = OTHER
    ways = cells([near, CACHE], [Listener(WEB, (("TCP", 8080),)), Listener(CACHE, (("TCP", 9090),))])
    ways = [c for c in ways if not c.source.same(c.target)]
    deny = policy(podSelector={}, policyTypes=["Ingress"])
    promises = {c: expect([deny], [], c, NODES) for c in ways}
    # Ingress is owed by the node of the target: n1 lets everything in, n2 nothing.
    seen = {c: Seen(Outcome.OPEN if c.target.node == "n1" else Outcome.BLOCKED) for c in ways}
    table = Table(promises, seen, {c: Seen(Outcome.OPEN) for c in ways})
    assert suspects(table) == ["n1"]
    assert suspects(Table(promises, {c: Seen(Outcome.BLOCKED) for c in ways})) == []


def test_a_neighbours_node_is_no_excuse() -> None:
    """Where both ends owe a block, the one that works keeps it; that speaks for neither, and the other is named."""
    far = Pod("far", OTHER.namespace, "10.244.2.6", {"app": "web"}, "n2")
    outside = Pod("out", SYSTEM, "10.244.2.9", {}, "n2")
    listeners = [Listener(p, (("TCP", 8080),)) for p in (WEB, far, outside)]
    ways = [c for c in cells([WEB, OTHER], listeners) if not c.source.same(c.target)]
    both = [policy(podSelector={}, policyTypes=["Ingress", "Egress"])]
    both.append(policy("globex", podSelector={}, policyTypes=["Ingress"]))
    promises = {c: expect(both, [], c, NODES) for c in ways}
    # n1 drops nothing: what n2 owes as well stays closed all the same.
    seen = {c: Seen(Outcome.BLOCKED if c.target.name == "far" else Outcome.OPEN) for c in ways}
    table = Table(promises, seen, {c: Seen(Outcome.OPEN) for c in ways})
    assert len(table.differences) == 2
    assert suspects(table) == ["n1"]


def _admin(kind: str, name: str, **spec: object) -> AdminPolicy:
    return AdminPolicy.of({"kind": kind, "metadata": {"name": name}, "spec": spec})


def test_the_administrators_policies_come_first_and_the_baseline_last() -> None:
    """The least priority decides; Pass hands on; the baseline counts only where no NetworkPolicy isolates."""
    everybody = {"namespaces": {}}
    rule = {"from": [{"namespaces": {"matchLabels": {"team": "g"}}}]}
    deny = _admin("AdminNetworkPolicy", "deny", priority=5, subject=everybody, ingress=[{"action": "Deny", **rule}])
    allow = _admin("AdminNetworkPolicy", "allow", priority=1, subject=everybody, ingress=[{"action": "Allow", **rule}])
    hand_on = _admin("AdminNetworkPolicy", "pass", priority=2, subject=everybody, ingress=[{"action": "Pass", **rule}])
    base = _admin("BaselineAdminNetworkPolicy", "default", subject=everybody, ingress=[{"action": "Deny", **rule}])
    let = policy(podSelector={}, ingress=[{}])

    def allowed(policies: list[object], admin: list[AdminPolicy]) -> bool:
        return with_admin(policies, admin, OTHER, WEB, "TCP", 8080).allowed  # type: ignore[arg-type]

    assert not allowed([let], [deny])
    assert allowed([DENY], [deny, allow])
    assert not allowed([DENY], [deny, hand_on])
    assert allowed([let], [deny, hand_on])
    assert not allowed([], [base])
    assert allowed([let], [base])
    assert with_admin([], [base], OTHER, WEB, "TCP", 1).why == (
        "ingress: Deny by BaselineAdminNetworkPolicy default, rule 0",
    )


def test_administrators_ports_and_networks() -> None:
    """A range of ports, a named port, and a block of addresses."""
    to = {"to": [{"networks": ["203.0.113.0/24"]}], "ports": [{"portRange": {"start": 1, "end": 9}}]}
    policies = [
        _admin("AdminNetworkPolicy", "x", priority=1, subject={"namespaces": {}}, egress=[{"action": "Deny", **to}]),
        _admin(
            "AdminNetworkPolicy",
            "y",
            priority=2,
            subject={"pods": {"podSelector": {"matchLabels": {"app": "web"}}}},
            ingress=[{"action": "Deny", "from": [{"namespaces": {}}], "ports": [{"namedPort": "http"}]}],
        ),
    ]
    assert not with_admin([], policies, WEB, OUTSIDE, "TCP", 9).allowed
    assert with_admin([], policies, WEB, OUTSIDE, "TCP", 10).allowed
    assert with_admin([], policies, WEB, Address("203.0.114.1"), "TCP", 9).allowed
    assert not with_admin([], policies, CACHE, WEB, "TCP", 8080).allowed
    assert with_admin([], policies, CACHE, WEB, "TCP", 8081).allowed
