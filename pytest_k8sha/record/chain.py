"""The record as a file: one line a fact, each bound to the one before it by a hash.

    {"data": {…}, "hash": …, "kind": …, "prev": …, "seq": 0…, "time": …}

Each line is in the canonical form of RFC 8785, byte for byte; ``hash`` is the SHA-256 of that form without the member
``hash``; ``prev`` is the hash of the line before, 64 zeros for the first. Changing, removing or moving any byte shows.
Who cuts lines off the end, or writes the whole chain anew, is found out by the head and the length, which the report
prints: keep them elsewhere and give them to `verify`.

One process writes a record; a line is one write, so that a crash can only cut the last one short.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self, TypedDict

from pytest_k8sha import _clock
from pytest_k8sha.errors import EnvironmentFailure, UsageError
from pytest_k8sha.model import Run
from pytest_k8sha.record.plain import MAX_INT, plain
from pytest_k8sha.record.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

KINDS = ("run.start", "cluster", "result", "teardown", "note", "run.end")
"""What a line can be about; the data of each is described in the documentation of the record."""
GENESIS = "0" * 64
"""The ``prev`` of the first line."""


class Line(TypedDict):
    """One line. ``time`` is UTC, ISO 8601."""

    seq: int
    time: str
    kind: str
    data: dict[str, Any]
    prev: str
    hash: str


@dataclass(frozen=True)
class Problem:
    """What is wrong with a record. ``line`` counts from 1, 0 means the file.

    ``kind`` is cut, format, chain or anchor.
    """

    line: int
    kind: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


@dataclass
class RecordFile:
    """What a record says. ``head`` is the hash of its last whole line, ``length`` the number of whole lines."""

    path: Path
    lines: list[Line] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def head(self) -> str:
        return self.lines[-1]["hash"] if self.lines else GENESIS

    @property
    def length(self) -> int:
        return len(self.lines)

    @property
    def cut(self) -> bool:
        """The last line is not whole: the writer died, or still writes."""
        return any(problem.kind == "cut" for problem in self.problems)

    @property
    def intact(self) -> bool:
        """Every whole line is as it was written. A cut last line is no tampering; it shows in `cut` and `crashed`."""
        return all(problem.kind == "cut" for problem in self.problems)

    @property
    def crashed(self) -> bool:
        """There is no ``run.end`` after the last ``run.start``: the run crashed, or has not ended yet."""
        ends = [line["kind"] for line in self.lines if line["kind"] in {"run.start", "run.end"}]
        return not ends or ends[-1] != "run.end"


@dataclass(frozen=True)
class Verification:
    """The outcome of `verify`. ``ok`` is false as soon as there is a problem, a cut last line included."""

    head: str
    length: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


class Record:
    """Appends to one record; usable from several threads of one process.

    ``run`` fills in ``run`` and ``owner`` of ``run.start`` where the caller gives none. ``redactor`` sees every text
    before it is written; one without known secrets is made where none is given. A file that exists is continued when
    its chain is whole. Raises `UsageError` when it is not, `EnvironmentFailure` when the file cannot be written.
    """

    def __init__(self, path: Path, run: Run | str | None = None, *, redactor: Redactor | None = None) -> None:
        self.path = path
        self.redactor = redactor if redactor is not None else Redactor()
        self._run = run
        self._lock = threading.Lock()
        self._seq, self._head = 0, GENESIS
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EnvironmentFailure(f"the record cannot be opened: {error.strerror}", value=str(path)) from error
        if os.fstat(self._fd).st_size:
            try:
                before = _continued(path)
            except BaseException:
                os.close(self._fd)
                raise
            self._seq, self._head = before.length, before.head

    @property
    def head(self) -> str:
        """The hash of the last line, 64 zeros when there is none."""
        return self._head

    @property
    def length(self) -> int:
        """The number of lines."""
        return self._seq

    def append(self, kind: str, data: Mapping[str, Any] | None = None) -> Line:
        """Writes one line and returns it as written. Raises `EnvironmentFailure` when the disk does not take it."""
        if kind not in KINDS:
            raise UsageError("unknown kind of line", value=kind, allowed=KINDS)
        content = dict(data or {})
        if kind == "run.start" and self._run is not None:
            owner = {"owner": self._run.owner} if isinstance(self._run, Run) else {}
            content = {"run": self._run.id if isinstance(self._run, Run) else self._run, **owner, **content}
        clean: dict[str, Any] = self.redactor.redact(plain(content))
        with self._lock:
            if self._fd < 0:
                raise EnvironmentFailure("the record is closed", value=str(self.path))
            line: Line = {
                "seq": self._seq,
                "time": _clock.wall().isoformat(timespec="milliseconds"),
                "kind": kind,
                "data": clean,
                "prev": self._head,
                "hash": "",
            }
            text, line["hash"] = _encode(line)
            self._write(text)
            if kind in {"run.start", "run.end"}:
                os.fsync(self._fd)
            self._seq, self._head = self._seq + 1, line["hash"]
        return line

    def close(self) -> None:
        """Ends writing; may be called again."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _write(self, text: bytes) -> None:
        size = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, text)
            problem = "" if written == len(text) else "the disk took only a part of a line"
        except OSError as error:
            problem = error.strerror or str(error)
        if problem:
            with suppress(OSError):  # not every place can be cut back; reading tells a torn line by itself
                os.ftruncate(self._fd, size)
            raise EnvironmentFailure(f"the record cannot be written: {problem}", value=str(self.path))


def _continued(path: Path) -> RecordFile:
    """The record that is to be continued. Raises `UsageError` when it is damaged."""
    before = read(path)
    if before.problems:
        raise UsageError(
            f"the record cannot be continued: {before.problems[0]}",
            value=str(path),
            remedy="write to a new file; reports are made from both together",
        )
    return before


def _encode(line: Line) -> tuple[bytes, str]:
    """The line as bytes with its newline, and its hash."""
    import rfc8785  # here, so that reading a record does not need it

    content: dict[str, Any] = {key: value for key, value in line.items() if key != "hash"}
    body = rfc8785.dumps(content)
    digest = sha256(body).hexdigest()
    tail = _tail(line)
    return body[: -len(tail)] + f'"hash":"{digest}",'.encode() + tail + b"\n", digest


def _tail(line: Line) -> bytes:
    """What follows the data in the canonical form: the keys sort as data, hash, kind, prev, seq, time."""
    return f'"kind":"{line["kind"]}","prev":"{line["prev"]}","seq":{line["seq"]},"time":"{line["time"]}"}}'.encode()


def _digest(raw: bytes, line: Line) -> str | None:
    """The hash that the bytes of a line have; None when they are not laid out as `_encode` does."""
    tail = _tail(line)
    end = f'"hash":"{line["hash"]}",'.encode() + tail
    if not raw.startswith(b'{"data":') or not raw.endswith(end):
        return None
    return sha256(raw[: -len(end)] + tail).hexdigest()


def read(path: Path) -> RecordFile:
    """Reads a record and checks its chain. Problems are listed, not raised: a damaged record can still be reported.

    Raises `UsageError` when the file cannot be read or has no line of a record in it.
    """
    try:
        raw_lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"the record cannot be read: {error.strerror}", value=str(path)) from error
    record = RecordFile(path)
    rest = raw_lines.pop()
    head, seq = GENESIS, 0
    for number, raw in enumerate(raw_lines, start=1):
        line = _parse(raw)
        if line is None:
            record.problems.append(Problem(number, "format", "not a line of a record"))
            continue
        problem = _check(raw, line, head, seq)
        if problem:
            record.problems.append(Problem(number, "chain", problem))
        # Going on from what the line claims reports one change once, instead of at every line after it.
        head, seq = line["hash"], line["seq"] + 1
        record.lines.append(line)
    if rest:
        record.problems.append(Problem(len(raw_lines) + 1, "cut", "cut short; the run crashed or still writes"))
    if not record.lines and (raw_lines or not rest.startswith(b'{"data":'[: len(rest)])):
        raise UsageError("not a record: no line of it can be read", value=str(path), remedy="give a record.jsonl")
    return record


def _parse(raw: bytes) -> Line | None:
    try:
        line = json.loads(raw, parse_int=_number)
    except (ValueError, RecursionError):
        return None
    wanted = {"seq": int, "time": str, "kind": str, "data": dict, "prev": str, "hash": str}
    if not isinstance(line, dict) or line.keys() != wanted.keys():
        return None
    if not all(isinstance(line[key], type_) for key, type_ in wanted.items()) or isinstance(line["seq"], bool):
        return None
    parsed: Line = {
        "seq": line["seq"],
        "time": line["time"],
        "kind": line["kind"],
        "data": line["data"],
        "prev": line["prev"],
        "hash": line["hash"],
    }
    return parsed


def _check(raw: bytes, line: Line, head: str, seq: int) -> str:
    """What is wrong with a line that should follow ``head``; empty when nothing is."""
    try:
        digest = _digest(raw, line)
    except UnicodeEncodeError:
        digest = None
    if digest is None:
        return "not in the canonical form; it was edited or written by another program"
    if digest != line["hash"]:
        return "its hash does not fit its content; it was edited"
    if line["seq"] != seq:
        return f"has the number {line['seq']}, expected {seq}; lines were removed, added or moved"
    if line["prev"] != head:
        return "does not follow the line before it; lines were removed, added or moved"
    return ""


def files(path: Path) -> list[Path]:
    """The record that a path names: itself, or the ``record*.jsonl`` of a folder. Raises `UsageError`."""
    if path.is_dir():
        found = sorted(path.glob("record*.jsonl"))
        if not found:
            raise UsageError("the folder holds no record*.jsonl", value=str(path))
        return found
    if not path.is_file():
        raise UsageError("there is no such record", value=str(path))
    return [path]


def verify(path: Path, expect_head: str | None = None, expect_length: int | None = None) -> Verification:
    """Checks a record as an auditor would: the chain, the canonical form by RFC 8785, and the anchors if given.

    ``expect_head`` and ``expect_length`` were noted when the run ended; only they show that nothing was cut off the
    end or written anew as a whole. Raises `UsageError` when the file cannot be read or is no record.
    """
    import rfc8785

    record = read(path)
    problems = list(record.problems)
    known = {problem.line for problem in problems}
    for number, raw in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        if number in known:
            continue
        try:
            same = rfc8785.dumps(json.loads(raw, parse_int=_number)) == raw
        except ValueError:
            same = False
        if not same:
            problems.append(Problem(number, "format", "not in the canonical form of RFC 8785"))
    if expect_length is not None and expect_length != record.length:
        problems.append(Problem(0, "anchor", f"the record has {record.length} lines, expected {expect_length}"))
    if expect_head is not None and expect_head.strip().lower() != record.head:
        problems.append(Problem(0, "anchor", f"the head is {record.head}, expected {expect_head.strip().lower()}"))
    return Verification(record.head, record.length, tuple(sorted(problems, key=lambda problem: problem.line)))


def _number(text: str) -> int | float:
    """A whole number as it was before it was written: above 2^53 - 1 it was a float, which has no point in RFC 8785."""
    value = int(text)
    return value if abs(value) <= MAX_INT else float(value)
