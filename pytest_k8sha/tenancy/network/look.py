"""Looking at the network: each cell is dialled for real, and what comes back is sorted without guessing."""

from __future__ import annotations

import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_k8sha import _clock
from pytest_k8sha.errors import RequestError
from pytest_k8sha.tenancy.network.agent import Agent, dial, dialled
from pytest_k8sha.tenancy.network.places import TCP, Pod
from pytest_k8sha.tenancy.network.table import Ask, Outcome, Route, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.tenancy.network.agent import Lane
    from pytest_k8sha.tenancy.network.table import Cell

PATIENCE = 1.0
"""Seconds for an answer. The first retransmission of a lost packet comes after one second, and a loss that looks like a
block is asked again, since a table has to be seen twice."""

_ECHOED = re.compile(r"(?:GET /echo\?msg=|Echoing )(n[0-9a-f]{12})(?: to \w+ client \[?([0-9a-fA-F.:]+)\]?:\d+)?")
"""What ``netexec`` logs of a nonce that arrived, and of the client's address where it does. A nonce that it was only
told to send stands in its log as well, as part of another line."""

_SILENT = ("i/o timeout", "deadline exceeded", "Client.Timeout", "connection timed out")
_REFUSED = ("connection refused", "no route to host", "network is unreachable", "permission denied", "not permitted")
_ANSWERED = ("malformed HTTP", "EOF", "connection reset by peer", "server gave HTTP")

ANY_ANSWER = {Ask.HTTP, Ask.SLOW}
"""Where any answer proves that the connection was made."""

_LOGS_AT_ONCE = 8


@dataclass(frozen=True)
class Server:
    """One container of a probe pod, whose log tells which nonces arrived."""

    pod: Pod
    container: str


class Eyes:
    """Looks at many cells at once: one control connection for each source pod (and each sixty of its cells).

    ``control`` is the port at which each source's agent listens; ``servers`` are all containers that log nonces.
    """

    def __init__(self, client: Client, servers: Sequence[Server], *, control: int) -> None:
        self.client = client
        self.servers = list(servers)
        self.control = control

    def look(self, cells: Sequence[Cell], *, patience: float = PATIENCE) -> dict[Cell, Seen]:
        """What happens when every cell is dialled, once, at the same time, from fresh sockets.

        Raises nothing for a probe that fails: such a cell was not observed, and says why.
        """
        began = _clock.now()
        nonces = {cell: f"n{secrets.token_hex(6)}" for cell in cells}
        by_source: dict[Pod, list[Cell]] = {}
        for cell in cells:
            by_source.setdefault(cell.source, []).append(cell)
        lanes: dict[Cell, Lane] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(by_source))) as pool:
            jobs = {
                source: pool.submit(self._dial, source, mine, nonces, patience) for source, mine in by_source.items()
            }
            for source, job in jobs.items():
                lanes.update(zip(by_source[source], job.result(), strict=True))
        seen = {cell: sort(cell, lanes[cell], nonces[cell]) for cell in cells}
        return self._with_logs(seen, nonces, _clock.now() - began)

    def _dial(self, source: Pod, cells: Sequence[Cell], nonces: Mapping[Cell, str], patience: float) -> list[Lane]:
        paths = [question(cell, nonces[cell]) for cell in cells]
        return Agent(self.client, source, self.control).batch(paths, patience)

    def _with_logs(self, seen: dict[Cell, Seen], nonces: Mapping[Cell, str], spent: float) -> dict[Cell, Seen]:
        """Silence is looked into: if the nonce is in a server's log, the packet went through."""
        deaf = {c.source for c, s in seen.items() if c.ask is Ask.DNS and not s.outcome.through}
        for cell, one in seen.items():
            if cell.route is Route.SERVICE_NAME and cell.source in deaf and one.outcome is Outcome.BLOCKED:
                # The resolver waits longer for a lost answer than a batch does.
                seen[cell] = Seen(Outcome.NO_NAME, "no answer in time, nor from the name server")
        silent = [c for c, s in seen.items() if s.outcome in {Outcome.BLOCKED, Outcome.REACHED} and c.ask is Ask.ECHO]
        ends = {str(end) for cell in silent for end, _ in cell.ends}
        arrived, unread = self.logs([s for s in self.servers if str(s.pod) in ends], spent)
        for cell in silent:
            found = arrived.get(nonces[cell])
            if found:
                detail = f"no answer with the nonce came back, but {found[0]} logged it"
                seen[cell] = Seen(Outcome.REACHED, detail, None, found[1], found[0])
            elif any(str(end) in unread for end, _ in cell.ends):
                why = next(unread[str(end)] for end, _ in cell.ends if str(end) in unread)
                seen[cell] = Seen(Outcome.UNSEEN, f"no answer, and the server's log cannot be read: {why}")
        return seen

    def logs(self, servers: Sequence[Server], seconds: float) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
        """The nonces that arrived in the last ``seconds``, each with pod and client address; and the pods whose log
        could not be read, with the reason."""
        arrived: dict[str, tuple[str, str]] = {}
        unread: dict[str, str] = {}

        def one(server: Server) -> tuple[Server, str, str]:
            path = f"/api/v1/namespaces/{server.pod.namespace.name}/pods/{server.pod.name}/log"
            query = {"container": server.container, "sinceSeconds": int(seconds) + 2}
            try:
                return server, str(self.client.request("GET", path, query=query, timeout=10.0)), ""
            except RequestError as error:
                return server, "", str(error)

        with ThreadPoolExecutor(max_workers=_LOGS_AT_ONCE) as pool:
            for server, text, problem in pool.map(one, servers):
                if problem:
                    unread[str(server.pod)] = problem
                for nonce, client in _ECHOED.findall(text):
                    arrived[nonce] = (str(server.pod), client)
        return arrived, unread


def question(cell: Cell, nonce: str) -> str:
    """What the agent is told to do for a cell."""
    if cell.ask is Ask.DNS:
        return dial(cell.host, cell.port, "udp", dns_question(nonce))
    if cell.protocol != TCP:
        return dial(cell.host, cell.port, cell.protocol.lower(), f"echo {nonce}".encode())
    return dial(cell.host, cell.port, "http", f"echo?msg={nonce}".encode())


def dns_question(nonce: str, zone: str = "svc.cluster.local") -> bytes:
    """A question for the address of a name that does not exist (RFC 1035, section 4.1); every answer repeats it."""
    name = b"".join(bytes([len(part)]) + part.encode() for part in [nonce, *zone.split(".")])
    return b"k8\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + name + b"\x00\x00\x01\x00\x01"


def sort(cell: Cell, lane: Lane, nonce: str) -> Seen:
    """What an answer of the agent means. Silence counts as a block until a server's log says otherwise."""
    if lane.problem:
        return Seen(Outcome.UNSEEN, lane.problem[:300])
    if lane.answered is None:
        return Seen(Outcome.BLOCKED, "no answer in time")
    if lane.status != 200:
        text = lane.body.strip()[:300]
        named = "lookup " in text or "no such host" in text
        return Seen(Outcome.NO_NAME if named else Outcome.UNSEEN, f"the agent answered {lane.status}: {text}")
    try:
        responses, errors = dialled(lane.body)
    except ValueError:
        return Seen(Outcome.UNSEEN, f"the agent's answer cannot be read: {lane.body[:200]!r}")
    if responses:
        if nonce in responses[0] or cell.ask in ANY_ANSWER:
            return Seen(Outcome.OPEN, "", lane.latency)
        return Seen(Outcome.REACHED, f"an answer came, without the nonce: {responses[0][:100]!r}", lane.latency)
    text = errors[0] if errors else "an empty answer"
    if any(words in text for words in _SILENT):
        return Seen(Outcome.BLOCKED, text[-200:])
    if any(words in text for words in _REFUSED):
        return Seen(Outcome.REFUSED, text[-200:])
    if any(words in text for words in _ANSWERED) and cell.protocol == TCP:
        return Seen(Outcome.OPEN if cell.ask in ANY_ANSWER else Outcome.REACHED, text[-200:], lane.latency)
    return Seen(Outcome.UNSEEN, text[-300:])
