"""What the checks of restore share: a snapshot read once, and one restore of the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_k8sha import Cluster
    from pytest_k8sha.recovery.etcd.drill import Drill, Taken
    from pytest_k8sha.recovery.manifests.judging import Subject
    from pytest_k8sha.recovery.objects.judging import Stock
    from pytest_k8sha.recovery.plan import Plan
    from pytest_k8sha.recovery.velero.stored import Stored


@pytest.fixture(scope="session")
def etcd_snapshot(cluster: Cluster, restore_plan: Plan, private_folder: Path) -> Taken:
    """The snapshot that the plan names, or one that is taken now, restored for trial beside the cluster."""
    from pytest_k8sha.errors import NotEvaluated
    from pytest_k8sha.model import nonce
    from pytest_k8sha.providers.local.programs import EtcdTools
    from pytest_k8sha.recovery.etcd import drill, snapshot
    from pytest_k8sha.settings import Settings

    place = private_folder / nonce("trial")
    place.mkdir(mode=0o700)
    path = restore_plan.etcd.snapshot
    if path is not None:
        tools = EtcdTools(Settings.from_environment(), cluster.capabilities.version.lstrip("v"))
        return drill.examine(tools, path, place)
    try:
        storage = cluster.storage
    except NotEvaluated as error:
        raise NotEvaluated(f"no snapshot is named by a restore plan, and none can be taken: {error}") from error
    path = private_folder / "snapshot.db"
    snapshot.take(storage, path)
    return drill.examine(storage.tools, path, place)


@pytest.fixture(scope="session")
def etcd_drill(cluster: Cluster, restore_plan: Plan, private_folder: Path) -> Iterator[Drill]:
    """One restore of this cluster, by the plan; every check of it looks at what it led to."""
    from contextlib import suppress

    from pytest_k8sha.errors import K8shaError
    from pytest_k8sha.recovery.etcd import drill

    namespace = cluster.create_namespace("k8sha-restore")
    try:
        found = drill.run(cluster, restore_plan.etcd, namespace, private_folder)
    except BaseException:
        with suppress(K8shaError):  # what went wrong in the drill is told, not that nothing could be deleted then
            cluster.delete_namespace(namespace, wait=False)
        raise
    yield found
    cluster.delete_namespace(namespace, wait=False)


@pytest.fixture(scope="session")
def manifest_backup(cluster: Cluster, restore_plan: Plan, private_folder: Path) -> Subject:
    """The manifest backup that the plan names, or one that is made now, and the cluster's objects as they are."""
    from pytest_k8sha.recovery.manifests import judging

    return judging.subject(cluster, restore_plan.manifests, private_folder)


@pytest.fixture(scope="session")
def object_stores(restore_plan: Plan) -> list[Stock]:
    """The stores that the plan names, each read once."""
    from pytest_k8sha.recovery.objects import judging

    return judging.look(restore_plan.object_stores)


@pytest.fixture(scope="session")
def velero_backup(restore_plan: Plan, private_folder: Path) -> Stored:
    """The backup of Velero that the plan names, read from its store."""
    from pytest_k8sha.recovery.velero import stored

    return stored.read(restore_plan.velero, private_folder)
