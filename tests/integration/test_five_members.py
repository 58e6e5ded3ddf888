"""Five members of the control plane: two may be lost at once, and with three nothing is acknowledged."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_k8sha import availability
from pytest_k8sha._process import ProcessId
from pytest_k8sha.chaos import losses
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.model import Run, Verdict
from pytest_k8sha.probes import goals
from pytest_k8sha.safety.journal import Journal
from tests.integration import local_clusters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of five members without nodes."""
    base = tmp_path_factory.mktemp("five")
    provider = local_clusters.provider_in(base)
    made = local_clusters.make(provider, base, "five", ProcessId.own(), members=5, nodes=0)
    log = Journal(base / "faults.jsonl", run="r-five", label="test")
    try:
        yield Cluster(made.state, provider, run=Run("r-five", "test", 9_999_999_999), private=base, journal=log)
    finally:
        log.close(clean=False)
        provider.delete(made.state)


@contextmanager
def counted(cluster: Cluster) -> Iterator[list[int]]:
    """How many members of etcd ran, looked at all the time."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            seen.append(len(cluster.faults.running("etcd")))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(("loss", "left"), [(losses.store_members, 3), (losses.quorum, 2)])
def test_losses_of_five(five: Cluster, tmp_path: Path, loss: Callable[[losses.Bench], None], left: int) -> None:
    """Two members are killed at once and writes go on; three are, and the first one back ends the outage. Nothing that
    was acknowledged is lost."""
    judge = Judge()
    space = five.create_namespace("five")
    # Held to generous goals: that it works is proved here, how quickly depends on who else is on the machine.
    held: dict[str, Any] = {**goals.read([]), "writes": 30.0, "quorum": 60.0}
    with counted(five) as running:
        loss(losses.Bench(five, judge, space, held, availability, tmp_path))
    verdict, reason = judge.conclude()
    assert verdict is Verdict.PASSED, reason
    assert min(running) == left
    five.delete_namespace(space, wait=False)
