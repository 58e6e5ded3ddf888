"""The truth table: for each way from one pod to another what the policies say, and what the network did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pytest_k8sha.tenancy.network import admin as above
from pytest_k8sha.tenancy.network.evaluate import exemption, host_of
from pytest_k8sha.tenancy.network.places import Address, Pod, Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pytest_k8sha.tenancy.network.admin import AdminPolicy
    from pytest_k8sha.tenancy.network.places import Place
    from pytest_k8sha.tenancy.network.policy import Policy


class Route(StrEnum):
    """How the target is addressed."""

    POD_IP = "pod IP"
    SERVICE_IP = "service IP"
    SERVICE_NAME = "service name"
    NODE_PORT = "node port"
    ADDRESS = "address"


class Expected(StrEnum):
    """What the policies say. ``UNDEFINED``: the API leaves it to the network, so nothing is judged by it."""

    OPEN = "open"
    BLOCKED = "blocked"
    UNDEFINED = "not defined"


class Outcome(StrEnum):
    """What the network did. Only ``BLOCKED`` is a block: an error, a name that is not found, no data are none."""

    OPEN = "open"
    """The answer carried the nonce."""
    REACHED = "reached"
    """No answer with the nonce came back, but the other end was reached: its log holds the nonce, or it answered."""
    BLOCKED = "blocked"
    """No answer in time, and the nonce is not in the target's log."""
    REFUSED = "refused"
    """Actively turned away: nothing listens there, or the network rejects instead of dropping."""
    NO_NAME = "name not resolved"
    UNSEEN = "not observed"
    """The probe itself failed."""

    @property
    def through(self) -> bool:
        """Whether the packets arrived."""
        return self in {Outcome.OPEN, Outcome.REACHED}

    @property
    def known(self) -> bool:
        return self not in {Outcome.NO_NAME, Outcome.UNSEEN}


class Ask(StrEnum):
    """What is sent, and what counts as an answer."""

    ECHO = "echo"
    """A nonce, which the probe's own server sends back and logs."""
    HTTP = "http"
    """An HTTP request; whatever comes back proves that a TCP connection was made."""
    SLOW = "slow"
    """An HTTP request to a server of another kind, which closes the connection some seconds later. That proves as much,
    but not in the time that a table takes."""
    DNS = "dns"
    """A DNS question for a name that holds the nonce; the answer repeats the question."""


@dataclass(frozen=True)
class Cell:
    """One way. ``host`` and ``port`` are dialled; ``ends`` are the places, with their ports, where it may end."""

    source: Pod
    route: Route
    protocol: str
    host: str
    port: int
    ends: tuple[tuple[Place, int], ...]
    ask: Ask = Ask.ECHO
    what: str = ""
    """The target's name in messages; that of its end when empty."""

    @property
    def target(self) -> Place:
        return self.ends[0][0]

    @property
    def placement(self) -> str:
        """Where the ends are, seen from the source."""
        nodes = {end.node for end, _ in self.ends}
        if len(nodes) != 1 or "" in nodes:
            return "outside" if nodes == {""} else "several nodes"
        return "same node" if self.source.node in nodes else "other node"

    def __str__(self) -> str:
        target = self.what or str(self.target)
        return f"{self.source} → {target}, {self.route} {self.protocol}/{self.port}, {self.placement}"


@dataclass(frozen=True)
class Seen:
    """One observation. ``latency`` is in seconds, for an answer that came; ``source_ip`` is what the server saw."""

    outcome: Outcome
    detail: str = ""
    latency: float | None = None
    source_ip: str = ""
    by: str = ""
    """The pod whose server got the nonce, as NAMESPACE/NAME."""


@dataclass(frozen=True)
class Promise:
    expected: Expected
    why: tuple[str, ...]


@dataclass(frozen=True)
class Listener:
    """Something that can be dialled: a place, its open ports, and the services in front of it."""

    place: Place
    ports: tuple[tuple[str, int], ...]
    services: tuple[Service, ...] = ()
    ask: Ask = Ask.ECHO
    what: str = ""


EVERY_ROUTE = (Route.POD_IP, Route.SERVICE_IP, Route.SERVICE_NAME, Route.NODE_PORT)


def cells(
    sources: Iterable[Pod],
    listeners: Sequence[Listener],
    *,
    routes: Sequence[Route] = (Route.POD_IP,),
    nodes: Sequence[Address] = (),
    domain: str = "cluster.local",
) -> list[Cell]:
    """Every source to every listener, on every port and by every route that it has. ``nodes`` are for node ports."""
    found: list[Cell] = []
    for source in sources:
        for listener in listeners:
            for protocol, port in listener.ports:
                found += _direct(source, listener, protocol, port, routes)
                for service in listener.services:
                    found += _served(source, listener, service, (protocol, port), (routes, nodes, domain))
    return found


def _direct(source: Pod, to: Listener, protocol: str, port: int, routes: Sequence[Route]) -> Iterator[Cell]:
    is_pod = isinstance(to.place, Pod)
    if is_pod and Route.POD_IP not in routes:
        return
    route = Route.POD_IP if is_pod else Route.ADDRESS
    yield Cell(source, route, protocol, to.place.ip, port, ((to.place, port),), to.ask, to.what)


def _served(
    source: Pod,
    to: Listener,
    service: Service,
    end: tuple[str, int],
    ways: tuple[Sequence[Route], Sequence[Address], str],
) -> Iterator[Cell]:
    routes, nodes, domain = ways
    protocol, number = end
    for entry in service.ports:
        ends = service.backends(protocol, entry.port, [to.place] if isinstance(to.place, Pod) else [])
        if entry.protocol != protocol or number not in {port for _, port in ends}:
            continue
        hosts = [
            (Route.SERVICE_IP, service.cluster_ip, entry.port),
            # A full name with its last dot: no search list, so one question and one answer.
            (Route.SERVICE_NAME, f"{service.name}.{service.namespace}.svc.{domain}.", entry.port),
            *((Route.NODE_PORT, node.ip, entry.node_port) for node in nodes if entry.node_port),
        ]
        for route, host, port in hosts:
            if route in routes:
                yield Cell(source, route, protocol, host, port, tuple(ends), to.ask, to.what)


def expect(policies: Sequence[Policy], admin: Sequence[AdminPolicy], cell: Cell, nodes: Sequence[Address]) -> Promise:
    """What the policies say about a cell.

    A service's address is rewritten to a backend before the policies are asked. For a node port the API does not say
    whether they see the node or the backend, nor whether the source stays what it was; it is promised only what all of
    these agree on.
    """
    promises = [_expect_end(policies, admin, cell, end, port, nodes) for end, port in cell.ends]
    if len({p.expected for p in promises}) == 1:
        return promises[0]
    return Promise(Expected.UNDEFINED, ("the backends differ", *(w for p in promises for w in p.why)))


def _expect_end(
    policies: Sequence[Policy],
    admin: Sequence[AdminPolicy],
    cell: Cell,
    end: Place,
    port: int,
    nodes: Sequence[Address],
) -> Promise:
    if cell.route is not Route.NODE_PORT:
        decision = above.evaluate(policies, admin, cell.source, end, cell.protocol, port)
        return Promise(Expected.OPEN if decision else Expected.BLOCKED, decision.why)
    door = next((node for node in nodes if node.ip == cell.host), Address(cell.host))
    leaving, entering = [], []
    ways: list[tuple[Place, int]] = [(end, port), (door, cell.port)]
    for seen, number in ways:
        free = exemption(cell.source, seen)
        side = above.side(policies, admin, "Egress", cell.source, seen, cell.protocol, number)
        leaving.append((True, free) if free else side)
    sources: list[Place] = [cell.source, *nodes]
    for source in sources:
        free = exemption(source, end)
        entering.append(
            (True, free) if free else above.side(policies, admin, "Ingress", source, end, cell.protocol, port)
        )
    why = tuple(dict.fromkeys(reason for _, reason in (*leaving, *entering)))
    if all(allowed for allowed, _ in (*leaving, *entering)):
        return Promise(Expected.OPEN, why)
    if not any(allowed for allowed, _ in leaving) or not any(allowed for allowed, _ in entering):
        return Promise(Expected.BLOCKED, why)
    return Promise(Expected.UNDEFINED, ("node ports: the API does not say whose address policies see", *why))


@dataclass
class Table:
    """Cells with both sides. ``lifted`` is what was seen with the policies lifted: the positive control of each way."""

    promises: Mapping[Cell, Promise]
    seen: Mapping[Cell, Seen]
    lifted: Mapping[Cell, Seen] = field(default_factory=dict)
    rejects: bool = False
    """Whether the network is declared to reject what it denies. Otherwise a refusal proves nothing: most networks drop,
    and a server that has died refuses as well."""

    def __iter__(self) -> Iterator[Cell]:
        return iter(self.promises)

    def add(self, promises: Mapping[Cell, Promise], seen: Mapping[Cell, Seen]) -> None:
        """Further cells, which were looked at by themselves."""
        self.promises = {**self.promises, **promises}
        self.seen = {**self.seen, **seen}

    def agrees(self, cell: Cell) -> bool | None:
        """Whether the network kept the promise; None when there is none, or it was not seen, or nothing was proved:
        a way that does not work with the policies lifted proves no block."""
        promise, seen = self.promises[cell].expected, self.seen.get(cell, Seen(Outcome.UNSEEN))
        if promise is Expected.UNDEFINED or not seen.outcome.known:
            return None
        if seen.outcome is Outcome.REFUSED and not self.rejects:
            return None
        if promise is Expected.OPEN:
            return seen.outcome.through
        if seen.outcome.through:
            return False
        return True if self.works(cell) is not False else None

    def works(self, cell: Cell) -> bool | None:
        """Whether the way works with the policies lifted; None when that was not looked at."""
        before = self.lifted.get(cell)
        return before.outcome.through if before else None

    @property
    def differences(self) -> list[Cell]:
        return [cell for cell in self if self.agrees(cell) is False]

    @property
    def unproved(self) -> list[Cell]:
        """Cells with a promise that nothing was proved about."""
        return [c for c in self if self.agrees(c) is None and self.promises[c].expected is not Expected.UNDEFINED]

    def count(self) -> Counter[str]:
        words = {True: "as promised", False: "different", None: "not proved"}
        return Counter(words[self.agrees(cell)] for cell in self)

    def rows(self) -> list[dict[str, Any]]:
        """For the record: one flat row a cell, in plain JSON values."""
        words = {True: "yes", False: "no", None: "not proved"}
        result = []
        for cell in self:
            seen, lifted = self.seen.get(cell, Seen(Outcome.UNSEEN)), self.lifted.get(cell)
            row = {
                "source": str(cell.source),
                "source_node": cell.source.node,
                "target": cell.what or str(cell.target),
                "target_node": cell.target.node,
                "route": str(cell.route),
                "protocol": cell.protocol,
                "port": cell.port,
                "placement": cell.placement,
                "expected": str(self.promises[cell].expected),
                "observed": str(seen.outcome),
                "lifted": str(lifted.outcome) if lifted else "",
                "agrees": words[self.agrees(cell)],
                "why": "; ".join(self.promises[cell].why),
            }
            result.append(row | {"detail": seen.detail, "source_ip": seen.source_ip})
        return result

    def nodes(self) -> dict[str, Counter[str]]:
        """For each node how the cells that its enforcement decides came out, so that one that fails can be named.

        A block is owed by the node of the source when the egress side denies, by that of the target when ingress does.
        One that was kept speaks for a node only where no other owed it; one that was broken speaks against each.
        """
        found: dict[str, Counter[str]] = {}
        for cell in self:
            if self.promises[cell].expected is not Expected.BLOCKED or self.agrees(cell) is None:
                continue
            kept, owed = self.agrees(cell), owing(cell, self.promises[cell])
            for node in owed if not kept or len(owed) == 1 else ():
                found.setdefault(node, Counter())["enforced" if kept else "not enforced"] += 1
        return found


def owing(cell: Cell, promise: Promise) -> set[str]:
    """The nodes that must drop the packets of a blocked cell, by the direction that denies."""
    sides = {reason.split(":", 1)[0] for reason in promise.why}
    nodes = set()
    if "egress" in sides:
        nodes.add(cell.source.node)
    if "ingress" in sides:
        nodes.add(cell.target.node)
    return nodes - {""}


def suspects(table: Table) -> list[str]:
    """The nodes that enforce nothing: every block that they alone owed was broken."""
    counts = table.nodes()
    return sorted(node for node, count in counts.items() if count["not enforced"] and not count["enforced"])


def is_own_node(cell: Cell) -> bool:
    """Whether the target is the very node that the source runs on, which no policy can cut off."""
    return any(host_of(end) == cell.source.node != "" for end, _ in cell.ends)
