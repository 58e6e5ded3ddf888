"""The write ledger: every write is on the disk before it is sent, so that afterwards nobody can argue what was lost.

A ledger is a JSON Lines file of one writer. Its first line names the writer, then come the attempts:

    {"op": "ledger", "writer": …, "boot": …}
    {"op": "invoke", "seq": 1, "hash": …, "prev": …, "at": …}      fsynced before the write is sent
    {"op": "ok" | "fail" | "info", "seq": 1, "at": …}              acknowledged, refused, or unknown

Times are seconds on this machine's monotonic clock. An attempt without an outcome, as a killed writer leaves it, is
*info*: it may have happened. The vocabulary and the set arithmetic are those of Jepsen's ``set-full`` checker.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.errors import EnvironmentFailure, UsageError
from pytest_k8sha.model import nonce

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_k8sha.probes.interval import Interval
    from pytest_k8sha.recovery.loss import Loss, Reading
    from pytest_k8sha.recovery.writer import Record

FIRST = "0" * 64
"""The previous hash of a writer's first payload."""


class Outcome(StrEnum):
    """What the writer learned of an attempt. Only what a store said counts; everything else is *info*."""

    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass
class Attempt:
    """One write. ``invoked`` and ``settled`` are seconds on the monotonic clock; ``settled`` None: never heard of."""

    seq: int
    payload_hash: str
    previous: str
    invoked: float
    outcome: Outcome = Outcome.INFO
    settled: float | None = None
    payload: bytes = b""
    """What is to be written; empty in a ledger that was read from the disk."""


class Ledger:
    """The attempts of one writer, kept at ``path``. Usable from several threads."""

    def __init__(self, path: Path, writer: str, attempts: Iterable[Attempt], *, boot: str, fd: int) -> None:
        self.path = path
        self.writer = writer
        self.boot = boot
        """The machine's start that the times count from; times of two starts cannot be compared."""
        self.attempts = {attempt.seq: attempt for attempt in attempts}
        self._fd = fd
        self._lock = threading.Lock()
        last = max(self.attempts.values(), key=lambda attempt: attempt.seq, default=None)
        self._next, self._tip = (last.seq + 1, last.payload_hash) if last else (1, FIRST)

    @classmethod
    def open(cls, path: Path, writer: str = "") -> Ledger:
        """A new ledger, or one that is continued. ``writer`` is part of each payload; a nonce unless given.

        Raises `UsageError` for a file that is no ledger or is another writer's, `EnvironmentFailure` when it cannot be
        written.
        """
        head, attempts = _read(path)
        if head and writer and head["writer"] != writer:
            raise UsageError(f"{path} is the ledger of another writer", value=head["writer"], allowed=[writer])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
                os.write(fd, b"\n")  # a line that a crash cut short must not swallow the next one
        except OSError as error:
            raise _unwritable(path, error) from error
        here = _boot()
        if not head:
            head = {"op": "ledger", "writer": writer or nonce("writer"), "boot": here}
            ledger = cls(path, head["writer"], [], boot=here, fd=fd)
            ledger._append(head, durable=True)
            return ledger
        if head["boot"] != here:
            os.close(fd)
            raise UsageError(
                f"{path} was begun before this machine was started, and its times mean nothing now",
                remedy="begin a new ledger",
            )
        return cls(path, head["writer"], attempts, boot=here, fd=fd)

    @contextmanager
    def write(self, body: str = "") -> Iterator[Attempt]:
        """One attempt: its invoke is on the disk when the block begins; set its ``outcome`` inside the block.

        ``body`` makes the payload as large as the user wants it. A block that ends without an outcome, or by an error,
        leaves *info*; the error goes on. Times are taken here, so the block should hold the write and nothing else.
        """
        attempt = self._invoke(body)
        try:
            yield attempt
        except BaseException:
            attempt.outcome = Outcome.INFO
            raise
        finally:
            attempt.settled = _clock.now()
            with self._lock:
                self._append({"op": str(attempt.outcome), "seq": attempt.seq, "at": attempt.settled}, durable=False)

    def compare(
        self, read: Iterable[Record], earlier: Sequence[Reading] = (), *, inject: Interval | None = None
    ) -> Loss:
        """What became of the writes, given what is there after the recovery (see `pytest_k8sha.recovery.loss`).

        Raises `Inconclusive` when nothing was ever acknowledged: then there was nothing to lose.
        """
        from pytest_k8sha.recovery.loss import compare

        return compare(self, read, earlier, inject)

    def close(self) -> None:
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _invoke(self, body: str) -> Attempt:
        with self._lock:
            seq, previous = self._next, self._tip
            content = {"writer": self.writer, "seq": seq, "prev": previous, "body": body}
            payload = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
            digest = sha256(payload).hexdigest()
            attempt = Attempt(seq, digest, previous, _clock.now(), payload=payload)
            line = {"op": "invoke", "seq": seq, "hash": digest, "prev": previous, "at": attempt.invoked}
            self._append(line, durable=True)
            self._next, self._tip = seq + 1, digest
            self.attempts[seq] = attempt
        return attempt

    def _append(self, line: dict[str, Any], *, durable: bool) -> None:
        rest = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            if durable:
                # Outcomes are not synced: one that a loss of power takes makes an attempt *info*, and the next invoke
                # syncs it. An attempt that is not on the disk must never reach a store.
                os.fsync(self._fd)
        except OSError as error:
            raise _unwritable(self.path, error) from error


def _read(path: Path) -> tuple[dict[str, Any] | None, list[Attempt]]:
    """The head and the attempts of a ledger; None and nothing when there is no file. Skips a line cut by a crash."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return None, []
    except OSError as error:
        raise UsageError(f"the ledger {path} cannot be read ({error.strerror})") from error
    head: dict[str, Any] | None = None
    attempts: dict[int, Attempt] = {}
    for number, raw in enumerate(lines, 1):
        try:
            line = json.loads(raw)
        except ValueError:
            continue
        try:
            match line["op"]:
                case "ledger":
                    head = {"writer": str(line["writer"]), "boot": str(line["boot"])}
                case "invoke":
                    attempts[line["seq"]] = Attempt(line["seq"], line["hash"], line["prev"], float(line["at"]))
                case "ok" | "fail" | "info" as word:
                    attempt = attempts[line["seq"]]
                    attempt.outcome, attempt.settled = Outcome(word), float(line["at"])
                case _:
                    raise KeyError(line["op"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path}:{number}: this is no line of a ledger", value=str(line)[:200]) from error
    if head is None and any(lines):
        raise UsageError(f"{path} is no ledger: its first line names no writer")
    return head, list(attempts.values())


def _boot() -> str:
    """Names the start of this machine, from which the monotonic clock counts; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _unwritable(path: Path, error: OSError) -> EnvironmentFailure:
    return EnvironmentFailure(
        f"the ledger {path} cannot be written ({error.strerror}), so nothing may be sent",
        remedy="make room on the disk, or name another place",
    )
