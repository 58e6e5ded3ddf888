"""`k8sha backup manifests` and `k8sha restore manifests`, as a user runs them, on a real control plane."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from pytest_k8sha import _process
from pytest_k8sha._wait import eventually
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.kube import manifests
from pytest_k8sha.model import Run
from pytest_k8sha.providers.local.provider import LocalProvider

ROOT = Path(__file__).parents[2]


def command(local_cluster: Any, *words: str | Path) -> _process.Completed:
    env = {**os.environ, **local_cluster.env}
    argv = [sys.executable, "-m", "pytest_k8sha.cli", *words]
    return _process.run(argv, timeout=180, env=env, cwd=ROOT, check=False)


def test_a_backup_is_made_and_used(local_cluster: Any, tmp_path: Path) -> None:
    """What was deleted comes back equal; nothing is restored over what is there unless told, and nothing into a
    cluster that k8sha did not make; a backup that cannot be read changes nothing."""
    run = Run("r-manifests", "test", 2**31)
    cluster = Cluster(local_cluster.state, LocalProvider(), run=run, private=tmp_path)
    objects = manifests.load([ROOT / "fixtures" / "restore" / "vault.yaml"])
    for one in objects:
        one["metadata"].pop("finalizers", None)
    cluster.apply(objects)
    place = tmp_path / "backup"
    made = command(local_cluster, "backup", "manifests", "local", "--out", place, "--json")
    assert made.code == 0, made.stderr
    about = json.loads(made.stdout)
    assert about["counts"]["Deed"] == 1
    assert (place.stat().st_mode & 0o077, (place / "Secret" / "vault.json").stat().st_mode & 0o077) == (0, 0)

    again = command(local_cluster, "backup", "manifests", "local", "--out", place)
    assert (again.code, "not empty" in again.stderr) == (2, True)
    over = command(local_cluster, "restore", "manifests", place, "--into", "local")
    assert (over.code, "already holds" in over.stderr) == (2, True), over.stderr
    foreign = command(local_cluster, "restore", "manifests", place, "--into", "context:prod")
    assert (foreign.code, "did not make" in foreign.stderr) == (2, True), foreign.stderr

    cluster.resource("v1", "Namespace").delete("vault")
    gone = "the namespace is gone"
    eventually(lambda: cluster.resource("v1", "Namespace").find("vault") is None, what=gone, timeout=90)
    back = command(local_cluster, "restore", "manifests", place, "--into", "local", "--overwrite", "--json")
    assert back.code == 0, back.stdout + back.stderr
    told = json.loads(back.stdout)
    assert told["failures"] == {}
    assert told["counts"]["restored-equal"] == len([o for o in objects if o["kind"] != "Namespace"]) + 1
    assert cluster.resource("vault.example.com/v1", "Deed").get("main-street-1", "vault")["spec"]["shares"] == 3

    (place / "ConfigMap" / "vault.json").unlink()
    broken = command(local_cluster, "restore", "manifests", place, "--into", "local", "--overwrite")
    assert (broken.code, "is missing, and metadata.json names it" in broken.stderr) == (2, True), broken.stderr
    cluster.resource("v1", "Namespace").delete("vault")
    cluster.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition").delete("deeds.vault.example.com")
