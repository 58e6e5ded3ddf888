"""etcd: its members, its quorum, and the room that is left. Read-only."""

from pytest_k8sha import Cluster, Judge, check
from pytest_k8sha.probes import etcd
from pytest_k8sha.workloads.model import report

REDUNDANCY = ["SOC2:A1.2", "ISO-27001:A.8.14", "NIST-800-53r5:CP-2", "NIST-800-53r5:SI-13", "DORA:7", "DORA:11"]
CAPACITY = ["SOC2:A1.1", "ISO-27001:A.8.6", "NIST-800-53r5:SC-5", "DORA:7"]


@check(
    "AVL-ETC-001",
    "Every member of etcd answers, votes, and agrees with the others about leader and members",
    severity="critical",
    impact="observe",
    why="A member that is behind, alone or dead shows only when the next one fails, and then nothing can be written.",
    remedy="Look at the member that is named; remove one that will not come back, and add another in its place.",
    controls=REDUNDANCY,
    requires=["etcd:reachable"],
)
def test_members_of_etcd_agree(cluster: Cluster, judge: Judge) -> None:
    found = etcd.look(cluster.etcd)
    if judge.control(etcd.answered(found), "a member of etcd tells its status"):
        report(judge, etcd.judge_members(found))


@check(
    "AVL-ETC-002",
    "etcd has three voting members or more, and an odd number of them",
    severity="high",
    impact="observe",
    why="Two members are lost with either of them, and a learner keeps no quorum: both look like redundancy.",
    remedy="Run three or five voting members, in different zones.",
    controls=REDUNDANCY,
    requires=["etcd:reachable"],
)
def test_etcd_has_a_quorum_to_spare(cluster: Cluster, judge: Judge) -> None:
    found = etcd.look(cluster.etcd)
    if judge.control(any(one.members for one in found), "a member of etcd tells the list of members"):
        report(judge, etcd.judge_voters(found))


@check(
    "AVL-ETC-003",
    "No alarm of etcd is raised, and no store is nearly full",
    severity="critical",
    impact="observe",
    why="A full etcd takes no write at all: no pod is replaced, no Lease renewed, and it does not end by itself.",
    remedy="Compact, defragment, disarm; then find what filled it.",
    controls=CAPACITY,
    requires=["etcd:reachable"],
)
def test_etcd_has_room(cluster: Cluster, judge: Judge) -> None:
    found = etcd.look(cluster.etcd)
    if judge.control(etcd.answered(found), "a member of etcd tells its status"):
        report(judge, etcd.judge_space(found))
