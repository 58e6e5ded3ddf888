"""How long backups and restores take: manifests and etcd, on local clusters.

usage: python benchmarks/restore.py [OBJECTS [KEYS]]   (default: 5000 objects, 50000 keys)
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pytest_k8sha import _clock
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.keeper import Keeper
from pytest_k8sha.fleet.run import RunFolder
from pytest_k8sha.fleet.spec import ClusterOrder
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.recovery.etcd import content, drill
from pytest_k8sha.recovery.etcd.gateway import KeyValue
from pytest_k8sha.recovery.manifests import backup, completeness
from pytest_k8sha.recovery.manifests.restore import restore
from pytest_k8sha.recovery.plan import EtcdPlan
from pytest_k8sha.settings import Settings

WIDTH = 0.25
"""Seconds that the error bar of an RTO may be wide, at ten probes a second."""

PARTS = 50
"""Namespaces that the objects are spread over."""


def fill(cluster: Cluster, count: int) -> None:
    """So many ConfigMaps of half a kilobyte."""
    spaces = [cluster.create_namespace("bench") for _ in range(PARTS)]
    maps = cluster.resource("v1", "ConfigMap")

    def one(number: int) -> Any:
        body = {"metadata": {"name": f"object-{number}"}, "data": {"text": "x" * 500}}
        return maps.create(body, spaces[number % PARTS])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(count)))


def ratio(what: str, seconds: float, allowed: float) -> None:
    print(f"{what:60} {seconds:7.2f} s, {seconds / allowed:5.2f} of the {allowed:g} s allowed", flush=True)


def main(objects: int, keys: int) -> None:
    registry = Registry()
    run = RunFolder.create(Settings.from_environment())
    keeper = Keeper(Settings.from_environment(), registry, lambda _: None)
    made = []

    def cluster(name: str, **options: Any) -> Cluster:
        state = keeper.further(run, name, ClusterOrder.model_validate({"provider": "local", "nodes": 1, **options}))
        made.append(state)
        return Cluster(state, registry.get("local"), run=run.run, private=run.private)

    def told(what: str, clock: _clock.Deadline, allowed: float) -> None:
        ratio(what, clock.spent, allowed)

    try:
        source = cluster("source", members=3)
        fill(source, objects)
        with tempfile.TemporaryDirectory() as folder:
            clock = _clock.Deadline(0)
            written = backup.make(source, Path(folder) / "backup")
            told(f"backup of {len(written.objects)} objects", clock, 10)
            target = cluster("target")
            clock = _clock.Deadline(0)
            done = restore(written, target)
            found = completeness.compare(written.objects, *backup.inventory(target))
            told(f"restored ({done.applied}) and compared", clock, 60)
            assert found.complete, found.counts
            space = source.create_namespace("drill")
            clock = _clock.Deadline(0)
            drilled = drill.run(source, EtcdPlan(), space, Path(folder))
            told(f"etcd restore, 3 members, {len(drilled.taken.content)} keys", clock, 90)
            assert not any(member.difference for member in drilled.members)
            assert drilled.rto is not None
            print(f"RTO {drilled.rto} s, RPO {drilled.loss.rpo(drilled.inject)} s")
            ratio("error bar of the RTO", drilled.rto.width, WIDTH)
            print(f"  of it {drilled.inject.width:.3f} s for the killing, the rest for the probe's period and answer")
    finally:
        for state in made:
            registry.get("local").delete(state)
        run.close(clean=True)
    store = {b"%08d" % n: KeyValue(b"%08d" % n, b"x" * 1000, n, n + 1, 1, 0) for n in range(keys)}
    clock = _clock.Deadline(0)
    assert not content.compare(store, dict(store))
    assert content.digest(store) == content.digest(dict(store))
    told(f"equality of {keys} keys, without reading them", clock, 10)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [5000, 50000][len(numbers) :]))
