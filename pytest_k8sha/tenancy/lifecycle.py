"""The life of a tenant: it is made complete, and nothing remains of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import NotEvaluated, RequestError, WaitTimeout
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import pods
from pytest_k8sha.tenancy.remains import clean, remains
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.spec import TenantOrder
    from pytest_k8sha.tenancy.models.base import TenancyModel
    from pytest_k8sha.tenancy.remains import Remains
    from pytest_k8sha.tenancy.tenant import Tenant

DEADLINE = 60.0
"""Seconds for a tenant to be gone."""

STUCK = 6.0
"""Seconds without progress after which a namespace that waits for finalizers alone counts as stuck."""

BEGUN = 20.0
"""Seconds for whoever makes the tenants to begin with a deletion."""

GOING = 20.0
"""Seconds for what belonged to a tenant outside its namespaces to follow them, by the garbage collector or a
controller."""

PARTS = {
    "quota": ("v1", "ResourceQuota"),
    "limits": ("v1", "LimitRange"),
    "network": ("networking.k8s.io/v1", "NetworkPolicy"),
    "": ("rbac.authorization.k8s.io/v1", "RoleBinding"),
}
"""What a namespace must hold, by the promise that it keeps."""


def missing(cluster: Cluster, tenant: Tenant, namespace: str) -> Iterator[tuple[str, str, str]]:
    """What should be in a namespace by the tenant's promises: the thing, what was seen of it (empty when it is there),
    the remedy."""
    for word, (api_version, kind) in PARTS.items():
        if word and word not in tenant.promises:
            continue
        there = cluster.resource(api_version, kind).list(namespace)
        yield (
            kind,
            "" if there else f"there is no {kind}",
            f"make the {kind} together with the namespace, from one template",
        )
    for direction in ("Ingress", "Egress") if "network" in tenant.promises else ():
        there = denying(cluster, namespace, direction)
        yield (
            f"{direction.lower()} is denied by default",
            "" if there else f"no NetworkPolicy takes all pods for {direction}",
            f"add a NetworkPolicy with podSelector {{}}, policyTypes [{direction}] and no rule",
        )


def judge_complete(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Each namespace has its quota, limit range, bindings, and a network policy that denies both ways by default."""
    for tenant in tenants:
        for namespace in tenant.namespaces:
            for thing, seen, remedy in missing(cluster, tenant, namespace):
                judge.that(not seen, f"{namespace}: {thing}", seen=seen or "is there", remedy=remedy)


def denying(cluster: Cluster, namespace: str, direction: str) -> list[Any]:
    """The policies that take all pods of the namespace and let nothing through."""
    found = []
    for policy in cluster.resource("networking.k8s.io/v1", "NetworkPolicy").list(namespace):
        spec = policy["spec"]
        types = spec.get("policyTypes") or ["Ingress"]
        if not (spec.get("podSelector") or {}) and direction in types and not spec.get(direction.lower()):
            found.append(policy["metadata"]["name"])
    return found


@dataclass(frozen=True)
class Sort:
    """Tenants that come about in one way, so that one more can be made for a check."""

    model: TenancyModel
    order: TenantOrder

    def another(self, name: str) -> TenantOrder:
        """The order of one more; the description of the old one named its own namespaces and people."""
        update: dict[str, Any] = {"name": name, "namespaces": [], "personas": {}, "expects": None, "promises": []}
        (order,) = self.model.prepare(self.order.model_copy(update=update))
        return order


def sorts(tenants: Sequence[Tenant]) -> list[Sort]:
    """One for each model and template in use. Raises `NotEvaluated` when no tenant is made by its model."""
    owned(tenants)
    found: dict[tuple[str, ...], Sort] = {}
    for tenant in tenants:
        if tenant.order and tenant.model and "lifecycle" in tenant.promises:
            order = tenant.order
            key = (order.model, str(order.template), *map(str, order.overlays))
            found.setdefault(key, Sort(tenant.model, order))
    if not found:
        raise NotEvaluated("no tenant is made by its model", remedy="name a template in the fleet file")
    return list(found.values())


def judge_cascade(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """For each sort of tenants in use: one of a fresh name is made, filled with a workload, and deleted. Afterwards
    every kind is listed for what still carries its name."""
    for sort in sorts(tenants):
        _cascade(judge, cluster, sort, sort.model.create(cluster, sort.another(nonce("cascade"))))


def _cascade(judge: Judge, cluster: Cluster, sort: Sort, tenant: Tenant) -> None:
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
    sort.model.delete(tenant)
    for namespace in tenant.namespaces:
        _await_end(judge, cluster, tenant, namespace, clock)
    judge.measure("deletion", round(clock.spent, 2), "s")
    subject = f"{tenant} after its deletion"
    left = settled(cluster, tenant)
    if left.found:
        judge.bad(
            subject,
            # What is in no namespace first: the rest goes with its namespace, once that goes.
            seen=f"still there: {', '.join(map(str, sorted(left.found, key=lambda one: one.namespace)[:20]))}",
            remedy="keep what belongs to a tenant inside its namespaces, or give it an owner that goes with them",
        )
        clean(cluster, left)
    elif left.unread:
        judge.unsure(subject, f"{len(left.unread)} kinds could not be listed, the first: {left.unread[0]}")
    else:
        judge.ok(subject, f"no object of any of {len(cluster.kinds)} kinds names it")


def settled(cluster: Cluster, tenant: Tenant) -> Remains:
    """What remains when nothing is on its way any more, or after `GOING` seconds."""
    try:
        return eventually(
            lambda: remains(cluster, tenant),
            what="what it owned is gone",
            timeout=GOING,
            accept=lambda seen: not any(one.going for one in seen.found),
        )
    except WaitTimeout:
        return remains(cluster, tenant)


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
        if not found["metadata"].get("deletionTimestamp"):
            return "untouched" if clock.spent > BEGUN else ""
        stuck = "NamespaceFinalizersRemaining" in {c["type"] for c in conditions if c.get("status") == "True"}
        return "stuck" if stuck and clock.spent - since > STUCK else ""

    try:
        end = eventually(gone_or_stuck, what=f"namespace {namespace} is gone", timeout=clock.left, interval=0.1)
    except WaitTimeout:
        end = "stuck"
    if end == "gone":
        judge.ok(f"{tenant}: namespace {namespace}", "is gone with all that was in it")
        return
    if end == "untouched":
        judge.bad(
            f"{tenant}: namespace {namespace}",
            seen=f"nobody began to delete it in the {BEGUN:.0f} s after the tenant was to go",
            remedy="see whether the controller of tenants runs, and whether it watches for deletions",
        )
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
        except RequestError:
            continue
    return found
