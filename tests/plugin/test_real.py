"""The fixtures on a real cluster: one local control plane, kept for all tests of this module."""

from __future__ import annotations

import json
import signal
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_k8sha import _process

if TYPE_CHECKING:
    from tests.conftest import KeptCluster
    from tests.plugin.conftest import Inner

FIXTURES = """
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}}

def test_namespace(cluster, namespace, run):
    found = cluster.resource("v1", "Namespace").get(namespace)
    assert found["metadata"]["labels"].items() >= run.labels.items()

def test_apply(cluster, namespace, apply, eventually):
    apply(MAP)
    assert cluster.resource("v1", "ConfigMap").get("settings", namespace)["data"] == {"a": "b"}
    assert eventually(lambda: cluster.resource("v1", "ServiceAccount").find("default", namespace))

def test_apply_files(apply, run):
    made = apply("objects.yaml", colour="red")
    assert [o["kind"] for o in made] == ["PriorityClass", "ConfigMap"]
    assert made[1]["data"] == {"colour": "red"}
    assert made[1]["metadata"]["namespace"].startswith("k8sha-test-")

def test_fleet(fleet, cluster):
    assert fleet[cluster.name] is cluster and len(fleet) == 1

def test_probe(cluster, availability, judge):
    from pytest_k8sha import apiread
    with availability(apiread(cluster), rate=10, objective="longest <= 30s") as probe:
        with probe.fault("nothing"):
            pass
    probe.judge(judge, "reads")

@pytest.mark.k8sha_requires("nodes:real")
def test_real_nodes(cluster): assert False, "KWOK nodes are not real"

@pytest.mark.k8sha_requires("zones>=3", "nodes:simulated")
def test_zones(cluster): pass

@check("TST-REA-001", "pods say why", severity="high", impact="exercise", why="w", remedy="r")
def test_diagnosed(judge, cluster, namespace, apply, diagnostics):
    apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"db": "hunter2-hunter2"}})
    apply({"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": "stuck", "annotations": {"example.com/token": "hunter2-hunter2"}},
           "spec": {"nodeSelector": {"no": "such"}, "containers": [{"name": "c", "image": "i",
                    "env": [{"name": "PASSWORD", "value": "hunter2-hunter2"}]}]}})
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"key": "hunter2-hunter2"}})
    assert any("stuck Pending" in line for line in diagnostics()[f"pods of {namespace}"])
    judge.bad("pod stuck", seen="it is pending")
"""

OBJECTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: from-a-file}
data: {colour: "${colour}"}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: k8sha-plugin-test}
value: 7
"""


def objects(kept: KeptCluster) -> set[str]:
    """What a run could have left: namespaces and priority classes."""
    found = set()
    for kind in ("namespaces", "priorityclasses"):
        argv = ["kubectl", "--kubeconfig", kept.kubeconfig, "get", kind, "-o", "json"]
        binary = kept.settings.bin_dir / "kubectl" if kept.settings.bin_dir else Path("kubectl")
        done = _process.run([binary, *argv[1:]], timeout=60)
        found |= {f"{kind}/{item['metadata']['name']}" for item in json.loads(done.stdout)["items"]}
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_fixtures(real: Inner, local_cluster: KeptCluster, workers: int) -> None:
    """Namespace, apply, fleet, probes, requirements, diagnostics; afterwards nothing of the run is left on the kept
    cluster."""
    before = objects(local_cluster)
    real.write(FIXTURES)
    (real.pytester.path / "objects.yaml").write_text(OBJECTS)
    result = real.run("-rs", workers=workers)
    result.assert_outcomes(passed=6, failed=1, skipped=1)
    (probed,) = [line for line in real.lines("result") if line.get("timelines")]
    (timeline,) = probed["timelines"]
    assert (timeline["subject"], timeline["faults"][0]["name"]) == ("reads", "nothing")
    assert timeline["outcomes"]["ok"] == timeline["samples"] - timeline["outcomes"].get("missed", 0) > 0
    assert sha256(Path(timeline["file"]).read_bytes()).hexdigest() == timeline["digest"]
    result.stdout.fnmatch_lines(["*cluster local: needs nodes:real, which this cluster does not have*"])
    result.stdout.fnmatch_lines(["*what stands out on the cluster*", "pods of *: stuck Pending*"])
    assert objects(local_cluster) == before
    assert real.left() == []
    line = real.lines("cluster")[0]
    assert (line["name"], line["provider"], line["nodes"], line["ceiling"]) == ("local", "local", 3, "disrupt")
    assert line["version"].startswith("v1.")
    assert line["uid"]
    failed = real.results()["TST-REA-001"]
    assert any("stuck Pending" in text for texts in failed["diagnostics"].values() for text in texts)
    assert any(text.startswith("s: Opaque, keys key") for texts in failed["diagnostics"].values() for text in texts)
    assert "hunter2" not in real.record.read_text()
    assert "hunter2" not in (real.record.parent / "index.html").read_text()


TENANTS = """
def test_first(tenant, neighbour, tenants):
    assert tenants == [tenant, neighbour]
    assert tenant.name != neighbour.name

@check("TST-REA-002", "the developer reads pods", severity="high", impact="exercise")
def test_developer(judge, tenant):
    pods = tenant.developer.resource("v1", "Pod").list(tenant.namespace)
    judge.that(isinstance(pods, list), "developer", seen="a list")

def test_names(tenants, run):
    import os, pathlib
    with (pathlib.Path(__file__).parent / "names").open("a") as file:
        file.write(" ".join(t.name for t in tenants) + "\\n")

@pytest.mark.parametrize("n", range(4))
def test_again(n, tenants):
    test_names(tenants, None)
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_tenants(real: Inner, local_cluster: KeptCluster, workers: int) -> None:
    """Two tenants are made once a run, whoever asks first; they have real credentials; they go at the end."""
    before = objects(local_cluster)
    real.write(TENANTS)
    result = real.run(workers=workers)
    result.assert_outcomes(passed=7)
    assert len(set((real.pytester.path / "names").read_text().splitlines())) == 1
    assert objects(local_cluster) == before


def test_declared(real: Inner, local_cluster: KeptCluster) -> None:
    """Tenants and manifests of a fleet file are there before the first test, and go at the end."""
    before = objects(local_cluster)
    root = Path(__file__).parents[2]
    (real.pytester.path / "objects.yaml").write_text(OBJECTS.replace("${colour}", "x").replace("from-a", "default-a"))
    (real.pytester.path / "fleet.yaml").write_text(f"""
clusters:
  local:
    provider: local
    apply: [objects.yaml]
    tenants:
    - {{name: one, template: {root}/fixtures/tenants/good}}
    - {{name: two, template: {root}/fixtures/tenants/good}}
""")
    (real.pytester.path / "objects.yaml").write_text(OBJECTS.split("---")[1])
    real.write("""
def test_there(cluster, tenants):
    assert [t.name for t in tenants] == ["one", "two"]
    assert cluster.resource("scheduling.k8s.io/v1", "PriorityClass").get("k8sha-plugin-test")
""")
    real.run("--k8sha-fleet=fleet.yaml").assert_outcomes(passed=1)
    assert objects(local_cluster) == before


def test_apply_refused(real: Inner) -> None:
    """A cluster that refuses what the fleet file applies: its checks are open, with the reason; another goes on."""
    (real.pytester.path / "bad.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: no-such-namespace}\n"
    )
    (real.pytester.path / "fleet.yaml").write_text("clusters:\n  local: {provider: local, apply: [bad.yaml]}\n")
    real.write("""
@check("TST-REA-003", "t", severity="high", impact="observe")
def test_a(judge, cluster): judge.ok("x")
""")
    real.run("--k8sha-fleet=fleet.yaml")
    result = real.results()["TST-REA-003"]
    assert result["verdict"] == "inconclusive"
    assert "did not take the manifests of `apply`" in result["reason"]
    assert "no-such-namespace" in result["reason"]


def test_context_is_read_only(real: Inner, local_cluster: KeptCluster) -> None:
    """A kubeconfig context is observed and no more, unless the user raises its ceiling and names its identity."""
    real.write("""
def test_reads(cluster): assert cluster.snapshot.list("v1", "Node")
def test_writes(namespace): pass
@check("TST-REA-004", "t", severity="high", impact="exercise")
def test_impact(judge, cluster): judge.ok("x")
def test_tenants(tenants): pass
""")
    order = f"--k8sha-cluster=prod=context:local,kubeconfig={local_cluster.kubeconfig}"
    result = real.run(order, "-rs")
    result.stdout.fnmatch_lines(["*1 passed, 2 skipped, 1 not evaluated*"])
    assert "cluster prod may be used up to observe" in real.results()["TST-REA-004"]["reason"]
    wrong = real.run(f"{order},ceiling=exercise,uid=0")
    wrong.stdout.fnmatch_lines(["*its identity is given and right*"])


def test_limit_of_the_run(real: Inner) -> None:
    """--k8sha-impact lowers what may be done, in the guard as well."""
    real.write("""
def test_guard(cluster):
    from pytest_k8sha.errors import ImpactRefused
    with pytest.raises(ImpactRefused):
        cluster.resource("v1", "Namespace").create({"metadata": {"name": "never"}})
""")
    real.run("--k8sha-impact=observe").assert_outcomes(passed=1)


@pytest.mark.parametrize("workers", [0, 1])
def test_cluster_dies(inner: Inner, workers: int) -> None:
    """A cluster that dies half-way: its remaining checks are open at once, without waiting for time-outs."""
    inner.write("""
@check("TST-DIE-001", "t", severity="high", impact="observe")
def test_a(judge, cluster):
    judge.that(bool(cluster.snapshot.list("v1", "Node")), "nodes", seen="there")

@check("TST-DIE-002", "t", severity="high", impact="observe")
def test_b(judge, cluster):
    import os, signal
    from pytest_k8sha._process import ProcessId
    supervisor = ProcessId(**cluster.state.details["supervisor"])
    assert supervisor.end(20)
    cluster.client.get("/version")

@check("TST-DIE-003", "t", severity="high", impact="observe")
def test_c(judge, cluster):
    cluster.client.get("/version")

def test_d(): pass
""")
    result = inner.run(workers=workers)
    result.stdout.fnmatch_lines(["*2 passed, 2 inconclusive*"])
    assert inner.results()["TST-DIE-003"]["reason"].startswith("cluster local ended while the tests ran")
    assert inner.left() == []


def test_killed_and_recovered(inner: Inner) -> None:
    """A record that ends in a crash can be reported; the next run is not disturbed by what is left."""
    inner.write("""
def test_a(run): pass
def test_b(run):
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
""")
    result = inner.run(apart=True)
    assert result.ret == -signal.SIGKILL
    assert len(inner.left()) == 1
    assert [r["verdict"] for r in inner.lines("result")] == ["passed"]


def test_keep(inner: Inner, local_cluster: KeptCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """--k8sha-keep=failure keeps the clusters of a run that failed, and only of that."""
    from pytest_k8sha.fleet.keeper import Keeper
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.settings import Settings

    inner.write("def test_a(cluster): assert cluster.name != 'bad'\n")
    settings = Settings.from_environment()
    keeper = Keeper(settings, Registry(), lambda _: None)
    inner.run("--k8sha-keep=failure", "--k8sha-cluster=good=local,nodes=0").assert_outcomes(passed=1)
    assert keeper.kept() == {}
    result = inner.run("--k8sha-keep=failure", "--k8sha-cluster=bad=local,nodes=0")
    try:
        result.stdout.fnmatch_lines(["kept: bad; end with `k8sha down bad`"])
        assert list(keeper.kept()) == ["bad"]
    finally:
        keeper.drop("bad")
