"""The tenancy checks against a real API server: few reviews decide as all do, and a low ceiling is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_k8sha._clock import Deadline, epoch
from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.errors import ImpactRefused
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.spec import TenantOrder
from pytest_k8sha.kube.client import TIMEOUT
from pytest_k8sha.model import Impact, Run, Verdict, nonce
from pytest_k8sha.providers.local.provider import LocalProvider
from pytest_k8sha.settings import bundled
from pytest_k8sha.tenancy import (
    access,
    connecting,
    diagnostics,
    escalation,
    lifecycle,
    matrix,
    podsecurity,
    quota,
    remains,
    secrets,
    takeover,
    template,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_k8sha.tenancy.tenant import Tenant
    from tests.conftest import KeptCluster

RBAC = "rbac.authorization.k8s.io"


def _cluster(kept: KeptCluster, private: Path, ceiling: Impact | None = None) -> Cluster:
    run = Run(id="run-tenancy", owner="tests", expires=int(epoch()) + 3600)
    return Cluster(kept.state, LocalProvider(kept.settings), run=run, private=private, ceiling=ceiling)


@pytest.fixture(scope="module")
def east(local_cluster: KeptCluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The shared local cluster, used as a run uses it."""
    return _cluster(local_cluster, tmp_path_factory.mktemp("private"))


def _grant(cluster: Cluster, tenant: Tenant, kind: str, name: str, rules: list[dict[str, Any]]) -> None:
    where = {"namespace": tenant.namespace} if kind == "Role" else {}
    meta = {"name": f"{tenant.name}-{name}", **where}
    ref = {"apiGroup": RBAC, "kind": kind, "name": meta["name"]}
    group = {"apiGroup": RBAC, "kind": "Group", "name": f"{tenant.name}:developers"}
    cluster.apply(
        [
            {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": meta, "rules": rules},
            {
                "apiVersion": f"{RBAC}/v1",
                "kind": f"{kind}Binding",
                "metadata": meta,
                "roleRef": ref,
                "subjects": [group],
            },
        ]
    )


@pytest.fixture(scope="module")
def leaky(east: Cluster) -> Iterator[Tenant]:
    """A tenant of the handbook whose developers hold rules of every shape besides."""
    order = TenantOrder(name=nonce("leaky"), template=bundled("fixtures", "tenants", "handbook"))
    tenant = template.establish(east, order)
    _grant(east, tenant, "Role", "star", [{"apiGroups": ["*"], "resources": ["*/status"], "verbs": ["patch"]}])
    named = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["db"], "verbs": ["get", "update"]}
    wide = {"apiGroups": ["", "apps"], "resources": ["nodes", "nodes/proxy", "deployments"], "verbs": ["get", "list"]}
    _grant(east, tenant, "ClusterRole", "wide", [named, wide])
    yield tenant
    template.remove(tenant)
    for kind in ("ClusterRoleBinding", "ClusterRole"):
        east.resource(f"{RBAC}/v1", kind).delete(f"{tenant.name}-wide")


@pytest.mark.parametrize("role", ["developer", "viewer", "workload"])
def test_few_reviews_decide_as_all_do(role: str, east: Cluster, leaky: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the rules that the server lists, and without them, the same pairs are allowed, for the same reasons."""
    persona = leaky.persona(role)
    questions = [(persona, leaky.namespace), (persona, "kube-system"), (persona, "")]
    few = access.scan(east, questions)
    monkeypatch.setattr(access, "rules_of", lambda *_: None)
    every = access.scan(east, questions)
    for quick, full in zip(few, every, strict=True):
        unnamed = {(pair, reason) for pair, reason in quick.allowed if not pair.name}
        assert unnamed == set(full.allowed), quick.where
        assert full.asked == full.decided == quick.decided
    assert sum(one.asked for one in few) < sum(one.asked for one in every) / 2
    if role == "developer":
        # What a rule gives by name shows only when the name is asked for.
        assert ("get", "secrets 'db'") in {(pair.verb, pair.what) for pair, _ in few[1].allowed}


def test_observing_checks_write_nothing(local_cluster: KeptCluster, leaky: Tenant, tmp_path: Path) -> None:
    """At the ceiling *observe* they come to a verdict, and what would write is refused before it is sent."""
    low = _cluster(local_cluster, tmp_path, Impact.OBSERVE)
    assert leaky.order is not None
    tenants = [template.describe(low, leaky.order)]
    cases: list[tuple[Callable[[Judge], None], Verdict]] = [
        (lambda j: matrix.judge_cluster_scope(j, low, tenants), Verdict.FAILED),
        (lambda j: matrix.judge_default_accounts(j, low, tenants), Verdict.PASSED),
        (lambda j: secrets.judge_viewers(j, tenants), Verdict.FAILED),
        (lambda j: quota.judge_bounded(j, low, tenants), Verdict.FAILED),
        (lambda j: podsecurity.judge_labels(j, low, tenants), Verdict.FAILED),
        (lambda j: lifecycle.judge_complete(j, low, tenants), Verdict.FAILED),
    ]
    for judged, verdict in cases:
        judge = Judge()
        judged(judge)
        assert judge.conclude()[0] is verdict, [str(f) for f in judge.findings]
    with pytest.raises(ImpactRefused):
        escalation.judge_roles(Judge(), low, tenants)


def test_who_allowed_it_is_told(east: Cluster, leaky: Tenant) -> None:
    """The diagnostics of a failed check name the very binding, its role, who wrote them, and the rule that lets it; and
    what else the persona holds, wherever it is."""
    judge = Judge(rule="viewers read no secrets")
    secrets.judge_viewers(judge, [leaky])
    findings = [f for f in judge.findings if f.verdict is Verdict.FAILED]
    assert findings
    leaky.developer.may("get", resource="secrets")
    people = list(leaky.personas.values())
    found = diagnostics.collect(east, leaky.namespaces, findings=findings, personas=people).data
    told = "\n".join(found["who allowed this"])
    assert f"RoleBinding tenant-viewers/{leaky.namespace}: made 20" in told
    assert "written by pytest-k8sha" in told
    assert "[get list watch] on [*]" in told
    assert ", which lets it" in told
    developer = Judge()
    escalation.judge_nodes(developer, east, [leaky])
    findings = [f for f in developer.findings if f.verdict is Verdict.FAILED]
    found = diagnostics.collect(east, [], findings=findings, personas=people).data
    assert f"ClusterRoleBinding {leaky.name}-wide: made 20" in "\n".join(found["who allowed this"])
    assert f"everywhere: ClusterRole {leaky.name}-wide" in "\n".join(found["what else these subjects may"])


def test_a_server_that_hangs_is_not_waited_for(east: Cluster, leaky: Tenant) -> None:
    """While the API server is frozen the diagnostics give up after their budget, and name what is missing."""
    assert diagnostics.collect(east, leaky.namespaces).data["nodes"]
    faults = east.provider.faults(east.state)
    assert faults is not None
    faults.freeze("kube-apiserver")
    try:
        clock = Deadline(0)
        found = diagnostics.collect(east, leaky.namespaces)
        spent = clock.spent
    finally:
        faults.thaw("kube-apiserver")
    assert spent < TIMEOUT / 2, "one request alone would have waited longer"
    assert list(found.data) == ["left out"]
    told = "\n".join(found.data["left out"])
    assert f"namespace {leaky.namespace}" in told
    assert "nodes" in told
    eventually(lambda: east.client.get("/readyz"), what="the server answers again", timeout=60)


LEAKS = {
    "the viewer's star takes in the secrets": (secrets.judge_viewers, "viewer", "list secrets", '"tenant-viewer'),
    "the admin writes endpoints": (takeover.judge_endpoints, "admin", "endpoints", '"tenant-admin'),
    "exec shows the developer mounted secrets": (
        connecting.judge_own_pods,
        "developer",
        "exec in",
        "mounts the secret",
    ),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_each_leak_of_the_handbook_is_told_in_words(leak: str, east: Cluster, leaky: Tenant) -> None:
    """One finding names who, what and by which binding, for each leak of the handbook's roles."""
    judged, *words = LEAKS[leak]
    judge = Judge()
    arguments = (judge, [leaky]) if judged is secrets.judge_viewers else (judge, east, [leaky])
    judged(*arguments)
    findings = [f"{f.subject} {f.seen}" for f in judge.findings if f.verdict is Verdict.FAILED]
    assert [text for text in findings if all(word in text for word in words)], "\n".join(findings)


def test_what_remains_of_a_tenant_is_found(east: Cluster, leaky: Tenant) -> None:
    """Objects in its namespaces and cluster-scoped ones that name it, by name or as a subject."""
    found = [str(one) for one in remains.remains(east, leaky).found]
    assert f"ClusterRoleBinding {leaky.name}-wide" in found
    assert f"RoleBinding {leaky.namespace}/tenant-admins" in found
    assert f"Namespace {leaky.namespace}" in found
    assert not [text for text in found if "kube-system" in text]
