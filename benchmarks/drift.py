"""Compares 5,000 objects of each of two local clusters, of which some differ, and prints what that takes.

usage: python -m benchmarks.drift [OBJECTS A CLUSTER]
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_k8sha import _clock
from pytest_k8sha.failover import drift
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.keeper import Keeper
from pytest_k8sha.fleet.spec import from_options
from pytest_k8sha.model import Run
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.settings import Settings

NAMES = ("east", "west")


def deployment(name: str, *, turned: bool) -> dict[str, Any]:
    """The same Deployment, its lists the other way round where it is ``turned``."""
    containers = [{"name": n, "image": "registry.k8s.io/pause:3.10"} for n in ("web", "log")]
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers[:: -1 if turned else 1]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with tempfile.TemporaryDirectory(prefix="k8sha-bench-") as base:
        registry = Registry()
        keeper = Keeper(replace(Settings.from_environment(), state=Path(base) / "state"), registry, lambda _: None)
        states = keeper.keep(from_options([f"{name}=local,nodes=0" for name in NAMES], registry))
        try:
            run = Run(id="bench", owner="bench", expires=0)
            clusters = {
                name: Cluster(states[name], registry.get("local"), run=run, private=Path(base)) for name in NAMES
            }
            for cluster in clusters.values():
                maps = cluster.resource("v1", "ConfigMap")
                with ThreadPoolExecutor(8) as pool:
                    made = pool.map(
                        lambda n, m=maps: m.create(
                            {"metadata": {"name": f"c-{n:05}"}, "data": {"n": str(n)}}, "default"
                        ),
                        range(number - 1),
                    )
                    assert len(list(made)) == number - 1
                turned = cluster.name == "west"
                cluster.resource("apps/v1", "Deployment").create(deployment("shop", turned=turned), "default")
            kinds = [("v1", "ConfigMap"), ("apps/v1", "Deployment")]
            assert drift.compare(drift.read(clusters, kinds, "default")) == [], "alike, and told to differ"
            west = clusters["west"]
            west.resource("v1", "ConfigMap").patch("c-00007", {"data": {"n": "other"}}, "default")
            west.resource("v1", "ConfigMap").delete("c-00008", "default")
            west.resource("apps/v1", "Deployment").patch("shop", {"spec": {"replicas": 1}}, "default")
            clock = _clock.Deadline(0)
            sets = drift.read(clusters, kinds, "default")
            listed = clock.spent
            found = drift.compare(sets)
            whole = clock.spent
        finally:
            for name in NAMES:
                keeper.drop(name)
    told = [(d.name, d.how, d.path) for d in found]
    wanted = [("c-00007", "different", "data.n"), ("c-00008", "missing", ""), ("shop", "different", "spec.replicas")]
    assert told == wanted, told
    counts = " + ".join(str(len(objects)) for objects in sets.values())
    print(f"{counts} objects: {whole:.2f} s, {listed:.2f} s of them to list; 3 of 3 differences told, and no other")


if __name__ == "__main__":
    main()
