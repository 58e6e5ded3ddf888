"""Looks at 20 contexts of which 5 hang, and prints what that cost beside one time-out and beside one look.

usage: python benchmarks/fleet_status.py [TIMEOUT IN SECONDS]
The contexts all lead to one local cluster, so that the machine, and not twenty clusters, is what is measured.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from pytest_k8sha import _clock
from pytest_k8sha.failover.overview import survey
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.keeper import Keeper
from pytest_k8sha.fleet.spec import from_options
from pytest_k8sha.model import Impact, Run
from pytest_k8sha.providers.base import ClusterState
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.settings import Settings

GOOD, HANGING = 15, 5


def main() -> None:
    timeout = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    with tempfile.TemporaryDirectory(prefix="k8sha-bench-") as base, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        registry = Registry()
        keeper = Keeper(replace(Settings.from_environment(), state=Path(base) / "state"), registry, lambda _: None)
        kept = keeper.keep(from_options(["one=local"], registry))["one"]
        quiet = Path(base) / "quiet"
        port = silent.getsockname()[1]
        server = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "q",
            "clusters": [{"name": "q", "cluster": server}],
            "users": [{"name": "q", "user": {"token": "x"}}],
            "contexts": [{"name": "q", "context": {"cluster": "q", "user": "q"}}],
        }
        quiet.write_text(json.dumps(config))
        try:
            run = Run(id="bench", owner="bench", expires=0)

            def cluster(name: str, state: ClusterState) -> Cluster:
                provider = registry.get(state.provider)
                return Cluster(replace(state, name=name), provider, run=run, private=Path(base), ceiling=Impact.OBSERVE)

            alone = _clock.Deadline(0)
            survey({"one": cluster("one", kept)}, timeout)
            single = alone.spent
            silence = ClusterState("q", "context", base, str(quiet), "q")
            many = {f"good-{n}": cluster(f"good-{n}", kept) for n in range(GOOD)}
            many |= {f"quiet-{n}": cluster(f"quiet-{n}", silence) for n in range(HANGING)}
            seen = survey(many, timeout)
        finally:
            keeper.drop("one")
    whole = [s for s in seen.sights if s.answers and not s.unread]
    print(f"one look at one cluster: {single:.2f} s")
    print(f"{GOOD + HANGING} contexts, {HANGING} of them silent, time-out {timeout:g} s: {seen.took:.2f} s")
    print(f"that is {seen.took / timeout:.2f} time-outs; {len(whole)} of {GOOD} answering clusters were seen whole")
    assert len(whole) == GOOD, [s.unread or s.failure for s in seen.sights[:GOOD]]


if __name__ == "__main__":
    main()
