"""One member of etcd, asked through the JSON gateway that every member serves beside gRPC (etcd's ``/v3/…``)."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from pytest_k8sha import _clock
from pytest_k8sha.errors import Inconclusive
from pytest_k8sha.kube.tls import closing
from pytest_k8sha.providers.local import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_k8sha.kube.etcd import EtcdAccess

TIMEOUT = 10.0
PAGE = 5000
_ALL = "AA=="
"""The key 0x00 and the range end 0x00: everything."""


class MemberGone(Inconclusive):
    """A member did not answer: what it holds is not known. Worth another try while it starts."""

    retryable = True


class KeyValue(NamedTuple):
    """A live key with everything that a restore must keep."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


@dataclass(frozen=True)
class WatchEnd:
    """What a watch came to: ``events`` that were seen, ``compacted`` the revision of its compaction error (0: none)."""

    events: int
    compacted: int


class Gateway:
    """Asks one member. Every method raises `MemberGone` when no usable answer comes."""

    def __init__(self, name: str, connect: Callable[[float], http.client.HTTPConnection]) -> None:
        self.name = name
        self._connect = connect

    @classmethod
    def all_of(cls, access: EtcdAccess) -> list[Gateway]:
        """Each member of a cluster's etcd, over TLS, with a client certificate."""
        context = closing(ssl.create_default_context(cafile=str(access.ca)))
        context.load_cert_chain(access.cert, access.key)

        def of(url: str) -> Gateway:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
            return cls(url, lambda timeout: http.client.HTTPSConnection(host, port, timeout=timeout, context=context))

        return [of(url) for url in access.urls]

    @classmethod
    def on(cls, path: Path) -> Gateway:
        """A member on a socket of the file system."""

        class Local(http.client.HTTPConnection):
            def connect(self) -> None:
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.settimeout(self.timeout)
                with layout.short(path) as address:
                    self.sock.connect(address)

        return cls(path.name, lambda timeout: Local("localhost", timeout=timeout))

    @property
    def revision(self) -> int:
        """The newest revision."""
        return int(self.status()["header"]["revision"])

    def status(self) -> dict[str, Any]:
        """Version, size, leader and the newest revision, in the words of the gateway."""
        return self._ask("/v3/maintenance/status", {}, TIMEOUT)

    def content(self, revision: int = 0) -> dict[bytes, KeyValue]:
        """Every live key as of ``revision`` (0: now), read at one revision throughout, from this member alone."""
        found: dict[bytes, KeyValue] = {}
        body: dict[str, Any] = {"key": _ALL, "range_end": _ALL, "limit": PAGE, "serializable": True}
        while True:
            if revision:
                body["revision"] = revision
            answer = self._ask("/v3/kv/range", body, 60.0)
            revision = revision or int(answer["header"]["revision"])
            items = answer.get("kvs") or []
            found.update((one.key, one) for one in map(_key_value, items))
            if not answer.get("more"):
                return found
            # The least key after the last one.
            body["key"] = base64.b64encode(base64.b64decode(items[-1]["key"]) + b"\0").decode()

    def watch(self, start: int, *, timeout: float, events: int = 1) -> WatchEnd:
        """Watches everything from revision ``start`` until there were ``events``, the watch was ended by compaction,
        or ``timeout`` seconds are over."""
        seen = 0
        request = {"create_request": {"key": _ALL, "range_end": _ALL, "start_revision": start}}
        deadline = _clock.Deadline(timeout)
        try:
            for answer in self._stream("/v3/watch", request, deadline):
                result = answer.get("result") or {}
                seen += len(result.get("events") or [])
                if result.get("canceled"):
                    return WatchEnd(seen, int(result.get("compact_revision") or 0))
                if seen >= events:
                    break
        except TimeoutError:
            pass
        return WatchEnd(seen, 0)

    def _stream(self, path: str, body: dict[str, Any], deadline: _clock.Deadline) -> Iterator[dict[str, Any]]:
        connection = self._connect(max(0.1, deadline.left))
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            with connection.getresponse() as response:
                while line := response.readline():
                    yield json.loads(line)
                    if deadline.passed:
                        return
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise MemberGone(f"etcd {self.name} broke a watch off: {error}") from error
        finally:
            connection.close()

    def _ask(self, path: str, body: dict[str, Any], timeout: float) -> dict[str, Any]:
        connection = self._connect(timeout)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise MemberGone(f"etcd {self.name} does not answer {path}: {error}") from error
        finally:
            connection.close()
        if response.status != 200 or not isinstance(answer, dict):
            raise MemberGone(f"etcd {self.name} answered {path} with {response.status}: {str(answer)[:300]}")
        return answer


def _key_value(item: dict[str, Any]) -> KeyValue:
    return KeyValue(
        base64.b64decode(item["key"]),
        base64.b64decode(item.get("value") or ""),
        int(item.get("create_revision") or 0),
        int(item.get("mod_revision") or 0),
        int(item.get("version") or 0),
        int(item.get("lease") or 0),
    )
