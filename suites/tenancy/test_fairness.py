"""The API server is everybody's: no tenant takes it from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy import fairness

if TYPE_CHECKING:
    from pytest_k8sha.plugin.options import Options

CONTROLS = ["NIST-800-53r5:SC-5", "NIST-800-53r5:SC-6", "SOC2:A1.1", "ISO-27001:A.8.6", "DORA:7"]


@pytest.fixture
def limits(k8sha_options: Options) -> tuple[float, int]:
    """What `--k8sha-slo` and `--k8sha-flood` say."""
    return k8sha_options.slo, k8sha_options.flood


@check(
    "TEN-FLW-001",
    "A tenant that floods the API server is throttled, and its neighbour is served in time",
    severity="high",
    impact="exercise",
    why="One controller that lists in a loop, or one person with a script, otherwise takes the API server from every "
    "tenant: nothing can be deployed, and nothing heals.",
    remedy="Give each tenant a FlowSchema and a PriorityLevelConfiguration of its own (fixtures/tenants/fairness).",
    controls=CONTROLS,
)
def test_a_flood_hurts_nobody_else(
    cluster: Cluster, tenants: list[Tenant], judge: Judge, limits: tuple[float, int]
) -> None:
    slo, flood = limits
    fairness.judge_flood(judge, cluster, tenants, slo=slo, flood=flood)


@check(
    "TEN-FLW-002",
    "Each tenant's requests are limited, and are told apart from those of other tenants",
    severity="high",
    impact="observe",
    why="What an exempt level serves is never held up, and in one queue for all the loudest is served first.",
    remedy="Match tenants by a FlowSchema whose level is of type Limited; where tenants share a level, give it queues, "
    "and the schema a distinguisherMethod.",
    controls=CONTROLS,
)
def test_tenants_have_flows_of_their_own(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    fairness.judge_flows(judge, cluster, tenants)
