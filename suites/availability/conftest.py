"""What the checks of availability share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_k8sha import Cluster
    from pytest_k8sha.workloads.model import Inventory


@pytest.fixture
def inventory(cluster: Cluster, request: pytest.FixtureRequest) -> Inventory:
    """The workloads of the cluster, once those that were made a moment ago have their pods.

    All namespaces but the system's; ``--k8sha-namespace`` names others.
    """
    from pytest_k8sha.workloads.inventory import settled

    config = request.config
    return settled(cluster, config.getoption("k8sha_namespace") or config.getini("k8sha_namespaces"))
