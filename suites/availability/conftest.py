"""What the checks of availability share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_k8sha import Cluster
    from pytest_k8sha.chaos.serving.objectives import Demand
    from pytest_k8sha.workloads.model import Inventory


@pytest.fixture(scope="session")
def _waited_for() -> set[str]:
    """The clusters whose young workloads have been waited for: once is enough, ready or not."""
    return set()


@pytest.fixture(scope="session")
def namespaces(request: pytest.FixtureRequest) -> list[str]:
    """The namespaces whose workloads are judged; empty for all but the system's."""
    config = request.config
    return list(config.getoption("k8sha_namespace") or config.getini("k8sha_namespaces"))


@pytest.fixture
def inventory(cluster: Cluster, namespaces: list[str], _waited_for: set[str]) -> Inventory:
    """The workloads of the cluster, once those that were made a moment ago have their pods.

    All namespaces but the system's; ``--k8sha-namespace`` names others.
    """
    from pytest_k8sha.workloads.inventory import read, settled

    look = read if cluster.name in _waited_for else settled
    _waited_for.add(cluster.name)
    return look(cluster, namespaces)


@pytest.fixture(scope="session")
def goals(request: pytest.FixtureRequest) -> Mapping[str, float]:
    """What the control plane is held to, in seconds by name: the defaults, and what ``--k8sha-goal`` says instead."""
    from pytest_k8sha.probes.goals import read

    config = request.config
    return read(config.getoption("k8sha_goal") or config.getini("k8sha_goals"))


@pytest.fixture(scope="session")
def look_again(namespaces: list[str]) -> Callable[[Cluster], Inventory]:
    """The workloads as they are now, when an earlier check may have taken something away."""
    from pytest_k8sha.workloads.inventory import settled

    def look(cluster: Cluster) -> Inventory:
        cluster.snapshot.forget()
        return settled(cluster, namespaces)

    return look


@pytest.fixture
def present(cluster: Cluster, look_again: Callable[[Cluster], Inventory]) -> Inventory:
    """As `inventory`, looked at anew."""
    return look_again(cluster)


@pytest.fixture(scope="session")
def demands(request: pytest.FixtureRequest) -> Mapping[str, Demand]:
    """What each trial demands, by its name: the defaults, and what ``--k8sha-objective`` says."""
    from pytest_k8sha.chaos.serving.objectives import read

    config = request.config
    return read(config.getoption("k8sha_objective") or config.getini("k8sha_objectives"))
