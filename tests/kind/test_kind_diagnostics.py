"""The logs of real containers in the diagnostics: what they said is there, and no secret of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import diagnostics

if TYPE_CHECKING:
    from pytest_k8sha.fleet.cluster import Cluster
    from tests.kind.kind_clusters import Images

SAYING = """
echo "starting with $FROM_SECRET"
echo "header Authorization: Bearer $FROM_ENV"
echo "$FROM_SECRET" | base64
echo "config $FROM_MAP"
echo "listening on 8080"
exit 3
"""


def test_logs_without_secrets(kind_cluster: Cluster, images: Images, space: str) -> None:
    """A container prints secrets from a Secret, a ConfigMap, a variable and its annotation, and fails: its log is in
    the diagnosis, and none of the secrets is."""
    planted = {name: nonce("planted") for name in ("secret", "map", "env", "annotation")}
    kind_cluster.resource("v1", "Secret").create(
        {"metadata": {"name": "s"}, "stringData": {"k": planted["secret"]}}, space
    )
    config = {"metadata": {"name": "m"}, "data": {"password": planted["map"]}}
    kind_cluster.resource("v1", "ConfigMap").create(config, space)
    env = [
        {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "FROM_MAP", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "password"}}},
        {"name": "FROM_ENV", "value": planted["env"]},
        {"name": "TOKEN", "value": planted["env"]},
    ]
    said = SAYING + f"echo annotation {planted['annotation']}"
    container = {"name": "main", "image": images.shell, "imagePullPolicy": "IfNotPresent", "env": env}
    container |= {"command": ["sh", "-c", said.replace("exit 3\n", "") + "; exit 3"]}
    meta = {"name": "talker", "annotations": {"example.com/api-key": planted["annotation"]}}
    pods = kind_cluster.resource("v1", "Pod")
    pods.create({"metadata": meta, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}, space)

    def restarted() -> bool:
        statuses = pods.get("talker", space).get("status", {}).get("containerStatuses") or []
        return any(status.get("restartCount") for status in statuses)

    eventually(restarted, what="the container has failed and was started again", timeout=90)
    judge = Judge(rule="it runs")
    judge.bad("pod talker", seen="it fails")
    found = diagnostics.collect(kind_cluster, [space], findings=judge.findings)
    logs = "\n".join(found.data[f"logs of {space}"])
    assert "talker/main" in logs
    assert "listening on 8080" in logs
    assert "starting with [redacted]" in logs
    whole = "\n".join(line for lines in found.data.values() for line in lines)
    assert [name for name, value in planted.items() if value in whole] == []
    assert any("talker" in line for line in found.notable)
