"""Clusters that exist already, for commands that look and make nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.spec import ClusterOrder
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.settings import Settings


def opened(settings: Settings, registry: Registry, name: str, order: ClusterOrder, private: Path) -> Cluster | None:
    """A kept cluster, or one of a kubeconfig, to be read and no more; None for one that a run would have to make.

    Raises `K8shaError` where its provider cannot find it.
    """
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.keeper import Keeper
    from pytest_k8sha.model import Impact, Run
    from pytest_k8sha.providers.base import Request
    from pytest_k8sha.safety.journal import Journal

    provider = registry.get(order.provider)
    if order.provider == "context":
        place = private / name
        place.mkdir(mode=0o700)
        journal = Journal(private / f"{name}.jsonl", run="look", label="look")
        request = Request(name, order.argument, order.provider_options(registry), place, journal, lambda _: None, None)
        state = provider.create(request)
        journal.close(clean=True)
    else:
        kept = Keeper(settings, registry, lambda _: None).kept().get(name)
        if kept is None:
            return None
        state = kept
    run = Run(id="look", owner="look", expires=0)
    return Cluster(state, provider, run=run, private=private, ceiling=Impact.OBSERVE)
