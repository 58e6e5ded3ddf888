"""What passes between members: carried in order, cut without a word, and made late, over real TCP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_k8sha import _clock
from pytest_k8sha.errors import UsageError
from pytest_k8sha.providers.local.links import Links

LATE = 0.15
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    await _end(writer)


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class World:
    """Members whose etcd is an echo server, at the peer's and at the client's port."""

    links: Links
    ends: list[dict[str, Any]]
    opened: list[asyncio.StreamWriter] = field(default_factory=list)

    async def dial(self, port: int) -> Pair:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.opened.append(writer)
        return reader, writer

    async def connect(self, a: int, b: int) -> Pair:
        """A connection from member ``a`` to the peer port of member ``b``, by the proxy of ``a``."""
        reader, writer = await self.dial(self.ends[a]["proxy"])
        writer.write(f"CONNECT {self.ends[b]['address']}:{self.ends[b]['peer']} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return reader, writer

    async def greeted(self, a: int, b: int) -> Pair:
        reader, writer = await self.connect(a, b)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        return reader, writer


@contextlib.asynccontextmanager
async def world(members: int = 3) -> AsyncIterator[World]:
    ends, servers = [], []
    for index in range(members):
        one: dict[str, Any] = {"address": f"192.0.2.{10 + index}"}
        for name in ("peer", "client"):
            server = await asyncio.start_server(_echo, "127.0.0.1", 0)
            servers.append(server)
            one[name] = server.sockets[0].getsockname()[1]
        ends.append({**one, "proxy": _free(), "store": _free()})
    made = World(Links(ends), ends)
    await made.links.open()
    try:
        yield made
    finally:
        for writer in made.opened:
            await _end(writer)
        made.links.heal()
        made.links.close()
        for server in servers:
            server.close()
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0.01)


async def passes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, within: float = 5.0) -> bool:
    writer.write(b"hello")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            return await reader.readexactly(5) == b"hello"
    return False


def test_everything_passes_in_order() -> None:
    """A megabyte comes back as it was sent, and the end of one side is passed on."""

    async def body() -> None:
        async with world() as here:
            reader, writer = await here.greeted(0, 1)
            sent = bytes(range(256)) * 4096
            writer.write(sent)
            writer.write_eof()
            assert await reader.read(-1) == sent

    asyncio.run(body())


def test_a_cut_is_silence_in_both_directions_and_for_one_member_alone() -> None:
    """Nothing passes to or from the member that is cut, nothing is refused, the others go on; what was sent meanwhile
    arrives once it is mended."""

    async def body() -> None:
        async with world() as here:
            there, back, others = await here.greeted(0, 1), await here.greeted(1, 2), await here.greeted(0, 2)
            here.links.cut("etcd", 1)
            assert not await passes(*there, within=0.2)
            assert not await passes(*back, within=0.2)
            assert await passes(*others)
            late = await here.connect(0, 1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await late[0].readexactly(1)
            assert len(here.links.as_list()) == 4
            here.links.mend("etcd", 1)
            assert await there[0].readexactly(5) == b"hello"
            assert (await late[0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert here.links.as_list() == []

    asyncio.run(body())


def test_a_delay_is_that_of_both_directions() -> None:
    """A round trip takes twice the delay, and pieces do not overtake each other."""

    async def body() -> None:
        async with world() as here:
            reader, writer = await here.greeted(2, 0)
            here.links.delay("etcd", 2, LATE)
            clock = _clock.Deadline(30)
            for piece in (b"a" * 1000, b"b", b"c" * 5000):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            assert await reader.readexactly(6001) == b"a" * 1000 + b"b" + b"c" * 5000
            assert clock.spent >= 2 * LATE
            here.links.heal()
            assert await passes(reader, writer)

    asyncio.run(body())


def test_an_api_server_is_cut_off_from_its_own_etcd_alone() -> None:
    """The forwarder of one member's API server falls silent; that of another does not."""

    async def body() -> None:
        async with world(2) as here:
            first, second = [await here.dial(here.ends[index]["store"]) for index in (0, 1)]
            assert await passes(*first)
            here.links.cut("kube-apiserver", 0)
            assert not await passes(*first, within=0.2)
            assert await passes(*second)

    asyncio.run(body())


def test_a_proxy_leads_to_peers_alone() -> None:
    """The proxy refuses other addresses, other methods, and a member's way to itself."""

    async def body() -> None:
        async with world() as here:
            for line in (
                "CONNECT 198.51.100.1:443 HTTP/1.1",
                f"CONNECT {here.ends[0]['address']}:{here.ends[0]['peer']} HTTP/1.1",
                f"GET http://{here.ends[1]['address']}:{here.ends[1]['peer']}/ HTTP/1.1",
            ):
                reader, writer = await here.dial(here.ends[0]["proxy"])
                writer.write(f"{line}\r\n\r\n".encode())
                assert (await reader.read(1024)).startswith(b"HTTP/1.1 403 "), line

    asyncio.run(body())


def test_a_reset_is_passed_on() -> None:
    """When one end is torn down the other learns of it."""

    async def body() -> None:
        async with world() as here:
            reader, writer = await here.greeted(0, 1)
            assert await passes(reader, writer)
            writer.transport.abort()
            again = await here.greeted(0, 1)
            assert await passes(*again)

    asyncio.run(body())


@pytest.mark.parametrize(("component", "member"), [("etcd", 7), ("kube-scheduler", 0)])
def test_unknown_ends_are_refused(component: str, member: int) -> None:
    """A member or a component between whom nothing passes is told with what there is."""

    async def body() -> None:
        async with world(2) as here:
            with pytest.raises(UsageError, match="allowed: "):
                here.links.cut(component, member)

    asyncio.run(body())
