"""What becomes of an object when whoever should judge it cannot: is it refused, or let in?

Nobody's webhook is stopped for the answer. Each webhook and policy that sees a tenant's namespace gets a twin, with
the same rules and the same failurePolicy, that can never judge: the webhook's leads to a closed port, the policy's
evaluates what is not there. The twin sees only objects of the check: one namespace, and one label with a value of its
own. What the API server does with such an object, on create and on update, is what it would do for all if the judge
were down.

The twins are objects of the cluster, so that this is for clusters that may be disrupted.
"""

from __future__ import annotations

import contextlib
import copy
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.denial import POLICY, attribute
from pytest_k8sha.errors import ApiError, ImpactRefused, NotEvaluated, RequestError, WaitTimeout
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import pods
from pytest_k8sha.tenancy.attempts import Attempt, works
from pytest_k8sha.tenancy.ingresses import right
from pytest_k8sha.tenancy.limits import claim
from pytest_k8sha.tenancy.network.policy import Selector
from pytest_k8sha.tenancy.quantity import parse
from pytest_k8sha.tenancy.secrets import owned
from pytest_k8sha.tenancy.services import service
from pytest_k8sha.tenancy.sizes import bounds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

API = "admissionregistration.k8s.io/v1"
LABEL = "k8sha.dev/unjudged"
DEAD = "https://127.0.0.1:1/"
"""Where nothing listens: port 1 of the API server's own host."""
IN_FORCE = 20.0
"""Seconds for the twins to be in force."""
EVERY = 5.0
"""Seconds more for those API servers that the first look did not reach."""
OPERATIONS = ("CREATE", "UPDATE")


@dataclass
class Twin:
    """``name`` is the original's; ``mark`` the value of the label that only this twin sees."""

    name: str
    fails: str
    rules: list[dict[str, Any]]
    objects: list[dict[str, Any]] = field(default_factory=list)
    """What has to be made, the policy and its binding; a webhook's is part of one configuration for all."""
    webhook: dict[str, Any] | None = None
    mark: str = field(default_factory=lambda: nonce("m"))
    called: str = field(default_factory=lambda: nonce("twin"))


def judge_failures(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Each twin on an object of a kind that it judges, on create and on update."""
    owned(tenants)
    for tenant in tenants:
        twins = twins_of(cluster, tenant)
        judged = [(twin, kind) for twin in twins if (kind := _kind_of(cluster, tenant, twin.rules))]
        for twin in twins:
            if twin not in [t for t, _ in judged]:
                judge.skip(f"{tenant.namespace}: {twin.name}", "judges no kind of object that a tenant usually makes")
        if judged:
            _judge(judge, cluster, tenant, judged)
    if not judge.findings:
        raise NotEvaluated("no webhook and no policy judges the objects of tenants")


def _judge(
    judge: Judge, cluster: Cluster, tenant: Tenant, judged: list[tuple[Twin, tuple[str, dict[str, Any]]]]
) -> None:
    made: dict[str, str] = {}
    try:
        for _, (path, body) in judged:
            if path not in made:
                if not works(judge, cluster.client, Attempt(f"create a {body['kind']}", "POST", path, body=body)):
                    return
                made[path] = cluster.client.request("POST", path, body=body)["metadata"]["name"]
        with in_force(cluster, tenant, [twin for twin, _ in judged]):
            for twin, (path, body) in judged:
                marked = copy.deepcopy(body)
                marked["metadata"]["name"] = nonce("unjudged")
                marked["metadata"]["labels"] = {**marked["metadata"].get("labels", {}), LABEL: twin.mark}
                change = {"metadata": {"labels": {LABEL: twin.mark}}}
                attempts = {
                    "CREATE": Attempt("create", "POST", path, body=marked),
                    "UPDATE": Attempt("update", "PATCH", f"{path}/{made[path]}", body=change),
                }
                for operation in OPERATIONS:
                    subject = f"{tenant.namespace}: {operation} of a {body['kind']} that {twin.name} cannot judge"
                    _judge_one(judge, cluster, subject, twin, attempts[operation], operation)
    finally:
        for path, name in made.items():
            cluster.client.request("DELETE", f"{path}/{name}", body={"gracePeriodSeconds": 0})


def _judge_one(judge: Judge, cluster: Cluster, subject: str, twin: Twin, attempt: Attempt, operation: str) -> None:
    asked = {o for rule in twin.rules for o in rule.get("operations") or []}

    def send() -> RequestError | None:
        try:
            attempt.send(cluster.client)
        except ImpactRefused:
            raise
        except RequestError as error:
            return error
        return None

    answer = send()
    if answer is None and twin.fails == "Fail" and asked & {operation, "*"}:
        # Of several API servers each learns of the twin by itself, and any of them may be asked.
        with contextlib.suppress(WaitTimeout):
            answer = eventually(send, what="every API server obeys", timeout=EVERY, accept=lambda e: e is not None)
    if answer is not None:
        if _by_twin(answer, twin):
            judge.ok(subject, "it is refused")
        else:
            judge.unsure(subject, f"it is refused for another reason: {answer}")
        return
    if not asked & {operation, "*"}:
        judge.bad(
            subject,
            seen=f"it gets in: {twin.name} is asked about {', '.join(sorted(asked))} alone",
            remedy="match the operations CREATE and UPDATE",
        )
    else:
        judge.bad(
            subject,
            seen=f"it gets in, by failurePolicy {twin.fails}",
            remedy="set failurePolicy: Fail, and run the webhook with several replicas",
        )


def _by_twin(error: RequestError, twin: Twin) -> bool:
    """Refused since the twin could not judge: a webhook that could not be called, or a policy that broke."""
    if not isinstance(error, ApiError):
        return False
    if twin.webhook:
        return error.status == 500 and f'failed calling webhook "{twin.webhook["name"]}"' in error.message
    denial = attribute(error)
    return denial is not None and denial.by == POLICY and denial.name == twin.called


# --- the twins ---------------------------------------------------------------------------------------------------


def twins_of(cluster: Cluster, tenant: Tenant) -> list[Twin]:
    """One for each validating webhook and each bound, denying policy that sees the tenant's namespace."""
    labels = cluster.resource("v1", "Namespace").get(tenant.namespace)["metadata"].get("labels") or {}
    found = []
    for hook in cluster.resource(API, "ValidatingWebhookConfiguration").list():
        found += [
            _webhook(one, tenant)
            for one in hook.get("webhooks") or []
            if Selector.model_validate(one.get("namespaceSelector") or {}).matches(labels)
        ]
    policies = {p["metadata"]["name"]: p for p in cluster.resource(API, "ValidatingAdmissionPolicy").list()}
    for binding in cluster.resource(API, "ValidatingAdmissionPolicyBinding").list():
        policy = policies.get(binding["spec"]["policyName"])
        if policy is None or "Deny" not in (binding["spec"].get("validationActions") or []):
            continue
        within = policy["spec"].get("matchConstraints") or {}
        resources = binding["spec"].get("matchResources") or {}
        if all(Selector.model_validate(m.get("namespaceSelector") or {}).matches(labels) for m in (within, resources)):
            found.append(_policy(policy, tenant))
    return found


def _webhook(one: Mapping[str, Any], tenant: Tenant) -> Twin:
    twin = Twin(f"webhook {one['name']}", one.get("failurePolicy", "Fail"), list(one.get("rules") or []))
    kept = ("rules", "failurePolicy", "matchPolicy", "admissionReviewVersions")
    twin.webhook = {
        **{key: one[key] for key in kept if key in one},
        "name": f"{twin.called}.k8sha.dev",
        "clientConfig": {"url": DEAD},
        "sideEffects": "None",
        "timeoutSeconds": 2,
        **_narrowed(tenant, twin.mark),
    }
    return twin


def _policy(policy: Mapping[str, Any], tenant: Tenant) -> Twin:
    spec = policy["spec"]
    rules = list((spec.get("matchConstraints") or {}).get("resourceRules") or [])
    twin = Twin(f"policy {policy['metadata']['name']}", spec.get("failurePolicy", "Fail"), rules)
    twin.objects = _policy_objects(twin, tenant)
    return twin


def _policy_objects(twin: Twin, tenant: Tenant) -> list[dict[str, Any]]:
    meta = {"name": twin.called}
    return [
        {
            "apiVersion": API,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": meta,
            "spec": {
                "failurePolicy": twin.fails,
                "matchConstraints": {"resourceRules": twin.rules, **_narrowed(tenant, twin.mark)},
                "validations": [{"expression": "dyn(object).metadata.k8shaIsNotThere == ''"}],
            },
        },
        {
            "apiVersion": API,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": meta,
            "spec": {"policyName": twin.called, "validationActions": ["Deny"]},
        },
    ]


def _narrowed(tenant: Tenant, mark: str) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": tenant.namespace}},
        "objectSelector": {"matchLabels": {LABEL: mark}},
    }


@contextmanager
def in_force(cluster: Cluster, tenant: Tenant, twins: Sequence[Twin]) -> Iterator[None]:
    """The twins are made, and the API server obeys them; afterwards they are gone.

    Two further twins that refuse, made after the others, show when it does.
    """
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
    last = Twin("canary", "Fail", [rule])
    last.objects = _policy_objects(last, tenant)
    like = {"name": "canary", "failurePolicy": "Fail", "rules": [rule], "admissionReviewVersions": ["v1"]}
    hook = _webhook(like, tenant)
    webhooks = [twin.webhook for twin in (*twins, hook) if twin.webhook]
    configuration = {
        "apiVersion": API,
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": nonce("twins")},
        "webhooks": webhooks,
    }
    objects = [configuration, *(obj for twin in (*twins, last) for obj in twin.objects)]
    made = []
    try:
        for obj in objects:
            made.append(obj)  # before it is there: an answer may be lost
            cluster.resource(API, obj["kind"]).create(obj)
        for canary in (last, hook):
            eventually(
                lambda canary=canary: _refuses(cluster, tenant, canary),  # type: ignore[misc]
                what=f"the {'webhooks' if canary.webhook else 'policies'} that cannot judge are in force",
                timeout=IN_FORCE,
            )
        yield
    finally:
        _remove(cluster, made)


def _remove(cluster: Cluster, made: Sequence[Mapping[str, Any]]) -> None:
    """All of them, whatever becomes of one; then the first error is raised."""
    errors = []
    for obj in made:
        try:
            cluster.resource(API, obj["kind"]).delete(obj["metadata"]["name"])
        except RequestError as error:
            if not (isinstance(error, ApiError) and error.status == 404):
                errors.append(error)
    if errors:
        raise errors[0]


def _refuses(cluster: Cluster, tenant: Tenant, canary: Twin) -> bool:
    meta = {"name": nonce("canary"), "labels": {LABEL: canary.mark}}
    try:
        cluster.resource("v1", "ConfigMap").create({"metadata": meta}, tenant.namespace, dry_run=True)
    except ImpactRefused:
        raise
    except RequestError as error:
        return _by_twin(error, canary)
    return False


# --- objects to be judged ----------------------------------------------------------------------------------------


def _kind_of(cluster: Cluster, tenant: Tenant, rules: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Any]] | None:
    """The path and a right object of the first kind that the rules name and that tenants make."""
    for (group, resource), body in _makeable(cluster, tenant).items():
        for rule in rules:
            groups, resources = rule.get("apiGroups") or [], rule.get("resources") or []
            if {group, "*"} & set(groups) and {resource, "*", "*/*"} & set(resources):
                base = f"/apis/{body['apiVersion']}" if group else "/api/v1"
                return f"{base}/namespaces/{tenant.namespace}/{resource}", body
    return None


def _makeable(cluster: Cluster, tenant: Tenant) -> dict[tuple[str, str], dict[str, Any]]:
    meta = {"name": nonce("judged"), "namespace": tenant.namespace, "labels": dict(tenant.expects.labels)}
    size = bounds(cluster, tenant.namespace, "PersistentVolumeClaim").least.get("storage", parse("1Gi"))
    return {
        ("", "configmaps"): {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta},
        ("apps", "deployments"): pods.deployment(tenant, replicas=0),
        ("", "services"): service(tenant, {}),
        ("", "pods"): pods.pod(tenant),
        ("networking.k8s.io", "ingresses"): right(tenant),
        ("", "persistentvolumeclaims"): claim(tenant, size, tenant.expects.labels),
        ("", "secrets"): {"apiVersion": "v1", "kind": "Secret", "metadata": meta},
    }
