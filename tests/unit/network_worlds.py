"""A small world for the tests of the NetworkPolicy engine, and policies for it written as a user writes them."""

from __future__ import annotations

from typing import Any

from pytest_k8sha.tenancy.network.places import Address, NamedPort, Namespace, Pod
from pytest_k8sha.tenancy.network.policy import Policy, of

ACME = Namespace("acme", {"kubernetes.io/metadata.name": "acme", "team": "a"})
GLOBEX = Namespace("globex", {"kubernetes.io/metadata.name": "globex", "team": "g"})
SYSTEM = Namespace("kube-system", {"kubernetes.io/metadata.name": "kube-system"})

HTTP = NamedPort("http", 8080)
WEB = Pod("web", ACME, "10.244.1.5", {"app": "web"}, "n1", ports=(HTTP, NamedPort("dns", 53, "UDP")))
CACHE = Pod("cache", ACME, "10.244.2.5", {"app": "cache"}, "n2", ports=(NamedPort("http", 9090),))
OTHER = Pod("web", GLOBEX, "10.244.1.6", {"app": "web"}, "n1", ports=(HTTP,))
DNS = Pod("coredns", SYSTEM, "10.244.0.2", {"k8s-app": "kube-dns"}, "n0")
HOST = Pod("agent", SYSTEM, "172.18.0.2", {"app": "agent"}, "n1", host_network=True)
OUTSIDE = Address("203.0.113.7", "the internet")
NODE1, NODE2 = Address("172.18.0.2", "node n1", "n1"), Address("172.18.0.3", "node n2", "n2")


def written(spec: dict[str, Any], namespace: str = "acme", name: str = "p") -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def policy(namespace: str = "acme", name: str = "p", **spec: Any) -> Policy:
    return of(written(spec, namespace, name))


DENY = policy(name="default-deny", podSelector={}, policyTypes=["Ingress", "Egress"])
