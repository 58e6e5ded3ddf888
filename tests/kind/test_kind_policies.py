"""Whether NetworkPolicies are enforced is a fact that real traffic shows: the ground of every check of the network."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pytest_k8sha._wait import eventually
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.kube.execute import execute
from tests.kind import kind_clusters
from tests.kind.kind_clusters import Images

DENY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny"},
    "spec": {"podSelector": {"matchLabels": {"role": "server"}}, "policyTypes": ["Ingress"]},
}


class Pair:
    """A server, and a client that tries to reach it from the other node."""

    def __init__(self, cluster: Cluster, namespace: str, images: Images) -> None:
        first, second = cluster.state.details["nodes"]
        args = ["netexec", "--http-port=8080"]
        server = kind_clusters.pod(cluster, namespace, images.probe, args, node=first, labels={"role": "server"})
        client = kind_clusters.pod(cluster, namespace, images.probe, ["pause"], node=second)
        self.cluster, self.namespace, self.server_node = cluster, namespace, first
        self._address = f"{server['status']['podIP']}:8080"
        self._client = client["metadata"]["name"]

    def connects(self) -> bool:
        command = ["agnhost", "connect", self._address, "--timeout=1s", "--protocol=tcp"]
        return execute(self.cluster.client, self._client, self.namespace, command, timeout=15).code == 0

    def until(self, connects: bool) -> None:
        what = "the client reaches the server" if connects else "the client is kept from the server"
        eventually(self.connects, what=what, timeout=30, accept=lambda seen: seen == connects)


@pytest.fixture
def pair(kind_cluster: Cluster, space: str, images: Images) -> Iterator[Pair]:
    pair = Pair(kind_cluster, space, images)
    pair.until(connects=True)
    yield pair
    _label(kind_cluster, pair.server_node, None)


def _label(cluster: Cluster, node: str, value: str | None) -> None:
    """The label by which the rig's network daemon stops enforcing on one node; None takes it away."""
    body = json.dumps({"metadata": {"labels": {"rig/enforce": value}}}).encode()
    path = f"/api/v1/nodes/{node}"
    cluster.client.request("PATCH", path, body=body, content_type="application/merge-patch+json")


def test_policies_are_enforced(pair: Pair) -> None:
    """A policy stops the connection across nodes, and its end lets it through again."""
    pair.cluster.apply([DENY], pair.namespace)
    pair.until(connects=False)
    pair.cluster.resource("networking.k8s.io/v1", "NetworkPolicy").delete("deny", pair.namespace)
    pair.until(connects=True)


def test_a_node_that_does_not_enforce(pair: Pair, images: Images) -> None:
    """With the same policy in force, a node that does not enforce lets the connection through: the difference can be
    seen, so a check of it can fail."""
    if not images.rigged:
        pytest.skip("needs a node image whose network can be told not to enforce")
    pair.cluster.apply([DENY], pair.namespace)
    pair.until(connects=False)
    _label(pair.cluster, pair.server_node, "false")
    pair.until(connects=True)
    _label(pair.cluster, pair.server_node, None)
    pair.until(connects=False)
