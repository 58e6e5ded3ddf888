"""How fast the NetworkPolicy engine looks at a network, and whether it is right.

    python benchmarks/netpol.py [NAME=kind,…]

Nine pods in three namespaces, TCP and UDP on two ports each, every pair: 324 cells, on a kind cluster that is made for
it. One line a case of fixtures/network: how many cells agree with the evaluator, the seconds of one look at the whole
table, cells a second, and the seconds until the network did what the policies say. Then the stopwatch: how long until a
single policy is enforced. The promise is a table in 10 s on two cores.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest_k8sha import _clock
from pytest_k8sha.fleet.fleet import Fleet
from pytest_k8sha.fleet.keeper import Keeper
from pytest_k8sha.fleet.run import RunFolder
from pytest_k8sha.fleet.spec import from_options
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.settings import Settings, bundled
from pytest_k8sha.tenancy.network.agent import Agent
from pytest_k8sha.tenancy.network.cases import Field
from pytest_k8sha.tenancy.network.ground import CONTROL
from pytest_k8sha.tenancy.network.settle import stopwatch
from pytest_k8sha.tenancy.network.table import Expected

DENY = {
    "metadata": {"name": "deny"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}


def show(field: Field) -> None:
    for path in sorted(bundled("fixtures", "network").glob("*.yaml")):
        found = field.run(path)
        count, best = found.table.count(), min(found.per_table)
        until = f"{found.lo:.1f} to {found.hi:.1f} s" if found.hi is not None else "never"
        print(
            f"{path.stem:28} {count['as promised']:3} of {len(field.ways)} as promised, "
            f"{count['different']} different, {count['not proved']} not proved; "
            f"a table in {best:.2f} s ({max(found.per_table):.2f} at most), {len(field.ways) / best:.0f} cells/s; "
            f"kept after {until}, {found.rounds} looks"
        )


def enforcement(field: Field) -> None:
    cell = next(c for c in field.ways if c.protocol == "UDP" and c.placement == "other node")
    agent = Agent(field.cluster.client, cell.source, CONTROL)
    policies = field.cluster.resource("networking.k8s.io/v1", "NetworkPolicy")
    target = field.ground.namespaces[cell.ends[0][0].namespace.name].name  # type: ignore[union-attr]
    closed = stopwatch(agent, cell, lambda: policies.create(DENY, target), towards=Expected.BLOCKED)
    opened = stopwatch(agent, cell, lambda: policies.delete("deny", target), towards=Expected.OPEN)
    print(f"a new policy closes the way after {closed}; its deletion opens it after {opened}")


def main(order: str) -> None:
    settings, registry = Settings.from_environment(), Registry()
    with TemporaryDirectory() as base:
        settings = Settings(settings.cache, Path(base), settings.bin_dir, probe_image=settings.probe_image)
        keeper, folder = Keeper(settings, registry, print), RunFolder.create(settings)
        try:
            keeper.provide(folder, from_options([order], registry), reuse=False)
            cluster = next(iter(Fleet.open(folder, registry).values()))
            began = _clock.now()
            field = Field.make(cluster)
            print(f"nine pods, and a first table of {len(field.ways)} cells, in {_clock.now() - began:.1f} s")
            show(field)
            enforcement(field)
        finally:
            leftovers = keeper.dismiss(folder)
            folder.close(clean=not leftovers)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "bench=kind,nodes=2")
