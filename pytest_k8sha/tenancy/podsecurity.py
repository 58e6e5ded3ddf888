"""Judging Pod Security: a pod for each forbidden field, in every sort of container, and by a Deployment."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.denial import ADMISSION, POD_SECURITY, attribute
from pytest_k8sha.errors import ApiError, ImpactRefused, NotEvaluated, RequestError, WaitTimeout
from pytest_k8sha.tenancy import pods
from pytest_k8sha.tenancy.access import THREADS
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.tenancy.tenant import Tenant

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
OLD = 3
"""An enforced version that is this many minor releases behind the cluster lacks what they added."""

BY_RUNTIME = ("privileged", "hostPID", "hostPath volume")
"""An exempt class lets everything through; three fields show it."""


def author(tenant: Tenant) -> Client:
    """The tenant's own person who may create pods; the administrator where there is none."""
    for persona in tenant.personas.values():
        if persona.may("create", resource="pods", namespace=tenant.namespace)[0]:
            return persona.client
    return tenant.cluster.client


def judge_fields(
    judge: Judge,
    cluster: Cluster,
    tenants: Sequence[Tenant],
    breaches: Sequence[pods.Breach],
    places: Sequence[str],
) -> None:
    """Rehearses each breach; admission judges a dry run like a real request, and this spares the cluster sixty pods.
    The positive control is the same pod without the breach."""
    minor = pods.minor_of(cluster.capabilities.version)
    for tenant in tenants:
        client = author(tenant)
        path = f"/api/v1/namespaces/{tenant.namespace}/pods"
        send = partial(_rehearse, client, path)

        every = list(pods.variants(tenant, breaches, places, minor))
        rights = {variant.place: variant.right for variant in every}
        with ThreadPoolExecutor(THREADS) as pool:
            controls = dict(zip(rights, pool.map(send, rights.values()), strict=True))
            answers = list(pool.map(send, (variant.wrong for variant in every)))
        for place, problem in controls.items():
            judge.control(problem is None, f"{tenant.namespace}: a right pod with {place} is admitted ({problem})")
        for variant, answer in zip(every, answers, strict=True):
            _judge(judge, f"{tenant.namespace}: {variant}", variant.breach, answer)


def _rehearse(client: Client, path: str, pod: dict[str, Any]) -> RequestError | None:
    try:
        client.request("POST", path, query={"dryRun": "All", "fieldValidation": "Strict"}, body=pod)
    except ImpactRefused:
        raise
    except RequestError as error:
        return error
    return None


def _judge(judge: Judge, subject: str, breach: pods.Breach, answer: RequestError | None, *, remedy: str = "") -> None:
    if answer is None:
        usual = f"label the namespace {PREFIX}enforce={breach.level}; warn and audit refuse nothing"
        judge.bad(subject, seen="the pod is admitted", remedy=remedy or usual)
        return
    denial = attribute(answer) if isinstance(answer, ApiError) else None
    word = breach.tells or breach.name
    if denial is None or denial.by not in ADMISSION:
        judge.unsure(subject, f"an error is not a denial: {answer}")
    elif denial.by == POD_SECURITY and word not in denial.message:
        judge.unsure(subject, f"refused for something else: {denial.message}")
    else:
        judge.ok(subject, f"refused by {denial}")


def judge_restricted(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """The fields that only the restricted level knows, for tenants that promise it."""
    strict = [tenant for tenant in tenants if tenant.expects.pod_security == "restricted"]
    if not strict:
        raise NotEvaluated(
            "no tenant promises the restricted level", remedy="say podSecurity: restricted in tenant.yaml"
        )
    judge_fields(judge, cluster, strict, pods.RESTRICTED, (pods.CONTAINER, pods.INIT, pods.SIDECAR))


def judge_runtimes(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Pods of each runtime class of the cluster, since Pod Security may exempt a class by its name. A right pod of the
    class that is refused shows that the tenant may not use it."""
    classes = [c["metadata"]["name"] for c in cluster.resource("node.k8s.io/v1", "RuntimeClass").list()]
    if not classes:
        raise NotEvaluated(f"cluster {cluster.name} has no runtime class, so none can be exempt")
    breaches = [breach for breach in pods.BASELINE if breach.name in BY_RUNTIME]
    for tenant in tenants:
        client = author(tenant)
        path = f"/api/v1/namespaces/{tenant.namespace}/pods"
        problem = _rehearse(client, path, pods.pod(tenant))
        if not judge.control(problem is None, f"{tenant.namespace}: a right pod is admitted ({problem})"):
            continue
        for name in classes:
            right = pods.pod(tenant, runtimeClassName=name)
            problem = _rehearse(client, path, right)
            if problem is not None:
                judge.skip(f"{tenant.namespace}: pods of runtime class {name}", f"a right one is refused: {problem}")
                continue
            for breach in breaches:
                wrong = breach.into(right, lambda made: made["spec"]["containers"][0])
                answer = _rehearse(client, path, wrong)
                subject = f"{tenant.namespace}: {breach.name} in a pod of runtime class {name}"
                way_out = (
                    f"take {name} out of exemptions.runtimeClasses, or label the namespace {PREFIX}enforce=baseline"
                )
                _judge(judge, subject, breach, answer, remedy=way_out)


# --- ephemeral containers ----------------------------------------------------------------------------------------


def judge_ephemeral(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Into a right pod that really runs, ephemeral containers with one breach each; the request is rehearsed."""
    owned(tenants)
    resource = cluster.resource("v1", "Pod")
    for tenant in tenants:
        running = resource.create(pods.pod(tenant))
        try:
            _judge_ephemeral(judge, tenant, running)
        finally:
            resource.delete(running["metadata"]["name"], tenant.namespace, grace=0)


def _judge_ephemeral(judge: Judge, tenant: Tenant, running: dict[str, Any]) -> None:
    client = author(tenant)
    path = f"/api/v1/namespaces/{tenant.namespace}/pods/{running['metadata']['name']}/ephemeralcontainers"

    def send(container: dict[str, Any]) -> RequestError | None:
        body = {"spec": {"ephemeralContainers": [container]}}
        try:
            client.request(
                "PATCH", path, query={"dryRun": "All"}, body=body, content_type="application/strategic-merge-patch+json"
            )
        except ImpactRefused:
            raise
        except RequestError as error:
            return error
        return None

    right = pods.container(tenant, "look")
    problem = send(right)
    if not judge.control(
        problem is None,
        f"{tenant.namespace}: a right ephemeral container is admitted by pods/ephemeralcontainers ({problem})",
    ):
        return
    level = pods.RESTRICTED if tenant.expects.pod_security == "restricted" else ()
    for breach in (*pods.BASELINE, *level):
        # Ephemeral containers have neither ports, probes nor hooks.
        if not breach.in_container or breach.container or breach.spec:
            continue
        wrong = copy.deepcopy(right)
        breach.apply(wrong)
        _judge(judge, f"{tenant.namespace}: {breach.name} in an ephemeral container", breach, send(wrong))


# --- by a controller ---------------------------------------------------------------------------------------------

CONTROLLER_DEADLINE = 20.0


def judge_deployment(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """A Deployment with a host network: Pod Security lets the Deployment be and must refuse its pods. A right one
    beside it gets its pod, so that silence means a refusal."""
    owned(tenants)
    for tenant in tenants:
        wrong = pods.pod(tenant, hostNetwork=True)
        made = {}
        deployments = cluster.resource("apps/v1", "Deployment")
        try:
            made["right"] = deployments.create(pods.deployment(tenant))["metadata"]["name"]
            subject = f"{tenant.namespace}: a Deployment of pods with hostNetwork"
            try:
                made["wrong"] = deployments.create(pods.deployment(tenant, template=wrong))["metadata"]["name"]
            except ApiError as error:
                denial = attribute(error)
                if denial is None or denial.by not in ADMISSION:
                    raise
                judge.ok(subject, f"the Deployment itself is refused by {denial}")
                continue
            _judge_deployment(judge, cluster, tenant, made, subject)
        finally:
            for name in made.values():
                deployments.delete(name, tenant.namespace)


def _judge_deployment(judge: Judge, cluster: Cluster, tenant: Tenant, made: dict[str, str], subject: str) -> None:
    resource = cluster.resource("v1", "Pod")
    sets = cluster.resource("apps/v1", "ReplicaSet")

    def running(name: str) -> list[str]:
        found = resource.list(tenant.namespace, labels=f"app.kubernetes.io/name={made[name]}")
        return [pod["metadata"]["name"] for pod in found]

    def refusal() -> str:
        for one in sets.list(tenant.namespace, labels=f"app.kubernetes.io/name={made['wrong']}"):
            for condition in one.get("status", {}).get("conditions") or []:
                if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                    return str(condition.get("message", ""))
        return ""

    try:
        eventually(
            lambda: running("right"), what="a right Deployment gets its pod", timeout=CONTROLLER_DEADLINE, interval=0.05
        )
        told = eventually(
            lambda: refusal() or running("wrong"),
            what="the ReplicaSet is refused",
            timeout=CONTROLLER_DEADLINE,
            interval=0.05,
        )
    except WaitTimeout as error:
        judge.unsure(subject, str(error))
        return
    if isinstance(told, list):
        judge.bad(
            subject,
            seen=f"its pod {told[0]} was made and may use the node's network",
            remedy=f"label the namespace {PREFIX}enforce=baseline; warn and audit refuse nothing",
        )
        return
    denial = attribute(ApiError(403, method="POST", path="", reason="Forbidden", message=told))
    if denial and denial.by in ADMISSION:
        judge.ok(subject, f"no pod appeared; its ReplicaSet was refused by {denial}")
    else:
        judge.unsure(subject, f"no pod appeared, for another reason: {told}")


# --- labels ------------------------------------------------------------------------------------------------------


def judge_labels(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """What each namespace says: the promised level enforced, restricted at least audited and warned of, and by rules
    that are not old."""
    minor = pods.minor_of(cluster.capabilities.version)
    namespaces = cluster.resource("v1", "Namespace")
    for tenant in tenants:
        for namespace in tenant.namespaces:
            labels = namespaces.get(namespace)["metadata"].get("labels") or {}
            for mode, least in {
                "enforce": tenant.expects.pod_security,
                "audit": "restricted",
                "warn": "restricted",
            }.items():
                level = labels.get(PREFIX + mode, "")
                judge.that(
                    level in LEVELS and LEVELS.index(level) >= LEVELS.index(least),
                    f"{namespace}: {PREFIX}{mode}",
                    seen=f"the level is {level}" if level else "is not set",
                    remedy=f"set {PREFIX}{mode}={least}",
                )
                version = labels.get(f"{PREFIX}{mode}-version", "latest")
                behind = 0 if version == "latest" else minor - pods.minor_of(version)
                judge.that(
                    behind < OLD,
                    f"{namespace}: {PREFIX}{mode}-version",
                    seen=f"{version}, {behind} minor releases behind the cluster",
                    remedy=f"set {PREFIX}{mode}-version=latest, or to the cluster's own version",
                )
