"""A trial restore: Velero brings a backup back into scratch namespaces of the run, which are compared and removed."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import K8shaError
from pytest_k8sha.model import nonce
from pytest_k8sha.recovery.manifests import backup as backups
from pytest_k8sha.recovery.manifests import completeness, rules
from pytest_k8sha.recovery.velero.stored import API

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.recovery.manifests.backup import Key
    from pytest_k8sha.recovery.plan import VeleroPlan
    from pytest_k8sha.recovery.velero.stored import Stored

ENDED = frozenset({"Completed", "PartiallyFailed", "Failed", "FailedValidation"})
_TIMEOUT = 300.0


def moved(obj: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """The object as a restore with this ``namespaceMapping`` has to bring it: in the other namespace, and subjects of a
    RoleBinding with it."""
    made = copy.deepcopy(dict(obj))
    made["metadata"]["namespace"] = mapping[made["metadata"]["namespace"]]
    if made["kind"] == "RoleBinding":
        for subject in made.get("subjects") or []:
            if subject.get("namespace") in mapping:
                subject["namespace"] = mapping[subject["namespace"]]
    return made


def restores(judge: Judge, cluster: Cluster, stored: Stored, plan: VeleroPlan) -> None:
    """Each object of the plan's namespaces that is in the archive is there after the restore, and equal; what Velero
    says of it is told beside it, and passes nothing."""
    mapping = {name: cluster.create_namespace("k8sha-restore") for name in plan.namespaces}
    restore = nonce("k8sha-restore")
    restored = cluster.resource(API, "Restore")
    try:
        spec = {"backupName": stored.name, "includedNamespaces": plan.namespaces, "namespaceMapping": mapping}
        restored.create({"metadata": {"name": restore}, "spec": spec}, plan.namespace)
        said = eventually(
            lambda: restored.get(restore, plan.namespace).get("status") or {},
            what="Velero has ended the restore",
            timeout=_TIMEOUT,
            accept=lambda status: status.get("phase") in ENDED,
            describe=lambda status: str(status.get("phase", "no phase")),
        )
        live, unlisted = backups.inventory(cluster)
    finally:
        with suppress(K8shaError):  # it carries the run's label and goes with the run
            restored.delete(restore, plan.namespace)
        for name in mapping.values():
            cluster.delete_namespace(name, wait=False)
    wanted: dict[Key, Any] = {}
    for key, obj in stored.objects.items():
        if key.namespace in mapping and not rules.skipped(obj):
            expected = moved(obj, mapping)
            wanted[backups.Key.of(expected)] = expected
    judge.control(bool(wanted), "the archive holds objects of the namespaces")
    found = completeness.compare(wanted, {key: live[key] for key in wanted if key in live}, unlisted)
    phase = f"Velero says {said.get('phase')}, {said.get('errors', 0)} errors, {said.get('warnings', 0)} warnings"
    completeness.report(judge, found, extra_allowed=True, remedy=f"see why it was not restored; {phase}")
