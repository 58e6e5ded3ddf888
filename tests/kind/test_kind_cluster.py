"""A cluster that kind made: it is ready, runs pods, knows its users, and shows its logs."""

from __future__ import annotations

from pathlib import Path

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.model import Impact
from pytest_k8sha.providers.kind.engine import Engine
from pytest_k8sha.providers.kind.options import ZONE
from pytest_k8sha.providers.kind.provider import MARK_FILE, KindProvider
from tests.kind import kind_clusters
from tests.kind.kind_clusters import Images


def test_two_nodes_are_ready(kind_cluster: Cluster) -> None:
    """Both nodes are Ready, in a zone each, and take ordinary pods; the cluster is ours to disrupt."""
    nodes = kind_cluster.resource("v1", "Node").list()
    assert len(nodes) == 2
    for node in nodes:
        assert {"type": "Ready", "status": "True"}.items() <= next(
            c for c in node["status"]["conditions"] if c["type"] == "Ready"
        ).items()
        assert not node["spec"].get("taints")
    assert {node["metadata"]["labels"][ZONE] for node in nodes} == {"zone-a", "zone-b"}
    assert kind_cluster.ceiling == Impact.DISRUPT
    assert kind_cluster.capabilities.missing(["nodes:real", "nodes>=2", "zones>=2", "faults:heartbeat"]) == []
    assert "nodes:simulated" not in kind_cluster.capabilities.known


def test_its_files_are_its_own(kind_cluster: Cluster) -> None:
    """The kubeconfig lies in the cluster's folder, for this user alone, and the mark says which cluster it is."""
    place = Path(kind_cluster.state.place)
    assert Path(kind_cluster.state.kubeconfig) == place / "kubeconfig"
    assert (place / "kubeconfig").stat().st_mode & 0o077 == 0
    assert kind_cluster.state.details["cluster"] in (place / MARK_FILE).read_text()
    assert not (place / "kubeconfig.lock").exists()


def test_a_pod_runs_on_each_node(kind_cluster: Cluster, images: Images, space: str) -> None:
    """A server on each node answers with its own name through the API server's proxy: the program really runs."""
    for node in kind_cluster.state.details["nodes"]:
        server = kind_clusters.pod(kind_cluster, space, images.probe, ["netexec", "--http-port=8080"], node=node)
        name = server["metadata"]["name"]
        path = f"/api/v1/namespaces/{space}/pods/{name}:8080/proxy/hostname"
        said = eventually(lambda path=path: str(kind_cluster.client.request("GET", path)), what="the server answers")
        assert said == name


def test_users_come_by_signing_requests(kind_cluster: Cluster) -> None:
    """Without the cluster's CA key a user gets a certificate that the cluster signed, and a service account a token."""
    assert kind_cluster.provider.issuer(kind_cluster.state) is None
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    for client, name in (
        (kind_cluster.user("jane", ("devs",)), "jane"),
        (kind_cluster.service_account("default", "default"), "system:serviceaccount:default:default"),
    ):
        who = client.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)
        assert who["status"]["userInfo"]["username"] == name


def test_advertised_addresses_can_be_dialled(kind_cluster: Cluster) -> None:
    """The address that the API server advertises lies in the engine's network: it leads to the published port."""
    slices = kind_cluster.resource("discovery.k8s.io/v1", "EndpointSlice").list(
        "default", labels="kubernetes.io/service-name=kubernetes"
    )
    address, port = slices[0]["endpoints"][0]["addresses"][0], slices[0]["ports"][0]["port"]
    host, published = kind_cluster.provider.dial(kind_cluster.state, address, port)
    assert f"https://{host}:{published}" == kind_cluster.state.details["server"]
    assert kind_cluster.provider.dial(kind_cluster.state, "192.0.2.1", 443) == ("192.0.2.1", 443)


def test_logs_of_every_node(kind_cluster: Cluster) -> None:
    """What kind said and each node's kubelet log are there under short names, in bounded time; a second look at once
    is free."""
    deadline = _clock.Deadline(75)
    logs = kind_cluster.provider.logs(kind_cluster.state)
    assert not deadline.passed
    assert {"kind-create", "control-plane/kubelet", "worker/kubelet"} <= set(logs)
    assert "kubelet" in logs["worker/kubelet"].read_text(errors="replace")
    again = _clock.Deadline(2)
    assert set(kind_cluster.provider.logs(kind_cluster.state)) == set(logs)
    assert not again.passed


def test_it_is_alive(kind_cluster: Cluster, engine: Engine) -> None:
    """`alive` asks the engine and sends no request."""
    assert isinstance(kind_cluster.provider, KindProvider)
    assert kind_cluster.provider.alive(kind_cluster.state)
    assert kind_cluster.state.details["cluster"] in engine.clusters()
