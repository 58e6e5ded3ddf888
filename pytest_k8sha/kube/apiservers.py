"""The API servers that a cluster lists: the endpoints of the Service ``default/kubernetes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_k8sha.kube.client import Client


def listed(client: Client) -> dict[str, int]:
    """The port of each, by its address and in the order of these; ready or not. Raises `ApiError`, `TransportError`."""
    slices = client.resource("discovery.k8s.io/v1", "EndpointSlice").list(
        "default", labels="kubernetes.io/service-name=kubernetes"
    )
    found = {
        address: next((port["port"] for port in part.get("ports") or [] if port.get("port")), 443)
        for part in slices
        for endpoint in part.get("endpoints") or []
        for address in endpoint.get("addresses") or []
    }
    return {address: found[address] for address in sorted(found)}
