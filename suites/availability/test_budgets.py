"""Disruption budgets: there, satisfiable, and let through by the server. Read-only, but for rehearsed evictions."""

from pytest_k8sha import Cluster, Judge, check
from pytest_k8sha.probes import eviction
from pytest_k8sha.workloads import budgets
from pytest_k8sha.workloads.model import Inventory, report

REDUNDANCY = ["SOC2:A1.2", "ISO-27001:A.8.14", "NIST-800-53r5:CP-2", "NIST-800-53r5:SI-13", "DORA:7", "DORA:11"]


@check(
    "AVL-PDB-001",
    "Exactly one disruption budget protects each workload of several replicas",
    severity="medium",
    impact="observe",
    why="Without one a drain may take all replicas at once; with two every eviction is an error.",
    remedy="Give each workload one PodDisruptionBudget.",
    controls=REDUNDANCY,
)
def test_one_budget_each(inventory: Inventory, judge: Judge) -> None:
    report(judge, budgets.coverage(inventory))


@check(
    "AVL-PDB-002",
    "Every disruption budget lets one pod go and keeps one",
    severity="high",
    impact="observe",
    why="A budget that lets nothing go stops every drain, and with it every upgrade and every repair of nodes.",
    remedy="Set maxUnavailable: 1, and run more replicas than must stay.",
    controls=REDUNDANCY,
)
def test_budgets_can_be_kept(inventory: Inventory, judge: Judge) -> None:
    report(judge, budgets.satisfiable(inventory))


@check(
    "AVL-PDB-003",
    "A drain would go through: the server lets one pod of each workload be evicted",
    severity="high",
    impact="rehearse",
    why="Arithmetic is not enough: broken pods and overlapping budgets block evictions as well.",
    remedy="Repair what the server names in its answer.",
    controls=REDUNDANCY,
)
def test_evictions_go_through(cluster: Cluster, inventory: Inventory, judge: Judge) -> None:
    eviction.rehearse(cluster, judge, inventory)


@check(
    "AVL-WRK-006",
    "An update leaves as many replicas serving as the budget asks for",
    severity="medium",
    impact="observe",
    why="A rolling update does not ask the PodDisruptionBudget; Recreate stops all replicas at every update.",
    remedy="Use RollingUpdate with maxUnavailable: 0.",
    controls=REDUNDANCY,
)
def test_updates_keep_the_service_up(inventory: Inventory, judge: Judge) -> None:
    report(judge, budgets.rollout(inventory))
