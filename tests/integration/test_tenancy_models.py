"""Tenancy models on a real API server: one suite on each of them unchanged, and controllers that are broken."""

from __future__ import annotations

import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pytest_k8sha import _process
from pytest_k8sha._clock import epoch
from pytest_k8sha._wait import eventually
from pytest_k8sha.checks import mutants
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.errors import ApiError, EnvironmentFailure, UsageError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.spec import TenantOrder
from pytest_k8sha.kube import manifests
from pytest_k8sha.model import LABEL_RUN, Impact, Run, Verdict, nonce
from pytest_k8sha.providers.local.provider import LocalProvider
from pytest_k8sha.record import chain
from pytest_k8sha.settings import bundled
from pytest_k8sha.tenancy import creation, lifecycle, remains, tenant_object
from pytest_k8sha.tenancy.models.registry import Models
from pytest_k8sha.tenancy.models.tenant_crd import API, KIND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_k8sha.tenancy.tenant import Tenant
    from tests.conftest import KeptCluster

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = mutants.load([bundled("fixtures", "mutants", "tenant-crd")])
MODELS = Models()
CHECKS: dict[str, Any] = {
    "TEN-LIF-001": lifecycle.judge_cascade,
    "TEN-LIF-002": lifecycle.judge_complete,
    "TEN-LIF-003": creation.judge_ready,
    "TEN-LIF-004": creation.judge_old_rights,
    "TEN-LIF-005": creation.judge_together,
    "TEN-OBJ-001": tenant_object.judge_spec,
    "TEN-OBJ-002": tenant_object.judge_status,
}


@pytest.fixture(scope="module")
def east(local_cluster: KeptCluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The shared local cluster as a run uses it, with the Tenant kind."""
    run = Run(id="run-models", owner="tests", expires=int(epoch()) + 3600)
    private = tmp_path_factory.mktemp("private")
    cluster = Cluster(local_cluster.state, LocalProvider(local_cluster.settings), run=run, private=private)
    cluster.apply(manifests.load([bundled("fixtures", "crds", "tenant.yaml"), bundled("fixtures", "policies")]))
    cluster.client.discovery.forget()
    eventually(lambda: cluster.resource(API, KIND).list() == [], what="the Tenant kind is served", timeout=30)
    return cluster


@pytest.fixture(scope="module")
def controllers(east: Cluster, local_cluster: KeptCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The reference controller and the broken ones, as a process; yields what it says."""
    log = tmp_path_factory.mktemp("controllers") / "log"
    argv = [sys.executable, "-m", "tests.integration.tenant_controllers", str(local_cluster.kubeconfig)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = _process.start(argv, log=log, cwd=ROOT, env=env)
    try:
        eventually(lambda: "started" in log.read_text(), what="the controllers have started", timeout=60)
        yield log
    finally:
        program.end(5)


def tenants_of(cluster: Cluster, **order: Any) -> list[Tenant]:
    """Two fresh tenants by this order, at the same time."""
    orders = MODELS.prepare([TenantOrder.model_validate({"name": nonce("t"), **order}) for _ in range(2)])
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda one: MODELS.create(cluster, one), orders))


def told(judge: Judge) -> str:
    return "\n".join(f"{f.subject} {f.seen} {f.remedy}" for f in judge.findings if f.verdict is Verdict.FAILED)


@pytest.fixture(scope="module")
def judged(east: Cluster, controllers: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every broken controller judged by the checks that it must fail, several at a time."""
    base = bundled("fixtures", "tenants", "tenant-crd")

    def one(name: str) -> dict[str, Judge]:
        mutant = MUTANTS[name]
        template = tmp_path_factory.mktemp("template")
        (template / "tenant.yaml").write_text((base / "tenant.yaml").read_text())
        obj = yaml.safe_load((base / "object.yaml").read_text())
        obj["metadata"]["labels"] = {"multitenancy.example.com/class": mutant.cluster["controller"]}
        (template / "object.yaml").write_text(yaml.safe_dump(obj))
        tenants = tenants_of(east, model="tenant-crd", template=template)
        judges = {check: Judge(rule=check) for check in mutant.checks}
        for check, judge in judges.items():
            CHECKS[check](judge, east, tenants)
        for tenant in tenants:
            MODELS.get("tenant-crd").delete(tenant)
        return judges

    with ThreadPoolExecutor(4) as pool:
        futures = {name: pool.submit(one, name) for name in MUTANTS}
    for path in ("tenants.multitenancy.example.com",):  # what the one that ignores deletions left
        for obj in east.client.get(f"/apis/multitenancy.example.com/v1/{path.partition('.')[0]}")["items"]:
            east.resource(API, KIND).patch(obj["metadata"]["name"], {"metadata": {"finalizers": None}})
    return futures


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_broken_controller_fails_its_checks(name: str, judged: dict[str, Any]) -> None:
    """Each named check fails on the tenants of the broken controller, and says why."""
    judges = judged[name].result()
    survived = {check: judge.conclude() for check, judge in judges.items() if judge.conclude()[0] is not Verdict.FAILED}
    assert survived == {}, MUTANTS[name].title
    text = "\n".join(map(told, judges.values()))
    assert [words for words in MUTANTS[name].says if words not in text] == [], text


def test_every_check_of_the_object_has_a_mutant() -> None:
    """A check without a mutant is a claim without proof; each broken controller is one that exists."""
    from tests.integration.tenant_controllers import BROKEN

    assert {mutant.cluster["controller"] for mutant in MUTANTS.values()} == set(BROKEN)
    assert set(CHECKS) <= {check for mutant in MUTANTS.values() for check in mutant.checks} | {"TEN-LIF-002"}


# --- one suite, each model -------------------------------------------------------------------------------------------

OBSERVING = ("TEN-ACC-005", "TEN-QUO-003", "TEN-POD-006", "TEN-LIF-002")
WRITING = ("TEN-ACC-004", "TEN-LIM-001", "TEN-POD-005")
OBJECT = ("TEN-OBJ-001", "TEN-OBJ-002")
LIFE = ("TEN-LIF-001", "TEN-LIF-003", "TEN-LIF-004", "TEN-LIF-005")
"""On Tenant objects only: the detection matrix has them on namespaces."""


def nodes(checks: tuple[str, ...]) -> list[str]:
    """The node id of each check, read from the suites' text."""
    found = {}
    for path in sorted((ROOT / "suites" / "tenancy").glob("test_*.py")):
        for check, name in re.findall(r'@check\(\s*"([A-Z-]+\d+)".*?\ndef (test_\w+)', path.read_text(), re.DOTALL):
            found[check] = f"{path}::{name}"
    return [found[check] for check in checks]


def mapping_of(cluster: Cluster, tenants: list[Tenant], folder: Path) -> Path:
    """A mapping file of tenants that are there: by impersonation, and one persona of each by a kubeconfig."""
    kubeconfig = yaml.safe_load(Path(cluster.state.kubeconfig).read_text())
    issuer = cluster.provider.issuer(cluster.state)
    assert issuer is not None
    listed = []
    for tenant in tenants:
        certificate, key = issuer.issue(f"{tenant.name}-developer", (f"{tenant.name}:developers",))
        for name, text in (("crt", certificate), ("key", key)):
            (folder / f"{tenant.name}.{name}").write_text(text)
        user = {"client-certificate": f"{tenant.name}.crt", "client-key": f"{tenant.name}.key"}
        theirs = {**kubeconfig, "users": [{"name": one["name"], "user": user} for one in kubeconfig["users"]]}
        (folder / f"{tenant.name}.kubeconfig").write_text(yaml.safe_dump(theirs))
        assert tenant.order is not None
        listed.append(
            {
                "name": tenant.name,
                "namespaces": list(tenant.namespaces),
                "personas": {
                    "admin": {"user": f"{tenant.name}-admin", "groups": [f"{tenant.name}:admins"]},
                    "developer": {"kubeconfig": f"{tenant.name}.kubeconfig"},
                    "viewer": {"user": f"{tenant.name}-viewer"},
                    "workload": {"serviceAccount": "workload"},
                },
                "expects": tenant.expects.model_dump(by_alias=True),
            }
        )
    path = folder / "tenants.yaml"
    path.write_text(yaml.safe_dump({"tenants": listed}))
    return path


def test_one_suite_on_each_model(east: Cluster, controllers: Path, local_cluster: KeptCluster, tmp_path: Path) -> None:
    """A selection of the tenancy suite passes unchanged on tenants of namespaces and RBAC, on Tenant objects, and,
    without a single write, on tenants that somebody else made; what a model does not promise is not evaluated."""
    made = tenants_of(east, template=bundled("fixtures", "tenants", "good"))
    before = {t.namespace: east.resource("v1", "Namespace").get(t.namespace)["metadata"] for t in made}
    aliases = {}
    for name, model in (("ns", "namespace"), ("crd", "tenant-crd")):
        place = local_cluster.settings.fleets / name
        place.mkdir(mode=0o700)
        (place / "pki").symlink_to(Path(local_cluster.state.place) / "pki")
        replace(local_cluster.state, name=name, place=str(place)).save()
        aliases[name] = {"provider": "local", "tenants": [{"model": model, **_template(model)} for _ in range(2)]}
    mapping = {"model": "existing", "mapping": str(mapping_of(east, made, tmp_path))}
    context = {"provider": "context", "kubeconfig": str(local_cluster.kubeconfig), "tenants": [mapping]}
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump({"clusters": {**aliases, "theirs": context}}))
    record = tmp_path / "record.jsonl"
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-q",
        "--assert=plain",
        "-p",
        "no:hypothesispytest",
    ]
    argv += ["--k8sha-fleet", str(tmp_path / "fleet.yaml"), "--k8sha-record", str(record)]
    argv += [f"{node}[{name}]" for node in nodes((*OBSERVING, *WRITING, *OBJECT)) for name in (*aliases, "theirs")]
    argv += [f"{node}[crd]" for node in nodes(LIFE)]
    env = {**os.environ, **local_cluster.env, "PYTHONPATH": str(ROOT)}
    try:
        done = _process.run(argv, env=env, cwd=ROOT, timeout=1500, check=False)
    finally:
        for name in aliases:
            for path in sorted((local_cluster.settings.fleets / name).iterdir()):
                path.unlink()
            (local_cluster.settings.fleets / name).rmdir()
    results = [line["data"] for line in chain.read(record).lines if line["kind"] == "result"]
    seen = {(r["cluster"], r["check"]): (r["verdict"], r["reason"]) for r in results}
    wanted = {(name, check): "passed" for name in aliases for check in (*OBSERVING, *WRITING)}
    wanted |= {("theirs", check): "passed" for check in OBSERVING}
    wanted |= {("crd", check): "passed" for check in (*OBJECT, *LIFE)}
    wrong = {key: seen.get(key) for key, verdict in wanted.items() if seen.get(key, ("",))[0] != verdict}
    whole = json.dumps([r for r in results if (r["cluster"], r["check"]) in wrong])
    assert wrong == {}, whole[:4000] + done.stdout[-2000:]
    rest = {key: said for key, said in seen.items() if key not in wanted}
    assert {verdict for verdict, _ in rest.values()} == {"not evaluated"}
    assert "is not promised object (model namespace)" in rest["ns", "TEN-OBJ-001"][1]
    assert "may be used up to observe" in rest["theirs", "TEN-ACC-004"][1]
    assert "is not promised object (model existing)" in rest["theirs", "TEN-OBJ-001"][1]
    for tenant in made:
        found = east.resource("v1", "Namespace").get(tenant.namespace)["metadata"]
        assert found == before[tenant.namespace], "a tenant of somebody else was changed"
        MODELS.get("namespace").delete(tenant)
    runs = [(t["metadata"].get("labels") or {}).get(LABEL_RUN) for t in east.resource(API, KIND).list()]
    spaces = east.resource("v1", "Namespace").list(labels="multitenancy.example.com/tenant")
    runs += [(space["metadata"].get("labels") or {}).get(LABEL_RUN) for space in spaces]
    assert set(runs) <= {"run-models"}, "the run did not take its Tenants along, or their namespaces"


def _template(model: str) -> dict[str, str]:
    return {"template": str(bundled("fixtures", "tenants", "good" if model == "namespace" else "tenant-crd"))}


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["namespace", "tenant-crd"])
def test_a_namespace_of_somebody_else_is_refused(model: str, east: Cluster, controllers: Path) -> None:
    """It is named, nothing in it or beside it is changed, and no Tenant is made."""
    name = nonce("theirs")
    other = replace(east.run, id="run-somebody-else")
    namespaces = east.resource("v1", "Namespace")
    namespaces.create({"metadata": {"name": name}})
    namespaces.patch(name, {"metadata": {"labels": {LABEL_RUN: other.id}}})
    east.guard.namespaces.discard(name)
    before = namespaces.get(name)
    (order,) = MODELS.prepare([TenantOrder.model_validate({"model": model, "name": name, **_template(model)})])
    with pytest.raises(UsageError, match="exists already and is not this run's; nothing was changed") as caught:
        MODELS.create(east, order)
    assert name in str(caught.value)
    assert namespaces.get(name) == before
    assert east.resource("v1", "ResourceQuota").list(name) == []
    assert east.resource(API, KIND).find(name) is None
    east.guard.claim(name)
    east.delete_namespace(name, wait=False)


def test_a_persona_that_nobody_can_act_as(east: Cluster, local_cluster: KeptCluster, tmp_path: Path) -> None:
    """A kubeconfig without good credentials, an administrator who may not impersonate, a namespace that is not there:
    all told at once, and nothing is changed."""
    kubeconfig = yaml.safe_load(local_cluster.kubeconfig.read_text())
    nobody = {**kubeconfig, "users": [{"name": one["name"], "user": {"token": "none"}} for one in kubeconfig["users"]]}
    (tmp_path / "nobody.yaml").write_text(yaml.safe_dump(nobody))
    personas = {"admin": {"user": "alice"}, "viewer": {"kubeconfig": str(tmp_path / "nobody.yaml")}}
    data = {"model": "existing", "name": "gone", "namespaces": ["gone"], "personas": personas}
    (order,) = MODELS.prepare([TenantOrder.model_validate(data)])
    with pytest.raises(EnvironmentFailure) as caught:
        MODELS.create(east, order)
    said = str(caught.value)
    assert "there is no namespace gone" in said
    assert "nobody can act as the viewer" in said
    assert "401" in said
    assert "act as the admin" not in said
    low = Cluster(east.state, east.provider, run=east.run, private=tmp_path, ceiling=Impact.OBSERVE)
    low.__dict__["client"] = low.client.with_certificate(*_certificate(east, "k8sha-viewer"), who="somebody")
    with pytest.raises(EnvironmentFailure, match=r"nobody can act as the admin: .* 403 Forbidden"):
        MODELS.create(low, order.model_copy(update={"namespaces": ["default"]}))


def _certificate(cluster: Cluster, user: str) -> tuple[str, str]:
    issuer = cluster.provider.issuer(cluster.state)
    assert issuer is not None
    binding = {
        "metadata": {"name": nonce("reader")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    cluster.resource("rbac.authorization.k8s.io/v1", "ClusterRoleBinding").create(binding)
    return issuer.issue(user, ())


def test_a_tenant_that_is_no_good_is_not_awaited(east: Cluster, controllers: Path, tmp_path: Path) -> None:
    """The controller says why a tenant fails; one that says nothing is told of after the deadline; a mistake in the
    object is the server's refusal."""
    base = bundled("fixtures", "tenants", "tenant-crd")
    for name, change in (
        ("silent", lambda obj: obj["metadata"].update(labels={"multitenancy.example.com/class": "nobody"})),
        ("wrong", lambda obj: obj["spec"].update(securty={})),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tenant.yaml").write_text((base / "tenant.yaml").read_text())
        obj = yaml.safe_load((base / "object.yaml").read_text())
        change(obj)
        (tmp_path / name / "object.yaml").write_text(yaml.safe_dump(obj))
    orders = [
        {"model": "tenant-crd", "name": nonce("t"), "template": tmp_path / name, "deadline": 0.5}
        for name in ("silent", "wrong")
    ]
    silent, wrong = MODELS.prepare(map(TenantOrder.model_validate, orders))
    with pytest.raises(EnvironmentFailure, match="see whether the controller of Tenants runs"):
        MODELS.create(east, silent)
    east.resource(API, KIND).delete(silent.name)
    with pytest.raises(ApiError, match="securty"):
        MODELS.create(east, wrong)
    assert remains.remains(east, MODELS.describe(east, wrong)).found == []
