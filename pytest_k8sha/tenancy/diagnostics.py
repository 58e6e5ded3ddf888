"""What a cluster looks like right after a check failed: short lines by section, bounded in time and size, without
secrets.

Only reads are sent. Several go on side by side, and whoever does not answer in time is named as missing: the caller
waits for none of them longer than the budget. Of Secrets, ConfigMaps, environment variables and annotations nothing but
names is told; what they hold is masked wherever else it turns up, such as in a log.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.errors import K8shaError
from pytest_k8sha.tenancy import container_logs, grants, portraits
from pytest_k8sha.tenancy.masks import Masks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.model import Finding
    from pytest_k8sha.tenancy.tenant import Persona

LIMIT = 64 * 1024
"""Bytes of all lines together."""
BUDGET = 4.5
"""Seconds; what is not collected by then is named as missing."""
WORKERS = 3
NAMESPACES = 6
OBJECTS = 200
"""So many objects of a kind are read in one namespace."""
LINE = 400
EVENTS = 30
BRIEF = 15

Obj = dict[str, Any]


@dataclass
class Diagnosis:
    """``data`` maps a section to its lines; ``brief`` is a short text of what stands out."""

    data: dict[str, list[str]] = field(default_factory=dict)
    notable: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def brief(self) -> str:
        lines = self.notable[:BRIEF] or [f"{name}: {len(lines)}" for name, lines in self.data.items()]
        if len(self.notable) > BRIEF:
            lines.append(f"and {len(self.notable) - BRIEF} more")
        return "\n".join(lines)

    def add(self, section: str, line: str, *, notable: bool = False) -> None:
        text = " ".join(line.split())
        text = text if len(text) <= LINE else text[: LINE - 1] + "…"
        self.size += len(text.encode()) + 8
        if self.size > LIMIT:
            self.data.setdefault("left out", ["the rest, for its size"])
            return
        self.data.setdefault(section, []).append(text)
        if notable:
            self.notable.append(f"{section}: {text}")


@dataclass
class Reader:
    """Reads for one part of a diagnosis, under the common deadline. ``lines`` are (section, line, stands out), not yet
    masked; ``missing`` tells what could not be read, ``partly`` names what is longer; ``at`` is being read now."""

    cluster: Cluster
    clock: _clock.Deadline
    masks: Masks
    lines: list[tuple[str, str, bool]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    partly: set[str] = field(default_factory=set)
    at: str = ""

    def get(self, path: str, **query: Any) -> Any:
        """Raises `ApiError`, and `TransportError` when the deadline passes first."""
        left = max(0.05, self.clock.left)
        return self.cluster.client.request("GET", path, query=query or None, timeout=left)

    def list(self, section: str, path: str) -> list[Obj] | None:
        """The objects of a collection; None, with the reason noted, when it cannot be read."""
        self.at = section
        if self.clock.passed:
            self.missing.append(f"{section}: no time was left")
            return None
        try:
            answer = self.get(path, limit=OBJECTS)
        except K8shaError as error:
            self.missing.append(f"{section}: {error}")
            return None
        if answer.get("metadata", {}).get("continue"):
            self.missing.append(f"{section}: more than {OBJECTS}")
            self.partly.add(section)
        return list(answer.get("items") or [])

    def tell(self, section: str, line: str, *, notable: bool = False) -> None:
        self.lines.append((section, line, notable))


def collect(
    cluster: Cluster,
    namespaces: Iterable[str],
    *,
    findings: Iterable[Finding] = (),
    personas: Iterable[Persona] = (),
) -> Diagnosis:
    """The state of the namespaces and the nodes, and who gave the subjects of the findings their rights. Raises nothing
    for what cannot be read: it says so instead, and does not wait for it beyond the budget."""
    clock, masks = _clock.Deadline(BUDGET), Masks()
    names = list(dict.fromkeys(namespaces))
    broken, people = list(findings), list(personas)

    def part(work: Callable[[Reader], None]) -> tuple[Reader, Callable[[], None]]:
        reader = Reader(cluster, clock, masks)
        return reader, lambda: work(reader)

    jobs = [part(lambda reader: grants.tell(reader, broken, people))] if broken else []
    jobs += [part(lambda reader, name=name: _namespace(reader, name)) for name in names[:NAMESPACES]]  # type: ignore[misc]
    jobs.append(part(_nodes))
    pool = ThreadPoolExecutor(WORKERS)
    futures = [pool.submit(work) for _, work in jobs]
    late = wait(futures, timeout=clock.left).not_done
    pool.shutdown(wait=False, cancel_futures=True)
    found = Diagnosis()
    missing: list[str] = []
    for (reader, _), future in zip(jobs, futures, strict=True):
        for section, line, notable in list(reader.lines):
            found.add(section, masks.text(line), notable=notable)
        missing += reader.missing
        if future in late:
            missing.append(f"{reader.at or 'a part that was not begun'}, and what comes after it: no answer in time")
        elif future.exception() is not None:
            missing.append(f"{reader.at}: {future.exception()}")
    if len(names) > NAMESPACES:
        missing.append(f"{len(names) - NAMESPACES} further namespaces")
    for line in missing:
        found.data.setdefault("left out", []).append(masks.text(line)[:LINE])
    return found


def _namespace(reader: Reader, name: str) -> None:
    listed: dict[str, list[Obj] | None] = {}
    reader.at = f"namespace {name}"
    try:
        line, notable = portraits.namespace(reader.get(f"/api/v1/namespaces/{name}"))
        reader.tell("namespaces", line, notable=notable)
    except K8shaError as error:
        reader.missing.append(f"namespace {name}: {error}")
    for section, path, _ in portraits.NAMESPACED:
        listed[section] = reader.list(f"{section} of {name}", path.format(name))
    readable = listed["secrets"] is not None and f"secrets of {name}" not in reader.partly
    reader.masks.learn(*(listed[section] or () for section in ("secrets", "config maps", "pods")))
    for section, _, tell in portraits.NAMESPACED:
        items = listed[section] or []
        if section == "events":
            items = sorted(items, key=lambda e: str(e.get("lastTimestamp") or e["metadata"].get("creationTimestamp")))
            items = items[-EVENTS:]
        for item in items:
            line, notable = tell(item if readable else portraits.without_messages(item))
            reader.tell(f"{section} of {name}", line, notable=notable)
    if readable:
        container_logs.tell(reader, name, listed["pods"] or [])
    else:
        reader.missing.append(f"logs of {name}: its secrets could not be read, and so could not be masked")


def _nodes(reader: Reader) -> None:
    for node in reader.list("nodes", "/api/v1/nodes") or []:
        line, notable = portraits.node(node)
        reader.tell("nodes", line, notable=notable)
