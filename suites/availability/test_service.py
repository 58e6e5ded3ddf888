"""The API as those who use it meet it: asked all the time, by probes that wait for nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha import apiread, apiwrite, check

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_k8sha import Cluster, Judge
    from pytest_k8sha.probes.availability import Probe

RATE, TIMEOUT = 10.0, 5.0
REQUESTS = 110
"""The fewest that can show a share of 99 per cent, and some more."""
PATIENCE = 60.0
OBJECTIVE = "availability >= 99%, longest <= 6s"


@check(
    "AVL-SLO-001",
    "The API takes reads and writes under steady traffic, and each write is read back",
    severity="high",
    impact="exercise",
    why="Controllers retry, people and pipelines do not: an API that fails now and then breaks deployments that nobody "
    "watches.",
    remedy="Find what refuses or delays: admission webhooks and policies, etcd's disk, a load balancer that sends to a "
    "member that is not ready.",
    controls=["SOC2:A1.1", "ISO-27001:A.8.6", "NIST-800-53r5:CP-10"],
)
def test_the_api_takes_reads_and_writes(
    cluster: Cluster, availability: Callable[..., Probe], eventually: Callable[..., object], judge: Judge
) -> None:
    options = {"rate": RATE, "timeout": TIMEOUT, "objective": OBJECTIVE}
    with availability(apiread(cluster), **options) as reads, availability(apiwrite(cluster), **options) as writes:
        what = f"{REQUESTS} reads and {REQUESTS} writes are sent"
        eventually(lambda: min(p.outage().sent for p in (reads, writes)) > REQUESTS, what=what, timeout=PATIENCE)
    reads.judge(judge, f"reads of {cluster.name}")
    writes.judge(judge, f"writes to {cluster.name}")
