"""Turns under xdist: a test that disrupts a cluster has that cluster to itself, while it runs.

Else the workers would judge each other's faults. Tests of one process come one after the other anyway.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import K8shaError
from pytest_k8sha.model import Impact
from pytest_k8sha.plugin.cases import case_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from pytest_k8sha.plugin.session import Session

DEADLINE = 1800.0
"""Seconds to wait for the tests of other workers."""


class Turns:
    """In a worker: takes each cluster of a test for its time, alone or with others."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        case = case_of(item)
        names: list[str] = []
        if case and not self.session.dry:
            names = [case.cluster] if case.cluster else sorted(self.session.names) if case.everywhere else []
        with ExitStack() as stack:
            if case and names:
                try:
                    folder = self.session.folder.path
                except K8shaError:
                    return (yield)  # there is no fleet; the set-up says why
                for name in names:
                    stack.enter_context(turn(folder / f"turn-{name}", alone=case.needs.impact == Impact.DISRUPT))
            return (yield)


@contextmanager
def turn(path: Path, *, alone: bool) -> Iterator[None]:
    """Holds a file's lock, alone or with others. Who wants it alone is let in before those who come later.

    Raises `WaitTimeout` after `DEADLINE` seconds. The kernel lets go when a process ends, however it ends.
    """
    with (
        _locked(path.with_suffix(".gate"), fcntl.LOCK_EX) as gate,
        _locked(path.with_suffix(".lock"), fcntl.LOCK_EX if alone else fcntl.LOCK_SH),
    ):
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


@contextmanager
def _locked(path: Path, how: int) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        eventually(lambda: _try(fd, how), what=f"{path.name} is free", timeout=DEADLINE, interval=0.02)
        yield fd
    finally:
        os.close(fd)


def _try(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
