"""Ports that no other cluster of this user takes.

A port is held by an flock on a file of its own in ``STATE/ports``. The lock belongs to the open file, so it passes with
the descriptor to the supervisor and lasts exactly as long as the cluster, whatever kills its owner. The ports lie below
the range from which Linux and macOS give out ports of their own accord.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import socket
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_k8sha.errors import EnvironmentFailure

if TYPE_CHECKING:
    from pathlib import Path

FIRST, LAST = 20000, 29999
BLOCK = 200


@dataclass
class Hold:
    """Ports and the open, locked files that hold them."""

    folder: Path
    files: dict[int, int]
    """Port → file descriptor."""

    @property
    def ports(self) -> list[int]:
        return list(self.files)

    def release(self) -> None:
        """Gives the ports back and removes their files; idempotent."""
        while self.files:
            port, fd = self.files.popitem()
            # Removed while it is still locked: whoever opened it meanwhile sees that it is not the file any more.
            path = self.folder / f"{port}.lock"
            with contextlib.suppress(OSError):
                # A supervisor that shared the lock may have removed the file, and another cluster made it anew.
                if os.fstat(fd).st_ino == path.stat().st_ino:
                    path.unlink()
            os.close(fd)

    def let_go(self) -> None:
        """Closes this process's descriptors; another process that inherited them holds the ports."""
        while self.files:
            os.close(self.files.popitem()[1])


def reserve(folder: Path, count: int, *, wanted: int = 0) -> Hold:
    """Reserves ``count`` ports that are free on 127.0.0.1; the first is ``wanted`` unless that is 0.

    Raises `EnvironmentFailure` when the wanted port is taken, or when there are not enough.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep(folder)
    hold = Hold(folder, {})
    try:
        if wanted:
            _take_wanted(hold, wanted)
        for port in _candidates(folder):
            if len(hold.files) >= count:
                return hold
            if port not in hold.files:
                _take(hold, port)
    except BaseException:
        hold.release()
        raise
    hold.release()
    raise EnvironmentFailure(
        f"{count} free ports were asked for, and there are not that many from {FIRST} to {LAST}",
        remedy="end some of the clusters that `k8sha status` lists",
    )


def _candidates(folder: Path) -> list[int]:
    """Every port in a random order, those of the folder's own block first: the locks of two state folders do not see
    each other, so two clusters that start at the same moment should not even try the same ports."""
    first = FIRST + BLOCK * (zlib.crc32(str(folder.resolve()).encode()) % max(1, (LAST - FIRST + 1) // BLOCK))
    block = range(first, first + BLOCK)
    ports = range(FIRST, LAST + 1)
    near, far = [port for port in ports if port in block], [port for port in ports if port not in block]
    random.shuffle(near)
    random.shuffle(far)
    return near + far


def _take_wanted(hold: Hold, port: int) -> None:
    if not _take(hold, port):
        raise EnvironmentFailure(
            "the port is taken", value=port, remedy="end what listens there, or leave the option `port` out"
        )


def _take(hold: Hold, port: int) -> bool:
    path = hold.folder / f"{port}.lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _locked(fd, path):
        os.close(fd)
        return False
    if _bindable(port):
        hold.files[port] = fd
        return True
    path.unlink()
    os.close(fd)
    return False


def _locked(fd: int, path: Path) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(fd).st_ino == path.stat().st_ino
    except OSError:
        return False


def _bindable(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def sweep(folder: Path) -> None:
    """Removes the files that a killed cluster left; a held one cannot be locked and stays."""
    for path in folder.glob("*.lock"):
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if _locked(fd, path):
                    path.unlink()
            finally:
                os.close(fd)
