"""A snapshot file: how it is taken, and whether it is whole."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from pytest_k8sha import _process
from pytest_k8sha.errors import Inconclusive, ProgramFailed

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_k8sha.providers.base import Storage

TRAILER = 32
"""etcd appends the SHA-256 of the database to it; a database is a whole number of pages, so of 512 bytes."""

_PAGE_UNIT = 512
_MAGIC = 0xED0CDAED
"""bbolt's mark in a meta page, 16 bytes after the page header (go.etcd.io/bbolt, `db.go`)."""
_TIMEOUT = 120.0
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Integrity:
    """``problem`` says in one sentence why a file is no whole snapshot; empty when its trailer is right."""

    size: int
    problem: str = ""


def take(storage: Storage, target: Path, member: int = 0) -> None:
    """Saves a snapshot of one member with ``etcdctl snapshot save``. The file is for this user alone: it holds every
    secret of the cluster.

    Raises `Inconclusive` when the member does not give one.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    access = storage.access
    words: list[str | Path] = [storage.tools.program("etcdctl"), "--endpoints", access.urls[member]]
    words += ["--cacert", access.ca, "--cert", access.cert, "--key", access.key]
    words += ["--command-timeout", "60s", "snapshot", "save", target]
    try:
        _process.run(words, timeout=_TIMEOUT)
    except ProgramFailed as error:
        raise Inconclusive(f"no snapshot could be taken of {access.urls[member]}: {error}") from error
    target.chmod(0o600)


def integrity(path: Path) -> Integrity:
    """Judges the trailer of a snapshot, without etcd's programs: their ``snapshot status`` notices neither a changed
    byte in an unused page nor that the trailer is missing.

    Raises `Inconclusive` when the file cannot be read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4096)
            file.seek(0)
            total, left = sha256(), size - TRAILER
            while left > 0:
                block = file.read(min(_BLOCK, left))
                if not block:
                    break
                total.update(block)
                left -= len(block)
            trailer = file.read(TRAILER)
    except OSError as error:
        raise Inconclusive(f"the snapshot {path} cannot be read ({error.strerror})") from error
    if size == 0:
        return Integrity(0, "it is empty")
    if len(head) < 20 or struct.unpack_from("<I", head, 16)[0] != _MAGIC:
        return Integrity(size, "it is no database of etcd: its first page does not carry bbolt's mark")
    if size % _PAGE_UNIT == 0:
        return Integrity(size, "the SHA-256 at its end is missing: nothing says whether it is what etcd sent")
    if size % _PAGE_UNIT != TRAILER:
        return Integrity(size, f"it was cut short: {size} bytes are no whole pages and a SHA-256")
    if total.digest() != trailer:
        return Integrity(size, "its content is not what the SHA-256 at its end says")
    return Integrity(size)
