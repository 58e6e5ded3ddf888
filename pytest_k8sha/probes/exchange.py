"""One request of a probe and its answer, without a client that would hide anything: HTTP, TCP, DNS.

Each request has a connection of its own and is tried once. Nothing here counts, waits for another request or retries.
"""

from __future__ import annotations

import asyncio
import errno
import http.client
import io
import json
import secrets
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha.probes.sample import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OWN_TROUBLE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""Errors of this machine: no file, no memory, no free port. They say nothing of the target."""

KEPT = 8192
"""Characters of a body that are kept for a parser."""

LONGEST = 1_000_000
"""Bytes of an answer that are read; a longer one is cut short."""

NONCE = "{nonce}"


@dataclass
class Result:
    """What came of a request."""

    outcome: Outcome
    instance: str = ""
    detail: str = ""
    raw: dict[str, Any] | None = None
    """The answer itself, where a parser wants it."""


def failure(error: BaseException) -> Result:
    """Sorts an exception of a connection."""
    if isinstance(error, TimeoutError):
        return Result(Outcome.TIMEOUT)
    if isinstance(error, ConnectionRefusedError):
        return Result(Outcome.REFUSED)
    if isinstance(error, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
        return Result(Outcome.RESET, detail=str(error))
    if isinstance(error, ssl.SSLError):
        return Result(Outcome.ERROR, detail=f"TLS: {error.reason or error}")
    if isinstance(error, OSError):
        if error.errno in OWN_TROUBLE:
            return Result(Outcome.MISSED, detail=f"this machine: {error.strerror or error}")
        return Result(Outcome.ERROR, detail=error.strerror or str(error))
    return Result(Outcome.ERROR, detail=f"{type(error).__name__}: {error}")


class Conversation(asyncio.Protocol):
    """Sends bytes once connected, gathers what comes, and is done when ``whole`` says so or the other side closes."""

    def __init__(self, request: bytes, whole: Callable[[bytearray], bool]) -> None:
        self.data = bytearray()
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """True when all was there, false when the other side closed before that was clear."""
        self._request = request
        self._whole = whole
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_connection makes no other
        self._transport = transport
        if self._request:
            transport.write(self._request)
        if self._whole(self.data):
            self._end(whole=True)

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self._whole(self.data) or len(self.data) > LONGEST:
            self._end(whole=True)

    def eof_received(self) -> None:
        self._end(whole=False)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            if exc is not None:
                self.ended.set_exception(exc)
            else:
                self.ended.set_result(False)

    def _end(self, *, whole: bool) -> None:
        if not self.ended.done():
            self.ended.set_result(whole)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        if self.ended.done() and not self.ended.cancelled():
            self.ended.exception()  # looked at, so that asyncio does not tell of it


@dataclass
class Address:
    """Where a target is: its name resolved once, so that a slow resolver is not taken for a slow service."""

    host: str
    port: int
    kind: int = socket.SOCK_STREAM
    found: list[str] = field(default_factory=list)

    async def hosts(self) -> list[str]:
        """The addresses, in the resolver's order. Raises OSError while the name does not resolve."""
        if not self.found:
            answers = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=self.kind)
            self.found = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        return self.found


async def talk(
    address: Address, request: bytes, whole: Callable[[bytearray], bool], tls: ssl.SSLContext | None = None
) -> tuple[bool, bytearray]:
    """One conversation on a new connection: whether the answer was whole, and the answer."""
    loop = asyncio.get_running_loop()
    name = address.host if tls else None
    error: OSError | None = None
    for host in await address.hosts():
        conversation = Conversation(request, whole)
        try:
            await loop.create_connection(lambda c=conversation: c, host, address.port, ssl=tls, server_hostname=name)
        except OSError as caught:
            error = caught  # as a browser: the next address of the name
            continue
        try:
            return await conversation.ended, conversation.data
        finally:
            conversation.close()
    raise error or OSError(f"{address.host} has no address")


class Web:
    """HTTP/1.1 with ``Connection: close``."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._order = order
        self._address = Address(order["host"], order["port"])
        self._tls = _context(order) if order["kind"] == "https" else None
        head = {
            "Host": order["host_header"],
            "User-Agent": "pytest-k8sha probe",
            "Accept": "*/*",
            **order["headers"],
            "Connection": "close",
        }
        lines = [f"{order['method']} {order['path']} HTTP/1.1", *(f"{k}: {v}" for k, v in head.items())]
        self._request = "\r\n".join([*lines, "", ""])
        self._echo = NONCE in self._request
        self._status = frozenset(order["status"])

    async def ask(self, nonce: str) -> Result:
        request = self._request.replace(NONCE, nonce)
        whole, data = await talk(self._address, request.encode(), _complete, self._tls)
        if not data:
            return Result(Outcome.RESET, detail="closed without an answer")
        try:
            status, headers, body = _read(bytes(data), self._order["method"])
        except (http.client.HTTPException, ValueError) as error:
            cut = "" if whole else "cut short: "
            return Result(Outcome.WRONG, detail=f"{cut}{type(error).__name__} {error}"[:200])
        return self._judge(nonce, status, headers, body)

    def _judge(self, nonce: str, status: int, headers: dict[str, str], body: str) -> Result:
        order = self._order
        if status not in self._status:
            return Result(Outcome.ERROR, detail=f"HTTP {status}")
        if self._echo and nonce not in body and not any(nonce in value for value in headers.values()):
            return Result(Outcome.WRONG, detail="the nonce did not come back")
        expect = order["expect"].replace(NONCE, nonce)
        if expect and expect not in body:
            return Result(Outcome.WRONG, detail=f"the answer does not hold {order['expect'][:60]!r}")
        instance = ""
        if order["instance"]:
            instance = _instance(order["instance"], headers, body)
            if not instance:
                return Result(Outcome.WRONG, detail=f"the answer does not tell its instance ({order['instance']})")
        raw = {"status": status, "headers": headers, "body": body[:KEPT]} if order["keep"] else None
        return Result(Outcome.OK, instance, raw=raw)


class Port:
    """A TCP connection, and what is sent over it."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._address = Address(order["host"], order["port"])
        self._send, self._expect = order["send"], order["expect"]

    async def ask(self, nonce: str) -> Result:
        request = self._send.replace(NONCE, nonce).encode()
        expect = self._expect.replace(NONCE, nonce) or (nonce if NONCE in self._send else "")
        wanted = expect.encode()
        # Without a word to wait for, the connection is the answer; with bytes sent, any byte that comes back is.
        whole, data = await talk(self._address, request, lambda d: wanted in d if wanted else bool(d or not request))
        if whole:
            return Result(Outcome.OK)
        if data:
            return Result(Outcome.WRONG, detail=f"the answer does not hold {(self._expect or NONCE)[:60]!r}")
        return Result(Outcome.RESET, detail="closed without an answer")


class Names:
    """One question to a DNS server over UDP (RFC 1035). The answer must repeat id and question, and hold an address."""

    TYPES = {"A": 1, "AAAA": 28}  # noqa: RUF012 - a constant

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._address = Address(order["host"], order["port"], socket.SOCK_DGRAM)
        labels = [label.encode("idna") for label in order["question"].rstrip(".").split(".")]
        name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
        self._type = self.TYPES[order["type"]]
        self._question = name + self._type.to_bytes(2, "big") + b"\0\1"
        self._expect = order["expect"]

    async def ask(self, nonce: str) -> Result:  # noqa: ARG002 - the id of the question is the nonce of DNS
        number = secrets.token_bytes(2)
        query = number + b"\1\0\0\1\0\0\0\0\0\0" + self._question
        host = (await self._address.hosts())[0]
        gathered = _Datagram(lambda data: data[:2] == number and data[12 : 12 + len(self._question)] == self._question)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: gathered, remote_addr=(host, self._address.port))
        try:
            transport.sendto(query)
            data = await gathered.answer
        finally:
            transport.abort()
        code = data[3] & 15
        if code:
            word = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}.get(code, str(code))
            return Result(Outcome.ERROR, detail=f"DNS {word}")
        try:
            found = list(self._addresses(data))
        except (IndexError, ValueError) as error:
            return Result(Outcome.WRONG, detail=f"an answer that cannot be read: {error}")
        if not found or (self._expect and self._expect not in found):
            return Result(Outcome.WRONG, detail=f"addresses: {', '.join(found) or 'none'}")
        return Result(Outcome.OK, ",".join(sorted(found)[:8]))

    def _addresses(self, data: bytes) -> list[str]:
        place = 12 + len(self._question)
        found = []
        for _ in range(int.from_bytes(data[6:8], "big")):
            while data[place] & 0xC0 != 0xC0 and data[place]:
                place += data[place] + 1
            place += 2 if data[place] else 1
            kind = int.from_bytes(data[place : place + 2], "big")
            length = int.from_bytes(data[place + 8 : place + 10], "big")
            value = data[place + 10 : place + 10 + length]
            place += 10 + length
            if kind == self._type:
                found.append(socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, value))
        return found


class _Datagram(asyncio.DatagramProtocol):
    """Waits for the one datagram that is the answer; others are strays."""

    def __init__(self, mine: Callable[[bytes], bool]) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._mine = mine

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
        if len(data) > 11 and self._mine(data) and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if not self.answer.done():
            self.answer.cancel()
        elif not self.answer.cancelled():
            self.answer.exception()


class _Bytes:
    """What `http.client` reads from in place of a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._data)


def _read(data: bytes, method: str) -> tuple[int, dict[str, str], str]:
    """Status, headers (names in lower case) and body. Raises what `http.client` does for an answer that is none."""
    response = http.client.HTTPResponse(_Bytes(data), method=method)  # type: ignore[arg-type]
    response.begin()
    body = response.read()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, body.decode("utf-8", "replace")


def _complete(data: bytearray) -> bool:
    """Whether an HTTP answer is there to its last byte, for servers that leave the connection open."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = bytes(data[:end]).lower()
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return value.strip().isdigit() and len(data) >= end + 4 + int(value)
        if name == b"transfer-encoding" and b"chunked" in value:
            return data.endswith(b"0\r\n\r\n")
    return head[9:12] in {b"204", b"304"}


def _instance(where: str, headers: Mapping[str, str], body: str) -> str:
    place, _, name = where.partition(":")
    if place == "body":
        return body.strip()[:200]
    if place == "header":
        return headers.get(name.lower(), "")
    try:
        value: Any = json.loads(body)
        for step in name.split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
    return str(value)


def _context(order: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=order["ca"] or None)
    if not order["verify"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
