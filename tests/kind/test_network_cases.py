"""The engine's own cases on a real network: what the evaluator says of 324 ways is what packets do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.settings import bundled
from pytest_k8sha.tenancy.network.agent import Agent
from pytest_k8sha.tenancy.network.cases import Field
from pytest_k8sha.tenancy.network.ground import CONTROL
from pytest_k8sha.tenancy.network.settle import stopwatch
from pytest_k8sha.tenancy.network.table import Expected, Outcome

CASES = sorted(bundled("fixtures", "network").glob("*.yaml"))


@pytest.fixture(scope="module")
def field(kind_cluster: Cluster) -> Iterator[Field]:
    made = Field.make(kind_cluster)
    yield made
    made.clear()


def test_every_way_works_without_policies(field: Field) -> None:
    """The positive control: 324 of 324 ways are open, each with its nonce back, and the agent lost none."""
    assert len(field.ways) == 324
    assert {seen.outcome for seen in field.lifted.values()} == {Outcome.OPEN}


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_the_network_does_what_the_evaluator_says(path: object, field: Field) -> None:
    """Every cell agrees, twice in a row. How long a table takes is measured by benchmarks/netpol.py."""
    found = field.run(path)  # type: ignore[arg-type]
    wrong = [f"{cell}: {found.table.seen[cell]} / {found.table.promises[cell]}" for cell in found.table.differences]
    assert wrong == []
    assert found.table.unproved == []
    assert found.stable
    assert found.hi is not None
    expected = {promise.expected for promise in found.table.promises.values()}
    assert expected == {Expected.OPEN, Expected.BLOCKED}, "a case in which nothing is blocked, or all, proves little"


def test_the_time_to_enforce_is_measured(field: Field) -> None:
    """The bounds of the moment from which packets are dropped, and let through again, are a few ticks apart."""
    cell = next(c for c in field.ways if c.protocol == "UDP" and c.placement == "other node")
    agent = Agent(field.cluster.client, cell.source, CONTROL)
    policies = field.cluster.resource("networking.k8s.io/v1", "NetworkPolicy")
    target = cell.ends[0][0].namespace.name  # type: ignore[union-attr]
    body = {"metadata": {"name": "deny"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    closed = stopwatch(agent, cell, lambda: policies.create(body, target), towards=Expected.BLOCKED)
    opened = stopwatch(agent, cell, lambda: policies.delete("deny", target), towards=Expected.OPEN)
    for found in (closed, opened):
        assert found.hi is not None
        assert 0 <= found.lo <= found.hi < 10
        assert found.hi - found.lo < 1
