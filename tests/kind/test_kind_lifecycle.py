"""A cluster ends with its run, whatever becomes of it: nothing is left in the engine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_k8sha import _process
from pytest_k8sha._wait import eventually
from pytest_k8sha.providers.kind.engine import Engine
from tests.kind import kind_clusters
from tests.kind.kind_clusters import Images, recovered, said


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """A state folder; whatever a test leaves in it is ended and recovered."""
    yield tmp_path
    kind_clusters.clear(tmp_path)


def test_killed_while_it_makes_a_cluster(base: Path, engine: Engine, images: Images) -> None:
    """SIGKILL when the first node container is there: `kind create` dies as well, one `k8sha recover` removes what
    there is, and a second finds nothing."""
    program = kind_clusters.start(base, images.order("east", nodes=1))
    found = eventually(lambda: kind_clusters.marks(base), what="the mark is written", timeout=120)
    name = found["east"]["cluster"]
    eventually(
        lambda: program.code is not None or kind_clusters.containers(engine, name), what="a container", timeout=120
    )
    assert program.code is None, said(base)
    # A container is listed a moment before it can be looked at.
    volumes = eventually(lambda: kind_clusters.volumes(engine, name), what="its volumes", timeout=60)
    program.signal(signal.SIGKILL)
    program.wait(30)
    (run,) = recovered(base)
    assert run.remains == []
    assert run.removed == ["cluster east"]
    assert kind_clusters.containers(engine, name) == []
    assert kind_clusters.remaining(engine, volumes) == set()
    assert not _process.naming(base, words=["kind"])
    assert recovered(base) == []
