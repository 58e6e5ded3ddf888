"""What passes between members, over real TCP, with a hand on each way: it can be cut, and it can be made slow.

Each etcd reaches its peers by an HTTP proxy of its own (``CONNECT``, RFC 9110 section 9.3.6), so that both ends of a
connection are known: a peer's address is the same for all others, and a forwarder in front of it could not tell who
calls. Each API server reaches the etcd of its member through a plain forwarder. See docs/adr/0006.

A cut is silence, as when a cable is drawn: nothing is refused, nothing is reset, and what was sent meanwhile arrives
when the way is open again, as TCP would have it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 64 * 1024
_CONNECT_WITHIN = 2.0
_LONGEST_HEAD = 4096
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

STORE, SERVER = "etcd", "kube-apiserver"


@dataclass
class Way:
    """One direction between two ends. ``delay`` is in seconds."""

    delay: float = 0.0
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()

    def change(self, *, cut: bool, delay: float = 0.0) -> None:
        self.delay = delay
        if cut:
            self.open.clear()
        else:
            self.open.set()


@dataclass(frozen=True)
class Ends:
    """The ports of one member on 127.0.0.1: ``proxy`` takes its etcd's calls to peers, ``store`` its API server's calls
    to etcd; ``peer`` and ``client`` are where that etcd listens. ``address`` is that of the peer's URL."""

    address: str
    proxy: int
    store: int
    peer: int
    client: int


class Links:
    """The ways between the members of one cluster."""

    def __init__(self, members: list[dict[str, Any]]) -> None:
        self._ends = [Ends(**one) for one in members]
        count = range(len(self._ends))
        self._peers = {(a, b): Way() for a in count for b in count if a != b}
        self._stores = {index: (Way(), Way()) for index in count}
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        for index, ends in enumerate(self._ends):
            for port, serve in ((ends.proxy, self._peer), (ends.store, self._store)):
                self._servers.append(await asyncio.start_server(self._accept(partial(serve, index)), "127.0.0.1", port))

    def close(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()

    # --- orders ------------------------------------------------------------------------------------------------------

    def cut(self, component: str, member: int) -> None:
        """Silence between a member's etcd and its peers, or between its API server and its etcd."""
        for way in self._of(component, member):
            way.change(cut=True)

    def delay(self, component: str, member: int, seconds: float) -> None:
        """Each way takes ``seconds`` longer: a round trip twice that."""
        for way in self._of(component, member):
            way.change(cut=False, delay=seconds)

    def mend(self, component: str, member: int) -> None:
        for way in self._of(component, member):
            way.change(cut=False)

    def heal(self) -> None:
        for way in [*self._peers.values(), *(way for pair in self._stores.values() for way in pair)]:
            way.change(cut=False)

    def as_list(self) -> list[str]:
        """The ways that are not as they should be, in words."""
        named = {f"{STORE}-{a} to {STORE}-{b}": way for (a, b), way in self._peers.items()}
        for index, (there, back) in self._stores.items():
            named[f"{SERVER}-{index} to {STORE}-{index}"] = there
            named[f"{STORE}-{index} to {SERVER}-{index}"] = back
        return [
            f"{name}: {'cut' if not way.open.is_set() else f'{way.delay:g} s late'}"
            for name, way in named.items()
            if not way.open.is_set() or way.delay
        ]

    def _of(self, component: str, member: int) -> list[Way]:
        if not 0 <= member < len(self._ends):
            raise UsageError("no such member", value=member, allowed=map(str, range(len(self._ends))))
        if component == STORE:
            return [way for pair, way in self._peers.items() if member in pair]
        if component == SERVER:
            return list(self._stores[member])
        raise UsageError("nothing is known of what passes there", value=component, allowed=[STORE, SERVER])

    # --- connections -------------------------------------------------------------------------------------------------

    def _accept(self, serve: Callable[..., Any]) -> Callable[..., Any]:
        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._guarded(serve, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return accepted

    @staticmethod
    async def _guarded(serve: Callable[..., Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # one end is gone, and the other learns it by the reset
        finally:
            writer.transport.abort()

    async def _peer(self, index: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.decode("latin-1").partition(" ")
        host, _, port = rest.partition(" ")[0].rpartition(":")
        there = next(
            (n for n, e in enumerate(self._ends) if n != index and (e.address, str(e.peer)) == (host, port)), None
        )
        if method != "CONNECT" or there is None or len(head) > _LONGEST_HEAD:
            writer.write(_FORBIDDEN)
            await writer.drain()
            return
        ways = self._peers[index, there], self._peers[there, index]
        await ways[0].open.wait()
        await self._join(reader, writer, self._ends[there].peer, ways, _ESTABLISHED)

    async def _store(self, index: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ways = self._stores[index]
        await ways[0].open.wait()
        await self._join(reader, writer, self._ends[index].client, ways, b"")

    @staticmethod
    async def _join(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        port: int,
        ways: tuple[Way, Way],
        greeting: bytes,
    ) -> None:
        async with asyncio.timeout(_CONNECT_WITHIN):
            back, forth = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(greeting)
            async with asyncio.TaskGroup() as group:
                for source, target, way in ((reader, forth, ways[0]), (back, writer, ways[1])):
                    pieces: Pieces = asyncio.Queue(maxsize=256)
                    group.create_task(_take(source, way, pieces))
                    group.create_task(_give(target, way, pieces))
        except* OSError:
            pass  # one end was reset; so is the other
        finally:
            forth.transport.abort()


Pieces = asyncio.Queue[tuple[float, bytes | OSError]]
"""What is under way, each piece with the moment at which it is due on the monotonic clock; an error ends it."""


async def _take(reader: asyncio.StreamReader, way: Way, pieces: Pieces) -> None:
    data = b" "
    while data:
        try:
            data = await reader.read(_CHUNK)
        except OSError as error:
            await pieces.put((_clock.now() + way.delay, error))
            return
        await pieces.put((_clock.now() + way.delay, data))


async def _give(writer: asyncio.StreamWriter, way: Way, pieces: Pieces) -> None:
    while True:
        due, piece = await pieces.get()
        if (late := due - _clock.now()) > 0:
            await asyncio.sleep(late)
        await way.open.wait()
        if isinstance(piece, OSError):
            raise piece
        if not piece:
            if writer.can_write_eof():
                writer.write_eof()
            return
        writer.write(piece)
        await writer.drain()
