"""The life of a tenant: it is made complete, and nothing remains of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError, NotEvaluated, RequestError, WaitTimeout
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import pods, template
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.spec import TenantOrder
    from pytest_k8sha.tenancy.tenant import Tenant

DEADLINE = 60.0
"""Seconds for a tenant to be gone."""

STUCK = 6.0
"""Seconds without progress after which a namespace that waits for finalizers alone counts as stuck."""

GOING = 20.0
"""Seconds for the garbage collector to take away what belonged to a namespace that is gone."""

PARTS = (
    ("v1", "ResourceQuota"),
    ("v1", "LimitRange"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
)


def judge_complete(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Each namespace has its quota, limit range, bindings, and a network policy that denies both ways by default."""
    for tenant in tenants:
        for namespace in tenant.namespaces:
            for api_version, kind in PARTS:
                found = [o["metadata"]["name"] for o in cluster.resource(api_version, kind).list(namespace)]
                judge.that(
                    bool(found),
                    f"{namespace}: {kind}",
                    seen=", ".join(found) if found else f"there is no {kind}",
                    remedy=f"make the {kind} together with the namespace, from one template",
                )
            for direction in ("Ingress", "Egress"):
                denying = _denying(cluster, namespace, direction)
                judge.that(
                    bool(denying),
                    f"{namespace}: {direction.lower()} is denied by default",
                    seen=f"by {', '.join(denying)}" if denying else f"no NetworkPolicy takes all pods for {direction}",
                    remedy=f"add a NetworkPolicy with podSelector {{}}, policyTypes [{direction}] and no rule",
                )


def _denying(cluster: Cluster, namespace: str, direction: str) -> list[str]:
    """The policies that select every pod for a direction and allow nothing."""
    found = []
    for policy in cluster.resource("networking.k8s.io/v1", "NetworkPolicy").list(namespace):
        spec = policy["spec"]
        types = spec.get("policyTypes") or ["Ingress"]
        if not (spec.get("podSelector") or {}) and direction in types and not spec.get(direction.lower()):
            found.append(policy["metadata"]["name"])
    return found


def judge_cascade(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """For each template in use: a tenant of a fresh name is made, filled with a workload, and deleted. Afterwards
    every kind is listed for what still carries its name."""
    owned(tenants)
    orders: dict[tuple[str, ...], TenantOrder] = {}
    for tenant in tenants:
        if tenant.order and tenant.order.template:
            orders.setdefault((str(tenant.order.template), *map(str, tenant.order.overlays)), tenant.order)
    if not orders:
        raise NotEvaluated("no tenant is made from a template", remedy="name the template in the fleet file")
    for order in orders.values():
        # The description of the old one names its own namespaces and people.
        fresh = order.model_copy(update={"name": nonce("cascade"), "namespaces": [], "personas": {}, "expects": None})
        _cascade(judge, cluster, template.establish(cluster, fresh))


def _cascade(judge: Judge, cluster: Cluster, tenant: Tenant) -> None:
    app = pods.deployment(tenant)
    cluster.resource("apps/v1", "Deployment").create(app)
    cluster.resource("v1", "ConfigMap").create({"metadata": {"name": nonce("data")}}, tenant.namespace)
    selector = f"app.kubernetes.io/name={app['metadata']['name']}"
    started = eventually(
        lambda: cluster.resource("v1", "Pod").list(tenant.namespace, labels=selector),
        what=f"tenant {tenant.name} runs a pod",
        timeout=20,
        interval=0.05,
    )
    judge.control(bool(started), f"tenant {tenant.name} was made and runs a pod")
    clock = _clock.Deadline(DEADLINE)
    for namespace in tenant.namespaces:
        cluster.delete_namespace(namespace, wait=False)
    for namespace in tenant.namespaces:
        _await_end(judge, cluster, tenant, namespace, clock)
    judge.measure("deletion", round(clock.spent, 2), "s")
    _judge_remains(judge, cluster, tenant)


def _judge_remains(judge: Judge, cluster: Cluster, tenant: Tenant) -> None:
    subject = f"{tenant} after its deletion"
    try:
        # What belongs to the namespace goes after it, by the garbage collector.
        left = eventually(
            lambda: remains(cluster, tenant), what="what it owned is gone", timeout=GOING, accept=lambda r: not r.going
        )
    except WaitTimeout:
        left = remains(cluster, tenant)
    if left.found:
        judge.bad(
            subject,
            seen=f"still there: {', '.join(left.found[:20])}",
            remedy="keep what belongs to a tenant inside its namespaces, or give it an owner that goes with them",
        )
        _clean(cluster, left.found)
    elif left.unread:
        judge.unsure(subject, f"{len(left.unread)} kinds could not be listed, the first: {left.unread[0]}")
    else:
        judge.ok(subject, f"no object of any of {len(cluster.kinds)} kinds names it")


def _await_end(judge: Judge, cluster: Cluster, tenant: Tenant, namespace: str, clock: _clock.Deadline) -> None:
    namespaces = cluster.resource("v1", "Namespace")
    told, since = "", clock.spent

    def gone_or_stuck() -> str:
        nonlocal told, since
        found = namespaces.find(namespace)
        if found is None:
            return "gone"
        conditions = found.get("status", {}).get("conditions") or []
        waiting = "; ".join(c["message"] for c in conditions if c.get("status") == "True")
        if waiting != told:
            told, since = waiting, clock.spent
        stuck = "NamespaceFinalizersRemaining" in {c["type"] for c in conditions if c.get("status") == "True"}
        return "stuck" if stuck and clock.spent - since > STUCK else ""

    try:
        end = eventually(gone_or_stuck, what=f"namespace {namespace} is gone", timeout=clock.left, interval=0.1)
    except WaitTimeout:
        end = "stuck"
    if end == "gone":
        judge.ok(f"{tenant}: namespace {namespace}", "is gone with all that was in it")
        return
    holders = _holders(cluster, namespace)
    judge.bad(
        f"{tenant}: namespace {namespace}",
        seen=f"is stuck: {told or cluster.remains(namespace)}"
        + "".join(f"; {obj['kind']} {obj['metadata']['name']} waits for {', '.join(f)}" for obj, f in holders),
        remedy="let the controller of these finalizers run, or remove them if it is gone",
    )
    for obj, _ in holders:
        cluster.resource(obj["apiVersion"], obj["kind"]).patch(
            obj["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace
        )
    eventually(lambda: namespaces.find(namespace) is None, what=f"namespace {namespace} is gone", timeout=DEADLINE)


def _holders(cluster: Cluster, namespace: str) -> list[tuple[dict[str, Any], list[str]]]:
    """Objects of the namespace that are being deleted and wait for finalizers."""
    found = []
    for kind in cluster.kinds:
        if not kind.namespaced or "list" not in kind.verbs:
            continue
        try:
            for obj in cluster.client.get(kind.path(namespace)).get("items") or []:
                if obj["metadata"].get("finalizers") and obj["metadata"].get("deletionTimestamp"):
                    typed = {**obj, "apiVersion": kind.api_version, "kind": kind.kind}
                    found.append((typed, list(obj["metadata"]["finalizers"])))
        except ApiError:
            continue
    return found


@dataclass
class Remains:
    """What is left of a tenant, as ``KIND NAME``. ``going`` are those of them that belong to one of its namespaces;
    ``unread`` are the kinds that could not be listed, and why."""

    found: list[str] = field(default_factory=list)
    going: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def remains(cluster: Cluster, tenant: Tenant) -> Remains:
    """Every object of every kind that is in one of the tenant's namespaces, or names the tenant: in its own name, in
    a label, or as the subject of a binding. Events are left out: they are about what is gone."""
    left = Remains()
    groups = {group for p in tenant.personas.values() for group in p.groups if tenant.name in group}
    for kind in cluster.kinds:
        if "list" not in kind.verbs or kind.kind == "Event":
            continue
        try:
            items = cluster.client.get(kind.path()).get("items") or []
        except RequestError as error:
            left.unread.append(f"{kind.qualified}: {error}")
            continue
        for obj in items:
            meta = obj["metadata"]
            if kind.namespaced:
                theirs = meta.get("namespace") in tenant.namespaces
            else:
                subjects = {s.get("name", "") for s in obj.get("subjects") or []} | {
                    s.get("namespace", "") for s in obj.get("subjects") or []
                }
                theirs = (
                    tenant.name in meta["name"]
                    or tenant.name in (meta.get("labels") or {}).values()
                    or bool(subjects & {tenant.name, *tenant.namespaces, *groups})
                )
            if theirs:
                left.found.append(f"{kind.kind} {meta['name']}")
                owners = {(o["kind"], o["name"]) for o in meta.get("ownerReferences") or []}
                if owners & {("Namespace", namespace) for namespace in tenant.namespaces}:
                    left.going.append(left.found[-1])
    return left


def _clean(cluster: Cluster, left: list[str]) -> None:
    """Takes away what the check's own tenant left; what cannot be found again stays for the run's own sweep."""
    kinds = {kind.kind: kind for kind in cluster.kinds if not kind.namespaced}
    for text in left:
        kind, _, name = text.partition(" ")
        if kind in kinds:
            cluster.resource(kinds[kind].api_version, kind).delete(name)
