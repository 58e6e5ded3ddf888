"""The simulated nodes of a cluster: their objects, and their heartbeats.

kwok plays the kubelets. It takes a node while the node's label says so, and lets go of it (no lease is renewed, no pod
on it starts or ends) as soon as the label changes: to the control plane such a node has lost its power.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _wait
from pytest_k8sha.errors import ApiError, RequestError
from pytest_k8sha.model import Impact, Run
from pytest_k8sha.providers.local.commands import HEARTBEAT_LABEL

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.providers.local.options import LocalOptions

_ZONES = "abcdefghijklmnopqrstuvwxyz"
REGION = "local"
INSTANCE_TYPE = "k8sha.simulated"
_HEAL_TIMEOUT = 30.0


def connect(kubeconfig: Path, private: Path) -> Client:
    """A client with the administrator's certificate, for the provider's own requests."""
    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.kube.kubeconfig import load
    from pytest_k8sha.safety.guard import Guard

    guard = Guard("local", Impact.DISRUPT, Run(id="provider", owner="provider", expires=0))
    return Client(load(kubeconfig).connector(private), guard=guard, private=private, who="kubernetes-admin")


class Nodes:
    """The nodes of one cluster, by way of its API."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(self, options: LocalOptions, version: str) -> None:
        """Makes the node objects, as kubelets would by registering."""
        for index in range(options.nodes):
            # As bytes, since the guard stamps objects with a run: these belong to the cluster.
            body = json.dumps(manifest(index, options, version)).encode()
            self._client.request("POST", "/api/v1/nodes", body=body)

    def ready(self) -> list[str]:
        """The names of those that are Ready."""
        items = self._client.get("/api/v1/nodes")["items"]
        return [node["metadata"]["name"] for node in items if _is_ready(node)]

    def heartbeat(self, node: str, *, on: bool) -> None:
        """Starts or stops the heartbeats of one node; idempotent. Raises `ApiError` when there is no such node."""
        patch = json.dumps({"metadata": {"labels": {HEARTBEAT_LABEL: "on" if on else "off"}}}).encode()
        self._client.request("PATCH", f"/api/v1/nodes/{node}", body=patch, content_type="application/merge-patch+json")

    def resume_all(self) -> None:
        """Every node that was silenced reports again. Waits for an API server, which may have been down until now."""

        def silenced() -> list[str]:
            found = self._client.get("/api/v1/nodes", labelSelector=f"{HEARTBEAT_LABEL}=off")["items"]
            return [node["metadata"]["name"] for node in found]

        def resume() -> bool:
            for name in silenced():
                try:
                    self.heartbeat(name, on=True)
                except ApiError as error:
                    if error.status != 404:  # it was deleted meanwhile
                        raise
            return True

        _wait.eventually(resume, what="the nodes' heartbeats resume", timeout=_HEAL_TIMEOUT)

    def has_service_account(self) -> bool:
        """Whether pods can be made: the controller manager gave the default namespace its ServiceAccount."""
        try:
            self._client.get("/api/v1/namespaces/default/serviceaccounts/default")
        except RequestError:
            return False
        return True


def manifest(index: int, options: LocalOptions, version: str) -> dict[str, Any]:
    """The object of node number ``index``: a zone by turns, a pod range of its own, and what its kubelet would say."""
    name = f"node-{index}"
    zone = f"{REGION}-{_ZONES[index % options.zones]}"
    capacity = {
        "cpu": options.cpu,
        "memory": options.memory,
        "pods": str(options.pods),
        "ephemeral-storage": "100Gi",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "node.kubernetes.io/instance-type": INSTANCE_TYPE,
                "topology.kubernetes.io/region": REGION,
                "topology.kubernetes.io/zone": zone,
                HEARTBEAT_LABEL: "on",
            },
        },
        "spec": {"podCIDR": pod_range(index), "podCIDRs": [pod_range(index)], "providerID": f"k8sha://{zone}/{name}"},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": [
                {"type": "InternalIP", "address": f"198.18.{index // 250}.{1 + index % 250}"},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": f"boot-{name}",
                "containerRuntimeVersion": "kwok://0",
                "kernelVersion": "simulated",
                "kubeProxyVersion": "",
                "kubeletVersion": f"v{version}",
                "machineID": f"machine-{name}",
                "operatingSystem": "linux",
                "osImage": "simulated by kwok",
                "systemUUID": f"system-{name}",
            },
        },
    }


def pod_range(index: int) -> str:
    """The addresses of one node's pods: the ``index``-th /24 of 10.240.0.0/12."""
    return f"10.{240 + index // 256}.{index % 256}.0/24"


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
