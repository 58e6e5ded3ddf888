"""The Kubernetes API as a probe's target: `apiread` and `apiwrite`."""

from __future__ import annotations

import math
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import K8shaError, NotEvaluated, UsageError
from pytest_k8sha.model import Impact, nonce
from pytest_k8sha.probes.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_k8sha.fleet.cluster import Cluster

FASTEST = 100.0
"""Requests a second to an API: each is a new TLS connection, which is work for the server as well."""

OBJECTS = 16
"""ConfigMaps that a probe writes to in turn, so that its own requests do not get in each other's way."""

STALE = 65.0
"""Seconds in which no field is written twice. A write that was given up may still be carried out: an API server ends a
request after 60 s (``--request-timeout``), and what it writes late must not be taken for a lost write of another."""


def apiread(cluster: Cluster, *, url: str = "", server_name: str = "") -> Target:
    """Reads of one object, which must show the cluster's uid. A read of this kind asks etcd for a quorum.

    ``url`` asks one API server directly and not through the cluster's address; ``server_name`` is the name that its
    certificate is checked for.
    """
    return ApiTarget(f"api-read://{cluster.name}", cluster=cluster, at=url, server_name=server_name)


def apiwrite(cluster: Cluster, *, namespace: str = "", url: str = "", server_name: str = "") -> Target:
    """Writes to ConfigMaps of the probe's own, each read back, which must show what was written.

    They are in ``namespace``, which must be the run's own, or in a new one that goes with the probe. Raises
    `NotEvaluated` where the cluster's ceiling allows no writes.
    """
    if cluster.ceiling < Impact.EXERCISE:
        raise NotEvaluated(
            f"a probe that writes needs exercise, and {cluster.name} may be used up to {cluster.ceiling}"
        )
    return ApiTarget(
        f"api-write://{cluster.name}",
        cluster=cluster,
        writes=True,
        namespace=namespace,
        at=url,
        server_name=server_name,
    )


@dataclass(frozen=True)
class ApiTarget(Target):
    """Made by `apiread` and `apiwrite`."""

    cluster: Cluster = field(kw_only=True)
    writes: bool = False
    namespace: str = ""
    at: str = ""
    server_name: str = ""

    @property
    def name(self) -> str:
        return f"{self.url} at {self.at}" if self.at else self.url

    def describe(self) -> dict[str, Any]:
        cluster = self.cluster
        run = {"id": cluster.run.id, "owner": cluster.run.owner, "expires": cluster.run.expires}
        return {
            "kind": "api",
            "name": self.name,
            "cluster": cluster.name,
            "kubeconfig": str(cluster.state.kubeconfig or ""),
            "context": cluster.state.context or "",
            "run": run,
            "url": self.at,
            "server_name": self.server_name,
        }

    @contextmanager
    def opened(self, rate: float) -> Iterator[dict[str, Any]]:
        """Raises `UsageError` for a rate that would be a load of its own."""
        if rate > FASTEST:
            raise UsageError(
                "an API is probed with fewer requests a second", value=rate, allowed=[f"up to {FASTEST:g}"]
            )
        cluster = self.cluster
        uid = cluster.client.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
        fields = math.ceil(rate * STALE / OBJECTS)
        order = {**self.describe(), "uid": uid, "objects": [], "namespace": "", "rate": rate, "fields": fields}
        if not self.writes:
            yield order
            return
        namespace = self.namespace or cluster.create_namespace("k8sha-probe")
        objects = cluster.resource("v1", "ConfigMap")
        names = [nonce("k8sha-probe") for _ in range(OBJECTS)]
        try:
            for name in names:
                objects.create({"metadata": {"name": name}, "data": {}}, namespace)
            yield {**order, "objects": names, "namespace": namespace}
        finally:
            self._clean(namespace, names)

    def _clean(self, namespace: str, names: list[str]) -> None:
        """Deletes what the probe wrote to. What cannot be deleted carries the run's label and goes with the run."""
        with suppress(K8shaError):  # the cluster may be down: that is what the probe was for
            if not self.namespace:
                self.cluster.delete_namespace(namespace, wait=False)
                return
            for name in names:
                self.cluster.resource("v1", "ConfigMap").delete(name, namespace)
