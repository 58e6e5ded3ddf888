"""Clusters end with their run, whatever becomes of it: nothing is left in the engine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_k8sha import _process
from pytest_k8sha._wait import eventually
from pytest_k8sha.providers.kind.engine import Engine
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.recover import Recovered, recover
from tests.kind import kind_clusters
from tests.kind.kind_clusters import Images

ROOT = Path(__file__).parents[2]


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """A state folder; whatever a test leaves in it is ended and recovered."""
    yield tmp_path
    for program in _process.naming(tmp_path, words=["python", "python3", "kind", str(tmp_path)]):
        program.end(5)
    recover(kind_clusters.settings_in(tmp_path), Registry(), lambda _: None)


def recovered(base: Path) -> list[Recovered]:
    return recover(kind_clusters.settings_in(base), Registry(), lambda _: None)


def start(base: Path, *orders: str) -> _process.Program:
    return _process.start(kind_clusters.maker(base, *orders), log=base / "maker.log", cwd=ROOT, die_with_parent=True)


def said(base: Path) -> str:
    return (base / "maker.log").read_text()


def test_killed_while_it_makes_a_cluster(base: Path, engine: Engine, images: Images) -> None:
    """SIGKILL when the first node container is there: `kind create` dies as well, one `k8sha recover` removes what
    there is, and a second finds nothing."""
    program = start(base, images.order("east", nodes=1))
    found = eventually(lambda: kind_clusters.marks(base), what="the mark is written", timeout=60)
    name = found["east"]["cluster"]
    eventually(
        lambda: program.code is not None or kind_clusters.containers(engine, name), what="a container", timeout=60
    )
    assert program.code is None, said(base)
    # A container is listed a moment before it can be looked at.
    volumes = eventually(lambda: kind_clusters.volumes(engine, name), what="its volumes", timeout=20)
    program.signal(signal.SIGKILL)
    program.wait(10)
    (run,) = recovered(base)
    assert run.remains == []
    assert run.removed == ["cluster east"]
    assert kind_clusters.containers(engine, name) == []
    assert kind_clusters.remaining(engine, volumes) == set()
    assert not _process.naming(base, words=["kind"])
    assert recovered(base) == []


def test_two_at_once_and_the_run_is_killed(base: Path, engine: Engine, images: Images) -> None:
    """Two clusters start at the same time, with names and kubeconfigs of their own; their run is killed, and recovery
    removes both."""
    program = start(base, images.order("east", nodes=1), images.order("west", nodes=1))
    eventually(
        lambda: program.code is not None or "made" in said(base), what="both are made", timeout=240, interval=0.5
    )
    assert program.code is None, said(base)
    names = {name: mark["cluster"] for name, mark in kind_clusters.marks(base).items()}
    assert sorted(names) == ["east", "west"]
    assert len(set(names.values())) == 2
    for name in names.values():
        assert len(kind_clusters.containers(engine, name)) == 1
    volumes = {volume for name in names.values() for volume in kind_clusters.volumes(engine, name)}
    assert len(volumes) >= 2
    program.signal(signal.SIGKILL)
    program.wait(10)
    (run,) = recovered(base)
    assert run.remains == []
    assert sorted(run.removed) == ["cluster east", "cluster west"]
    for name in names.values():
        assert kind_clusters.containers(engine, name) == []
    assert kind_clusters.remaining(engine, volumes) == set()
