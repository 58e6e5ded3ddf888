"""A server whose outages are known exactly, for the proof that a probe's intervals hold the truth.

``python -m benchmarks.outages COUNT`` serves HTTP on so many ports and obeys on one more. The first line that it prints
is its ports, the obeying one first. ``Server`` starts it and gives the orders.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import struct
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from pytest_k8sha import _clock, _process
from pytest_k8sha._wait import eventually

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("refused", "reset", "blackhole", "stop")
"""How a server can be out: nobody listens; connections are reset; accepted and never answered; the process is stopped
by SIGSTOP, while the kernel goes on to accept connections for it."""


@dataclass(frozen=True)
class Truth:
    """An outage as it was made, on the monotonic clock: it began in [``begin[0]``, ``begin[1]``] and ended so, too. The
    spans are the time that the switch itself took."""

    begin: tuple[float, float]
    end: tuple[float, float]

    @property
    def least(self) -> float:
        return self.end[0] - self.begin[1]

    @property
    def most(self) -> float:
        return self.end[1] - self.begin[0]


@dataclass
class Place:
    """One port: how it answers at this moment. ``delay`` is in seconds."""

    name: str
    mode: str = "ok"
    delay: float = 0.0
    port: int = 0
    server: asyncio.Server | None = None


class Answer(asyncio.Protocol):
    """One connection to one port."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        if self._place.mode == "reset":
            self._reset()

    def data_received(self, data: bytes) -> None:
        self._data += data
        if b"\r\n\r\n" not in self._data:
            return
        if self._place.mode == "reset":
            self._reset()
        elif self._place.mode == "ok":
            body = self._data.split(b" ", 2)[1]
            if self._place.delay:
                asyncio.get_running_loop().call_later(self._place.delay, self._answer, body)
            else:
                self._answer(body)

    def _answer(self, body: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        head = f"HTTP/1.1 200 OK\r\nX-Instance: {self._place.name}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)
        self._transport.close()

    def _reset(self) -> None:
        assert self._transport
        found: socket.socket = self._transport.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


class Serving:
    """The process itself."""

    def __init__(self, count: int) -> None:
        self.places = [Place(f"place-{n}") for n in range(count)]

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for place in self.places:
            await self._listen(place)
        control = await asyncio.start_server(self._order, "127.0.0.1", 0)
        ports = [control.sockets[0].getsockname()[1], *(place.port for place in self.places)]
        sys.stdout.write(json.dumps(ports) + "\n")
        sys.stdout.flush()
        await loop.create_future()

    async def _listen(self, place: Place) -> None:
        loop = asyncio.get_running_loop()
        place.server = await loop.create_server(lambda: Answer(place), "127.0.0.1", place.port, backlog=1000)
        place.port = place.server.sockets[0].getsockname()[1]

    async def _order(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
        _, number, mode, amount = line.split("/")
        answer = await self._obey(self.places[int(number)], mode, float(amount))
        body = json.dumps(answer).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async def _obey(self, place: Place, mode: str, amount: float) -> Any:
        if mode == "delay":
            place.delay = amount
            return None
        before = _clock.now()
        place.mode = mode
        if mode == "refused" and place.server:
            place.server.close()
        began = (before, _clock.now())
        await asyncio.sleep(amount)
        before = _clock.now()
        if mode == "refused":
            await self._listen(place)
        place.mode = "ok"
        return [began, (before, _clock.now())]


@dataclass
class Server:
    """A running server with ``count`` ports. Use it as a context manager."""

    folder: Path
    count: int = 1
    ports: list[int] = field(default_factory=list)
    _program: _process.Program | None = None

    def __enter__(self) -> Self:
        log = self.folder / "server.log"
        argv = [sys.executable, "-m", "benchmarks.outages", str(self.count)]
        self._program = _process.start(argv, log=log, die_with_parent=True)
        line = eventually(lambda: log.read_text() if log.exists() else "", timeout=60, accept=lambda t: "]\n" in t)
        self._control, *self.ports = json.loads(line)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._program
        self._program.end(grace=2.0)

    def url(self, place: int = 0) -> str:
        """The answer to it is its path and query."""
        return f"http://127.0.0.1:{self.ports[place]}/x?{{nonce}}"

    def out(self, kind: str, seconds: float, place: int = 0) -> Truth:
        """An outage of ``seconds`` on one port, or with ``stop`` on all of them; returns when it is over."""
        if kind != "stop":
            begin, end = self._tell(f"/{place}/{kind}/{seconds}", seconds + 60)
            return Truth(tuple(begin), tuple(end))
        assert self._program
        moments = []
        for number, pause in ((signal.SIGSTOP, seconds), (signal.SIGCONT, 0.0)):
            before = _clock.now()
            self._program.signal(number)
            moments.append((before, _clock.now()))
            _clock.pause(pause)
        return Truth(*moments)

    def delay(self, seconds: float, place: int = 0) -> None:
        """From now on answers come so much later."""
        self._tell(f"/{place}/delay/{seconds}", 60)

    def _tell(self, path: str, timeout: float) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._control, timeout=timeout)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


if __name__ == "__main__":
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # it is the yardstick: it must not wait for what it is to measure
    asyncio.run(Serving(int(sys.argv[1])).run())
