"""The agent in a probe pod: agnhost's ``netexec``, told over one forwarded connection what to dial.

The control connection is the pod's ``portforward`` subresource: the kubelet has the container runtime connect to the
pod's own loopback, inside the pod's network. No packet of it passes where NetworkPolicies are enforced, so a policy
under test cannot cut it, whatever it denies. (The API server's pod *proxy* is a connection from the control plane's
node to the pod's address, which a default deny does cut on every other node.) A connection carries up to `LANES`
requests side by side, each on a stream of its own, so a whole batch of cells costs one request to the API server.

``/dial`` makes the pod open a fresh socket for each request. It waits five seconds for an answer; a batch does not.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from pytest_k8sha import _clock
from pytest_k8sha.errors import RequestError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.tenancy.network.places import Pod

LANES = 60
"""Requests on one connection. A stream's number is one byte, and each request takes two streams."""

DATA, ERRORS = 0, 1


@dataclass
class Lane:
    """One request and what came back for it. ``sent`` and ``answered`` are on the monotonic clock."""

    path: str
    sent: float = 0.0
    answered: float | None = None
    raw: bytearray = field(default_factory=bytearray)
    problem: str = ""

    @property
    def done(self) -> bool:
        return self.answered is not None or bool(self.problem)

    @property
    def latency(self) -> float | None:
        return None if self.answered is None else self.answered - self.sent

    @property
    def status(self) -> int:
        """The HTTP status, 0 where no whole answer came."""
        return int(self.raw.split(b" ", 2)[1]) if self.answered is not None else 0

    @property
    def body(self) -> str:
        return bytes(self.raw.partition(b"\r\n\r\n")[2]).decode("utf-8", "replace") if self.answered is not None else ""

    def take(self, data: bytes) -> None:
        """More bytes of the answer; marks it as whole when its announced length is there."""
        self.raw += data
        head, blank, body = self.raw.partition(b"\r\n\r\n")
        if not blank:
            return
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and len(body) >= int(value):
                self.answered = _clock.now()


class Line:
    """A forwarded connection to one port of one pod. Use it as a context manager.

    Raises `ApiError` and `TransportError` when it cannot be opened.
    """

    def __init__(self, client: Client, pod: Pod, port: int, lanes: int) -> None:
        self.path = f"/api/v1/namespaces/{pod.namespace.name}/pods/{pod.name}/portforward"
        self.lanes: list[Lane] = []
        self._room = min(lanes, LANES)
        self._begun: set[int] = set()
        self._socket: Any = client.socket(self.path, query={"ports": [str(port)] * self._room}, timeout=30.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def room(self) -> int:
        """How many more requests the connection can take."""
        return self._room - len(self.lanes)

    def send(self, path: str) -> Lane:
        """Sends one GET on a stream of its own."""
        number, lane = len(self.lanes), Lane(path)
        request = f"GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n"
        lane.sent = _clock.now()
        try:
            self._socket.write_channel(2 * number, request.encode())
        except Exception as error:  # noqa: BLE001 - whatever the WebSocket library raises, nothing was observed
            lane.problem = f"the control connection failed: {error}"
        self.lanes.append(lane)
        return lane

    def listen(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Takes what arrives, for so long or until every request is answered, or ``until`` says so."""
        deadline = _clock.Deadline(seconds)
        while not (all(lane.done for lane in self.lanes) or until()):
            try:
                self._socket.update(timeout=deadline.left)
                self._sort()
                gone = not self._socket.is_open()
            except Exception as error:  # noqa: BLE001 - as above
                gone, cause = True, f"the control connection broke: {error}"
            else:
                cause = "the control connection was closed"
            if gone:
                for lane in self.lanes:
                    lane.problem = lane.problem or ("" if lane.done else cause)
            if deadline.passed:
                return

    def _sort(self) -> None:
        """Hands what arrived to its request. Each stream begins with the two bytes of its port."""
        for channel, data in list(self._socket._channels.items()):  # noqa: SLF001 - its reader may wait for more
            del self._socket._channels[channel]  # noqa: SLF001
            if channel not in self._begun:
                if len(data) < 2:
                    self._socket._channels[channel] = data  # noqa: SLF001
                    continue
                self._begun.add(channel)
                data = data[2:]
            number, kind = divmod(channel, 2)
            if not data or number >= len(self.lanes):
                continue
            if kind == ERRORS:
                self.lanes[number].problem = data.decode("utf-8", "replace")
            else:
                self.lanes[number].take(data)


@dataclass
class Agent:
    """Dials from one pod. ``port`` is where its ``netexec`` serves HTTP."""

    client: Client
    pod: Pod
    port: int

    def batch(self, paths: Sequence[str], patience: float) -> list[Lane]:
        """All requests at once; returns one lane for each, in order, after ``patience`` seconds at the latest.

        A request that the control connection lost carries a problem, and was not observed.
        """
        chunks = [paths[i : i + LANES] for i in range(0, len(paths), LANES)]
        if len(chunks) == 1:
            return self._chunk(chunks[0], patience)
        with ThreadPoolExecutor(max_workers=max(1, len(chunks))) as pool:
            return [lane for lanes in pool.map(lambda chunk: self._chunk(chunk, patience), chunks) for lane in lanes]

    def _chunk(self, paths: Sequence[str], patience: float) -> list[Lane]:
        try:
            with self.line(len(paths)) as line:
                for path in paths:
                    line.send(path)
                line.listen(patience)
                return line.lanes
        except RequestError as error:
            return [Lane(path, problem=f"no control connection to {self.pod}: {error}") for path in paths]

    def line(self, lanes: int = LANES) -> Line:
        return Line(self.client, self.pod, self.port, lanes)

    def get(self, path: str, *, timeout: float) -> str:
        """One request to the agent itself. Raises `TransportError` when no answer comes."""
        lane = self.batch([path], timeout)[0]
        if lane.problem or lane.answered is None:
            raise TransportError("other", method="GET", path=path, cause=lane.problem or f"no answer in {timeout:g} s")
        return lane.body


def dial(host: str, port: int, protocol: str, request: bytes) -> str:
    """The path that makes ``netexec`` dial: ``protocol`` is http, udp or sctp; ``request`` a path, or what is sent."""
    return f"/dial?host={quote(host)}&port={port}&protocol={protocol}&tries=1&request={quote(request, safe='')}"


def dialled(body: str) -> tuple[list[str], list[str]]:
    """Responses and errors in the answer of ``/dial``. Raises ValueError when it is none."""
    answer = json.loads(body)
    return list(answer.get("responses") or []), list(answer.get("errors") or [])
