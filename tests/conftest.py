"""What several kinds of tests share."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_k8sha.providers.base import ClusterState
    from pytest_k8sha.settings import Settings

pytest_plugins = ["pytester"]

# A busy machine is slow; that says nothing about the code.
settings.register_profile("k8sha", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("k8sha")


# A shell that starts tests in the background has them, and whatever they start, ignore Ctrl-C. What it does is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class KeptCluster:
    """A kept cluster and where it is kept. ``env`` is what a child process needs to reuse it."""

    state: ClusterState
    settings: Settings

    @property
    def env(self) -> dict[str, str]:
        return {"K8SHA_STATE": str(self.settings.state)}

    @property
    def kubeconfig(self) -> Path:
        from pathlib import Path

        return Path(self.state.kubeconfig)


@pytest.fixture(scope="session")
def local_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptCluster]:
    """One real local cluster, kept under the name ``local`` with the default options (one member, three simulated
    nodes in three zones), so that ``--k8sha-cluster local=local`` and the default of no option reuse it."""
    from dataclasses import replace

    from pytest_k8sha.fleet.keeper import Keeper
    from pytest_k8sha.fleet.spec import from_options
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.settings import Settings

    settings = replace(Settings.from_environment(), state=tmp_path_factory.mktemp("state"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("K8SHA_STATE", str(settings.state))
        registry = Registry()
        keeper = Keeper(settings, registry, lambda _: None)
        states = keeper.keep(from_options(["local=local"], registry))
    try:
        yield KeptCluster(states["local"], settings)
    finally:
        keeper.drop("local")


@pytest.fixture(scope="session", autouse=True)
def no_surprises() -> Iterator[None]:
    """The developer's own pytest and cluster settings do not reach the tests. The programs are those of the user's
    cache, also where a test gives its child process another home: nothing is built twice."""
    from pytest_k8sha.settings import Settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("K8SHA_CACHE", str(Settings.from_environment().cache))
        for name in ("PYTEST_ADDOPTS", "KUBECONFIG"):
            if name in os.environ:
                patch.delenv(name)
        yield
