"""Ways out of the sight of admission policies: labels that exempt an object or a namespace from a selector."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.errors import NotEvaluated
from pytest_k8sha.model import Verdict
from pytest_k8sha.tenancy.attempts import MERGE, Attempt, forbid, works
from pytest_k8sha.tenancy.escalation import everybody
from pytest_k8sha.tenancy.network.policy import Selector
from pytest_k8sha.tenancy.policies import RULES, create, refused
from pytest_k8sha.tenancy.takeover import REFUSED_BY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant


@dataclass
class Doors:
    """Labels by which objects, and by which namespaces, get out of the sight of some policy or webhook. A label whose
    value is None is taken away."""

    objects: dict[str, str | None] = field(default_factory=dict)
    namespaces: dict[str, str | None] = field(default_factory=dict)
    by: list[str] = field(default_factory=list)


def doors(cluster: Cluster, tenant: Tenant) -> Doors:
    """Read from every selector of the policies, bindings and validating webhooks that see the tenant's namespace."""
    labels = _labels(cluster, tenant)
    found = Doors()
    for name, objects, namespaces in _selectors(cluster):
        if not Selector.model_validate(namespaces).matches(labels):
            continue
        for selector, into, held in ((objects, found.objects, {}), (namespaces, found.namespaces, labels)):
            out = way_out(selector, held)
            if out:
                into.update(out)
                found.by.append(name)
    return found


def way_out(selector: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, str | None]:
    """A change of labels after which the selector does not match any more; empty where it matches everything."""
    for key in selector.get("matchLabels") or {}:
        return {key: None}
    for one in selector.get("matchExpressions") or []:
        match one["operator"]:
            case "DoesNotExist":
                return {one["key"]: "yes"}
            case "NotIn":
                return {one["key"]: one["values"][0]}
            case "Exists" | "In":
                return {one["key"]: None} if one["key"] in labels or not labels else {}
    return {}


def _labels(cluster: Cluster, tenant: Tenant) -> dict[str, str]:
    found: dict[str, str] = cluster.resource("v1", "Namespace").get(tenant.namespace)["metadata"].get("labels") or {}
    return found


def _selectors(cluster: Cluster) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, selector of objects and selector of namespaces of whatever judges objects."""
    group = "admissionregistration.k8s.io/v1"
    for hook in cluster.resource(group, "ValidatingWebhookConfiguration").list():
        for one in hook.get("webhooks") or []:
            yield f"webhook {one['name']}", one.get("objectSelector") or {}, one.get("namespaceSelector") or {}
    policies = {p["metadata"]["name"]: p["spec"] for p in cluster.resource(group, "ValidatingAdmissionPolicy").list()}
    for binding in cluster.resource(group, "ValidatingAdmissionPolicyBinding").list():
        spec = binding["spec"]
        resources = spec.get("matchResources") or {}
        within = (policies.get(spec["policyName"]) or {}).get("matchConstraints") or {}
        name = f"policy {spec['policyName']}"
        spaces = resources.get("namespaceSelector") or within.get("namespaceSelector") or {}
        yield name, resources.get("objectSelector") or {}, spaces
        yield name, within.get("objectSelector") or {}, spaces


def judge_doors(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Objects that break a policy are rehearsed with the labels by which the policies' selectors would let them out;
    without these labels they must be refused. And nobody may give their namespace a label that lets all of it out."""
    for tenant in tenants:
        found = doors(cluster, tenant)
        outward = {"metadata": {"labels": found.namespaces or {"k8sha.dev/no-door": "yes"}}}
        path = f"/api/v1/namespaces/{tenant.namespace}"
        spelt = (
            ", ".join(f"{k}={v}" if v is not None else f"no {k}" for k, v in found.namespaces.items()) or "any label"
        )
        attempt = Attempt(
            f"put {tenant.namespace} out of sight ({spelt})", "PATCH", path, body=outward, content_type=MERGE
        )
        if not works(judge, cluster.client, attempt):
            continue
        for owner, persona in everybody(tenants):
            if owner is tenant:
                forbid(judge, persona, attempt, by=REFUSED_BY)
        if found.objects:
            _judge_objects(judge, cluster, tenant, found)
        else:
            judge.ok(f"{tenant.namespace}: labels of objects", "nothing that judges objects there selects by them")
    if not judge.findings:
        raise NotEvaluated("no tenant says what its pods promise", remedy="say so under expects in tenant.yaml")


def _judge_objects(judge: Judge, cluster: Cluster, tenant: Tenant, found: Doors) -> None:
    named = ", ".join(sorted(set(found.by)))
    for rule in RULES.values():
        for violation in rule(tenant):
            subject = f"{tenant.namespace}: {violation.what}, labelled to be out of sight"
            control = Judge()
            refused(control, cluster, subject, create(violation.body), "")
            plain = control.findings[0]
            if plain.verdict is Verdict.FAILED:
                judge.skip(subject, "no policy refuses it as it is, which is told elsewhere")
            elif judge.control(plain.verdict is Verdict.PASSED, f"{violation.what} is refused as it is ({plain.seen})"):
                attempt = create(mark(violation.body, found.objects))
                remedy = f"take the object selector out of {named}: the labels of an object are its author's"
                refused(judge, cluster, subject, attempt, "", remedy=remedy)


def mark(body: Mapping[str, Any], labels: Mapping[str, str | None]) -> dict[str, Any]:
    """The object with these labels, on itself and on the pods that it makes; those that are None are taken away."""
    made = copy.deepcopy(dict(body))
    places = [made["metadata"]]
    if "template" in made.get("spec", {}):
        places.append(made["spec"]["template"].setdefault("metadata", {}))
    for meta in places:
        merged = {**(meta.get("labels") or {}), **labels}
        meta["labels"] = {key: value for key, value in merged.items() if value is not None}
    return made
