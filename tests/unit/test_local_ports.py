"""Ports are given out once, to whichever process, for exactly as long as somebody holds them."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from pytest_k8sha import _process
from pytest_k8sha.errors import EnvironmentFailure
from pytest_k8sha.providers.local import ports

HOLDER = """
import os, sys
from pathlib import Path
from pytest_k8sha.providers.local import ports
hold = ports.reserve(Path(sys.argv[1]), int(sys.argv[2]))
print(*hold.ports, flush=True)
os.read(0, 1) if len(sys.argv) > 3 else os._exit(0)
"""


def test_no_port_is_given_out_twice(tmp_path: Path) -> None:
    """Two reservations of one process never share a port, and the ports are below the system's own range."""
    first, second = ports.reserve(tmp_path, 40), ports.reserve(tmp_path, 40)
    try:
        assert not set(first.ports) & set(second.ports)
        assert all(ports.FIRST <= port <= ports.LAST for port in first.ports + second.ports)
    finally:
        first.release()
        second.release()


def test_released_ports_leave_no_file(tmp_path: Path) -> None:
    """What was reserved can be had again, and the folder is empty."""
    hold = ports.reserve(tmp_path, 3)
    port = hold.ports[0]
    hold.release()
    hold.release()
    assert list(tmp_path.iterdir()) == []
    again = ports.reserve(tmp_path, 1, wanted=port)
    assert again.ports == [port]
    again.release()


def test_two_state_folders_do_not_compete(tmp_path: Path) -> None:
    """Folders whose locks do not see each other begin in blocks of their own, and a block that is full is no end: more
    ports than it holds can be had."""
    one, other = (ports._candidates(Path(folder)) for folder in ("/state/one/ports", "/state/other/ports"))
    assert len({*one}) == len(one) == ports.LAST - ports.FIRST + 1
    assert not set(one[: ports.BLOCK]) & set(other[: ports.BLOCK])
    hold = ports.reserve(tmp_path, ports.BLOCK + 50)
    assert len(hold.ports) == ports.BLOCK + 50
    hold.release()


def test_a_release_spares_what_is_not_its_own(tmp_path: Path) -> None:
    """Who shared a lock that was given back does not remove the file of the next who has the port."""
    hold = ports.reserve(tmp_path, 1)
    port = hold.ports[0]
    shared = ports.Hold(tmp_path, {port: os.dup(hold.files[port])})
    hold.release()
    next_one = ports.reserve(tmp_path, 1, wanted=port)
    shared.release()
    assert [path.name for path in tmp_path.iterdir()] == [f"{port}.lock"]
    with pytest.raises(EnvironmentFailure):
        ports.reserve(tmp_path, 1, wanted=port)
    next_one.release()


def test_a_port_held_by_another_process_is_taken(tmp_path: Path) -> None:
    """A reservation passes to a process that inherits its files, and holds there after this process let go."""
    hold = ports.reserve(tmp_path, 1)
    port = hold.ports[0]
    sleeper = _process.start(["sleep", "60"], pass_fds=list(hold.files.values()))
    try:
        hold.let_go()
        with pytest.raises(EnvironmentFailure, match="the port is taken"):
            ports.reserve(tmp_path, 1, wanted=port)
    finally:
        sleeper.end(1.0)
    ports.reserve(tmp_path, 1, wanted=port).release()


def test_a_killed_process_gives_its_ports_back(tmp_path: Path) -> None:
    """A process that ended without a word leaves files; the next reservation removes them."""
    env = {**os.environ, "PYTHONPATH": str(Path(ports.__file__).parents[3])}
    done = _process.run([sys.executable, "-c", HOLDER, tmp_path, "3"], timeout=30, env=env)
    assert len(done.stdout.split()) == 3
    assert len(list(tmp_path.iterdir())) == 3
    hold = ports.reserve(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == [f"{hold.ports[0]}.lock"]
    hold.release()


def test_a_port_that_somebody_listens_on_is_refused(tmp_path: Path) -> None:
    """A program that knows nothing of the locks is noticed as well, and the error names the port."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(EnvironmentFailure, match=str(port)):
            ports.reserve(tmp_path, 2, wanted=port)
    assert list(tmp_path.iterdir()) == []


def test_more_ports_than_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An impossible wish is refused, and holds nothing."""
    monkeypatch.setattr(ports, "LAST", ports.FIRST + 1)
    with pytest.raises(EnvironmentFailure, match="not that many"):
        ports.reserve(tmp_path, 3)
    assert list(tmp_path.iterdir()) == []
