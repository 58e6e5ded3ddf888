"""The control plane: each API server by itself, and the leaders. Read-only."""

from pytest_k8sha import Cluster, Judge, check
from pytest_k8sha.probes import control_plane
from pytest_k8sha.workloads.model import report

REDUNDANCY = ["SOC2:A1.2", "ISO-27001:A.8.14", "NIST-800-53r5:CP-2", "NIST-800-53r5:SI-13", "DORA:7", "DORA:11"]


@check(
    "AVL-API-001",
    "Every API server is live and ready, by each of its health checks",
    severity="critical",
    impact="observe",
    why="A load balancer hides a broken API server: every n-th request fails, and the next failure is an outage.",
    remedy="Read the log of the kube-apiserver that is named; take it out of default/kubernetes until it is well.",
    controls=REDUNDANCY,
)
def test_each_api_server_is_healthy(cluster: Cluster, judge: Judge) -> None:
    found = control_plane.endpoints(cluster)
    said = control_plane.answers(cluster, found)
    if judge.control(control_plane.reachable(said), "an API server answers at its own address, not the stable one"):
        report(judge, control_plane.judge_health(found, said))


@check(
    "AVL-API-002",
    "Every API server renews a Lease of its own",
    severity="high",
    impact="observe",
    why="An API server that cannot write is seen first by its Lease; one without a Lease is one that nobody counts.",
    remedy="Look at the API server behind the Lease; delete the Lease of one that was retired.",
    controls=REDUNDANCY,
)
def test_each_api_server_has_a_fresh_lease(cluster: Cluster, judge: Judge) -> None:
    now = control_plane.server_time(cluster)
    found = control_plane.judge_identities(
        control_plane.endpoints(cluster), control_plane.identity_leases(cluster), now
    )
    report(judge, found)


@check(
    "AVL-API-003",
    "The control plane has three API servers or more",
    severity="high",
    impact="observe",
    why="With one or two members, the loss or the upgrade of one ends the quorum of etcd or the service of the API.",
    remedy="Run three control-plane members, in three zones, behind one load balancer.",
    controls=REDUNDANCY,
)
def test_three_api_servers(cluster: Cluster, judge: Judge) -> None:
    report(judge, control_plane.judge_number(control_plane.endpoints(cluster)))


@check(
    "AVL-LDR-001",
    "The scheduler and the controller manager elect leaders that renew in time",
    severity="high",
    impact="observe",
    why="Without election nobody takes over when the one that runs dies; with long leases it takes too long.",
    remedy="Start both with --leader-elect=true and upstream's 15 s, 10 s and 2 s.",
    controls=REDUNDANCY,
)
def test_leaders_are_elected(cluster: Cluster, judge: Judge) -> None:
    leases = control_plane.leader_leases(cluster)
    report(judge, control_plane.judge_leaders(leases, control_plane.server_time(cluster)))
