"""Judging the access matrix: against the neighbours, at cluster scope, and against what requests really do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.checks.denial import RBAC, attribute
from pytest_k8sha.errors import ApiError, ImpactRefused, NotEvaluated, RequestError
from pytest_k8sha.tenancy import grants
from pytest_k8sha.tenancy.access import HARMLESS, READING, THREADS, Pair, Scan, listing, pairs_of_tenants, scan
from pytest_k8sha.tenancy.tenant import Persona

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

DRY = ("create", "update", "patch", "delete", "deletecollection")


def several(tenants: Sequence[Tenant]) -> None:
    """Raises `NotEvaluated` when there is no neighbour."""
    if len(tenants) < 2:
        raise NotEvaluated("needs two tenants, and this cluster has one", remedy="declare a second in the fleet file")


def judge_neighbours(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Each persona in each namespace of each other tenant."""
    several(tenants)
    questions = [
        (persona, namespace)
        for one, other in pairs_of_tenants(tenants)
        for persona in one.personas.values()
        for namespace in other.namespaces
    ]
    _scan(judge, cluster, questions, _control(judge, tenants))


def judge_cluster_scope(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Each persona on every cluster-scoped resource; kinds that say nothing of other tenants may be read."""
    questions = [(persona, "") for tenant in tenants for persona in tenant.personas.values()]
    _scan(judge, cluster, questions, _control(judge, tenants))


def judge_default_accounts(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """The default service account of each namespace, in its own namespace and at cluster scope."""
    questions = []
    for tenant in tenants:
        for namespace in tenant.namespaces:
            default = Persona(cluster, "default account", account="default", namespace=namespace)
            questions += [(default, namespace), (default, "")]
    _scan(judge, cluster, questions, _control(judge, tenants))


def _control(judge: Judge, tenants: Sequence[Tenant]) -> bool:
    """The reviewer says yes where it must: somebody of a tenant may do something in the tenant's own namespace."""
    for tenant in tenants:
        for persona in tenant.personas.values():
            if persona.may("get", resource="configmaps", namespace=tenant.namespace)[0]:
                return True
    return judge.control(False, "a review allows somebody of a tenant to get configmaps in the tenant's own namespace")  # noqa: FBT003


def _scan(judge: Judge, cluster: Cluster, questions: list[tuple[Persona, str]], control: bool) -> None:  # noqa: FBT001
    if not control:
        return
    clock = _clock.Deadline(0)
    scans = scan(cluster, questions)
    for one in scans:
        _judge(judge, cluster, one)
    judge.measure("pairs decided", sum(one.decided for one in scans), "pairs")
    judge.measure("reviews asked", sum(one.asked for one in scans), "reviews")
    judge.measure("time", round(clock.spent, 3), "s")


def _tolerable(pair: Pair) -> bool:
    return pair.everybodys or (pair.verb in READING and (pair.group, pair.resource) in HARMLESS)


def _judge(judge: Judge, cluster: Cluster, one: Scan) -> None:
    subject = f"{one.persona} in {one.namespace}" if one.namespace else f"{one.persona} at the cluster scope"
    found = one.reasons(_tolerable)
    for reason, pairs in found.items():
        judge.bad(
            subject,
            seen=f"may {listing(pairs)}: {grants.explain(cluster, reason, pairs[0])}",
            remedy=grants.remedy(reason),
        )
    if one.problems:
        judge.unsure(subject, f"{len(one.problems)} reviews gave no answer, the first: {one.problems[0]}")
    elif not found:
        judge.ok(subject, f"none of {one.decided} pairs of verb and resource is allowed ({one.asked} reviews)")


def judge_requests(judge: Judge, tenants: Sequence[Tenant]) -> None:
    """Sends a real request of each verb, writes as rehearsals, in the own namespace and in the neighbours', and
    compares what became of it with what the review says. Every namespace has the ConfigMap that is asked for."""
    questions: list[tuple[Persona, str, str]] = []
    for tenant in tenants:
        places = [tenant.namespace, *(other.namespace for other in tenants if other is not tenant)]
        verbs = ("get", "list", "watch", *DRY)
        questions += [(p, place, verb) for p in tenant.personas.values() for place in places for verb in verbs]
    for tenant in tenants:
        for persona in tenant.personas.values():
            _ = persona.client  # one certificate or token each, before the threads
    canaries = {
        t.namespace: t.cluster.resource("v1", "ConfigMap").get("kube-root-ca.crt", t.namespace) for t in tenants
    }
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda q: _compare(q[0], q[2], canaries[q[1]]), questions))
    went = 0
    for (persona, place, verb), (reviewed, reason, became) in zip(questions, answers, strict=True):
        subject = f"{persona}: {verb} configmaps in {place}"
        went += became == "allowed"
        if became not in {"allowed", "denied"}:
            judge.unsure(subject, f"the review says {reviewed}, the request ended otherwise: {became}")
        elif reviewed == became:
            judge.ok(subject, f"{became}, as the review says")
        else:
            told = f" ({reason})" if reason else ""
            judge.bad(subject, seen=f"the review says {reviewed}{told}, and the request was {became}")
    judge.control(went > 0, "at least one request in a tenant's own namespace is allowed")


def _compare(persona: Persona, verb: str, canary: dict[str, Any]) -> tuple[str, str, str]:
    meta = canary["metadata"]
    named = verb not in {"list", "watch", "create", "deletecollection"}
    may, reason = persona.may(
        verb, resource="configmaps", namespace=meta["namespace"], name=meta["name"] if named else ""
    )
    body = dict(canary)
    query: dict[str, Any] = {"dryRun": "All"} if verb in DRY else {}
    if verb == "create":
        fresh = {"name": f"{meta['name']}-rehearsal", "namespace": meta["namespace"]}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": fresh}
    try:
        persona.request(verb, body, **query)
    except ImpactRefused:
        raise
    except ApiError as error:
        denial = attribute(error)
        # Whoever judges after the authoriser, such as a quota, shows that the authoriser said yes.
        became = "denied" if denial and denial.by == RBAC else "allowed" if denial else str(error)
    except RequestError as error:
        became = str(error)
    else:
        became = "allowed"
    return "allowed" if may else "denied", reason, became
