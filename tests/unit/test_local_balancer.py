"""The stable address: connections go to members that answer, and end with the member that serves them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pytest_k8sha.providers.local.balancer import Balancer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def member(name: str) -> asyncio.Server:
    """A member that says its name, then repeats what it hears."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(name.encode() + b"\n")
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the balancer ended it
        finally:
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


def with_members(count: int, body: Callable[[Balancer, int, list[int]], Awaitable[Any]]) -> None:
    """Runs ``body`` with a balancer over ``count`` members, all healthy."""

    async def scene() -> None:
        servers = [await member(f"member-{index}") for index in range(count)]
        ports = [port_of(server) for server in servers]
        stable = free_port()
        balancer = Balancer(stable, ports)
        await balancer.open()
        try:
            for port in ports:
                balancer.mark(port, healthy=True)
            async with asyncio.timeout(20):
                await body(balancer, stable, ports)
        finally:
            balancer.close()
            for server in servers:
                server.close()
            await asyncio.sleep(0.05)

    asyncio.run(scene())


async def greet(stable: int) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", stable)
    return (await reader.readline()).decode().strip(), reader, writer


def test_connections_are_spread() -> None:
    """Connections that stay open go to the members by turns."""

    async def body(balancer: Balancer, stable: int, ports: list[int]) -> None:
        links = [await greet(stable) for _ in range(6)]
        names = [name for name, _, _ in links]
        assert {names.count(name) for name in set(names)} == {2}
        for _, _, writer in links:
            writer.close()

    with_members(3, body)


def test_bytes_arrive_as_they_were_sent() -> None:
    """Some megabytes go through both ways, to the end of the stream."""

    async def body(balancer: Balancer, stable: int, ports: list[int]) -> None:
        _, reader, writer = await greet(stable)
        sent = bytes(range(256)) * 20_000

        async def send() -> None:
            for start in range(0, len(sent), 100_000):
                writer.write(sent[start : start + 100_000])
                await writer.drain()
            writer.write_eof()

        _, got = await asyncio.gather(send(), reader.read(-1))
        assert got == sent
        writer.close()

    with_members(1, body)


def test_a_lost_member_lets_its_clients_go() -> None:
    """Connections to a member that fails its probe are reset, the others live on, and new ones go elsewhere."""

    async def body(balancer: Balancer, stable: int, ports: list[int]) -> None:
        links = [await greet(stable) for _ in range(2)]
        lost = links[0][0]
        balancer.mark(ports[int(lost[-1])], healthy=False)
        assert len(balancer.healthy) == 1
        with pytest.raises(OSError, match="reset"):
            assert await links[0][1].read(1) == b"x"
        links[1][2].write(b"still here\n")
        assert await links[1][1].readline() == b"still here\n"
        name, _, writer = await greet(stable)
        assert name != lost
        for end in (writer, links[0][2], links[1][2]):
            end.close()

    with_members(2, body)


def test_a_member_that_refuses_is_passed_over() -> None:
    """A member that died a moment ago, before any probe, costs nobody a connection."""

    async def body(balancer: Balancer, stable: int, ports: list[int]) -> None:
        with_dead = Balancer(free_port(), [free_port(), *ports])
        await with_dead.open()
        for port in with_dead._links:
            with_dead.mark(port, healthy=True)
        for _ in range(4):
            name, _, writer = await greet(with_dead._port)
            assert name == "member-0"
            writer.close()
        with_dead.close()

    with_members(1, body)


def test_nobody_serves() -> None:
    """Without a healthy member a connection is reset instead of hanging."""

    async def body(balancer: Balancer, stable: int, ports: list[int]) -> None:
        balancer.mark(ports[0], healthy=False)
        reader, writer = await asyncio.open_connection("127.0.0.1", stable)
        with pytest.raises(OSError, match="reset"):
            assert await reader.read(1) == b"x"
        writer.close()

    with_members(1, body)
