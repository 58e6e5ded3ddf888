"""How tenants come about: complete before anybody may act there, alone, and without the rights of an earlier one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError, RequestError, WaitTimeout
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import acting, grants
from pytest_k8sha.tenancy.access import Pair, decide
from pytest_k8sha.tenancy.lifecycle import DEADLINE, missing, sorts
from pytest_k8sha.tenancy.remains import clean, names, remains, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.kube.resources import Object
    from pytest_k8sha.tenancy.lifecycle import Sort
    from pytest_k8sha.tenancy.tenant import Tenant

RBAC = "rbac.authorization.k8s.io/v1"

MIXED = (
    *(Pair(verb, "", "secrets") for verb in ("get", "list", "watch")),
    *(Pair(verb, "", "pods") for verb in ("get", "list", "create", "delete")),
    Pair("get", "", "configmaps"),
    Pair("create", "apps", "deployments"),
    Pair("create", "", "pods", "exec"),
    Pair("get", "", "resourcequotas"),
)
"""What the people of one tenant would be allowed in another one's namespace if the two were mixed up."""


@contextmanager
def ended(sort: Sort, *made: Tenant) -> Iterator[None]:
    """Asks for the end of a check's own tenants afterwards; nothing waits for it."""
    try:
        yield
    finally:
        for tenant in made:
            sort.model.delete(tenant)


# --- complete --------------------------------------------------------------------------------------------------------


def judge_ready(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """A fresh tenant of each sort is made, and its namespaces are looked at all the while: what must be there when the
    first binding is, since then somebody may act; and what must be there when the tenant is reported ready."""
    for sort in sorts(tenants):
        order = sort.another(nonce("ready"))
        clock = _clock.Deadline(DEADLINE)
        with ThreadPoolExecutor(1) as pool:
            making = pool.submit(sort.model.create, cluster, order)
            early = _at_the_first_binding(cluster, order.namespaces, sort, making.done)
            tenant = making.result()
        judge.measure("creation", round(clock.spent, 2), "s")
        with ended(sort, tenant):
            for namespace in tenant.namespaces:
                for thing, seen, remedy in missing(cluster, tenant, namespace):
                    subject = f"{tenant} when it is ready: {namespace}: {thing}"
                    judge.that(not seen, subject, seen=seen or "is there", remedy=remedy)
                bare = ", ".join(early.get(namespace, []))
                judge.that(
                    not bare,
                    f"{tenant} at its first binding: {namespace}",
                    seen=f"somebody may act there, and {bare}" if bare else "quota, limits and policies are there",
                    remedy="make quota, limits and network policies first, and bindings last",
                )


def _at_the_first_binding(cluster: Cluster, namespaces: Sequence[str], sort: Sort, done: Any) -> dict[str, list[str]]:
    """What was missing in each namespace after its first binding was seen there."""
    found: dict[str, list[str]] = {}
    bindings = cluster.resource(RBAC, "RoleBinding")

    def look() -> bool:
        for namespace in namespaces:
            if namespace not in found and bindings.list(namespace):
                tenant = sort.model.describe(cluster, sort.order)
                parts = missing(cluster, tenant, namespace)
                found[namespace] = [seen for _, seen, _ in parts if seen]
        return bool(done()) or len(found) == len(namespaces)

    eventually(look, what="the tenant is being made", timeout=DEADLINE * 2, interval=0.03, growth=1.0)
    return found


# --- made anew -------------------------------------------------------------------------------------------------------


def judge_old_rights(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """A tenant of each sort is made, deleted, and made again under its name. While it is gone, every binding that still
    names it is noted; when it is back, whoever holds a right by such a binding holds it from its predecessor. A token
    of the old tenant's service account must not be taken for the new one's."""
    for sort in sorts(tenants):
        name = nonce("anew")
        old = sort.model.create(cluster, sort.another(name))
        token = _token(judge, old)
        sort.model.delete(old)
        if not _gone(judge, cluster, old):
            continue
        stale = list(_bindings(cluster, old))
        new = sort.model.create(cluster, sort.another(name))
        with ended(sort, new):
            reader = next(iter(new.personas.values()))
            may = any(p.may("get", resource="configmaps", namespace=new.namespace)[0] for p in new.personas.values())
            judge.control(may, f"somebody of the new {new}, such as the {reader}, may act in {new.namespace}")
            for binding in stale:
                _judge_binding(judge, cluster, new, binding)
            if not stale:
                judge.ok(f"{new}, made anew", "no binding of any namespace named it while it was gone")
            if token:
                _judge_token(judge, new, token)
        clean(cluster, _outside(cluster, new))


def _gone(judge: Judge, cluster: Cluster, tenant: Tenant) -> bool:
    namespaces = cluster.resource("v1", "Namespace")

    def ended_too() -> bool:
        """What the model keeps outside of the namespaces would refuse a second tenant of the name."""
        return not any(one.going and not one.namespace for one in remains(cluster, tenant).found)

    try:
        for namespace in tenant.namespaces:
            gone = partial(namespaces.find, namespace)
            eventually(
                gone, what=f"namespace {namespace} is gone", timeout=DEADLINE, accept=lambda found: found is None
            )
        eventually(ended_too, what=f"nothing of {tenant} is on its way any more", timeout=DEADLINE)
    except WaitTimeout as error:
        judge.unsure(f"{tenant}, made anew", f"the old one does not go, so that no new one can be made: {error}")
        return False
    return True


def _bindings(cluster: Cluster, tenant: Tenant) -> Iterator[Object]:
    """Every binding of the cluster whose subjects are the tenant's."""
    words = words_of(tenant)
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        for binding in cluster.resource(RBAC, kind).list():
            if names({"metadata": {}, "subjects": binding.get("subjects") or []}, words):
                yield binding


def _judge_binding(judge: Judge, cluster: Cluster, new: Tenant, binding: Object) -> None:
    """Measures whether an old binding gives somebody of the new tenant something."""
    meta, ref = binding["metadata"], binding["roleRef"]
    namespace = meta.get("namespace", "")
    subject = f"{new}, made anew: {binding['kind']} {f'{namespace}/' if namespace else ''}{meta['name']}"
    role = cluster.resource(RBAC, ref["kind"]).find(ref["name"], namespace if ref["kind"] == "Role" else "")
    for rule in (role or {}).get("rules") or []:
        for pair in _pairs(rule):
            for persona in new.personas.values():
                where = {"namespace": namespace, "name": pair.name}
                what = {"group": pair.group, "resource": pair.resource, "subresource": pair.subresource}
                may, reason = persona.may(pair.verb, **what, **where)
                if may and f'"{meta["name"]}' in reason:
                    judge.bad(
                        subject,
                        seen=f"it was there while the tenant was not, and gives {persona} what its predecessor had: "
                        f"{grants.explain(cluster, reason, pair)}",
                        remedy="delete every binding of a tenant together with the tenant, in other namespaces as well",
                    )
                    return
    judge.skip(subject, "it is older than the tenant, and gives nobody of it anything now")


def _pairs(rule: dict[str, Any]) -> Iterator[Pair]:
    """One verb on one resource for each that a rule names; a star is asked for by something that there is."""
    stars = {"*": "get"}
    for verb in rule.get("verbs") or []:
        for resource in rule.get("resources") or []:
            for group in rule.get("apiGroups") or []:
                plural, _, sub = {"*": "pods"}.get(resource, resource).partition("/")
                name = (rule.get("resourceNames") or [""])[0]
                yield Pair(stars.get(verb, verb), {"*": ""}.get(group, group), plural, sub, name)


def _token(judge: Judge, tenant: Tenant) -> Client | None:
    """A token of the old tenant's workload that was never used: the server remembers one that was for ten seconds
    (TokenSuccessCacheTTL of kube-apiserver). A second one proves that such tokens are good."""
    account = next((p for p in tenant.personas.values() if p.account), None)
    if account is None:
        judge.skip(f"{tenant}: the token of a service account", "the tenant has no service account")
        return None
    used, unused = (tenant.cluster.service_account(account.account, account.namespace) for _ in range(2))
    user, _ = acting.whoami(used)
    return unused if judge.control(user == account.user, f"a token of {account} is taken for it") else None


def _judge_token(judge: Judge, new: Tenant, old: Client) -> None:
    subject = f"{new}, made anew: a token of the old {old.who}"
    try:
        user, _ = acting.whoami(old)
    except ApiError as error:
        if error.status == 401:
            judge.ok(subject, "is not taken any more")
        else:
            judge.unsure(subject, f"an error is not a refusal: {error}")
    except RequestError as error:
        judge.unsure(subject, f"an error is not a refusal: {error}")
    else:
        judge.bad(subject, seen=f"the server takes it for {user}", remedy="bind tokens to the account's uid")


def _outside(cluster: Cluster, tenant: Tenant) -> Any:
    """What the check's own tenants have outside of their namespaces, and the model does not take back."""
    left = remains(cluster, tenant)
    left.found = [one for one in left.found if one.namespace not in tenant.namespaces and not one.going]
    left.found = [one for one in left.found if one.name not in tenant.namespaces]
    return left


# --- at the same time ------------------------------------------------------------------------------------------------


def judge_together(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Two tenants of each sort are made at the same moment; nobody of one may do anything in the other, and no binding
    of one names somebody of the other."""
    for sort in sorts(tenants):
        orders = [sort.another(nonce(f"twin-{letter}")) for letter in "ab"]
        with ThreadPoolExecutor(2) as pool:
            made = list(pool.map(lambda order, s=sort: s.model.create(cluster, order), orders))
        with ended(sort, *made):
            for one, other in (made, made[::-1]):
                _judge_twins(judge, cluster, one, other)


def _judge_twins(judge: Judge, cluster: Cluster, one: Tenant, other: Tenant) -> None:
    own = any(p.may("get", resource="configmaps", namespace=one.namespace)[0] for p in one.personas.values())
    judge.control(own, f"somebody of {one} may get configmaps in {one.namespace}")
    questions = [(p, space, MIXED) for p in one.personas.values() for space in other.namespaces]
    for seen in decide(questions):
        subject = f"{seen.persona} in {seen.namespace}, made at the same time"
        for pair, reason in seen.allowed:
            judge.bad(subject, seen=f"may {pair.verb} {pair.what}: {grants.explain(cluster, reason, pair)}")
        if seen.problems:
            judge.unsure(subject, f"{len(seen.problems)} reviews gave no answer, the first: {seen.problems[0]}")
        elif not seen.allowed:
            judge.ok(subject, f"may do none of {len(MIXED)} things")
    theirs = words_of(one)
    for space in other.namespaces:
        for binding in cluster.resource(RBAC, "RoleBinding").list(space):
            mixed = names({"metadata": {}, "subjects": binding.get("subjects") or []}, theirs)
            if mixed:
                judge.bad(
                    f"RoleBinding {space}/{binding['metadata']['name']}",
                    seen=f"it is {other}'s, and names somebody of {one}",
                    remedy="let whoever makes tenants keep nothing in common between two that it makes at once",
                )
