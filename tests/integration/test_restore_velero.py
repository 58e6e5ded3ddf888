"""Velero's own server beside a real control plane, its backups in an S3 service: the checks of them, and their mutants.

`velero` and `velero-plugin-for-aws` are looked for where the programs of a local cluster are; without them nothing here
is run. Hooks and volumes need pods that run, and are not tried.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_k8sha import _process
from pytest_k8sha._wait import eventually
from pytest_k8sha.checks import mutants
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.kube import manifests
from pytest_k8sha.model import Run
from pytest_k8sha.providers.local.provider import LocalProvider
from pytest_k8sha.record import chain
from pytest_k8sha.recovery.velero.stored import API
from pytest_k8sha.recovery.velero.trial import ENDED
from tests.integration import s3

ROOT = Path(__file__).parents[2]
SEARCHED = os.pathsep.join(filter(None, [os.environ.get("K8SHA_BIN_DIR"), os.environ.get("PATH")]))
PROGRAMS = [shutil.which(name, path=SEARCHED) for name in ("velero", "velero-plugin-for-aws")]
MUTANTS = {m.name: m for m in mutants.load([ROOT / "fixtures" / "mutants" / "velero"]).values()}

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "velero", "namespace": "velero"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "velero"}},
        "template": {
            "metadata": {"labels": {"app": "velero"}},
            "spec": {"containers": [{"name": "velero", "image": "velero/velero:v1.18.3"}]},
        },
    },
}
"""A restore asks it for the image of its helpers; the server itself runs beside the cluster."""

pytestmark = pytest.mark.skipif(not all(PROGRAMS), reason="velero and velero-plugin-for-aws are not installed")


@dataclass
class Velero:
    """A server at work on ``cluster``, which holds the vault; ``url`` is the S3 service."""

    cluster: Cluster
    env: dict[str, str]
    url: str

    def status(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.resource(API, kind).get(name, "velero").get("status") or {}
        return found

    def apply(self, objects: list[dict[str, Any]]) -> None:
        """Applies objects of Velero and waits for what it says of them."""
        filled = [manifests.fill(one, {"s3": self.url}) for one in objects]
        self.cluster.apply(filled)
        for one in filled:
            kind, name = one["kind"], one["metadata"]["name"]
            if one["apiVersion"] != API:
                continue
            ends = ENDED if kind == "Backup" else {"Available", "Unavailable"}
            eventually(
                lambda kind=kind, name=name: self.status(kind, name),  # type: ignore[misc]
                what=f"{kind} {name} is worked on",
                timeout=120,
                accept=lambda said, ends=ends: said.get("phase") in ends,  # type: ignore[misc]
            )

    def judged(self, folder: Path, **plan: Any) -> tuple[dict[str, dict[str, Any]], str]:
        """The results by check of a run as a user starts it, and its output."""
        store = {"name": "velero", "bucket": "bare", "prefix": "velero/", "endpoint": self.url, "region": s3.REGION}
        given = {"velero": {"store": store, "namespaces": ["vault"], **plan}}
        (folder / "restore.yaml").write_text(yaml.safe_dump(given))
        record = folder / "record.jsonl"
        argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--k8sha-cluster", "local=local"]
        argv += ["--k8sha-restore", folder / "restore.yaml", "--k8sha-record", record]
        done = _process.run(
            [*argv, ROOT / "suites" / "restore" / "test_velero.py"], env=self.env, cwd=ROOT, timeout=300, check=False
        )
        lines = chain.read(record).lines if record.exists() else []
        results = [line["data"] for line in lines if line["kind"] == "result"]
        return {result["check"]: result for result in results}, done.stdout + done.stderr


@pytest.fixture(scope="module")
def velero(local_cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Velero]:
    program, plugin = map(str, PROGRAMS)
    folder = tmp_path_factory.mktemp("velero")
    (folder / "plugins").mkdir()
    shutil.copy(plugin, folder / "plugins")
    cluster = Cluster(local_cluster.state, LocalProvider(), run=Run("r-velero", "test", 2**31), private=folder)
    definitions = _process.run([program, "install", "--crds-only", "--dry-run", "-o", "yaml"], timeout=60).stdout
    (folder / "definitions.yaml").write_text(definitions)
    vault = manifests.load([ROOT / "fixtures" / "restore" / "vault.yaml"])
    for one in vault:
        one["metadata"].pop("finalizers", None)  # nobody here takes it off
    cluster.apply([*manifests.load([folder / "definitions.yaml"]), *vault])
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "velero"}}
    cluster.apply([space, DEPLOYMENT])
    cluster.client.discovery.forget()
    with s3.service() as url:
        env = {**os.environ, **local_cluster.env, **{name.upper(): value for name, value in s3.KEYS.items()}}
        argv = [program, "server", "--kubeconfig", local_cluster.kubeconfig, "-n", "velero"]
        argv += ["--plugin-dir", folder / "plugins", "--metrics-address", "127.0.0.1:0"]
        argv += ["--backup-sync-period", "5s", "--store-validation-frequency", "2s"]
        server = _process.start(
            argv, log=folder / "log", env={**env, "VELERO_SCRATCH_DIR": str(folder), "VELERO_NAMESPACE": "velero"}
        )
        found = Velero(cluster, env, url)
        try:
            found.apply([location(url)])
            eventually(
                lambda: found.status("BackupStorageLocation", "default"),
                what="the storage location is available",
                timeout=60,
                accept=lambda said: said.get("phase") == "Available",
            )
            found.apply([backup("good")])
            assert found.status("Backup", "good")["phase"] == "Completed", (folder / "log").read_text()[-4000:]
            yield found
        finally:
            server.end(grace=10.0)
            for name in ("vault", "velero"):
                cluster.resource("v1", "Namespace").delete(name)
            for one in cluster.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition").list():
                if one["spec"]["group"] in {"velero.io", "vault.example.com"}:
                    cluster.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition").delete(
                        one["metadata"]["name"]
                    )


def location(url: str) -> dict[str, Any]:
    config = {"region": s3.REGION, "s3ForcePathStyle": "true", "s3Url": url, "checksumAlgorithm": ""}
    spec = {"provider": "velero.io/aws", "default": True, "config": config}
    spec["objectStorage"] = {"bucket": "bare", "prefix": "velero"}
    meta = {"name": "default", "namespace": "velero"}
    return {"apiVersion": API, "kind": "BackupStorageLocation", "metadata": meta, "spec": spec}


def backup(name: str) -> dict[str, Any]:
    spec = {"includedNamespaces": ["vault"], "storageLocation": "default", "ttl": "24h0m0s"}
    return {"apiVersion": API, "kind": "Backup", "metadata": {"name": name, "namespace": "velero"}, "spec": spec}


def test_a_good_backup_passes(velero: Velero, tmp_path: Path) -> None:
    """Everything of the namespace is in the archive, an object of a custom kind included; the location is available."""
    results, output = velero.judged(tmp_path)
    assert {check: r["verdict"] for check, r in results.items()} == dict.fromkeys(results, "passed"), output
    assert len(results) == 3
    subjects = {f["subject"] for f in results["RST-VEL-001"]["findings"] if f["verdict"] == "passed"}
    assert "Deed vault/main-street-1" in subjects, subjects


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_the_mutant_fails_its_checks(name: str, velero: Velero, tmp_path: Path) -> None:
    """Velero itself says `Completed` of a backup that lacks a kind; the check does not."""
    mutant = MUTANTS[name]
    velero.apply(mutant.overlay)
    try:
        if any(one["kind"] == "Backup" for one in mutant.overlay):
            assert velero.status("Backup", name)["phase"] == "Completed"
        results, output = velero.judged(tmp_path, **mutant.plan)
    finally:
        for one in mutant.overlay:
            meta = one["metadata"]
            velero.cluster.resource(one["apiVersion"], one["kind"]).delete(meta["name"], meta.get("namespace", ""))
    assert {results[check]["verdict"] for check in mutant.checks} == {"failed"}, output
    told = json.dumps([f for c in mutant.checks for f in results[c]["findings"] if f["verdict"] == "failed"])
    assert [text for text in mutant.says if text not in told] == [], told


def test_a_store_without_the_backup_leaves_it_open(velero: Velero, tmp_path: Path) -> None:
    """A backup that is not there is neither complete nor not."""
    results, output = velero.judged(tmp_path, backup="nobody")
    assert {result["verdict"] for result in results.values()} == {"inconclusive"}, output
