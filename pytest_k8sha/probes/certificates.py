"""Certificates that are served: each is asked for by a TLS handshake, and must be valid for long enough."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pytest_k8sha.probes import control_plane, listening
from pytest_k8sha.providers.base import Listener

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.probes.listening import Answer


def served(cluster: Cluster) -> list[Listener]:
    """What serves TLS: as the provider knows it, else the API servers that are listed; and the kubelets of nodes that
    are no simulation."""
    found = list(cluster.provider.listeners(cluster.state))
    if not any(one.component == "kube-apiserver" for one in found):
        for number, endpoint in enumerate(control_plane.endpoints(cluster)):
            host, port = cluster.provider.dial(cluster.state, endpoint.address, endpoint.port)
            found.append(Listener("kube-apiserver", number, host, port))
    if "nodes:real" in cluster.capabilities.known:
        for node in cluster.resource("v1", "Node").list():
            status = node.get("status") or {}
            port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 0
            address = next((a["address"] for a in status.get("addresses") or [] if a["type"] == "InternalIP"), "")
            if port and address:
                found.append(Listener("kubelet", -1, address, port, node=node["metadata"]["name"]))
    return found


def ask(found: Iterable[Listener]) -> list[Answer]:
    """A handshake with each, several at a time."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(listening.ask, found))


def judge(judge: Judge, answers: Sequence[Answer], now: float, left: float) -> None:
    """Each certificate is valid now, and for ``left`` seconds from ``now`` (since the epoch, by the server's clock).

    What shows none leaves the check open, a kubelet that this machine does not reach alone is passed over.
    """
    moment, wanted = datetime.fromtimestamp(now, UTC), timedelta(seconds=left)
    for answer in answers:
        name = f"certificate of {answer.listener}"
        shown = answer.certificate
        if shown is None:
            tell = judge.skip if answer.listener.component == "kubelet" else judge.unsure
            tell(name, f"no handshake from this machine: {answer.problem}")
            continue
        rest = shown.ends - moment
        if moment < shown.begins:
            said = f"not valid before {shown.begins:%Y-%m-%d %H:%M} UTC"
        elif rest <= timedelta(0):
            said = f"expired on {shown.ends:%Y-%m-%d %H:%M} UTC"
        else:
            said = f"valid until {shown.ends:%Y-%m-%d}: {rest.days} days"
        judge.that(
            moment >= shown.begins and rest >= wanted,
            name,
            seen=f"{shown.subject}: {said}",
            rule=f"it is valid now, and for {wanted.total_seconds() / 86400:g} days from now",
            remedy="renew it (kubeadm certs renew all, then restart the program; a kubelet's by rotateCertificates and "
            "serverTLSBootstrap), and have somebody told in time",
        )
    ends = [answer.certificate.ends for answer in answers if answer.certificate]
    if ends:
        judge.measure("least validity left", round((min(ends) - moment).total_seconds() / 86400, 2), "d")
