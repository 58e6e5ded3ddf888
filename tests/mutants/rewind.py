"""What a hasty keeper of etcd does: the quorum is lost, and it restores what it has, which is older."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import K8shaError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.recovery.etcd import snapshot, trial

PATIENCE = 300.0
"""Seconds for a check to begin, and to take the quorum away."""


def rewind(cluster: Cluster, folder: Path) -> None:
    """Takes a snapshot once a run has made its namespace, and puts every member back to it once the quorum is lost."""
    storage, namespaces = cluster.storage, cluster.resource("v1", "Namespace")
    folder.mkdir(mode=0o700)

    def begun() -> bool:
        with suppress(K8shaError):
            return any(one["metadata"]["name"].startswith("k8sha-") for one in namespaces.list())
        return False

    eventually(begun, what="the run has made a namespace", timeout=PATIENCE, interval=0.05, growth=1.0)
    snapshot.take(storage, folder / "snapshot.db")
    count = len(cluster.etcd)
    data = {member: folder / str(member) for member in range(count)}

    def prepare(member: int) -> None:
        # What was acknowledged since is lost, but no revision is given twice: API servers would trip over that.
        trial.restore(storage.tools, folder / "snapshot.db", data[member], membership=storage.membership(member))

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(prepare, data))

    def lost() -> bool:
        return len(cluster.faults.running("etcd")) <= count // 2

    eventually(lost, what="the quorum is lost", timeout=PATIENCE, interval=0.05, growth=1.0)
    with storage.replace(data):
        pass
