"""The service account token that a pod carries."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy.escapes import token

CONTROLS = ["NIST-800-53r5:AC-3", "NIST-800-53r5:AC-6", "SOC2:CC6.1", "ISO-27001:A.5.15", "PCI-4:7.2", "CIS-K8s:5.1"]
REAL = ["nodes:real"]


@check(
    "TEN-TOK-001",
    "The token in a pod opens nothing beyond its namespace, and that of the default account nothing at all",
    severity="critical",
    impact="exercise",
    why="Whoever breaks into a pod reads its token first and plays it back to the API server, from inside or from "
    "anywhere.",
    remedy="Take the binding that the finding names away from the service account.",
    controls=CONTROLS,
    requires=REAL,
)
def test_a_pods_token_opens_nothing(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    token.judge_replay(judge, cluster, tenants)


@check(
    "TEN-TOK-002",
    "A pod that does not ask for a token gets none",
    severity="medium",
    impact="exercise",
    why="Hardly any program talks to the API server, and each token that lies in a pod is one to steal.",
    remedy="Set automountServiceAccountToken: false on every service account; a pod that needs a token says so.",
    controls=[*CONTROLS, "CIS-K8s:5.1.6"],
    requires=REAL,
)
def test_no_token_without_asking(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    token.judge_asked(judge, cluster, tenants)
