"""From a survey to findings: one for each pair of places, with the ways that broke the promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.tenancy.network.evaluate import ITSELF, OWN_NODE, declared, selects
from pytest_k8sha.tenancy.network.look import ANY_ANSWER
from pytest_k8sha.tenancy.network.places import TCP, Pod
from pytest_k8sha.tenancy.network.policy import Policy, Spec
from pytest_k8sha.tenancy.network.survey import ETCD, KUBELET, METADATA, Rules
from pytest_k8sha.tenancy.network.table import Ask, Expected, Outcome, Route, Seen, Table, is_own_node, suspects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.tenancy.network.survey import Survey
    from pytest_k8sha.tenancy.network.table import Cell
    from pytest_k8sha.tenancy.tenant import Tenant

SHOWN = 4
"""So many ways are told of one pair; the table holds them all."""

NO_ANSWER = "nothing answers there even with the policies lifted, so silence proves nothing"


def holds(table: Table, cell: Cell, wanted: Expected) -> bool | None:
    """Whether what was seen is what is wanted; None when it proves nothing.

    A block is proved by silence on a way that works with the policies lifted, and so is a way that should be open.
    """
    seen = table.seen.get(cell, Seen(Outcome.UNSEEN)).outcome
    if seen.through:
        return wanted is Expected.OPEN
    silent = seen is Outcome.BLOCKED or (seen is Outcome.REFUSED and table.rejects)
    return wanted is Expected.BLOCKED if silent and table.works(cell) else None


def judge_pairs(
    judge: Judge, table: Table, ways: Iterable[Cell], wanted: Expected, *, skip_unanswered: bool = False
) -> int:
    """One finding for each source and target; returns how many pairs there were.

    ``skip_unanswered``: a target that nothing answers at is left out with that reason, and not held against anybody.
    """
    pairs: dict[tuple[str, str], list[Cell]] = {}
    for cell in ways:
        pairs.setdefault((_place(cell.source), cell.what or _place(cell.target)), []).append(cell)
    for (source, target), mine in pairs.items():
        subject = f"{source} → {target}"
        told = {cell: holds(table, cell, wanted) for cell in mine}
        broken = [cell for cell, kept in told.items() if kept is False]
        open_ = [cell for cell, kept in told.items() if kept is None]
        if broken:
            judge.bad(subject, seen=_ways(table, broken))
        elif open_ and skip_unanswered and not any(table.works(cell) or cell.ask is Ask.ECHO for cell in mine):
            judge.skip(subject, NO_ANSWER)
        elif open_:
            judge.unsure(subject, _ways(table, open_))
        else:
            judge.ok(subject, f"{wanted} in all {len(mine)} ways ({', '.join(sorted({c.placement for c in mine}))})")
    return len(pairs)


def _place(place: object) -> str:
    node = getattr(place, "node", "")
    return f"{place} on {node}" if node and isinstance(place, Pod) else str(place)


def _ways(table: Table, ways: list[Cell]) -> str:
    texts = []
    for cell in ways[:SHOWN]:
        seen = table.seen.get(cell, Seen(Outcome.UNSEEN))
        lifted = "" if table.works(cell) is not False else ", and so with the policies lifted"
        promise = table.promises[cell]
        detail = f" ({seen.detail})" if seen.detail and not seen.outcome.through else ""
        texts.append(
            f"{cell.route} {cell.protocol}/{cell.port} to the {cell.placement}: {seen.outcome}{detail}{lifted}; "
            f"the policies say {promise.expected}: {'; '.join(promise.why)}"
        )
    more = f"; and {len(ways) - SHOWN} more ways" if len(ways) > SHOWN else ""
    return " | ".join(texts) + more


def pods(survey: Survey, fits: Callable[[str, str], bool], *, routes: Iterable[Route] = tuple(Route)) -> list[Cell]:
    """The cells between pods whose tenants (empty: none) ``fits``."""
    wanted = set(routes)
    inside = {str(pod) for pod in (*survey.ground.every, *survey.ground.sctp)}
    return [
        cell
        for cell in survey.table
        if str(cell.target) in inside
        and cell.route in wanted
        and fits(survey.tenant(cell.source), survey.tenant(cell.target))
    ]


def steady(judge: Judge, survey: Survey) -> None:
    """An unsteady network leaves everything open; with one node, there is nothing to say about ways between nodes."""
    if len(survey.ground.nodes) == 1:
        judge.skip("ways to another node", f"pods can run on {survey.ground.nodes[0].node} alone")
    if "SCTP" in survey.unasked:
        judge.skip("SCTP", survey.unasked["SCTP"])
    if not survey.settled.stable:
        spent, rounds = survey.settled.spent, survey.settled.rounds
        judge.unsure("the network", f"no two looks in a row showed the same, in {rounds} looks over {spent:.0f} s")


def same_tenant(judge: Judge, survey: Survey) -> None:
    """Pods of one tenant reach each other."""
    steady(judge, survey)
    judge_pairs(judge, survey.table, pods(survey, lambda a, b: bool(a) and a == b), Expected.OPEN)


def cross_tenant(judge: Judge, survey: Survey) -> None:
    """No pod of a tenant reaches one of another, whatever the policies say."""
    steady(judge, survey)
    judge_pairs(judge, survey.table, pods(survey, lambda a, b: bool(a and b) and a != b), Expected.BLOCKED)


def into_tenants(judge: Judge, survey: Survey) -> None:
    """Who belongs to no tenant gets in only where a policy names it."""
    steady(judge, survey)
    _only_declared(judge, survey, pods(survey, lambda a, b: not a and bool(b)))


def out_of_tenants(judge: Judge, survey: Survey) -> None:
    """A tenant's pods get out to others and to the world outside only where a policy names it."""
    steady(judge, survey)
    host = {str(pod) for pod in survey.ground.host}
    ways = pods(survey, lambda a, b: bool(a) and not b)
    ways += [cell for cell in survey.table if str(cell.target) in host and survey.tenant(cell.source)]
    _only_declared(judge, survey, ways)


def _only_declared(judge: Judge, survey: Survey, ways: list[Cell]) -> None:
    """Whatever is declared, the API may leave open what node ports do: those cells are not judged.

    A direction without any policy declares nothing, so each tenant is judged as if it had a default deny.
    """
    named = declared(survey.rules.policies) + [isolation(namespace) for namespace in survey.owner]
    narrow = Rules(named, survey.rules.admin).promises(ways, survey.every_node)
    free = {cell for cell in ways if set(narrow[cell].why) & {OWN_NODE, ITSELF}}
    closed = [cell for cell in ways if narrow[cell].expected is Expected.BLOCKED]
    judge_pairs(judge, survey.table, closed, Expected.BLOCKED)
    for cell in sorted(free, key=str):
        if cell.route in {Route.POD_IP, Route.ADDRESS}:
            judge.skip(cell, OWN_NODE)


def isolation(namespace: str) -> Policy:
    """The policy that isolates every pod of a namespace and allows nothing."""
    return Policy(
        name="(nothing declared)", namespace=namespace, spec=Spec.model_validate({"policyTypes": ["Ingress", "Egress"]})
    )


def name_service(judge: Judge, survey: Survey) -> None:
    """Every pod of a tenant can ask the cluster's name server, over UDP and over TCP, which long answers need."""
    steady(judge, survey)
    ways = [c for c in survey.table if c.ask in {Ask.DNS, Ask.SLOW}]
    judge_pairs(judge, survey.table, ways, Expected.OPEN)
    judge.table("names of other tenants' services", names_of_others(survey.table, survey.tenant))


def names_of_others(table: Table, tenant: Callable[[Pod], str]) -> list[dict[str, str]]:
    """Whether each pod of a tenant gets addresses for the names of other tenants' services. It is told and not judged:
    Kubernetes answers everybody, and no policy of its API can forbid it."""
    rows = []
    for cell in table:
        target = cell.target
        if cell.route is not Route.SERVICE_NAME or cell.protocol != TCP or not isinstance(target, Pod):
            continue
        asking, owner = tenant(cell.source), tenant(target)
        if asking and owner and asking != owner:
            outcome = table.seen.get(cell, Seen(Outcome.UNSEEN)).outcome
            told = {Outcome.NO_NAME: "no", Outcome.UNSEEN: "not observed"}.get(outcome, "yes")
            rows.append({"pod": _place(cell.source), "name": cell.host, "of": owner, "resolves": told})
    return rows


def machinery(judge: Judge, survey: Survey) -> None:
    """Kubelets, etcd and the metadata service are out of reach; a pod's own node is not, by definition."""
    steady(judge, survey)
    ways = [c for c in survey.table if c.target == METADATA or (c.ask is Ask.HTTP and c.port in {KUBELET, ETCD})]
    judge_pairs(judge, survey.table, [c for c in ways if not is_own_node(c)], Expected.BLOCKED, skip_unanswered=True)
    for cell in filter(is_own_node, ways):
        judge.skip(f"{_place(cell.source)} → {cell.what}", OWN_NODE)


def api_server(judge: Judge, survey: Survey) -> None:
    """The API server is reached only where a policy names it."""
    steady(judge, survey)
    _only_declared(judge, survey, [c for c in survey.table if c.ask is Ask.HTTP and c.route is Route.SERVICE_IP])


def visitors(judge: Judge, survey: Survey) -> None:
    """Whom a tenant lets in, such as an ingress controller, reaches the port that is meant and no other."""
    steady(judge, survey)
    for tenant in survey.tenants:
        for visitor in tenant.expects.visitors:
            space = next((n for n, other in survey.visitors.items() if visitor.alike(other)), "")
            ways = [c for c in survey.table if _from(c, space) and survey.tenant(c.target) == tenant.name]
            if not ways:
                judge.skip(f"visitor {visitor.name}", survey.unasked.get(f"visitor {visitor.name}", "it has no pod"))
            allowed = {v.port for v in tenant.expects.visitors if v.alike(visitor)}
            judge_pairs(judge, survey.table, [c for c in ways if c.port == visitor.port], Expected.OPEN)
            judge_pairs(judge, survey.table, [c for c in ways if c.port not in allowed], Expected.BLOCKED)
    _none_said(judge, survey, "visitors", [t for t in survey.tenants if t.expects.visitors])


def _from(cell: Cell, namespace: str) -> bool:
    return cell.source.namespace.name == namespace


def _none_said(judge: Judge, survey: Survey, what: str, saying: Iterable[Tenant]) -> None:
    for tenant in survey.tenants:
        if tenant not in saying:
            judge.skip(tenant, f"it declares no {what}")


def destinations(judge: Judge, survey: Survey) -> None:
    """What a tenant may reach outside is reached, and nothing else at the same addresses."""
    steady(judge, survey)
    for tenant in survey.tenants:
        declared = {(d.address, d.port) for d in tenant.expects.destinations}
        addresses = {address for address, _ in declared}
        mine = [c for c in survey.table if survey.tenant(c.source) == tenant.name]
        there = [c for c in mine if c.host in addresses and c.route is not Route.NODE_PORT]
        wanted = [c for c in there if (c.host, c.port) in declared and c.protocol == TCP]
        others = [c for c in there if c not in wanted and not is_own_node(c)]
        judge_pairs(judge, survey.table, wanted, Expected.OPEN)
        judge_pairs(judge, survey.table, others, Expected.BLOCKED, skip_unanswered=True)
    _none_said(judge, survey, "destinations", [t for t in survey.tenants if t.expects.destinations])


def every_node(judge: Judge, survey: Survey) -> None:
    """Each tenant is isolated in both directions, and each node really drops what it must."""
    steady(judge, survey)
    for namespace, tenant in survey.owner.items():
        for direction in ("Ingress", "Egress"):
            bare = [
                pod
                for pod in survey.ground.pods[namespace]
                if not any(selects(p, pod) and direction in p.directions for p in survey.rules.policies)
            ]
            judge.that(
                not bare,
                f"tenant {tenant}, {direction.lower()}",
                seen=f"no policy isolates {', '.join(map(str, bare))}" if bare else "a policy isolates every pod",
                remedy="give the namespace a policy with podSelector {} and both policyTypes, and no rules",
            )
    counts = survey.table.nodes()
    guilty = suspects(survey.table)
    for node in survey.ground.nodes:
        count: Mapping[str, int] = counts.get(node.node, {})
        kept, broken = count.get("enforced", 0), count.get("not enforced", 0)
        if node.node in guilty or (broken and not guilty):
            judge.bad(
                f"node {node.node}",
                seen=f"{broken} of {kept + broken} ways that policies close were open",
                remedy="see whether the network plugin's agent runs on this node",
            )
        elif kept:
            judge.ok(f"node {node.node}", f"all {kept} ways that policies close were closed")
        elif counts or any(p.expected is Expected.BLOCKED for p in survey.table.promises.values()):
            judge.unsure(f"node {node.node}", "no way that it must close could be judged")


def whole_table(judge: Judge, survey: Survey) -> None:
    """The network does in every cell what the policies say."""
    steady(judge, survey)
    table = survey.table
    by_route: dict[str, list[Cell]] = {}
    for cell in table:
        by_route.setdefault(f"{cell.route}, {cell.protocol}, {cell.placement}", []).append(cell)
    for name, ways in sorted(by_route.items()):
        judged = [c for c in ways if table.promises[c].expected is not Expected.UNDEFINED]
        wrong = [c for c in judged if table.agrees(c) is False]
        # What nothing need answer at, or whose name server is closed on purpose, is no flaw of the table.
        unproved = [c for c in judged if table.agrees(c) is None and (table.works(c) or c.ask not in ANY_ANSWER)]
        unproved = [c for c in unproved if table.seen[c].outcome is not Outcome.NO_NAME]
        for cell in wrong:
            judge.bad(cell, seen=_ways(table, [cell]))
        for cell in unproved:
            judge.unsure(cell, _ways(table, [cell]))
        if not judged:
            judge.skip(name, f"the API does not define what policies mean for these {len(ways)} ways")
        elif not wrong and not unproved:
            judge.ok(name, f"{len(judged)} ways are as the policies say")
    measured(judge, survey)


def measured(judge: Judge, survey: Survey) -> None:
    """The figures of the survey, and its table."""
    settled = survey.settled
    judge.measure("cells", len(settled.table.promises), "cells")
    for key, count in sorted(settled.table.count().items()):
        judge.measure(key, count, "cells")
    fastest = min(settled.per_table)
    judge.measure("time for a table", fastest, "s", lo=fastest, hi=max(settled.per_table))
    judge.measure("speed", round(len(settled.table.promises) / fastest, 1), "cells/s")
    if settled.hi is not None:
        judge.measure("time until every policy was enforced", settled.hi, "s", lo=settled.lo, hi=settled.hi)
    judge.table("truth table", settled.table.rows())


CHECKS: Mapping[str, Callable[[Judge, Survey], None]] = {
    "TEN-NET-001": same_tenant,
    "TEN-NET-002": cross_tenant,
    "TEN-NET-003": into_tenants,
    "TEN-NET-004": every_node,
    "TEN-NET-005": name_service,
    "TEN-NET-006": out_of_tenants,
    "TEN-NET-007": machinery,
    "TEN-NET-008": api_server,
    "TEN-NET-010": whole_table,
    "TEN-NET-011": visitors,
    "TEN-NET-012": destinations,
}
"""Which judging belongs to which check; 009 needs pods of its own (`window`)."""
