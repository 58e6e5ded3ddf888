"""How long local clusters take to start, and what memory one takes.

    python benchmarks/local_start.py [--rounds 5] [--skip-three]

Prints, for warm caches: the seconds from the order until the API is ready, the default ServiceAccount exists and the
nodes are Ready; the time of three clusters at once against that of one; and the memory of one cluster as RSS and PSS
(PSS divides the pages that processes share, so several clusters cost less than the sum of their RSS).
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from pytest_k8sha._clock import Deadline
from pytest_k8sha._process import ProcessId
from pytest_k8sha.providers.base import ClusterState, Request
from pytest_k8sha.providers.local.control import Control
from pytest_k8sha.providers.local.options import LocalOptions
from pytest_k8sha.providers.local.provider import LocalProvider
from pytest_k8sha.safety.journal import Journal
from pytest_k8sha.settings import Settings

TARGETS = {"api": 3.5, "service_account": 4.5}
MEMORY_TARGET = 500


def make(provider: LocalProvider, base: Path, name: str) -> tuple[ClusterState, float]:
    place = base / name
    place.mkdir(mode=0o700)
    journal = Journal(base / f"{name}.journal", run="benchmark", label="benchmark")
    clock = Deadline(600)
    order = Request(name, None, LocalOptions(), place, journal, lambda _: None, ProcessId.own())
    state = provider.create(order)
    journal.close(clean=False)
    return state, clock.spent


def memory(state: ClusterState) -> dict[str, tuple[float, float]]:
    """RSS and PSS of each program in MiB."""
    status = Control(Path(state.place)).order("status")
    pids = {"supervisor": status["pid"], **{one["component"]: one["pid"] for one in status["programs"]}}
    found = {}
    for name, pid in pids.items():
        info = psutil.Process(pid).memory_full_info()
        found[name] = (info.rss / 2**20, getattr(info, "pss", 0) / 2**20)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip-three", action="store_true")
    arguments = parser.parse_args()
    rows: list[dict[str, float]] = []
    used: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(prefix="k8sha-benchmark-") as folder:
        base = Path(folder)
        provider = LocalProvider(dataclasses.replace(Settings.from_environment(), state=base / "state"))
        for number in range(arguments.rounds + 1):
            state, total = make(provider, base, f"one-{number}")
            used = memory(state)
            clock = Deadline(60)
            provider.delete(state)
            if number:  # the first warms the page cache and the memory of versions
                rows.append({**state.details["timings"], "create": total, "delete": clock.spent})
        print(f"one cluster, seconds, {len(rows)} rounds       median     min     max   target")
        for key in rows[0]:
            values = [row[key] for row in rows]
            target = f"{TARGETS[key]:7.1f}" if key in TARGETS else ""
            print(f"  {key:<34}{statistics.median(values):7.2f} {min(values):7.2f} {max(values):7.2f} {target}")
        if not arguments.skip_three:
            clock = Deadline(600)
            with ThreadPoolExecutor(3) as pool:
                states = [one for one, _ in pool.map(lambda name: make(provider, base, name), ["a", "b", "c"])]
            three, one = clock.spent, statistics.median(row["create"] for row in rows)
            shared = [memory(state) for state in states]
            for state in states:
                provider.delete(state)
            print(f"three clusters at once: {three:.2f} s, {three / one:.2f} times one (target 2)")
            each = sum(sum(pss for _, pss in found.values()) for found in shared) / 3
            print(f"each of the three takes {each:.0f} MiB (PSS)")
    print(f"memory of one cluster, MiB         RSS     PSS   target {MEMORY_TARGET}")
    for name, (rss, pss) in used.items():
        print(f"  {name:<30}{rss:7.0f} {pss:7.0f}")
    print(f"  {'together':<30}{sum(r for r, _ in used.values()):7.0f} {sum(p for _, p in used.values()):7.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
