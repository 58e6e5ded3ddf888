"""Judging quotas: one more than the hard limit is refused by the name of the quota."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.denial import QUOTA, attribute
from pytest_k8sha.errors import ApiError, ImpactRefused, RequestError, WaitTimeout
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import pods, sizes, usage
from pytest_k8sha.tenancy.access import THREADS
from pytest_k8sha.tenancy.attempts import Attempt, works
from pytest_k8sha.tenancy.limits import claim
from pytest_k8sha.tenancy.quantity import parse
from pytest_k8sha.tenancy.secrets import owned
from pytest_k8sha.tenancy.sizes import ALIASES, Quota, left, quotas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.resources import Resource
    from pytest_k8sha.tenancy.prices import Prices
    from pytest_k8sha.tenancy.tenant import Tenant

BOUNDED = (
    "pods",
    "requests.cpu",
    "requests.memory",
    "limits.cpu",
    "limits.memory",
    "persistentvolumeclaims",
    "requests.storage",
    "services.loadbalancers",
    "services.nodeports",
)
"""What one tenant can take from all: nodes, volumes, and addresses and ports of the cluster."""

CONFLICT = 30.0
"""Seconds in which an object is asked for again whose quota another API server was counting."""

COPIES = 40
"""Containers of one pod at most, when several are needed to be over a quota."""

FILL = 25
"""Objects that are really made, at most, to be over a quota of objects."""

CHECK_LABEL = "k8sha.dev/fill"


def judge_bounded(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Each namespace has, for whatever a tenant can take from all, a quota that holds for every object."""
    for tenant in tenants:
        for namespace in tenant.namespaces:
            found = quotas(cluster, namespace)
            for resource in BOUNDED:
                by = [q.name for q in found if resource in q.hard and not q.scoped]
                partly = [q.name for q in found if resource in q.hard and q.scoped]
                judge.that(
                    bool(by),
                    f"{namespace}: {resource}",
                    seen=f"bounded by quota {', '.join(by)}"
                    if by
                    else f"bounded in a scope only, by quota {', '.join(partly)}"
                    if partly
                    else "no quota bounds it",
                    remedy=f"add {resource} to a ResourceQuota without scopes",
                )


# --- compute -----------------------------------------------------------------------------------------------------


def judge_compute(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """A pod that asks for more CPU or memory than is left is refused by name. A rehearsal proves it: the quota plugin
    judges a dry run like a real request and only leaves the usage alone."""
    for tenant in tenants:
        bound = sizes.bounds(cluster, tenant.namespace)
        found = quotas(cluster, tenant.namespace)
        path = f"/api/v1/namespaces/{tenant.namespace}/pods"
        if not works(judge, cluster.client, Attempt("run a small pod", "POST", path, body=sizes.small(tenant, bound))):
            return
        for part in ("requests", "limits"):
            for name in sizes.COMPUTE:
                resource = f"{part}.{name}"
                bounding = [q for q in found if resource in q.hard and not q.scoped]
                rest = left(found, resource)
                pod = over(tenant, bound, part, name, rest, left(found, f"requests.{name}"))
                _refused(judge, cluster, tenant, resource, pod, [q.name for q in bounding])


def over(
    tenant: Tenant,
    bound: sizes.Bounds,
    part: str,
    name: str,
    rest: Fraction | None,
    requestable: Fraction | None = None,
) -> dict[str, Any]:
    """A pod that asks for more than ``rest``, of containers that the limit range lets through; where nothing bounds
    it, for as much as can be asked for. When it is about limits, the requests stay as small as the ratio allows, and
    where nothing bounds the limits, in all within what is ``requestable``."""
    most = bound.most.get(name)
    enough = (rest + sizes.STEP[name]) if rest is not None else None
    each = max(most or (enough if enough is not None else sizes.HUGE[name]), bound.small(name))
    copies = min(COPIES, max(1, ceil(enough / each))) if enough is not None else (COPIES if most else 1)
    small = {resource: bound.small(resource) for resource in sizes.COMPUTE}
    limits, requests = {**small, name: each}, {**small, name: each}
    if part == "limits":
        ratio = bound.ratio.get(name)
        requests[name] = max(bound.small(name), Fraction(ceil(each / ratio * 1000), 1000)) if ratio else small[name]
        if rest is None and requestable is not None:
            copies = max(1, min(copies, floor(requestable / requests[name])))
    return sizes.sized(tenant, limits, requests, copies=copies)


def _refused(
    judge: Judge, cluster: Cluster, tenant: Tenant, resource: str, pod: dict[str, Any], names: list[str]
) -> None:
    subject = f"{tenant.namespace}: more {resource} than is left"
    try:
        cluster.resource("v1", "Pod").create(pod, dry_run=True)
    except ImpactRefused:
        raise
    except RequestError as error:
        _by_name(judge, subject, error, resource, names)
        return
    count = len(pod["spec"]["containers"])
    asked = pod["spec"]["containers"][0]["resources"][resource.partition(".")[0]][resource.partition(".")[2]]
    bounds = f"although quota {', '.join(names)} names it" if names else "no quota bounds it"
    judge.bad(
        subject,
        seen=f"a pod of {count} containers that ask for {asked} each is admitted: {bounds}",
        remedy=f"add {resource} to a ResourceQuota without scopes",
    )


def _by_name(judge: Judge, subject: str, error: RequestError, resource: str, names: list[str]) -> None:
    """Refused by one of these quotas, for this resource."""
    denial = attribute(error) if isinstance(error, ApiError) else None
    if denial and denial.by == QUOTA and (denial.name in names or not names) and _names(denial.message, resource):
        judge.ok(subject, f"refused by quota {denial.name}")
    elif denial:
        judge.unsure(subject, f"refused by {denial}, not by quota {', '.join(names)}: {denial.message}")
    else:
        judge.unsure(subject, f"an error is not a denial: {error}")


def _names(message: str, resource: str) -> bool:
    short = {full: alias for alias, full in ALIASES.items()}.get(resource, resource)
    return resource in message or f" {short}=" in message


# --- objects -----------------------------------------------------------------------------------------------------


def judge_objects(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Objects are really made until the quota is full, and one more is refused by name; then they are taken away."""
    owned(tenants)
    for tenant in tenants:
        makers, tag = _makers(cluster, tenant), nonce("fill")
        before = quotas(cluster, tenant.namespace)
        counted = [(q, r) for q in before if not q.scoped for r in sorted(q.hard.keys() & makers.keys())]
        if not counted:
            judge.bad(
                f"{tenant.namespace}: objects",
                seen="no quota counts any sort of object",
                remedy="bound pods, services, secrets, configmaps and claims in a ResourceQuota",
            )
            continue
        samples = [makers[resource]() for _, resource in counted]
        try:
            for quota, resource in counted:
                _fill(judge, cluster, tenant, quota, resource, makers[resource], tag)
        finally:
            _empty(cluster, tenant, {(sample["apiVersion"], sample["kind"]) for sample in samples}, tag)
        _await_recount(cluster, tenant, before)


def _fill(
    judge: Judge,
    cluster: Cluster,
    tenant: Tenant,
    quota: Quota,
    resource: str,
    make: Callable[[], dict[str, Any]],
    tag: str,
) -> None:
    subject = f"{tenant.namespace}: one more of {resource} than quota {quota.name} allows"
    now = next((q for q in quotas(cluster, tenant.namespace) if q.name == quota.name), quota)
    room = int(now.left(resource))
    if room > FILL:
        judge.skip(subject, f"{room} objects would have to be made; at most {FILL} are")
        return
    sample = make()
    target = cluster.resource(sample["apiVersion"], sample["kind"])
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda _: _create(target, _tagged(make(), tag)), range(room)))
    except ApiError as error:
        judge.unsure(subject, f"the quota could not be filled: {error}")
        return
    try:
        _create(target, _tagged(make(), tag))
    except ImpactRefused:
        raise
    except RequestError as error:
        _by_name(judge, subject, error, resource, [quota.name])
    else:
        judge.bad(subject, seen=f"one more was made, although {left} were left")


def _create(target: Resource, body: dict[str, Any]) -> None:
    """Makes an object. Where several API servers count it at the same time, those that come too late refuse it with a
    conflict over the *quota*, and have made nothing (k8s.io/apiserver/pkg/admission/plugin/resourcequota): it is asked
    for again. Raises what every other answer raises."""

    def refusal() -> RequestError | None:
        try:
            target.create(body)
        except RequestError as error:
            return error
        return None

    def told(error: RequestError | None) -> bool:
        return not (isinstance(error, ApiError) and error.status == 409 and "resourcequotas" in error.message)

    error = eventually(refusal, what="the quota is counted", timeout=CONFLICT, interval=0.05, accept=told)
    if error is not None:
        raise error


def _tagged(body: dict[str, Any], tag: str) -> dict[str, Any]:
    body["metadata"].setdefault("labels", {})[CHECK_LABEL] = tag
    return body


def _empty(cluster: Cluster, tenant: Tenant, kinds: Iterable[tuple[str, str]], tag: str) -> None:
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "propagationPolicy": "Background"}
    for api_version, kind in sorted(kinds):
        path = cluster.client.discovery.find(api_version, kind).path(tenant.namespace)
        cluster.client.request("DELETE", path, query={"labelSelector": f"{CHECK_LABEL}={tag}"}, body=options)


def _await_recount(cluster: Cluster, tenant: Tenant, before: Sequence[Quota]) -> None:
    """The quota controller recounts after a delete; the checks that follow count on what is left."""
    used = {quota.name: quota.used for quota in before}

    def recounted() -> bool:
        return all(
            number <= used.get(quota.name, {}).get(resource, 0)
            for quota in quotas(cluster, tenant.namespace)
            for resource, number in quota.used.items()
        )

    with contextlib.suppress(WaitTimeout):
        eventually(recounted, what="the quota is recounted", timeout=15, interval=0.05)


def _makers(cluster: Cluster, tenant: Tenant) -> dict[str, Callable[[], dict[str, Any]]]:
    """How to make one object of each sort that a quota counts; each does nothing once it is there."""
    bound = sizes.bounds(cluster, tenant.namespace)
    volumes = sizes.bounds(cluster, tenant.namespace, "PersistentVolumeClaim")
    gate = [{"name": "k8sha.dev/never"}]

    def plain(api_version: str, kind: str, **more: Any) -> dict[str, Any]:
        meta = {"name": nonce("fill"), "namespace": tenant.namespace, "labels": dict(tenant.expects.labels)}
        return {"apiVersion": api_version, "kind": kind, "metadata": meta, **more}

    def service(kind: str) -> dict[str, Any]:
        return plain("v1", "Service", spec={"type": kind, "ports": [{"port": 80}]})

    def job() -> dict[str, Any]:
        template = pods.pod(tenant, restartPolicy="Never")
        labels = template["metadata"]["labels"]
        spec = {"suspend": True, "template": {"metadata": {"labels": labels}, "spec": template["spec"]}}
        return plain("batch/v1", "Job", spec=spec)

    return {
        "pods": lambda: sizes.small(tenant, bound, schedulingGates=gate),
        "configmaps": lambda: plain("v1", "ConfigMap"),
        "count/configmaps": lambda: plain("v1", "ConfigMap"),
        "secrets": lambda: plain("v1", "Secret"),
        "count/secrets": lambda: plain("v1", "Secret"),
        "services": lambda: service("ClusterIP"),
        "services.nodeports": lambda: service("NodePort"),
        "services.loadbalancers": lambda: service("LoadBalancer"),
        "persistentvolumeclaims": lambda: claim(tenant, volumes.least.get("storage", parse("1Gi"))),
        "count/deployments.apps": lambda: pods.deployment(tenant, replicas=0),
        "count/jobs.batch": job,
    }


# --- scopes ------------------------------------------------------------------------------------------------------


def judge_priorities(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Each class above the default: a pod that wants more than the quota of that class allows is refused by it."""
    classes = cluster.resource("scheduling.k8s.io/v1", "PriorityClass").list()
    usual = max((c["value"] for c in classes if c.get("globalDefault")), default=0)
    high = sorted(c["metadata"]["name"] for c in classes if c["value"] > usual)
    for tenant in tenants:
        bound = sizes.bounds(cluster, tenant.namespace)
        path = f"/api/v1/namespaces/{tenant.namespace}/pods"
        if not works(judge, cluster.client, Attempt("run a small pod", "POST", path, body=sizes.small(tenant, bound))):
            return
        found = quotas(cluster, tenant.namespace)
        for name in high:
            _judge_class(judge, cluster, tenant, bound, [q for q in found if name in q.classes], name)


def _judge_class(
    judge: Judge, cluster: Cluster, tenant: Tenant, bound: sizes.Bounds, scoped: list[Quota], name: str
) -> None:
    subject = f"{tenant.namespace}: pods of priority class {name}"
    cpu = min((q.left("requests.cpu") for q in scoped if "requests.cpu" in q.hard), default=None)
    none = any(q.hard.get("pods") == 0 for q in scoped)
    if none or cpu is None:
        pod = sizes.small(tenant, bound, priorityClassName=name)
    else:
        pod = {**over(tenant, bound, "requests", "cpu", cpu)}
        pod["spec"] = {**pod["spec"], "priorityClassName": name}
    names = [q.name for q in scoped]
    try:
        cluster.resource("v1", "Pod").create(pod, dry_run=True)
    except ImpactRefused:
        raise
    except RequestError as error:
        _by_name(judge, subject, error, "pods" if none or cpu is None else "requests.cpu", names)
        return
    seen = (
        f"quota {', '.join(names)} names the class and bounds neither pods to 0 nor requests.cpu"
        if names
        else ("a pod of the class is admitted, and no quota is scoped to it: it may evict every neighbour")
    )
    judge.bad(subject, seen=seen, remedy=f"add a ResourceQuota with a scopeSelector for PriorityClass {name}")


# --- usage -------------------------------------------------------------------------------------------------------


def judge_usage(
    judge: Judge,
    cluster: Cluster,
    tenants: Sequence[Tenant],
    thresholds: usage.Thresholds | None = None,
    prices: Prices | None = None,
) -> None:
    """Used against hard: told from ``warn`` on, failed from ``full`` on. Every row goes into the record, and with a
    price file what each tenant costs."""
    limits = thresholds or usage.Thresholds()
    found = usage.uses(cluster, tenants)
    for use in found:
        subject = f"{use.namespace}: {use.resource} of quota {use.quota}"
        state = limits.state(use.share)
        if state == "full":
            judge.bad(
                subject,
                seen=f"{use.percent} % used, at or above {float(limits.full * 100):g} %",
                remedy="raise the quota, or have the tenant clean up, before the next rollout is refused",
            )
        else:
            judge.ok(subject, f"{'warning: ' if state == 'warning' else ''}{use.percent} % used")
        if state != "ok":
            judge.measure(f"usage {use.namespace} {use.quota} {use.resource}", use.percent, "%")
    judge.table(usage.QUOTAS, [use.row(limits) for use in found])
    if prices:
        judge.table(usage.COSTS, usage.bills(cluster, tenants, prices))
