"""A short run that makes one of everything: what `k8sha recover` must find after a SIGKILL at any moment."""

from pytest_k8sha import check, nonce
from pytest_k8sha.kube.identity import signing_request


def config_map(name, data="x"):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": data}}


@check("TST-OBJ-001", "Objects can be made in a namespace of the test", severity="low", impact="exercise")
def test_objects_of_a_namespace(cluster, namespace, judge):
    for number in range(5):
        cluster.apply([config_map(f"plain-{number}")], namespace)
    judge.that(len(cluster.resource("v1", "ConfigMap").list(namespace)) >= 5, namespace, seen="the objects are there")


@check("TST-OBJ-002", "Objects can be made outside of namespaces of the run", severity="low", impact="disrupt")
def test_objects_elsewhere(cluster, judge):
    maps = cluster.resource("v1", "ConfigMap")
    made = maps.create(config_map(nonce("left")), "default")
    role = {"metadata": {"name": nonce("left")}, "rules": []}
    made_role = cluster.resource("rbac.authorization.k8s.io/v1", "ClusterRole").create(role)
    for object_ in (made, made_role):
        judge.ok(object_["metadata"]["name"])


@check("TST-OBJ-003", "A workload can be made and runs", severity="low", impact="exercise")
def test_a_workload(cluster, namespace, judge, eventually):
    pod = {"metadata": {"labels": {"app": "left"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "left"}}, "template": pod}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "left"}, "spec": spec}
    cluster.apply([body], namespace)
    eventually(lambda: len(cluster.resource("v1", "Pod").list(namespace)) == 2, what="two pods")
    judge.ok("left")


@check("TST-OBJ-004", "A certificate can be asked for", severity="low", impact="exercise")
def test_a_certificate(cluster, judge):
    import base64

    _, request = signing_request(nonce("user"), ())
    spec = {
        "request": base64.b64encode(request.encode()).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }
    made = cluster.resource("certificates.k8s.io/v1", "CertificateSigningRequest").create(
        {"metadata": {"name": nonce("left")}, "spec": spec}
    )
    judge.ok(made["metadata"]["name"])


@check("TST-OBJ-005", "A node can lose its heartbeat", severity="low", impact="disrupt")
def test_a_fault(cluster, judge):
    node = cluster.resource("v1", "Node").list()[0]["metadata"]["name"]
    cluster.faults.stop_heartbeat(node)
    try:
        judge.ok(node)
        for number in range(10):
            cluster.resource("v1", "ConfigMap").create(config_map(nonce("left"), str(number)), "default")
    finally:
        cluster.faults.resume_heartbeat(node)


@check("TST-TEN-001", "Tenants can be made", severity="low", impact="exercise")
def test_tenants(tenants, judge):
    for tenant in tenants:
        judge.ok(tenant.name)
