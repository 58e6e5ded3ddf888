"""Members of the control plane are lost, one by one and too many at once, while the API is used."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_k8sha import Cluster, Judge, check
from pytest_k8sha.chaos import losses

RECOVERY = ["SOC2:A1.2", "SOC2:A1.3", "ISO-27001:A.8.14", "ISO-27001:A.5.30", "NIST-800-53r5:CP-4", "DORA:11"]


@pytest.fixture
def bench(
    cluster: Cluster,
    judge: Judge,
    namespace: str,
    goals: Mapping[str, float],
    availability: Callable[..., Any],
    tmp_path: Path,
) -> losses.Bench:
    """What a loss is measured with."""
    return losses.Bench(cluster, judge, namespace, goals, availability, tmp_path)


@check(
    "AVL-API-004",
    "The API answers at its address whichever API server dies, hangs or loses its etcd",
    severity="critical",
    impact="disrupt",
    why="A load balancer that leads to one member, or asks none for its health, is found out by an outage.",
    remedy="Let the load balancer lead to every API server, and ask each for /readyz.",
    controls=RECOVERY,
    requires=["faults:members", "etcd:reachable"],
)
def test_api_servers_are_lost(bench: losses.Bench) -> None:
    losses.api_servers(bench)


@check(
    "AVL-ETC-004",
    "Writes go on when a member of etcd is lost, and nothing that was acknowledged is",
    severity="critical",
    impact="disrupt",
    why="Three members are paid for so that one may fail; whether the cluster survives that is known once it did.",
    remedy="Run three or five members with etcd's own time-outs, on disks that sync.",
    controls=RECOVERY,
    requires=["faults:members", "etcd:reachable"],
)
def test_members_of_etcd_are_lost(bench: losses.Bench) -> None:
    losses.store_members(bench)


@check(
    "AVL-ETC-005",
    "etcd elects a leader in time, also with 100 ms between its members",
    severity="high",
    impact="disrupt",
    why="Until there is a leader nothing is written; in a slow network elections that never end are a known outage.",
    remedy="Set --heartbeat-interval to about a round trip and --election-timeout to ten.",
    controls=RECOVERY,
    requires=["faults:links", "etcd:reachable"],
)
def test_etcd_elects_in_a_slow_network(bench: losses.Bench) -> None:
    losses.election(bench)


@check(
    "AVL-ETC-006",
    "A member of etcd that is cut off acknowledges nothing, the others go on, and it comes back",
    severity="critical",
    impact="disrupt",
    why="A cut network is not a dead member: both sides live on, and only one of them may take writes.",
    remedy="Run three members in three zones, so that every cut leaves a majority on one side.",
    controls=RECOVERY,
    requires=["faults:links", "etcd:reachable"],
)
def test_a_member_of_etcd_is_cut_off(bench: losses.Bench) -> None:
    losses.cut_off(bench)


@check(
    "AVL-ETC-007",
    "Without a quorum nothing is acknowledged; with it back, writes go on and none is lost",
    severity="critical",
    impact="disrupt",
    why="Losing the quorum is the one failure that redundancy does not cover: the way back must be known beforehand.",
    remedy="Practise the return of a member, and keep snapshots for the day when none returns.",
    controls=RECOVERY,
    requires=["faults:members", "etcd:reachable"],
)
def test_the_quorum_is_lost_and_returns(bench: losses.Bench) -> None:
    losses.quorum(bench)
