"""Asking the members of etcd, each by itself: JSON over TLS, by the gateway that every etcd serves at its client port.

https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/ has the paths. What changes etcd is refused below *disrupt*, as
requests to Kubernetes are.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_k8sha.errors import ApiError, ImpactRefused, TransportError
from pytest_k8sha.kube.tls import closing
from pytest_k8sha.model import Impact

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT = 3.0
"""Seconds for one answer; a member without a quorum answers a linearizable request with its own time-out of 7 s."""

_CHANGING = frozenset({"/v3/kv/put", "/v3/kv/compaction", "/v3/maintenance/defragment", "/v3/cluster/member/add"})


@dataclass(frozen=True)
class EtcdAccess:
    """How the members of a cluster's etcd are reached from this machine: URL by member, in the order of the members,
    and the files (PEM) of the authority and of a client certificate that they trust."""

    urls: tuple[str, ...]
    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True)
class Status:
    """What a member says of itself (``Maintenance.Status``). Sizes are in bytes, ids in hexadecimal as etcdctl writes
    them; ``leader`` is ``0`` where it knows of none."""

    member: str
    leader: str
    version: str
    term: int
    index: int
    size: int
    in_use: int
    quota: int
    learner: bool
    errors: tuple[str, ...]


@dataclass(frozen=True)
class Member:
    """A member as the list of members names it."""

    id: str
    name: str
    learner: bool
    client_urls: tuple[str, ...]
    peer_urls: tuple[str, ...]


class Etcd:
    """The members of one cluster's etcd. ``member`` is a place in `EtcdAccess.urls`.

    Every method raises `TransportError` (no usable answer) and `ApiError` (etcd said no); ``timeout`` is in seconds.
    """

    def __init__(self, access: EtcdAccess, ceiling: Impact) -> None:
        self._access, self._ceiling = access, ceiling

    @property
    def urls(self) -> tuple[str, ...]:
        return self._access.urls

    def __len__(self) -> int:
        return len(self._access.urls)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = closing(ssl.create_default_context(cafile=str(self._access.ca)))
        context.load_cert_chain(self._access.cert, self._access.key)
        return context

    # --- what it says ------------------------------------------------------------------------------------------------

    def status(self, member: int, *, timeout: float = TIMEOUT) -> Status:
        """What one member knows; it needs no quorum for it."""
        said = self.ask(member, "/v3/maintenance/status", timeout=timeout)
        return Status(
            member=_hex(said.get("header", {}).get("member_id")),
            leader=_hex(said.get("leader")),
            version=str(said.get("version", "")),
            term=int(said.get("raftTerm", 0)),
            index=int(said.get("raftIndex", 0)),
            size=int(said.get("dbSize", 0)),
            in_use=int(said.get("dbSizeInUse", 0)),
            quota=int(said.get("dbSizeQuota", 0)),
            learner=bool(said.get("isLearner", False)),
            errors=tuple(map(str, said.get("errors") or [])),
        )

    def members(self, member: int, *, timeout: float = TIMEOUT) -> list[Member]:
        """The list of members as one member has it."""
        said = self.ask(member, "/v3/cluster/member/list", timeout=timeout)
        return [
            Member(
                _hex(one.get("ID")),
                str(one.get("name", "")),
                bool(one.get("isLearner", False)),
                tuple(one.get("clientURLs") or ()),
                tuple(one.get("peerURLs") or ()),
            )
            for one in said.get("members") or []
        ]

    def alarms(self, member: int, *, timeout: float = TIMEOUT) -> list[tuple[str, str]]:
        """The raised alarms: the id of the member that raised it, and its name such as ``NOSPACE``."""
        said = self.ask(member, "/v3/maintenance/alarm", {"action": "GET"}, timeout=timeout)
        return [(_hex(one.get("memberID")), str(one.get("alarm", "NONE"))) for one in said.get("alarms") or []]

    def healthy(self, member: int, *, timeout: float = TIMEOUT) -> bool:
        """Whether it can read by a quorum: a linearizable read of a key that need not exist."""
        self.ask(member, "/v3/kv/range", {"key": _b64(b"health")}, timeout=timeout)
        return True

    def value(self, member: int, key: str, *, timeout: float = TIMEOUT) -> bytes | None:
        """The raw value of a key as this member has stored it (a serializable read); None where there is none."""
        said = self.ask(member, "/v3/kv/range", {"key": _b64(key.encode()), "serializable": True}, timeout=timeout)
        found = said.get("kvs") or []
        return base64.b64decode(found[0].get("value", "")) if found else None

    def revision(self, member: int, *, timeout: float = TIMEOUT) -> int:
        """The revision of the store."""
        return int(self.ask(member, "/v3/maintenance/status", timeout=timeout).get("header", {}).get("revision", 0))

    # --- what changes it ---------------------------------------------------------------------------------------------

    def compact(self, member: int, revision: int, *, timeout: float = 30.0) -> None:
        """Forgets what was before ``revision``, and waits until it is gone from the disk."""
        self.ask(member, "/v3/kv/compaction", {"revision": str(revision), "physical": True}, timeout=timeout)

    def defragment(self, member: int, *, timeout: float = 60.0) -> None:
        """Gives free pages of one member back; it answers nobody meanwhile."""
        self.ask(member, "/v3/maintenance/defragment", timeout=timeout)

    def disarm(self, member: int, whose: str, alarm: str, *, timeout: float = 10.0) -> None:
        """Takes an alarm of the member with the id ``whose`` back."""
        self.ask(
            member,
            "/v3/maintenance/alarm",
            {"action": "DEACTIVATE", "memberID": str(int(whose, 16)), "alarm": alarm},
            timeout=timeout,
        )

    def put(self, member: int, key: str, value: bytes, *, timeout: float = TIMEOUT) -> None:
        """Writes one key."""
        self.ask(member, "/v3/kv/put", {"key": _b64(key.encode()), "value": _b64(value)}, timeout=timeout)

    def add_learner(self, member: int, peer_url: str, *, timeout: float = 10.0) -> None:
        """Adds a member that learns and does not vote, to be started at ``peer_url``."""
        self.ask(member, "/v3/cluster/member/add", {"peerURLs": [peer_url], "isLearner": True}, timeout=timeout)

    # --- the wire ----------------------------------------------------------------------------------------------------

    def ask(self, member: int, path: str, body: dict[str, Any] | None = None, *, timeout: float) -> dict[str, Any]:
        """One request to one member."""
        changes = path in _CHANGING or (body or {}).get("action") == "DEACTIVATE"
        if changes and self._ceiling < Impact.DISRUPT:
            raise ImpactRefused(f"POST {path} changes etcd, and the ceiling is {self._ceiling}; it was not sent")
        url = urlsplit(self._access.urls[member])
        link = http.client.HTTPSConnection(url.hostname or "", url.port, timeout=timeout, context=self._tls)
        try:
            link.request("POST", path, body=json.dumps(body or {}), headers={"Content-Type": "application/json"})
            answer = link.getresponse()
            status, raw = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise TransportError(
                _kind(error), method="POST", path=f"{self.urls[member]}{path}", cause=str(error)
            ) from error
        finally:
            link.close()
        try:
            said: dict[str, Any] = json.loads(raw)
        except ValueError as error:
            raise TransportError("truncated", method="POST", path=path, cause=str(error)) from error
        if status != 200:
            raise ApiError(status, method="POST", path=path, reason="etcd", message=str(said.get("message", said)))
        return said


def _kind(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "reset" if isinstance(error, (ConnectionError, http.client.RemoteDisconnected)) else "other"


def _hex(number: object) -> str:
    return f"{int(str(number or 0)):x}"


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
