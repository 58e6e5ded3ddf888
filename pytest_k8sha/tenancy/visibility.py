"""What a tenant sees of the cluster and of its neighbours, by real lists."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pytest_k8sha.checks.denial import RBAC, attribute
from pytest_k8sha.errors import ApiError
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy.access import HARMLESS
from pytest_k8sha.tenancy.attempts import Attempt, forbid, works
from pytest_k8sha.tenancy.escalation import everybody
from pytest_k8sha.tenancy.matrix import several

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

LISTS = (
    ("", "namespaces"),
    ("", "nodes"),
    ("", "persistentvolumes"),
    ("", "pods"),
    ("", "events"),
    ("", "services"),
    ("coordination.k8s.io", "leases"),
    ("events.k8s.io", "events"),
    ("networking.k8s.io", "ingresses"),
    ("storage.k8s.io", "volumeattachments"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("metrics.k8s.io", "nodes"),
    ("metrics.k8s.io", "pods"),
)
"""At cluster scope each of these tells one tenant of the others; those that the server does not offer are left out."""

NEXT_DOOR = (
    ("", "events"),
    ("", "pods"),
    ("", "services"),
    ("coordination.k8s.io", "leases"),
    ("events.k8s.io", "events"),
    ("networking.k8s.io", "ingresses"),
    ("metrics.k8s.io", "pods"),
)
"""In the neighbour's namespace."""

SYSTEM = (
    ("kube-system", "", "events"),
    ("kube-node-lease", "coordination.k8s.io", "leases"),
    ("default", "", "events"),
)
"""In namespaces of the cluster: events of controllers name everybody's objects, leases name the nodes."""

PATHS = ("/metrics", "/debug/pprof/", "/logs/")
"""What the API server tells of itself; its metrics count requests by resource and namespace."""


def judge_visibility(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Everybody lists everything, one object each; the administrator's list is the positive control."""
    kinds = {(kind.group, kind.plural): kind for kind in cluster.kinds}
    everywhere = [
        Attempt(f"list the {plural} of the cluster", "GET", kinds[group, plural].path(), query={"limit": 1})
        for group, plural in LISTS
        if (group, plural) in kinds
    ]
    for attempt in everywhere:
        if not works(judge, cluster.client, attempt):
            return
    for tenant, persona in everybody(tenants):
        for attempt in everywhere:
            forbid(judge, persona, attempt)
        for other in tenants:
            for group, plural in NEXT_DOOR if other is not tenant else ():
                if (group, plural) in kinds:
                    path = kinds[group, plural].path(other.namespace)
                    forbid(judge, persona, Attempt(f"list the {plural} of {other.namespace}", "GET", path))
        for namespace, group, plural in SYSTEM:
            path = kinds[group, plural].path(namespace)
            forbid(judge, persona, Attempt(f"list the {plural} of {namespace}", "GET", path))
        for path in PATHS:
            forbid(judge, persona, Attempt(f"read {path} of the API server", "GET", path))


# --- what everybody may read -------------------------------------------------------------------------------------


def judge_shared(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Classes of storage, ingress, priority and runtime may be read by tenants, who name them in their objects. So
    whatever of them somebody really gets must tell nothing of another tenant: neither a name nor a parameter."""
    several(tenants)
    kinds = [kind for kind in cluster.kinds if (kind.group, kind.plural) in HARMLESS and not kind.namespaced]
    for kind in kinds:
        if not works(judge, cluster.client, Attempt(f"list the {kind.qualified}", "GET", kind.path())):
            return
    for tenant, persona in everybody(tenants):
        names = {name for other in tenants if other is not tenant for name in (other.name, *other.namespaces)}
        for kind in kinds:
            subject = f"{persona}: {kind.qualified}"
            try:
                items = persona.client.get(kind.path()).get("items") or []
            except ApiError as error:
                denial = attribute(error)
                if denial and denial.by == RBAC:
                    judge.ok(subject, f"denied by {denial}")
                else:
                    judge.unsure(subject, f"an error is not a denial: {error}")
                continue
            telling = {item["metadata"]["name"]: found for item in items if (found := mentions(item, names))}
            for name, found in telling.items():
                judge.bad(
                    f"{subject} {name}",
                    seen=f"may be read, and names {', '.join(sorted(found))}",
                    remedy="name classes by what they are, not by whose they are",
                )
            if not telling:
                judge.ok(subject, f"{len(items)} may be read, none names another tenant")


def mentions(item: Any, names: Collection[str]) -> set[str]:
    """Which of the names stand in an object, as a word of its own or joined to others by a sign that names may hold;
    what the server notes about who wrote which field is left aside."""
    seen = {**item, "metadata": {k: v for k, v in item["metadata"].items() if k != "managedFields"}}
    text = json.dumps(seen)
    return {name for name in names if re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", text)}


def judge_existence(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Everybody asks for a neighbour's namespace and for one that nobody has: two answers that differ tell that the
    neighbour exists. The administrator's two answers differ, which is the positive control."""
    several(tenants)
    nobody = nonce("nobody")
    own = tenants[0].namespace
    control = [cluster.client.answer(f"/api/v1/namespaces/{name}").status for name in (own, nobody)]
    if not judge.control(control == [200, 404], f"the administrator's answers are 200 and 404 (they are {control})"):
        return
    for tenant, persona in everybody(tenants):
        for other in tenants:
            if other is tenant:
                continue
            answers = [persona.client.answer(f"/api/v1/namespaces/{name}") for name in (other.namespace, nobody)]
            subject = f"{persona}: whether there is a namespace {other.namespace}"
            statuses = [answer.status for answer in answers]
            told = [str(answer.body.get("message", "")) for answer in answers]
            told = [told[0].replace(other.namespace, "…"), told[1].replace(nobody, "…")]
            if statuses == [403, 403] and told[0] == told[1]:
                judge.ok(subject, "both are denied in the same words")
            elif statuses == [200, 404] or (statuses == [403, 403] and told[0] != told[1]):
                judge.bad(
                    subject,
                    seen=f"the answer is {statuses[0]}, and for a name that nobody has it is {statuses[1]}",
                    remedy="remove get on namespaces, other than on the tenant's own by resourceNames",
                )
            else:
                judge.unsure(subject, f"the answers are {statuses[0]} and {statuses[1]}")
