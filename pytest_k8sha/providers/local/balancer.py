"""One address for several API servers: a TCP forwarder that leaves out the members that do not answer.

Connections are not looked into (TLS ends at the API server). A member that fails its probe gets no new connections and
loses those it has, so that a client of a frozen one sees a reset and comes back, instead of waiting for nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from functools import partial
from typing import cast

_CONNECT_WITHIN = 2.0


class Balancer:
    """Forwards connections to ``port`` of 127.0.0.1 to the least loaded healthy member's port."""

    def __init__(self, port: int, members: list[int]) -> None:
        self._port = port
        self._links: dict[int, set[_Front]] = {member: set() for member in members}
        self._healthy: set[int] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Front(self), "127.0.0.1", self._port)

    def close(self) -> None:
        if self._server:
            self._server.close()
        for member in self._links:
            self.mark(member, healthy=False)

    @property
    def healthy(self) -> list[int]:
        return sorted(self._healthy)

    def mark(self, member: int, *, healthy: bool) -> None:
        """What the last probe of the member at this port said."""
        if healthy:
            self._healthy.add(member)
            return
        self._healthy.discard(member)
        for link in list(self._links[member]):
            link.abort()

    def choose(self, without: set[int]) -> int | None:
        """The healthy member with the fewest connections; None when there is none left to try."""
        usable = [member for member in self._healthy if member not in without]
        return min(usable, key=lambda member: (len(self._links[member]), member), default=None)

    def linked(self, member: int, link: _Front) -> None:
        self._links[member].add(link)

    def unlinked(self, link: _Front) -> None:
        for links in self._links.values():
            links.discard(link)


class _Side(asyncio.Protocol):
    """One end of a forwarded connection; what it receives, the other sends, and no faster."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        if self.other and self.other.transport and self.other.transport.can_write_eof():
            self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other and self.other.transport and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other and self.other.transport:
            # A reset is passed on as a reset: the client must not take it for an orderly end.
            if exc:
                _reset(self.other.transport)
            else:
                self.other.transport.close()

    def abort(self) -> None:
        for side in (self, self.other):
            if side and side.transport:
                _reset(side.transport)


class _Front(_Side):
    """The client's end. Nothing is read from it until a member has taken the connection."""

    def __init__(self, balancer: Balancer) -> None:
        super().__init__()
        self._balancer = balancer
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport  # noqa: S101 - it was made in this moment
        self.transport.pause_reading()
        self._task = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        assert self.transport  # noqa: S101 - see connection_made
        loop = asyncio.get_running_loop()
        tried: set[int] = set()
        while (member := self._balancer.choose(tried)) is not None:
            tried.add(member)
            back = _Side()
            back.other = self
            self._balancer.linked(member, self)
            try:
                async with asyncio.timeout(_CONNECT_WITHIN):
                    await loop.create_connection(partial(_itself, back), "127.0.0.1", member)
            except OSError:
                self._balancer.unlinked(self)
                continue
            self.other = back
            if self.transport.is_closing():
                back.abort()
            else:
                self.transport.resume_reading()
            return
        _reset(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._balancer.unlinked(self)
        super().connection_lost(exc)


def _reset(transport: asyncio.Transport) -> None:
    """Ends a connection by RST instead of FIN."""
    link = transport.get_extra_info("socket")
    if link is not None and not transport.is_closing():
        with contextlib.suppress(OSError):
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _itself(side: _Side) -> _Side:
    return side
