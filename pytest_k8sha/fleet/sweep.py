"""Deleting what a run has made on a cluster that outlives it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError, K8shaError
from pytest_k8sha.model import LABEL_RUN
from pytest_k8sha.safety.guard import Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_k8sha.fleet.cluster import Cluster

GONE_DEADLINE = 90.0
"""Seconds for objects that were deleted to be gone; a namespace takes its time."""

_NAMESPACES = "/api/v1/namespaces"


class Sweep:
    """Deletes every object of one run from one cluster: first what is in no namespace of the run, namespaces last.
    ``removed`` and ``remains`` are told what became of each."""

    def __init__(self, cluster: Cluster, removed: list[str], remains: list[str], *, dry_run: bool) -> None:
        self._cluster = cluster
        self._removed = removed
        self._remains = remains
        self._dry_run = dry_run
        self._query = {"labelSelector": f"{LABEL_RUN}={cluster.run.id}"}

    def run(self, paths: Iterable[str]) -> None:
        """``paths`` are those of objects; all objects of the run in their collections are found by the run's label."""
        collections = dict.fromkeys(path.rsplit("/", 1)[0] for path in paths)
        own = set()
        if _NAMESPACES in collections:
            own = {str(item["metadata"]["name"]) for item in self._items(_NAMESPACES)}
        gone: list[str] = []
        for path in sorted(collections, key=lambda path: path == _NAMESPACES):
            if Target.of(path).namespace in own:
                continue  # it goes with its namespace
            try:
                deleted = self._collection(path)
            except K8shaError as error:
                self._remains.append(f"{path} on {self._cluster.name}: {error}")
                continue
            if deleted:
                gone.append(path)
        for path in gone:
            try:
                eventually(
                    partial(self._is_empty, path),
                    what=f"{path} holds nothing of the run any more",
                    timeout=GONE_DEADLINE,
                )
            except K8shaError as error:
                self._remains.append(f"{path} on {self._cluster.name}: {error}{self._why(path)}")

    def _is_empty(self, path: str) -> bool:
        return not self._items(path)

    def _items(self, path: str) -> list[dict[str, Any]]:
        try:
            return list(self._cluster.client.request("GET", path, query=self._query).get("items") or [])
        except ApiError as error:
            if error.status == 404:  # the kind itself is gone, with its CustomResourceDefinition
                return []
            raise

    def _collection(self, path: str) -> bool:
        """Deletes the run's objects of one collection; true when there is something to wait for."""
        target = Target.of(path)
        items = self._items(path)
        for item in items:
            meta = item["metadata"]
            name, namespace = str(meta["name"]), str(meta.get("namespace", ""))
            self._removed.append(
                f"{target.resource} {f'{namespace}/' if namespace else ''}{name} on {self._cluster.name}"
            )
            if self._dry_run or meta.get("deletionTimestamp"):
                continue
            # The label proves that it is ours, and the uid that it is still the object that was seen.
            self._cluster.guard.own.add((target.group, target.resource, f"{namespace}/{name}" if namespace else name))
            options = {
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "preconditions": {"uid": meta["uid"]},
                "propagationPolicy": "Foreground",
            }
            try:
                self._cluster.client.request("DELETE", f"{path}/{name}", body=options)
            except ApiError as error:
                if error.status not in {404, 409}:
                    raise
        return bool(items) and not self._dry_run

    def _why(self, path: str) -> str:
        if path != _NAMESPACES:
            return ""
        names = [str(item["metadata"]["name"]) for item in self._items(path)]
        return "; " + "; ".join(f"{name}: {self._cluster.remains(name)}" for name in names)
