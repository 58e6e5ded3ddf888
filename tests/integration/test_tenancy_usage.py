"""The command `k8sha tenants usage` on a real cluster that is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from pytest_k8sha._clock import epoch
from pytest_k8sha._wait import eventually
from pytest_k8sha.cli.app import app
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.model import Run, nonce
from pytest_k8sha.providers.local.provider import LocalProvider
from pytest_k8sha.settings import bundled
from pytest_k8sha.tenancy import pods
from pytest_k8sha.tenancy.models.registry import Models

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_k8sha.tenancy.tenant import Tenant
    from tests.conftest import KeptCluster

ASKED = {"requests": {"cpu": "1900m", "memory": "1Gi"}, "limits": {"cpu": "1900m", "memory": "1Gi"}}


@pytest.fixture
def tenant(local_cluster: KeptCluster, tmp_path: Path) -> Iterator[Tenant]:
    """A tenant of the good template whose two pods request 3.8 of its 4 CPUs."""
    run = Run(id="run-usage", owner="tests", expires=int(epoch()) + 3600)
    cluster = Cluster(local_cluster.state, LocalProvider(local_cluster.settings), run=run, private=tmp_path)
    models = Models()
    made = models.create(cluster, models.ordinary(nonce("usage")))
    for _ in range(2):
        body = pods.pod(made, containers=[pods.container(made, resources=ASKED)])
        cluster.resource("v1", "Pod").create(body)
    yield made
    cluster.delete_namespace(made.namespace, wait=False)


def test_usage_and_cost_of_a_tenant(local_cluster: KeptCluster, tenant: Tenant, tmp_path: Path) -> None:
    """A quota at 95 % is full by default and no more than a warning by other thresholds; the bill adds up."""
    order = {"name": tenant.name, "template": str(bundled("fixtures", "tenants", "good"))}
    (tmp_path / "fleet.yaml").write_text(
        yaml.safe_dump({"clusters": {"local": {"provider": "local", "tenants": [order]}}})
    )
    (tmp_path / "prices.yaml").write_text("hours: 100\nprices: {cpu: 0.05, memory: 0.01}\n")
    asked = ["tenants", "usage", "--fleet", str(tmp_path / "fleet.yaml"), "--prices", str(tmp_path / "prices.yaml")]

    def told(*more: str) -> tuple[int, Any]:
        result = CliRunner().invoke(app, [*asked, "--json", *more], env=local_cluster.env)
        return result.exit_code, json.loads(result.stdout)

    def counted(answer: tuple[int, Any]) -> bool:
        return any(row["resource"] == "pods" and row["used"] == "2" for row in answer[1]["quotas"])

    code, data = eventually(told, what="the quota is counted", accept=counted)
    states = {(row["quota"], row["resource"]): (row["percent"], row["state"]) for row in data["quotas"]}
    assert states["compute", "requests.cpu"] == (95.0, "full")
    assert code == 1
    assert {row["item"]: row["cost"] for row in data["cost"]} == {
        "cpu": 19.0,
        "memory": 2.0,
        "storage": 0.0,
        "load balancers": 0.0,
    }
    code, data = told("--warn", "95", "--full", "96")
    assert code == 0
    assert {row["state"] for row in data["quotas"]} == {"ok", "warning"}


def test_what_cannot_be_told(local_cluster: KeptCluster, tmp_path: Path) -> None:
    """A price file with mistakes, and a cluster that would have to be made: exit code 2, in words."""
    (tmp_path / "prices.yaml").write_text("prices: {cpu: -1}\n")
    bad = CliRunner().invoke(
        app, ["tenants", "usage", "--prices", str(tmp_path / "prices.yaml")], env=local_cluster.env
    )
    assert bad.exit_code == 2
    assert "prices.yaml:1: prices.cpu" in bad.output
    absent = CliRunner().invoke(app, ["tenants", "usage"], env=local_cluster.env)
    assert absent.exit_code == 2
    assert "does not exist" in absent.output
