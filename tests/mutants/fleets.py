"""Fleets with contexts that are wrong, all of them real: a slow path, a closed port, a poor identity."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pytest_k8sha import _clock
from pytest_k8sha.fleet.cluster import Cluster

HELD = 1.2
"""Seconds that the slow path holds each answer back."""
POOR = "poor"


def furnish(cluster: Cluster) -> None:
    """A load balancer with an address, and an identity that may read one namespace."""
    cluster.resource("v1", "Service").create(
        {"metadata": {"name": "door"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}, "default"
    )
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}}
    cluster.client.request(
        "PATCH",
        "/api/v1/namespaces/default/services/door/status",
        body=status,
        content_type="application/merge-patch+json",
    )
    cluster.resource("v1", "ServiceAccount").create({"metadata": {"name": POOR}}, "default")
    rule = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}
    cluster.resource("rbac.authorization.k8s.io/v1", "ClusterRole").create(
        {"metadata": {"name": POOR}, "rules": [rule]}
    )
    cluster.resource("rbac.authorization.k8s.io/v1", "ClusterRoleBinding").create(
        {
            "metadata": {"name": POOR},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": POOR},
            "subjects": [{"kind": "ServiceAccount", "name": POOR, "namespace": "default"}],
        }
    )


@contextlib.contextmanager
def contexts(folder: Path, good: Cluster, west: Path, wanted: dict[str, str]) -> Iterator[dict[str, dict[str, Any]]]:
    """The clusters of a fleet file: ``east`` is good, ``west`` broken, the others are as their sort says."""
    base = yaml.safe_load(Path(good.state.kubeconfig).read_text())
    server, user = dict(base["clusters"][0]["cluster"]), dict(base["users"][0]["user"])
    entries: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {"east": (server, user)}
    with contextlib.ExitStack() as stack:
        for name, sort in wanted.items():
            match sort:
                case "dead":
                    with socket.socket() as free:
                        free.bind(("127.0.0.1", 0))
                        entries[name] = ({**server, "server": f"https://127.0.0.1:{free.getsockname()[1]}"}, user)
                case "slow":
                    port = int(server["server"].rpartition(":")[2])
                    entries[name] = ({**server, "server": f"https://127.0.0.1:{stack.enter_context(slow(port))}"}, user)
                case "poor":
                    path = f"/api/v1/namespaces/default/serviceaccounts/{POOR}/token"
                    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
                    body = {**asked, "spec": {"expirationSeconds": 3600}}
                    token = good.client.request("POST", path, body=body)["status"]["token"]
                    entries[name] = (server, {"token": token})
                case "twin":
                    entries[name] = (server, user)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": n, "cluster": c} for n, (c, _) in entries.items()],
            "users": [{"name": n, "user": u} for n, (_, u) in entries.items()],
            "contexts": [{"name": n, "context": {"cluster": n, "user": n}} for n in entries],
        }
        file = folder / "kubeconfig"
        file.write_text(yaml.safe_dump(config))
        orders = {n: {"provider": "context", "argument": n, "kubeconfig": str(file)} for n in entries}
        yield {**orders, "west": {"provider": "context", "kubeconfig": str(west)}}


@contextlib.contextmanager
def slow(port: int) -> Iterator[int]:
    """A port that leads to another one, and holds back for `HELD` seconds each piece that comes from there."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as ends:

        def carry(source: socket.socket, sink: socket.socket, wait: float) -> None:
            with contextlib.suppress(OSError):
                while piece := source.recv(65536):
                    _clock.pause(wait)
                    sink.sendall(piece)
            for one in (source, sink):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client = ends.enter_context(listener.accept()[0])
                    server = ends.enter_context(socket.create_connection(("127.0.0.1", port)))
                    threading.Thread(target=carry, args=(client, server, 0.0), daemon=True).start()
                    threading.Thread(target=carry, args=(server, client, HELD), daemon=True).start()

        accepting = threading.Thread(target=serve, daemon=True)
        accepting.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for the next connection
        accepting.join(10)
