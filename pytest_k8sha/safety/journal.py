"""The write-ahead journal: whatever a run makes is on the disk, fsynced, before it is made.

A journal is a JSON Lines file. Its first line names the run and the process that owns it, then come the entries:

    {"op": "run",    "id": …, "owner": {"pid": …, "created": …}, "label": …}
    {"op": "intent", "n": 1, "what": "object" | "process" | "cluster" | "fault", …}
    {"op": "made",   "n": 1, …}        what became known afterwards, such as a uid or a pid
    {"op": "gone",   "n": 1}           it was removed, or never came to be
    {"op": "closed"}                   the run's own teardown removed everything

`k8sha recover` replays what is open backwards. A last line that a crash cut short is ignored: what it would have
announced was not made yet.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha._process import ProcessId
from pytest_k8sha.errors import EnvironmentFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


@dataclass
class Entry:
    """Something that a run made or meant to make."""

    n: int
    what: str
    data: dict[str, Any] = field(default_factory=dict)
    gone: bool = False


@dataclass
class Replay:
    """What a journal says. ``owner`` is the process that wrote it; ``label`` the run's owner as objects carry it."""

    path: Path
    run: str
    owner: ProcessId | None
    label: str
    closed: bool
    entries: list[Entry]

    @property
    def open(self) -> list[Entry]:
        """What may still exist, the newest first."""
        return [entry for entry in reversed(self.entries) if not entry.gone]


class Journal:
    """Appends to one journal; usable from several threads. Each process writes a file of its own."""

    def __init__(self, path: Path, *, run: str, label: str, owner: ProcessId | None = None) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._next = 1 + max((entry.n for entry in read(path).entries), default=0)
        size = os.fstat(self._fd).st_size
        if size and not path.read_bytes().endswith(b"\n"):
            os.write(self._fd, b"\n")  # a line that a crash cut short must not swallow the next one
        if size == 0:
            who = owner or ProcessId.own()
            head = {"op": "run", "id": run, "owner": {"pid": who.pid, "created": who.created}, "label": label}
            self._write([head])

    def intent(self, what: str, **data: Any) -> int:
        """Announces one thing about to be made; returns its number."""
        return self.intents(what, [data])[0]

    def intents(self, what: str, items: Sequence[Mapping[str, Any]]) -> list[int]:
        """Announces several things with one fsync."""
        with self._lock:
            numbers = list(range(self._next, self._next + len(items)))
            self._next += len(items)
            lines = [{"op": "intent", "n": n, "what": what, **item} for n, item in zip(numbers, items, strict=True)]
            self._write(lines)
        return numbers

    def made(self, n: int, **data: Any) -> None:
        """Adds what became known by making it."""
        with self._lock:
            self._write([{"op": "made", "n": n, **data}])

    def gone(self, numbers: Iterable[int]) -> None:
        """Says that these things do not exist any more."""
        with self._lock:
            self._write([{"op": "gone", "n": n} for n in numbers])

    def close(self, *, clean: bool) -> None:
        """Ends the journal; ``clean`` when the teardown removed everything that it lists."""
        with self._lock:
            if self._fd < 0:
                return
            if clean:
                self._write([{"op": "closed"}])
            os.close(self._fd)
            self._fd = -1

    def _write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        if not lines:
            return
        rest = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            os.fsync(self._fd)
        except OSError as error:
            raise EnvironmentFailure(
                f"the journal {self.path} cannot be written ({error.strerror}), so nothing may be made",
                remedy="make room on the disk, or set K8SHA_STATE to another place",
            ) from error


def read(path: Path) -> Replay:
    """What the journal at ``path`` says; an empty or missing file gives an empty, open journal."""
    replay = Replay(path=path, run="", owner=None, label="", closed=False, entries=[])
    by_number: dict[int, Entry] = {}
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    for raw in lines:
        try:
            line = json.loads(raw)
        except ValueError:
            continue  # a write that a crash cut short, or the empty rest after the last newline
        if not isinstance(line, dict):
            continue
        match line.pop("op", None):
            case "run":
                replay.run, replay.label = line["id"], line.get("label", "")
                replay.owner = ProcessId(**line["owner"])
            case "intent":
                entry = Entry(line.pop("n"), line.pop("what"), line)
                by_number[entry.n] = entry
                replay.entries.append(entry)
            case "made" if line["n"] in by_number:
                by_number[line.pop("n")].data.update(line)
            case "gone" if line["n"] in by_number:
                by_number[line["n"]].gone = True
            case "closed":
                replay.closed = True
    return replay
