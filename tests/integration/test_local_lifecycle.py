"""How local clusters begin and end: together, by order, and when their owner or supervisor is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_k8sha import _process
from pytest_k8sha._process import ProcessId
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import EnvironmentFailure, ProgramUnavailable, StartFailed
from pytest_k8sha.providers.base import ClusterState
from pytest_k8sha.providers.local import provider as provider_module
from pytest_k8sha.providers.local.control import Control
from pytest_k8sha.safety import journal
from tests.integration.local_clusters import Made, client_of, make, owner_script, processes_of, provider_in

SECRETS = ("data", "pki", "config", "kubeconfig", "plan.json", "control.sock")


def gone(processes: list[ProcessId], seconds: float = 15.0) -> bool:
    return all(process.wait(seconds) for process in processes)


def left(place: Path) -> set[str]:
    """What is still in a cluster's folder of all that must go."""
    return {path.name for path in place.iterdir()} & set(SECRETS)


def test_two_at_once_and_deletion(tmp_path: Path) -> None:
    """Two clusters start together, know nothing of each other, and leave logs and nothing else."""
    provider = provider_in(tmp_path)
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(lambda name: make(provider, tmp_path, name, ProcessId.own(), nodes=1), ["east", "west"]))
    try:
        uids = {client_of(one).get("/api/v1/namespaces/kube-system")["metadata"]["uid"] for one in made}
        assert len(uids) == 2
        ports = [set(one.state.details["ports"]) for one in made]
        assert not ports[0] & ports[1]
        assert len(list((tmp_path / "state" / "ports").iterdir())) == len(ports[0] | ports[1])
        with pytest.raises(EnvironmentFailure, match="the port is taken"):
            make(provider, tmp_path, "third", ProcessId.own(), port=min(ports[0]))
        running = [process for one in made for process in processes_of(one)]
        assert len(running) == 12
    finally:
        for one in made:
            provider.delete(one.state)
    assert gone(running, 1.0)
    for one in made:
        provider.delete(one.state)
        assert not provider.alive(one.state)
        assert {path.name for path in one.place.iterdir()} == {"logs", "audit"}
    assert list((tmp_path / "state" / "ports").iterdir()) == []
    entries = journal.read(tmp_path / "east.journal").open
    assert [(entry.what, entry.data["role"]) for entry in entries] == [("process", "supervisor")]
    assert entries[0].data["pid"] == made[0].state.details["supervisor"]["pid"]


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[_process.Program]:
    """Another process that makes a cluster and owns it."""
    root = Path(provider_module.__file__).parents[3]
    env = {**os.environ, "PYTHONPATH": str(root)}
    program = _process.start(owner_script(tmp_path, "owned"), log=tmp_path / "owner.log", env=env)
    yield program
    program.end(1.0)


def said(base: Path, word: str) -> bool:
    return word in (base / "owner.log").read_text().split()


def test_the_owner_is_killed(tmp_path: Path, owner: _process.Program) -> None:
    """SIGKILL of the owner ends every process of the cluster and removes keys, data and port locks."""
    eventually(lambda: said(tmp_path, "made"), what="the cluster is made", timeout=60)
    state = ClusterState.load(tmp_path / "owned")
    processes = processes_of(Made(provider_in(tmp_path), state, tmp_path / "owned"))
    assert len(processes) == 6
    owner.signal(signal.SIGKILL)
    owner.wait(5.0)
    assert gone(processes)
    assert left(tmp_path / "owned") == set()
    assert list((tmp_path / "state" / "ports").iterdir()) == []


def test_the_owner_is_killed_during_the_start(tmp_path: Path, owner: _process.Program) -> None:
    """The same holds when the cluster was only half up."""
    pid_file = tmp_path / "owned" / "control.sock"
    eventually(pid_file.exists, what="the supervisor listens", timeout=60)
    processes = processes_of(Made(provider_in(tmp_path), None, tmp_path / "owned"))  # type: ignore[arg-type]
    owner.signal(signal.SIGKILL)
    owner.wait(5.0)
    assert gone(processes)
    assert left(tmp_path / "owned") == set()


def test_a_kept_cluster_outlives_its_maker(tmp_path: Path) -> None:
    """A cluster without an owner stays when the process that made it ends, but not when it is killed half-way."""
    root = Path(provider_module.__file__).parents[3]
    env = {**os.environ, "PYTHONPATH": str(root)}
    maker = _process.start(owner_script(tmp_path, "kept", kept=True), log=tmp_path / "owner.log", env=env)
    provider = provider_in(tmp_path)
    try:
        eventually(lambda: said(tmp_path, "made"), what="the cluster is made", timeout=60)
    finally:
        maker.signal(signal.SIGKILL)
        maker.wait(5.0)
    state = ClusterState.load(tmp_path / "kept")
    try:
        assert Control(tmp_path / "kept").order("status")["failure"] == ""
        assert provider.alive(state)
    finally:
        provider.delete(state)
    assert not provider.alive(state)


def test_a_kept_cluster_whose_maker_is_killed_half_way(tmp_path: Path) -> None:
    """Nobody could know of it, so it ends; and what is left can be deleted knowing the folder alone."""
    root = Path(provider_module.__file__).parents[3]
    env = {**os.environ, "PYTHONPATH": str(root)}
    maker = _process.start(owner_script(tmp_path, "kept", kept=True), log=tmp_path / "owner.log", env=env)
    try:
        eventually((tmp_path / "kept" / "control.sock").exists, what="the supervisor listens", timeout=60)
        processes = processes_of(Made(provider_in(tmp_path), None, tmp_path / "kept"))  # type: ignore[arg-type]
    finally:
        maker.signal(signal.SIGKILL)
        maker.wait(5.0)
    provider_in(tmp_path).delete(ClusterState("kept", "local", str(tmp_path / "kept"), "", made=True))
    assert gone(processes, 1.0)
    assert left(tmp_path / "kept") == set()


def test_the_supervisor_is_killed(tmp_path: Path) -> None:
    """SIGKILL of the supervisor takes the programs with it; delete then removes what it could not."""
    provider = provider_in(tmp_path)
    made = make(provider, tmp_path, "east", None, nodes=1)
    processes = processes_of(made)
    processes[0].signal(signal.SIGKILL)
    assert gone(processes, 5.0)
    assert not provider.alive(made.state)
    provider.delete(made.state)
    assert left(made.place) == set()


def test_an_interrupted_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during the start takes down what was begun."""
    seen: list[ProcessId] = []

    def interrupted(self: object, plan: object, *rest: object) -> None:
        place = tmp_path / "east"
        eventually((place / "control.sock").exists, what="the supervisor listens", timeout=10)
        seen.extend(processes_of(Made(provider, None, place)))  # type: ignore[arg-type]
        raise KeyboardInterrupt

    provider = provider_in(tmp_path)
    monkeypatch.setattr(provider_module.LocalProvider, "_bring_up", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(provider, tmp_path, "east", ProcessId.own())
    assert len(seen) >= 3
    assert gone(seen, 1.0)
    assert left(tmp_path / "east") == set()
    assert list((tmp_path / "state" / "ports").iterdir()) == []


def test_a_program_that_dies_at_its_start(tmp_path: Path) -> None:
    """A wrong flag fails the start at once, with the program's own words; nothing is left."""
    provider = provider_in(tmp_path)
    with pytest.raises(StartFailed, match="unknown flag: --no-such-flag") as caught:
        make(provider, tmp_path, "east", ProcessId.own(), apiserver_args="no-such-flag=1")
    assert "kube-apiserver-0 ended with 1" in str(caught.value)
    assert any("kube-apiserver-0.log" in path for path in caught.value.logs)
    assert left(tmp_path / "east") == set()
    assert list((tmp_path / "state" / "ports").iterdir()) == []


def test_a_start_that_takes_too_long(tmp_path: Path) -> None:
    """A server that never becomes ready is given up, with what it said last."""
    provider = provider_in(tmp_path)
    options = {"apiserver_args": "etcd-servers=https://127.0.0.1:9", "start_timeout": 5}
    with pytest.raises(StartFailed, match="not ready within 5 s"):
        make(provider, tmp_path, "east", ProcessId.own(), **options)
    assert left(tmp_path / "east") == set()


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is noticed before anything starts."""
    monkeypatch.setattr(provider_module, "_FREE_BYTES", 1 << 60)
    with pytest.raises(EnvironmentFailure, match="MiB free"):
        make(provider_in(tmp_path), tmp_path, "east", ProcessId.own())
    assert list((tmp_path / "east").iterdir()) == []


def test_a_missing_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong folder of programs is said to be wrong before anything starts."""
    monkeypatch.setenv("K8SHA_BIN_DIR", str(tmp_path / "nothing"))
    with pytest.raises(ProgramUnavailable, match="K8SHA_BIN_DIR"):
        make(provider_in(tmp_path), tmp_path, "east", ProcessId.own())
    assert list((tmp_path / "east").iterdir()) == []


def test_a_deep_folder(tmp_path: Path) -> None:
    """The control socket works in a folder whose path is longer than the kernel takes for a socket."""
    base = tmp_path / ("d" * 60) / ("e" * 60)
    base.mkdir(parents=True)
    made = make(provider_in(tmp_path), base, "deep", ProcessId.own(), nodes=0)
    try:
        assert Control(made.place).order("status")["failure"] == ""
    finally:
        made.provider.delete(made.state)
    assert not made.provider.alive(made.state)
