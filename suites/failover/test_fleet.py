"""The whole fleet in one look: who answers, how well, and what differs. Read-only."""

from pytest_k8sha import Judge, check
from pytest_k8sha.failover import judging
from pytest_k8sha.failover.overview import Overview

FLEET = ["SOC2:A1.2", "ISO-27001:A.8.14", "NIST-800-53r5:CP-2", "NIST-800-53r5:CP-10", "DORA:11"]


@check(
    "FLT-API-001",
    "Every cluster of the fleet answers",
    severity="critical",
    impact="observe",
    why="A cluster that answers nobody is found out when it is needed: in the failover.",
    remedy="Reach the server that the finding names with kubectl, and mend the network, the login or the cluster.",
    controls=FLEET,
)
def test_answers(fleet_overview: Overview, judge: Judge) -> None:
    judging.answers(judge, fleet_overview)


@check(
    "FLT-API-002",
    "Every API answers within a second",
    severity="medium",
    impact="observe",
    why="Controllers, deployments and a failover wait for each request.",
    remedy="Look at the load of the API servers and the path to them.",
    controls=FLEET,
)
def test_latency(fleet_overview: Overview, judge: Judge) -> None:
    judging.quick(judge, fleet_overview)


@check(
    "FLT-API-003",
    "The core components of every cluster are healthy",
    severity="critical",
    impact="observe",
    why="A standby with a broken part is no standby.",
    remedy="Mend what the finding names; `kubectl get --raw /readyz?verbose` shows the API server's own checks.",
    controls=FLEET,
)
def test_health(fleet_overview: Overview, judge: Judge) -> None:
    judging.healthy(judge, fleet_overview)


@check(
    "FLT-NOD-001",
    "Every node of every cluster is ready",
    severity="high",
    impact="observe",
    why="What a failover needs is the room on nodes that are there.",
    remedy="Describe the node that is named; drain and replace it.",
    controls=FLEET,
)
def test_nodes(fleet_overview: Overview, judge: Judge) -> None:
    judging.ready(judge, fleet_overview)


@check(
    "FLT-CRD-001",
    "The credentials of every context are good for two weeks or more",
    severity="high",
    impact="observe",
    why="Credentials end on a weekend, and the failover with them.",
    remedy="Renew the certificate or the token of the context.",
    controls=FLEET,
)
def test_credentials(fleet_overview: Overview, judge: Judge) -> None:
    judging.lasting(judge, fleet_overview)


@check(
    "FLT-RBA-001",
    "Every context has the same rights",
    severity="high",
    impact="observe",
    why="Whoever fails over must be allowed on the other side what was allowed on this one.",
    remedy="Bind the same roles in every cluster; the table `rights` shows the differences.",
    controls=FLEET,
    clusters=2,
)
def test_rights(fleet_overview: Overview, judge: Judge) -> None:
    judging.alike(judge, fleet_overview)


@check(
    "FLT-LBS-001",
    "Every load balancer has an address",
    severity="high",
    impact="observe",
    why="Traffic cannot be sent to a load balancer without an address.",
    remedy="See the events of the Service, and the quota of the provider's addresses.",
    controls=FLEET,
)
def test_load_balancers(fleet_overview: Overview, judge: Judge) -> None:
    judging.addressed(judge, fleet_overview)


@check(
    "FLT-BAL-001",
    "The clusters are filled alike",
    severity="medium",
    impact="observe",
    why="A cluster that is full takes no load of one that is lost.",
    remedy="Move workloads, or add nodes to the fuller cluster.",
    controls=FLEET,
    clusters=2,
)
def test_balance(fleet_overview: Overview, judge: Judge) -> None:
    judging.balanced(judge, fleet_overview)


@check(
    "FLT-VER-001",
    "The API servers are at most one minor version apart",
    severity="high",
    impact="observe",
    why="What is written for one version may be refused by another when it is needed.",
    remedy="Upgrade the clusters in step; end an emulation that outlived its upgrade.",
    controls=FLEET,
    clusters=2,
)
def test_versions(fleet_overview: Overview, judge: Judge) -> None:
    judging.current(judge, fleet_overview)


@check(
    "FLT-VER-002",
    "Every kubelet fits its API server",
    severity="high",
    impact="observe",
    why="Outside of the supported skew nobody tests whether pods start.",
    remedy="Upgrade the nodes that are named.",
    controls=FLEET,
)
def test_kubelets(fleet_overview: Overview, judge: Judge) -> None:
    judging.fitting(judge, fleet_overview)


@check(
    "FLT-IDN-001",
    "Every name leads to a cluster of its own",
    severity="critical",
    impact="observe",
    why="Two names for one cluster look like redundancy until that cluster is lost.",
    remedy="Correct the context that leads to the wrong cluster.",
    controls=FLEET,
    clusters=2,
)
def test_identity(fleet_overview: Overview, judge: Judge) -> None:
    judging.distinct(judge, fleet_overview)
