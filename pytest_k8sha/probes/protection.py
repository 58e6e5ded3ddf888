"""What protects the data of the control plane: encryption at rest, and the audit log. Each is tried with a canary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError, Inconclusive, WaitTimeout
from pytest_k8sha.model import nonce
from pytest_k8sha.probes import control_plane

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster

ENCRYPTED = b"k8s:enc:"
"""How a value begins that the API server encrypted; the provider's name follows
(https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/#verifying-that-data-is-encrypted)."""

PREFIX = "/registry"
"""Below which kube-apiserver keeps its objects (``--etcd-prefix``)."""

ARRIVES = 15.0
"""Seconds within which a request must be in the audit log. A batching backend waits up to 30 s for a full batch
(``--audit-webhook-batch-max-wait``); the log backend does not."""


def encryption(cluster: Cluster, judge: Judge, namespace: str) -> None:
    """Makes a Secret and reads its raw value from each member of etcd.

    Control: the Secret is read back by the API, so it is stored, and a raw value is found.
    """
    secret, name = nonce("plain"), nonce("k8sha-secret")
    cluster.run.secrets.add(secret)
    secrets = cluster.resource("v1", "Secret")
    secrets.create({"metadata": {"name": name}, "stringData": {"canary": secret}}, namespace)
    if not judge.control(bool(secrets.get(name, namespace).get("data")), "the Secret is read back by the API"):
        return
    key = f"{PREFIX}/secrets/{namespace}/{name}"
    for member in range(len(cluster.etcd)):
        try:
            raw = eventually(
                lambda member=member: cluster.etcd.value(member, key),  # type: ignore[misc]
                what=f"etcd member {member} has {key}",
                timeout=10.0,
                describe=lambda found: "nothing" if found is None else f"{len(found)} bytes",
            )
        except WaitTimeout as error:
            judge.unsure(
                f"a Secret in etcd member {member}", f"{error}; perhaps the API server uses another --etcd-prefix"
            )
            continue
        assert raw is not None  # noqa: S101 - it was waited for
        encrypted = raw.startswith(ENCRYPTED) and secret.encode() not in raw
        began = raw[: raw.find(b":", len(ENCRYPTED))] if raw.startswith(ENCRYPTED) else raw[:4]
        judge.that(
            encrypted,
            f"a Secret in etcd member {member}",
            seen=f"its raw value begins {began.decode('latin-1')!r}"
            + (", and holds the Secret in plain text" if secret.encode() in raw else ""),
            rule=f"the raw value of a Secret begins {ENCRYPTED.decode()!r}",
            remedy="start kube-apiserver with --encryption-provider-config, a provider other than identity first; then "
            "write every Secret anew: kubectl get secrets -A -o json | kubectl replace -f -",
        )


def audit(cluster: Cluster, judge: Judge, namespace: str) -> None:
    """Sends each API server a request with a name that nobody else uses, and waits for it in the audit log.

    Control: the API server answered the request, with 404.
    """
    logs = {name: path for name, path in cluster.provider.logs(cluster.state).items() if name.startswith("audit-")}
    if not logs:
        raise Inconclusive("the provider names no audit log")
    ends = {path: path.stat().st_size if path.exists() else 0 for path in logs.values()}
    sent: dict[str, str] = {}
    for endpoint in control_plane.endpoints(cluster):
        name = nonce("k8sha-canary")
        client = cluster.client.at(endpoint.url, server_name=control_plane.SERVER_NAME)
        try:
            client.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        except ApiError as error:
            if judge.control(error.status == 404, f"{endpoint} answers a request for what is not there with 404"):
                sent[name] = str(endpoint)

    def missing() -> list[str]:
        text = "".join(_since(path, start) for path, start in ends.items())
        return [name for name in sent if name not in text]

    try:
        eventually(missing, what="requests are in the audit log", timeout=ARRIVES, accept=lambda left: not left)
        absent: list[str] = []
    except WaitTimeout:
        absent = missing()
    for name, server in sent.items():
        judge.that(
            name not in absent,
            f"the audit log of {server}",
            seen=f"a request for {name} " + (f"is not in it after {ARRIVES:.0f} s" if name in absent else "is in it"),
            rule="a request that was answered is in the audit log",
            remedy="give kube-apiserver an audit policy whose rules log at Metadata or more, with no None before them; "
            "look at apiserver_audit_event_total and apiserver_audit_error_total",
        )


def _since(path: Path, start: int) -> str:
    """What was added to a log; all of it where the log was begun anew."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(start if path.stat().st_size >= start else 0)
        return file.read().decode("utf-8", "replace")
