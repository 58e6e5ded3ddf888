"""The control plane from outside: each API server by itself, and the Leases by which its programs show that they live.

Only reads. API servers are those that the EndpointSlices of ``default/kubernetes`` list; each is dialled directly with
the administrator's credentials, since the stable address shows one of them at a time.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError, RequestError, TransportError, WaitTimeout
from pytest_k8sha.kube import apiservers
from pytest_k8sha.workloads.model import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_k8sha.fleet.cluster import Cluster

SERVER_NAME = "kubernetes.default.svc"
"""A name that the certificate of every API server holds, since pods call it so; its own address need not be in it."""

IDENTITY = "apiserver.kubernetes.io/identity"
PEER = "kubernetes.io/peer-advertise-address"
"""On an API server's Lease since 1.36: where other API servers reach it."""

RENEWED = 10.0
"""Seconds between two renewals of an API server's Lease (``IdentityLeaseRenewIntervalPeriod``)."""

FRESH = 3 * RENEWED
"""Seconds without renewal after which an API server counts as gone: three renewals missed. The Lease itself is valid
for an hour, which says nothing of the server behind it."""

LISTED = 12.0
"""Seconds within which an API server lists itself: it does so every 10 s (``reconcilers``, ``EndpointInterval``)."""

ESSENTIAL: Mapping[str, frozenset[str]] = {
    "/readyz": frozenset({"ping", "etcd", "informer-sync", "shutdown"}),
    "/livez": frozenset({"ping", "etcd"}),
}
"""What each endpoint must ask about for its answer to mean anything."""

_LINE = re.compile(r"^\[(?P<sign>[+-])\](?P<name>\S+) (?P<said>.*)$", re.MULTILINE)
_TIMEOUT = 10.0


@dataclass(frozen=True)
class Endpoint:
    """An API server as the cluster advertises it, and the URL at which it is reached from here."""

    address: str
    port: int
    url: str

    def __str__(self) -> str:
        return f"API server {self.address}:{self.port}"


@dataclass(frozen=True)
class Health:
    """The answer of ``/readyz?verbose`` or ``/livez?verbose``: what each check said, and which were left out."""

    ok: bool
    said: Mapping[str, str] = field(default_factory=dict)
    failed: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    text: str = ""


def parse_health(text: str, *, ok: bool) -> Health:
    """Reads the list of checks, ``[+]etcd ok`` a line (``healthz.handleRootHealth`` of k8s.io/apiserver)."""
    said, failed, excluded = {}, [], []
    for line in _LINE.finditer(text):
        said[line["name"]] = line["said"]
        if line["sign"] == "-":
            failed.append(line["name"])
        elif line["said"].startswith("excluded"):
            excluded.append(line["name"])
    return Health(ok, said, tuple(failed), tuple(excluded), text)


def endpoints(cluster: Cluster) -> list[Endpoint]:
    """The API servers that ``default/kubernetes`` lists, ready or not, each once.

    One that renews its Lease and is not listed yet may have started a moment ago: it is waited for, `LISTED` seconds.
    """

    def missing() -> int:
        now = server_time(cluster)
        return len([lease for lease in identity_leases(cluster) if is_fresh(lease, now)]) - len(_listed(cluster))

    with suppress(WaitTimeout):
        eventually(missing, what="API servers are listed", timeout=LISTED, interval=0.5, accept=lambda n: n <= 0)
    return _listed(cluster)


def _listed(cluster: Cluster) -> list[Endpoint]:
    found = []
    for address, port in apiservers.listed(cluster.client).items():
        host, there = cluster.provider.dial(cluster.state, address, port)
        name = f"[{host}]" if ":" in host else host
        found.append(Endpoint(address, port, f"https://{name}:{there}"))
    return found


def health(cluster: Cluster, endpoint: Endpoint, path: str) -> Health:
    """Asks one API server for ``path`` (``/readyz`` or ``/livez``). Raises `TransportError`, and `ApiError` for an
    answer that is no list of checks, such as a 401."""
    client = cluster.client.at(endpoint.url, server_name=SERVER_NAME)
    try:
        return parse_health(str(client.request("GET", path, query={"verbose": "true"}, timeout=_TIMEOUT)), ok=True)
    except ApiError as error:
        if error.status < 500 or "[-]" not in error.message:
            raise
        return parse_health(error.message, ok=False)


def answers(cluster: Cluster, found: list[Endpoint]) -> dict[tuple[str, str], Health | RequestError]:
    """What each API server said to each path, by address and path, or why it said nothing."""
    said: dict[tuple[str, str], Health | RequestError] = {}
    for endpoint in found:
        for path in ESSENTIAL:
            try:
                said[endpoint.address, path] = health(cluster, endpoint, path)
            except RequestError as error:
                said[endpoint.address, path] = error
    return said


def judge_health(found: list[Endpoint], said: Mapping[tuple[str, str], Health | RequestError]) -> Iterator[Seen]:
    """Every check of every API server says ok, none is left out, and all servers ask the same.

    A server that cannot be reached while another can is a breach: clients inside the cluster are sent there, too.
    """
    rule = "each API server that the cluster advertises answers, and each of its health checks says ok"
    for path, essential in ESSENTIAL.items():
        everywhere = {name for e in found for name in _names(said[e.address, path])} | essential
        for endpoint in found:
            answer = said[endpoint.address, path]
            name = f"{endpoint} {path}"
            if isinstance(answer, RequestError):
                yield Seen(
                    name,
                    ok=False,
                    seen=str(answer),
                    rule=rule,
                    remedy="look at the kube-apiserver of that member, or remove the endpoint from default/kubernetes",
                )
                continue
            absent = sorted(everywhere - set(answer.said))
            wrong = [f"{check} {answer.said[check]}" for check in answer.failed]
            wrong += [f"{check} is excluded" for check in answer.excluded]
            wrong += [f"{check} is not asked, and is elsewhere" for check in absent]
            yield Seen(
                name,
                ok=answer.ok and not wrong,
                seen="; ".join(wrong) or f"{len(answer.said)} checks say ok",
                rule=rule,
                remedy="read the log of that kube-apiserver; an etcd check points to the member's etcd or its "
                "certificates, a poststarthook to an incomplete start",
            )


def _names(answer: Health | RequestError) -> set[str]:
    return set(answer.said) if isinstance(answer, Health) else set()


MEMBERS = 3
"""The fewest members of which one may be lost: two of three are still a quorum of etcd, one of two is none."""


def judge_number(found: list[Endpoint]) -> Iterator[Seen]:
    """The cluster advertises `MEMBERS` API servers or more. One with none advertises nothing to its own pods."""
    listed = ", ".join(f"{e.address}:{e.port}" for e in found) or "none"
    yield Seen(
        "the control plane",
        ok=len(found) >= MEMBERS,
        seen=f"{len(found)} in default/kubernetes: {listed}",
        rule=f"{MEMBERS} API servers or more, so that one may be lost",
        remedy=f"add control-plane members until there are {MEMBERS}, each with its API server and etcd",
    )


def reachable(said: Mapping[tuple[str, str], Health | RequestError]) -> bool:
    """Whether any API server answered at its own address. If none did, it is this machine that cannot reach them."""
    return any(not isinstance(answer, TransportError) for answer in said.values())


# --- Leases ------------------------------------------------------------------------------------------------------


def server_time(cluster: Cluster) -> float:
    """The API server's clock, in seconds since the epoch and to the second: the creation time of a review that it does
    not store. Leases carry the time of the cluster's machines, and this machine's clock may differ.

    Falls back to this machine's clock where the server gives none.
    """
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        made = cluster.client.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)
    except ApiError:
        return _clock.epoch()
    stamp = (made.get("metadata") or {}).get("creationTimestamp")
    return datetime.fromisoformat(stamp).timestamp() if stamp else _clock.epoch()


def age(lease: Mapping[str, Any], now: float) -> float | None:
    """Seconds since the last renewal; None when there was none. Never below 0: ``now`` is known to the second only."""
    renewed = (lease.get("spec") or {}).get("renewTime")
    return max(0.0, now - datetime.fromisoformat(renewed).timestamp()) if renewed else None


def is_fresh(lease: Mapping[str, Any], now: float) -> bool:
    """Whether the API server of a Lease renewed it within `FRESH` seconds."""
    seconds = age(lease, now)
    return seconds is not None and seconds <= FRESH


def identity_leases(cluster: Cluster) -> list[dict[str, Any]]:
    """The Leases by which API servers show that they live."""
    return cluster.resource("coordination.k8s.io/v1", "Lease").list("kube-system", labels=f"{IDENTITY}=kube-apiserver")


def judge_identities(found: list[Endpoint], leases: list[dict[str, Any]], now: float) -> Iterator[Seen]:
    """Each Lease of an API server is fresh, and there is one for each endpoint.

    Where Leases name their server's address, they are paired by it; else they are counted.
    """
    rule = f"each API server renews a Lease of its own every {RENEWED:.0f} s"
    fresh = []
    for lease in leases:
        seconds = age(lease, now)
        name = lease["metadata"]["name"]
        if seconds is not None and is_fresh(lease, now):
            fresh.append(lease)
            yield Seen(f"Lease {name}", ok=True, seen=f"renewed {seconds:.0f} s ago{_host(lease)}")
            continue
        told = "never renewed" if seconds is None else f"last renewed {seconds:.0f} s ago"
        yield Seen(
            f"Lease {name}",
            ok=False,
            seen=f"{told}{_host(lease)}: its API server is gone or cannot write",
            rule=rule,
            remedy="start that kube-apiserver again; if it was taken out of service on purpose, delete the Lease in "
            f"kube-system: kubectl -n kube-system delete lease {name}",
        )
    peers = {_peer(lease) for lease in fresh}
    paired = set() if "" in peers else peers
    for endpoint in found:
        if paired and endpoint.address not in paired:
            yield Seen(
                str(endpoint),
                ok=False,
                seen=f"no fresh Lease is its own; there are some of {', '.join(sorted(paired))}",
                rule=rule,
                remedy="look at the kube-apiserver behind this endpoint, or remove it from default/kubernetes",
            )
    listed = {endpoint.address for endpoint in found}
    for lease in fresh:
        if paired and _peer(lease) not in listed:
            yield Seen(
                f"API server {_peer(lease)}",
                ok=False,
                seen=f"it renews Lease {lease['metadata']['name']} and default/kubernetes does not list it",
                rule="an API server that lives is one that pods are sent to",
                remedy="look at its log for the endpoint reconciler (--endpoint-reconciler-type, --advertise-address)",
            )
    if not paired and len(fresh) != len(found):
        yield Seen(
            "API servers",
            ok=False,
            seen=f"{len(found)} endpoints in default/kubernetes, {len(fresh)} fresh Leases",
            rule="there are as many fresh Leases as API servers",
            remedy="find the API server without a Lease (feature gate APIServerIdentity off, or one host name for two)",
        )


def _host(lease: Mapping[str, Any]) -> str:
    host = (lease["metadata"].get("labels") or {}).get("kubernetes.io/hostname")
    return f" by {host}" if host else ""


def _peer(lease: Mapping[str, Any]) -> str:
    address = (lease["metadata"].get("annotations") or {}).get(PEER, "")
    return str(address).rpartition(":")[0].strip("[]")


# --- leaders -----------------------------------------------------------------------------------------------------

LEADERS = ("kube-scheduler", "kube-controller-manager")
LEASE_SECONDS = 15
"""Upstream's lease duration. With a renew deadline of 10 s and a retry period of 2 s a lost leader is replaced within
about 17 s (https://kubernetes.io/docs/reference/command-line-tools-reference/kube-scheduler/)."""


def leader_leases(cluster: Cluster) -> dict[str, dict[str, Any] | None]:
    """The Lease of each leader, None where there is none."""
    leases = cluster.resource("coordination.k8s.io/v1", "Lease")
    return {name: leases.find(name, "kube-system") for name in LEADERS}


def judge_leaders(leases: Mapping[str, dict[str, Any] | None], now: float) -> Iterator[Seen]:
    """Each leader is elected, renews in time, and would be replaced after 15 s without a sign of life."""
    for name, lease in leases.items():
        if lease is None:
            yield Seen(
                name,
                ok=False,
                seen=f"there is no Lease kube-system/{name}: it does not run, or without leader election, so that a "
                "second one would do everything twice and none takes over",
                rule="the scheduler and the controller manager elect a leader",
                remedy=f"start {name} on each member with --leader-elect=true",
            )
            continue
        spec = lease.get("spec") or {}
        holder, duration = spec.get("holderIdentity") or "", int(spec.get("leaseDurationSeconds") or 0)
        seconds = age(lease, now)
        wrong = []
        if not holder or seconds is None or seconds > duration:
            told = "never" if seconds is None else f"{seconds:.0f} s ago"
            wrong.append((f"nobody leads (last renewed {told})", f"start {name} again"))
        if duration > LEASE_SECONDS:
            wrong.append(
                (
                    f"a lost leader is replaced after {duration} s at the earliest",
                    f"set --leader-elect-lease-duration={LEASE_SECONDS}s (with a renew deadline of 10s)",
                )
            )
        yield Seen(
            name,
            ok=not wrong,
            seen="; ".join(what for what, _ in wrong)
            or f"{holder} leads, renewed {seconds:.0f} s ago, lease of {duration} s",
            rule=f"a leader renews its Lease, and is replaced after {LEASE_SECONDS} s without",
            remedy="; ".join(how for _, how in wrong),
        )
