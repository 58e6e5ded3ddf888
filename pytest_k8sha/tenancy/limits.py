"""Judging limit ranges: what is filled in, and what is too small, too large or out of proportion."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pytest_k8sha.checks.denial import LIMITS, UNSPECIFIED, attribute, expect_denied
from pytest_k8sha.errors import ApiError
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import pods
from pytest_k8sha.tenancy.attempts import Attempt, works
from pytest_k8sha.tenancy.quantity import parse, spell
from pytest_k8sha.tenancy.sizes import COMPUTE, HUGE, STEP, Bounds, bounds, left, quotas, sized

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant


def judge_defaults(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """A pod that asks for nothing is rehearsed; what the server would have stored must have requests and limits."""
    resource = cluster.resource("v1", "Pod")
    for tenant in tenants:
        try:
            made = resource.create(pods.pod(tenant), dry_run=True)
        except ApiError as error:
            denial = attribute(error)
            if denial is None or denial.by != UNSPECIFIED:
                raise
            judge.ok(f"{tenant.namespace}: a container that asks for nothing", f"refused by {denial}")
            continue
        got = made["spec"]["containers"][0].get("resources") or {}
        for part in ("requests", "limits"):
            for name in COMPUTE:
                value = (got.get(part) or {}).get(name)
                judge.that(
                    value is not None,
                    f"{tenant.namespace}: {part}.{name} of a container that asks for nothing",
                    seen=f"{value} is filled in" if value else "stays empty: the container is bounded by its node only",
                    remedy=f"set default and defaultRequest of {name} in a LimitRange of type Container",
                )


def judge_containers(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Below the minimum, above the maximum, over the ratio of limit to request: one container each."""
    for tenant in tenants:
        bound = bounds(cluster, tenant.namespace)
        small = {name: bound.small(name) for name in COMPUTE}
        found = quotas(cluster, tenant.namespace)
        if not works(judge, cluster.client, _rehearse(sized(tenant, small, small), "run a small container")):
            return
        for name in COMPUTE:
            least, most = bound.least.get(name), bound.most.get(name)
            tiny = least - STEP[name] if least else STEP[name]
            # Without a maximum, as much as the quota leaves, so that the quota has nothing to refuse.
            rest = left(found, f"requests.{name}", f"limits.{name}")
            large = most + STEP[name] if most else rest or HUGE[name]
            _refused(judge, cluster, tenant, name, "below the minimum", {**small, name: tiny}, {**small, name: tiny})
            _refused(judge, cluster, tenant, name, "above the maximum", {**small, name: large}, {**small, name: large})
            limit, request = _stretched(bound, name, rest)
            _refused(
                judge,
                cluster,
                tenant,
                name,
                "over the ratio of limit to request",
                {**small, name: limit},
                {**small, name: request},
            )


def _stretched(bound: Bounds, name: str, rest: Fraction | None) -> tuple[Fraction, Fraction]:
    """A limit and a request within minimum and maximum whose ratio is over the bound, or as large as can be."""
    request = bound.small(name)
    limit = bound.most.get(name) or rest or HUGE[name]
    ratio = bound.ratio.get(name)
    if ratio and request * ratio < limit:
        limit = min(limit, request * (ratio + 1))
    return limit, request


def _refused(
    judge: Judge,
    cluster: Cluster,
    tenant: Tenant,
    name: str,
    what: str,
    limits: Mapping[str, Fraction],
    requests: Mapping[str, Fraction],
) -> None:
    asked = f"limit {spell(limits[name])}, request {spell(requests[name])}"
    with expect_denied(
        judge,
        f"{tenant.namespace}: a container {what} of {name} ({asked})",
        by=LIMITS,
        naming=name,
        allowed=f"it is admitted: no LimitRange bounds {name} there",
        remedy=f"set min, max and maxLimitRequestRatio of {name} in a LimitRange of type Container",
    ):
        cluster.resource("v1", "Pod").create(sized(tenant, limits, requests), dry_run=True)


def judge_claims(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """The same for the size of a PersistentVolumeClaim."""
    for tenant in tenants:
        bound = bounds(cluster, tenant.namespace, "PersistentVolumeClaim")
        least, most = bound.least.get("storage"), bound.most.get("storage")
        rest = left(quotas(cluster, tenant.namespace), "requests.storage")
        right = least or min(parse("1Gi"), most or parse("1Gi"))
        attempt = Attempt(
            "claim a volume of the right size",
            "POST",
            f"/api/v1/namespaces/{tenant.namespace}/persistentvolumeclaims",
            body=claim(tenant, right),
        )
        if not works(judge, cluster.client, attempt):
            return
        for what, size in {
            "below the minimum": least - 1 if least else Fraction(1),
            "above the maximum": most + 1 if most else rest or parse("1Pi"),
        }.items():
            with expect_denied(
                judge,
                f"{tenant.namespace}: a claim {what} ({spell(size)} bytes)",
                by=LIMITS,
                naming="storage",
                allowed="it is admitted: no LimitRange bounds claims there",
                remedy="set min and max of storage in a LimitRange of type PersistentVolumeClaim",
            ):
                cluster.resource("v1", "PersistentVolumeClaim").create(claim(tenant, size), dry_run=True)


def claim(tenant: Tenant, size: Fraction, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A claim of ``size`` bytes; it stays unbound, since nothing waits for it."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": nonce("claim"), "namespace": tenant.namespace, "labels": dict(labels or {})},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "resources": {"requests": {"storage": spell(size)}},
        },
    }


def _rehearse(pod: dict[str, Any], what: str) -> Attempt:
    return Attempt(what, "POST", f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods", body=pod)
