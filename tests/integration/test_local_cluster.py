"""One local cluster: it is a real one, and it does what a cluster with nodes does."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pytest_k8sha._process import ProcessId
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError
from pytest_k8sha.model import Impact
from pytest_k8sha.providers.base import ClusterState
from tests.integration.local_clusters import Made, client_of, heartbeat_of, is_ready, make, provider_in, status_of


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """One cluster with one member and three nodes."""
    base = tmp_path_factory.mktemp("local")
    made = make(provider_in(base), base, "single", ProcessId.own())
    yield made
    made.provider.delete(made.state)


PODS = "/api/v1/namespaces/default/pods"


def deployment(name: str, replicas: int) -> dict[str, object]:
    labels = {"app": name}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "example/x"}]}},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def test_the_state_is_complete(single: Made) -> None:
    """Another process finds everything in ``cluster.json``; the cluster may be disturbed, and is alive."""
    state = ClusterState.load(single.place)
    assert state == single.state
    assert (state.made, state.ceiling) == (True, Impact.DISRUPT)
    assert single.provider.alive(state)
    assert state.details["version"].count(".") == 2
    assert set(state.details["timings"]) == {"api", "service_account", "nodes"}


def test_only_this_user_can_look_in(single: Made) -> None:
    """The cluster's folder and everything in it that matters is closed to others."""
    folders = [single.place, *(path for path in single.place.iterdir() if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert stat.S_IMODE(Path(single.state.kubeconfig).stat().st_mode) == 0o600


def test_nodes_have_zone_hostname_and_capacity(single: Made) -> None:
    """The simulated nodes say where they are and what they take, and are Ready."""
    nodes = client_of(single).get("/api/v1/nodes")["items"]
    assert [is_ready(node) for node in nodes] == [True, True, True]
    assert {node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes} == {
        "local-a",
        "local-b",
        "local-c",
    }
    for node in nodes:
        assert node["metadata"]["labels"]["kubernetes.io/hostname"] == node["metadata"]["name"]
        assert node["status"]["allocatable"]["cpu"] == "8"


def test_pods_run_and_jobs_complete(single: Made) -> None:
    """A Deployment becomes available on several nodes, a Job completes, and deleted pods go."""
    client = client_of(single)
    client.request("POST", "/apis/apps/v1/namespaces/default/deployments", body=deployment("web", 3))
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once"},
        "spec": {
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "example/x"}]}}
        },
    }
    client.request("POST", "/apis/batch/v1/namespaces/default/jobs", body=job)
    path = "/apis/apps/v1/namespaces/default/deployments/web"
    eventually(lambda: client.get(path)["status"].get("availableReplicas") == 3, what="web is available", timeout=20)
    pods = client.get(PODS, labelSelector="app=web")["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) > 1
    assert len({pod["status"]["podIP"] for pod in pods}) == 3
    done = "/apis/batch/v1/namespaces/default/jobs/once"
    eventually(lambda: client.get(done)["status"].get("succeeded") == 1, what="the Job is done", timeout=20)
    client.request("DELETE", path, query={"propagationPolicy": "Background"})
    eventually(lambda: not client.get(PODS, labelSelector="app=web")["items"], what="the pods are gone", timeout=20)


def test_rbac_and_issued_certificates(single: Made) -> None:
    """A user with a certificate of the cluster's issuer is that user, and may do nothing yet."""
    issuer = single.provider.issuer(single.state)
    certificate, key = issuer.issue("ann", ("painters",))
    ann = client_of(single).with_certificate(certificate, key, who="ann")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    seen = ann.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)
    assert seen["status"]["userInfo"]["username"] == "ann"
    assert "painters" in seen["status"]["userInfo"]["groups"]
    with pytest.raises(ApiError) as caught:
        ann.get("/api/v1/namespaces/default/secrets")
    assert caught.value.status == 403
    assert 'User "ann" cannot list' in caught.value.message


def test_pod_security_is_in_force(single: Made) -> None:
    """A privileged pod is refused in a namespace that asks for the restricted profile."""
    client = client_of(single)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": labels}}
    client.request("POST", "/api/v1/namespaces", body=body)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bad"},
        "spec": {"containers": [{"name": "c", "image": "x", "securityContext": {"privileged": True}}]},
    }
    with pytest.raises(ApiError, match="PodSecurity"):
        client.request("POST", "/api/v1/namespaces/strict/pods", body=pod, query={"dryRun": "All"})


def test_certificate_requests_are_signed(single: Made) -> None:
    """The controller manager holds the CA: an approved request gets its certificate."""
    import base64

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bob")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    body = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "bob"},
        "spec": {
            "request": base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    }
    client = client_of(single)
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    made = client.request("POST", path, body=body)
    condition = {"type": "Approved", "status": "True", "reason": "Test", "message": "a test"}
    made["status"] = {"conditions": [condition]}
    client.request("PUT", f"{path}/bob/approval", body=made)
    eventually(lambda: client.get(f"{path}/bob")["status"].get("certificate"), what="bob's certificate", timeout=20)


def test_the_audit_log_tells_who_did_what(single: Made) -> None:
    """Every request is in the log with its user, and the supervisor's own probes are not."""
    client_of(single).get("/api/v1/namespaces/audit-probe-is-not-there/pods")
    text = single.provider.logs(single.state)["audit-0"].read_text()
    events = [json.loads(line) for line in text.splitlines()]
    mine = [event for event in events if "audit-probe-is-not-there" in event["requestURI"]]
    assert mine[0]["user"]["username"] == "kubernetes-admin"
    assert mine[0]["level"] == "Metadata"
    assert "k8sha:monitor" not in {event["user"]["username"] for event in events}


def test_a_silent_node_is_noticed_and_comes_back(single: Made) -> None:
    """Without heartbeats a node becomes NotReady within its grace and a little, and Ready again when they resume."""
    client, faults = client_of(single), single.provider.faults(single.state)
    faults.stop_heartbeat("node-1")
    try:
        eventually(lambda: heartbeat_of(client, "node-1") == "Unknown", what="node-1 is NotReady", timeout=20)
        assert heartbeat_of(client, "node-0") == "True"
    finally:
        faults.heal()
    eventually(lambda: heartbeat_of(client, "node-1") == "True", what="node-1 is Ready again", timeout=20)


def test_pods_are_ready_again_once_their_nodes_report(single: Made) -> None:
    """When every kubelet falls silent for longer than the grace, the node controller marks all pods not ready; they are
    ready again once the kubelets report, those of a node that stays lost are not."""
    client, faults = client_of(single), single.provider.faults(single.state)
    client.request("POST", "/apis/apps/v1/namespaces/default/deployments", body=deployment("steady", 3))

    def ready() -> dict[str, bool]:
        pods = client.get(PODS, labelSelector="app=steady")["items"]
        return {pod["spec"].get("nodeName", ""): is_ready(pod) for pod in pods if pod["status"].get("conditions")}

    everywhere = {"node-0": True, "node-1": True, "node-2": True}
    eventually(lambda: ready() == everywhere, what="a ready pod on each node", timeout=20)
    try:
        faults.stop_heartbeat("node-1")
        faults.freeze("kwok")
        eventually(lambda: ready() and not any(ready().values()), what="all pods are marked not ready", timeout=60)
        faults.thaw("kwok")
        eventually(lambda: ready() == {**everywhere, "node-1": False}, what="two nodes' pods are ready", timeout=60)
        assert heartbeat_of(client, "node-1") == "Unknown"
    finally:
        faults.heal()
    eventually(lambda: ready() == everywhere, what="the last node's pod is ready again", timeout=60)
    client.request("DELETE", "/apis/apps/v1/namespaces/default/deployments/steady")


def test_a_controller_manager_that_is_killed_comes_back(single: Made) -> None:
    """A stopped program stays down until it is started; heal starts it, and it leads again."""
    faults = single.provider.faults(single.state)
    faults.kill("kube-controller-manager")
    assert status_of(single, "kube-controller-manager-0")["state"] == "stopped"
    faults.heal()
    assert status_of(single, "kube-controller-manager-0")["state"] == "running"
    faults.heal()


def test_a_program_that_ends_by_itself_is_started_again(single: Made) -> None:
    """A crash that nobody ordered is answered as the kubelet would: the program runs again, and the end is noted."""
    before = status_of(single, "kube-scheduler-0")
    psutil.Process(before["pid"]).kill()

    def again() -> bool:
        now = status_of(single, "kube-scheduler-0")
        return now["state"] == "running" and now["pid"] != before["pid"]

    eventually(again, what="the scheduler runs again", timeout=10)
    assert status_of(single, "kube-scheduler-0")["ends"] == [-9]


def test_faults_on_what_is_not_there(single: Made) -> None:
    """A wrong component or member is refused with those that there are."""
    from pytest_k8sha.errors import UsageError

    faults = single.provider.faults(single.state)
    with pytest.raises(UsageError, match="did you mean 'kube-apiserver'"):
        faults.stop("kubeapiserver")
    with pytest.raises(UsageError, match="kube-apiserver-0"):
        faults.stop("kube-apiserver", 3)


def test_capabilities(single: Made) -> None:
    """The provider says what it knows, with how it knows it."""
    found = single.provider.capabilities(single.state)
    own = {"nodes:simulated", "members:1", "faults:members", "faults:heartbeat", "audit:log", "issuer"}
    assert own | {"storage:etcd", "etcd:reachable"} == set(found)
