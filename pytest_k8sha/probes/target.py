"""What a probe asks: an address and what its answer must hold."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from pytest_k8sha.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_k8sha.probes.sample import Answer

NONCE = "{nonce}"
"""Stands for a word that no other request has, in the URL, the headers, the bytes sent and what is expected."""

_SCHEMES = ("http", "https", "tcp", "dns")
_PORTS = {"http": 80, "https": 443, "dns": 53}
_INSTANCE = ("body", "header:NAME", "json:FIELD.FIELD")


@dataclass(frozen=True)
class Target:
    """``http(s)://…``, ``tcp://HOST:PORT`` or ``dns://SERVER[:PORT]/NAME?type=A``.

    A success is an answer with one of the ``status`` codes (HTTP) that holds ``expect``; `NONCE` in the URL, in a
    header or in ``send`` must come back, which tells an answer from a cached or a mixed-up one. ``instance`` says where
    the answer names who gave it: ``body``, ``header:NAME`` or ``json:FIELD.FIELD``; an answer without it is a wrong
    one.
    ``parse`` judges an HTTP answer by a function instead: it returns the instance, or None for a wrong answer.

    A name is resolved once, when the probe starts: use ``dns://`` to probe names. ``ca`` is a file with the authorities
    of an ``https`` target, ``verify=False`` accepts any certificate. Raises `UsageError` for what cannot be meant.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    status: tuple[int, ...] = (200,)
    expect: str = ""
    instance: str = ""
    send: str = ""
    """What a ``tcp`` target is sent once the connection is there; without it the connection is all that is asked."""
    ca: Path | None = None
    verify: bool = True
    parse: Callable[[Answer], str | None] | None = None

    def __post_init__(self) -> None:
        self.describe()

    @property
    def name(self) -> str:
        """For people; without user, password and query, which may hold secrets."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @contextmanager
    def opened(self, rate: float) -> Iterator[dict[str, Any]]:  # noqa: ARG002 - a target may need to prepare for it
        """The order for the probe's process; what was made for it goes with the end of the block."""
        yield self.describe()

    def describe(self) -> dict[str, Any]:
        """The target as plain data."""
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"the probe's target cannot be read ({error})", value=self.url) from error
        if parts.scheme not in _SCHEMES:
            raise UsageError("unknown kind of probe target", value=self.url, allowed=[f"{s}://…" for s in _SCHEMES])
        if not parts.hostname:
            raise UsageError("the probe's target names no host", value=self.url)
        port = port or _PORTS.get(parts.scheme)
        if port is None:
            raise UsageError("the probe's target names no port", value=self.url, remedy="tcp://HOST:PORT")
        if self.instance and self.instance != "body" and self.instance.partition(":")[0] not in {"header", "json"}:
            raise UsageError("unknown place of the instance", value=self.instance, allowed=_INSTANCE)
        order = {"kind": parts.scheme, "name": self.name, "host": parts.hostname, "port": port, "expect": self.expect}
        match parts.scheme:
            case "dns":
                name = parts.path.strip("/")
                if not name:
                    raise UsageError("a DNS target names what to ask for", value=self.url, remedy="dns://SERVER/NAME")
                kind = parse_qs(parts.query).get("type", ["A"])[0].upper()
                if kind not in {"A", "AAAA"}:
                    raise UsageError("unknown type of DNS record", value=kind, allowed=["A", "AAAA"])
                return {**order, "question": name, "type": kind}
            case "tcp":
                return {**order, "send": self.send}
            case _:
                return {
                    **order,
                    "method": self.method,
                    "path": (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
                    "host_header": parts.netloc.rpartition("@")[2],
                    "headers": dict(self.headers),
                    "status": list(self.status),
                    "instance": self.instance,
                    "keep": self.parse is not None,
                    "ca": str(self.ca) if self.ca else "",
                    "verify": self.verify,
                }
