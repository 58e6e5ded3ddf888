"""What a tenant sees of the cluster and of its neighbours, by real lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.tenancy.attempts import Attempt, forbid, works
from pytest_k8sha.tenancy.escalation import everybody

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("metrics.k8s.io", "nodes"),
    ("metrics.k8s.io", "pods"),
)
"""At cluster scope each of these tells one tenant of the others; those that the server does not offer are left out."""

NEXT_DOOR = (("", "events"), ("", "pods"), ("", "services"), ("metrics.k8s.io", "pods"))
"""In the neighbour's namespace."""

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
        for path in PATHS:
            forbid(judge, persona, Attempt(f"read {path} of the API server", "GET", path))
