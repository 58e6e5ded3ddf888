"""Judging admission policies: labels, registries and privilege, on create and on update, by the policy's name."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.denial import POLICY, WEBHOOK, attribute
from pytest_k8sha.errors import ApiError, ImpactRefused, NotEvaluated, RequestError, WaitTimeout
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import pods
from pytest_k8sha.tenancy.attempts import Attempt, works
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.tenancy.tenant import Tenant

ENGINES = (POLICY, WEBHOOK)
"""A ValidatingAdmissionPolicy, or the webhook of Gatekeeper, Kyverno and the like: whichever, it must name itself."""

FOREIGN = "registry.invalid/k8sha/pause:3.10"
SETTLING = 3.0
"""Seconds that a policy may take to be in force after it was made; the API server compiles it in the background."""

PATHS = {"Pod": "/api/v1/namespaces/{}/pods", "Deployment": "/apis/apps/v1/namespaces/{}/deployments"}


@dataclass(frozen=True)
class Violation:
    """An object that breaks one policy. ``says`` are words that the refusal must hold, so that it is for this."""

    what: str
    body: dict[str, Any]
    says: str


def labels(tenant: Tenant) -> Iterator[Violation]:
    """Each required label missing once, on a pod and on the pods of a Deployment."""
    for key in tenant.expects.labels:
        bare = pods.pod(tenant)
        del bare["metadata"]["labels"][key]
        yield Violation(f"a pod without the label {key}", bare, key)
        yield Violation(f"a Deployment whose pods lack the label {key}", pods.deployment(tenant, template=bare), key)


def registries(tenant: Tenant) -> Iterator[Violation]:
    """A foreign image, and one that only begins like an allowed one, in a container and in an init container."""
    if not tenant.expects.registries:
        return
    alike = f"{tenant.expects.registries[0].rstrip('/')}.evil.invalid/{pods.IMAGE}"
    for image in (FOREIGN, alike):
        for place, key in (("a container", "containers"), ("an init container", "initContainers")):
            wrong = pods.pod(tenant, initContainers=[pods.container(tenant, "first")])
            wrong["spec"][key][0]["image"] = image
            yield Violation(f"a pod with {image} in {place}", wrong, image)
            made = pods.deployment(tenant, template=wrong)
            yield Violation(f"a Deployment with {image} in {place}", made, image)


def privileged(tenant: Tenant) -> Iterator[Violation]:
    """Privileged containers of a Deployment. (On a pod Pod Security would refuse it before the policy is asked.)"""
    for place, key in (("a container", "containers"), ("an init container", "initContainers")):
        wrong = pods.pod(tenant, initContainers=[pods.container(tenant, "first")])
        wrong["spec"][key][0]["securityContext"] = {"privileged": True}
        yield Violation(f"a Deployment with privileged {place}", pods.deployment(tenant, template=wrong), "rivileged")


RULES = {"labels": labels, "registries": registries, "privileged": privileged}


def judge_create(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant], rule: str) -> None:
    """Each violating object is rehearsed; policies are asked for a dry run as well. The right one goes through."""
    found = False
    for tenant in tenants:
        for violation in RULES[rule](tenant):
            found = True
            for right in (pods.pod(tenant), pods.deployment(tenant)) if violation.body["kind"] == "Pod" else ():
                if not works(judge, cluster.client, create(right)):
                    return
            subject = f"{tenant.namespace}: {violation.what}"
            refused(judge, cluster, subject, create(violation.body), violation.says)
    if not found:
        raise NotEvaluated(f"no tenant says which {rule} are right", remedy="say so under expects in tenant.yaml")


def judge_update(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """A right Deployment is really made, and then changed to break each rule in turn; the change is rehearsed."""
    owned(tenants)
    deployments = cluster.resource("apps/v1", "Deployment")
    for tenant in tenants:
        name = nonce("app")
        deployments.create(pods.deployment(tenant, name=name, replicas=0))
        try:
            path = f"{PATHS['Deployment'].format(tenant.namespace)}/{name}"
            right = {"spec": {"template": {"metadata": {"annotations": {"k8sha.dev/touched": "yes"}}}}}
            if not works(judge, cluster.client, Attempt(f"change {name} in a right way", "PATCH", path, body=right)):
                return
            for what, patch, says in _changes(tenant):
                attempt = Attempt(what, "PATCH", path, body=patch)
                subject = f"{tenant.namespace}: a Deployment changed so that it {what}"
                refused(judge, cluster, subject, attempt, says)
        finally:
            deployments.delete(name, tenant.namespace)


def _changes(tenant: Tenant) -> Iterator[tuple[str, dict[str, Any], str]]:
    def template(**spec: Any) -> dict[str, Any]:
        return {"spec": {"template": spec}}

    right = pods.container(tenant)
    for key in tenant.expects.labels:
        yield f"loses the label {key}", template(metadata={"labels": {key: None}}), key
    if tenant.expects.registries:
        foreign = {**copy.deepcopy(right), "image": FOREIGN}
        yield "runs a foreign image", template(spec={"containers": [foreign]}), FOREIGN
    loud = {**copy.deepcopy(right), "securityContext": {"privileged": True}}
    yield "is privileged", template(spec={"containers": [loud]}), "rivileged"
    yield "is privileged at first", template(spec={"initContainers": [{**loud, "name": "first"}]}), "rivileged"


def create(body: dict[str, Any]) -> Attempt:
    """Making a pod or a Deployment, as an attempt."""
    path = PATHS[body["kind"]].format(body["metadata"]["namespace"])
    return Attempt(f"create {body['kind']} {body['metadata']['name']}", "POST", path, body=body)


def refused(
    judge: Judge,
    cluster: Cluster,
    subject: str,
    attempt: Attempt,
    says: str,
    *,
    client: Client | None = None,
    by: tuple[str, ...] = ENGINES,
    remedy: str = "",
) -> None:
    """The attempt must be refused by one of ``by``, in words that hold ``says``.

    ``client`` sends it (default: the administrator). One that is admitted is tried again where a binding is so young
    that it may not be in force yet.
    """

    def send() -> RequestError | None:
        try:
            attempt.send(client or cluster.client)
        except ImpactRefused:
            raise
        except RequestError as error:
            return error
        return None

    answer = send()
    if answer is None and _young(cluster):
        try:
            answer = eventually(send, what="a new policy is in force", timeout=SETTLING, accept=lambda e: e is not None)
        except WaitTimeout:
            answer = None
    if answer is None:
        judge.bad(subject, seen=f"it is admitted; {_policies(cluster)}", remedy=remedy)
        return
    denial = attribute(answer) if isinstance(answer, ApiError) else None
    if denial and denial.by in by and says in denial.message:
        judge.ok(subject, f"refused by {denial}")
    elif denial and denial.by in by:
        judge.unsure(subject, f"refused by {denial}, which does not speak of {says!r}: {denial.message}")
    else:
        judge.unsure(subject, f"no policy refused it, and an error is not a denial: {answer}")


def _bindings(cluster: Cluster) -> list[dict[str, Any]]:
    try:
        return cluster.resource("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding").list()
    except NotEvaluated:
        return []


def _young(cluster: Cluster) -> bool:
    """Whether a binding was made within the last seconds, by the clock of the API server that made it."""
    from datetime import datetime

    from pytest_k8sha import _clock

    ages = [
        (_clock.wall() - datetime.fromisoformat(b["metadata"]["creationTimestamp"])).total_seconds()
        for b in _bindings(cluster)
    ]
    return any(age < 2 * SETTLING for age in ages)


def _policies(cluster: Cluster) -> str:
    """What the cluster has by way of policies, so that the reader sees why none refused."""
    try:
        bindings = _bindings(cluster)
    except RequestError as error:
        return f"the bindings of the cluster could not be read: {error}"
    found = [f"{b['metadata']['name']} ({', '.join(b['spec'].get('validationActions') or [])})" for b in bindings]
    return f"the bindings of the cluster: {', '.join(sorted(found))}" if found else "the cluster has no policy bindings"
