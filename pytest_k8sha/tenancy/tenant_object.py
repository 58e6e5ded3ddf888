"""A tenant that is an object of the API: its namespaces hold what it says, and its status tells the truth."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import FileProblems, NotEvaluated, WaitTimeout
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy.models.tenant_crd import API, KIND, OWNER, messages
from pytest_k8sha.tenancy.network import evaluate, places, policy
from pytest_k8sha.tenancy.quantity import parse, spell
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.resources import Object
    from pytest_k8sha.tenancy.tenant import Tenant

DEADLINE = 20.0
"""Seconds for a status to follow what happened."""

RBAC = "rbac.authorization.k8s.io/v1"
SYSTEM = "kube-system"


def _labels(cluster: Cluster) -> dict[str, dict[str, str]]:
    """The labels of every namespace."""
    found = cluster.resource("v1", "Namespace").list()
    return {o["metadata"]["name"]: o["metadata"].get("labels") or {} for o in found}


def described(cluster: Cluster, tenants: Sequence[Tenant]) -> list[tuple[Tenant, Object]]:
    """Each tenant with its object. Raises `NotEvaluated` where no tenant has one."""
    mine = [tenant for tenant in tenants if "object" in tenant.promises and tenant.model]
    if not mine:
        raise NotEvaluated(f"no tenant is described by a {KIND}")
    return [(tenant, cluster.resource(API, KIND).get(tenant.name)) for tenant in mine]


# --- the namespaces --------------------------------------------------------------------------------------------------


def judge_spec(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Namespaces, quota, isolation, Pod Security and users, each as the object says."""
    for tenant, obj in described(cluster, tenants):
        spec = obj["spec"]
        labels = _namespaces(judge, cluster, tenant, spec)
        _quota(judge, cluster, tenant, spec)
        _isolation(judge, cluster, tenant, spec, labels)
        wanted = (spec.get("security") or {}).get("podSecurity", "baseline")
        for name, found in labels.items():
            level = found.get("pod-security.kubernetes.io/enforce", "nothing")
            judge.that(level == wanted, f"{tenant}: Pod Security of {name}", seen=f"{level} is enforced, of {wanted}")
        _users(judge, cluster, tenant, spec)


def _namespaces(judge: Judge, cluster: Cluster, tenant: Tenant, spec: Object) -> dict[str, dict[str, str]]:
    """The labels of the tenant's namespaces, which must be those of the object and no others."""
    everything = _labels(cluster)
    there = [name for name in spec["namespaces"] if name in everything]
    judge.that(
        there == spec["namespaces"],
        f"{tenant}: namespaces",
        seen=f"{', '.join(there) or 'none'} of {', '.join(spec['namespaces'])} are there",
    )
    more = [name for name, labels in everything.items() if labels.get(OWNER) == tenant.name and name not in there]
    if more:
        judge.bad(
            f"{tenant}: namespaces", seen=f"{', '.join(more)} are the tenant's, and the object does not name them"
        )
    return {name: everything[name] for name in there}


def _quota(judge: Judge, cluster: Cluster, tenant: Tenant, spec: Object) -> None:
    """All namespaces together may use as much as the object says of each resource, and no less."""
    hard = _sums(cluster, spec["namespaces"], "spec", "hard")
    for key, wanted in (spec.get("quota") or {}).items():
        bounds = hard.get(key, [])
        subject = f"{tenant}: quota of {key}"
        if len(bounds) < len(spec["namespaces"]):
            judge.bad(
                subject, seen=f"{len(bounds)} of {len(spec['namespaces'])} namespaces bound it; {wanted} is wanted"
            )
        else:
            total = sum(bounds, Fraction(0))
            judge.that(total == parse(wanted), subject, seen=f"{spell(total)} in all namespaces, of {wanted}")


def _sums(cluster: Cluster, namespaces: Sequence[str], *path: str) -> dict[str, list[Fraction]]:
    """By resource, the least figure of each namespace that has one. Quotas with scopes bound a part only."""
    found: dict[str, list[Fraction]] = {}
    for namespace in namespaces:
        least: dict[str, Fraction] = {}
        for quota in cluster.resource("v1", "ResourceQuota").list(namespace):
            if quota["spec"].get("scopes") or quota["spec"].get("scopeSelector"):
                continue
            values: Any = quota
            for step in path:
                values = values.get(step) or {}
            for key, value in values.items():
                least[key] = min(parse(value), least.get(key, parse(value)))
        for key, figure in least.items():
            found.setdefault(key, []).append(figure)
    return found


def _isolation(
    judge: Judge, cluster: Cluster, tenant: Tenant, spec: Object, labels: Mapping[str, dict[str, str]]
) -> None:
    """What the policies of the namespaces mean, by the project's own evaluation of them: for somebody else's pods and
    an address outside, for the tenant's own pods, and for those that are let in by name."""
    networking = spec.get("networking") or {}
    allowed = networking.get("allowedNamespaces") or []
    found = []
    for name in labels:
        for obj in cluster.resource("networking.k8s.io/v1", "NetworkPolicy").list(name):
            try:
                found.append(policy.of(obj))
            except FileProblems as error:
                judge.unsure(f"{tenant}: isolation of {name}", f"a policy cannot be read: {error}")
                return
    every = _labels(cluster)
    looks, ports = _looks(found), _ports(found)
    for name in labels:
        subject = f"{tenant}: isolation of {name}"
        mine = [_pod(name, every[name], look) for look in looks]
        for friend in [*labels, *(other for other in allowed if other in every)]:
            way = evaluate.evaluate(found, _pod(friend, every[friend], {}, 2), mine[0], *USUAL)
            judge.that(way.allowed, f"{tenant}: {friend} reaches {name}", seen="; ".join(way.why))
        if not networking.get("isolation", True):
            judge.skip(subject, "the object asks for none")
            continue
        strangers: list[places.Place] = [places.Address(OUTSIDE)]
        for other in every:
            if other not in labels and other not in allowed:
                strangers += [_pod(other, every[other], look, 2) for look in looks]
        ways = _open(found, strangers, mine, ports)
        judge.that(
            not ways,
            subject,
            seen=f"{ways[0]} is allowed ({len(ways)} ways in all), and the object says isolation: true"
            if ways
            else f"{len(strangers)} strangers, {len(ports)} ports",
        )


USUAL = (places.TCP, 8080)
DNS = 53
OUTSIDE = "192.0.2.10"
"""An address of TEST-NET-1 (RFC 5737): somebody who is no pod of this cluster."""


def _open(
    found: list[policy.Policy], strangers: list[places.Place], mine: list[places.Pod], ports: list[tuple[str, int]]
) -> list[str]:
    """The ways between strangers and the tenant's pods that the tenant's own policies leave open, but for the name
    server."""
    ways = []
    for stranger in strangers:
        system = isinstance(stranger, places.Pod) and stranger.namespace.name == SYSTEM
        for own in mine:
            for protocol, port in ports:
                for src, dst in ((stranger, own), (own, stranger)):
                    if system and dst is stranger and port == DNS:
                        continue
                    way = evaluate.evaluate(found, src, dst, protocol, port)
                    if way.allowed:
                        ways.append(f"{_said(src)} → {_said(dst)} {protocol} {port} ({'; '.join(way.why)})")
    return ways


def _said(place: places.Place) -> str:
    if isinstance(place, places.Pod):
        return place.namespace.name + (f" {dict(place.labels)}" if place.labels else "")
    return f"{place.ip} outside"


def _looks(found: list[policy.Policy]) -> list[dict[str, str]]:
    """A pod without labels, and one for each set of labels that a policy selects by."""
    looks: list[dict[str, str]] = [{}]
    for one in found:
        rules = [*one.rules("Ingress"), *one.rules("Egress")]
        selectors = [one.spec.pod_selector, *(peer.pod_selector for rule in rules for peer in rule.peers)]
        looks += [dict(s.match_labels) for s in selectors if s and s.match_labels and s.match_labels not in looks]
    return looks


def _ports(found: list[policy.Policy]) -> list[tuple[str, int]]:
    """A usual port, and each that a policy names."""
    ports: list[tuple[str, int]] = [USUAL]
    for one in found:
        for rule in (*one.rules("Ingress"), *one.rules("Egress")):
            named = [(entry.protocol, entry.port) for entry in rule.ports if isinstance(entry.port, int)]
            ports += [(protocol, int(port)) for protocol, port in named if (protocol, port) not in ports]
    return ports


def _pod(namespace: str, labels: dict[str, str], look: dict[str, str], number: int = 1) -> places.Pod:
    """Any pod of a namespace that carries these labels, at an address of TEST-NET-2 (RFC 5737)."""
    return places.Pod(f"pod-{number}", places.Namespace(namespace, labels), f"198.51.100.{number}", look)


def _users(judge: Judge, cluster: Cluster, tenant: Tenant, spec: Object) -> None:
    """Everybody whom the object names may look into each namespace, and nobody else is bound there but its accounts."""
    named = [who for users in (spec.get("users") or {}).values() for who in users or []]
    for namespace in spec["namespaces"]:
        for who in named:
            subject = f"{tenant}: {who['kind']} {who['name']} in {namespace}"
            may, reason = _may_list(cluster, who, namespace)
            judge.that(may, subject, seen=reason or "may not even list pods")
        bound = {
            (s.get("kind"), s.get("name"))
            for binding in cluster.resource(RBAC, "RoleBinding").list(namespace)
            for s in binding.get("subjects") or []
            if s.get("kind") != "ServiceAccount" or s.get("namespace") not in spec["namespaces"]
        }
        strangers = sorted(f"{kind} {name}" for kind, name in bound - {(w["kind"], w["name"]) for w in named})
        judge.that(
            not strangers,
            f"{tenant}: who is bound in {namespace}",
            seen=f"{', '.join(strangers)} are not named by the object" if strangers else f"{len(named)} are named",
        )


def _may_list(cluster: Cluster, who: Mapping[str, str], namespace: str) -> tuple[bool, str]:
    user, groups = (who["name"], []) if who["kind"] == "User" else ("k8sha:somebody", [who["name"]])
    attributes = {"verb": "list", "resource": "pods", "namespace": namespace}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": [*groups, "system:authenticated"], "resourceAttributes": attributes},
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    status = cluster.client.request("POST", path, body=body)["status"]
    return bool(status.get("allowed")), str(status.get("reason") or "")


# --- the status ------------------------------------------------------------------------------------------------------


def judge_status(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Phase and conditions agree with each other, with the generation, and with what is there; the usage is that of the
    quotas, and follows them when a ConfigMap is made."""
    owned(tenants)
    for tenant, obj in described(cluster, tenants):
        status = obj.get("status") or {}
        _phase(judge, cluster, tenant, obj, status)
        maps, made = cluster.resource("v1", "ConfigMap"), nonce("counted")
        before = _used(cluster, obj)
        maps.create({"metadata": {"name": made}}, tenant.namespace)
        try:
            _usage(judge, cluster, tenant, before)
        finally:
            maps.delete(made, tenant.namespace)


def _phase(judge: Judge, cluster: Cluster, tenant: Tenant, obj: Object, status: Object) -> None:
    phase, generation = status.get("phase"), obj["metadata"]["generation"]
    judge.that(
        status.get("observedGeneration") == generation,
        f"{tenant}: status.observedGeneration",
        seen=f"{status.get('observedGeneration')}, and the object is at {generation}",
    )
    ready = next((c for c in status.get("conditions") or [] if c.get("type") == "Ready"), None)
    judge.that(
        bool(ready) and (ready or {}).get("status") == str(phase == "Ready"),
        f"{tenant}: phase and conditions",
        seen=f"phase {phase}; {messages(status)}",
    )
    if phase != "Ready":
        return
    hard = _sums(cluster, obj["spec"]["namespaces"], "spec", "hard")
    absent = [key for key in obj["spec"].get("quota") or {} if len(hard.get(key, [])) < len(obj["spec"]["namespaces"])]
    judge.that(
        not absent,
        f"{tenant}: phase Ready",
        seen=f"no quota bounds {', '.join(absent[:5])}" if absent else "every resource of the quota is bounded",
    )


def _used(cluster: Cluster, obj: Object) -> dict[str, Fraction]:
    found = _sums(cluster, obj["spec"]["namespaces"], "status", "used")
    return {key: sum(figures, Fraction(0)) for key, figures in found.items()}


def _usage(judge: Judge, cluster: Cluster, tenant: Tenant, before: Mapping[str, Fraction]) -> None:
    wanted: dict[str, Fraction] = {}
    seen: dict[str, Fraction | None] = {}

    def told() -> bool:
        obj = cluster.resource(API, KIND).get(tenant.name)
        wanted.clear()
        wanted.update({k: v for k, v in _used(cluster, obj).items() if k in (obj["spec"].get("quota") or {})})
        usage = (obj.get("status") or {}).get("usage") or {}
        seen.clear()
        seen.update({key: parse(usage[key].get("used", "-1")) if key in usage else None for key in wanted})
        moved = any(value != before.get(key) for key, value in wanted.items())
        return moved and seen == wanted

    with contextlib.suppress(WaitTimeout):
        eventually(told, what="the usage is true", timeout=DEADLINE, interval=0.2)
    moved = any(value != before.get(key) for key, value in wanted.items())
    if not judge.control(moved, f"a quota of {tenant} counts a ConfigMap that is made in {tenant.namespace}"):
        return
    for key, value in wanted.items():
        figure = seen.get(key)
        said = "nothing" if figure is None else spell(figure)
        judge.that(
            figure == value,
            f"{tenant}: status.usage of {key}",
            seen=f"{said} is said, and the quotas count {spell(value)}",
        )
