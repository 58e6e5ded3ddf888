"""How long the checks take on two warm, kept clusters. The target is 30 s on two cores.

    python benchmarks/run.py [TIMES]

It makes the two clusters of the demo fleet, runs the bundled suites TIMES times (default 3), each time in a process of
its own as a user does, and ends the clusters again. Printed: seconds of wall clock for each run from the command's
start to its end, with making and deleting the tenants, and the share of pytest.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from pytest_k8sha import _clock, _process
from pytest_k8sha.record.chain import read

TARGET = 30.0
COMMAND = [sys.executable, "-m", "pytest_k8sha.cli"]


def main(times: int) -> None:
    with tempfile.TemporaryDirectory(prefix="k8sha-bench-") as folder:
        env = {**os.environ, "K8SHA_STATE": str(Path(folder) / "state")}
        try:
            clock = _clock.Deadline(0)
            done = _process.run([*COMMAND, "up"], timeout=1800, env=env, check=False)
            assert done.code == 0, done.stderr
            print(f"two clusters, four control-plane members: up in {clock.spent:.1f} s")
            seconds = [one(Path(folder) / f"out-{number}", env) for number in range(times)]
            best = min(seconds)
            print(f"best {best:.1f} s, target {TARGET:.0f} s: {'kept' if best <= TARGET else 'missed'}")
        finally:
            _process.run([*COMMAND, "down", "--all"], timeout=120, env=env, check=False)


def one(out: Path, env: dict[str, str]) -> float:
    clock = _clock.Deadline(0)
    done = _process.run([*COMMAND, "run", "--out", out, "--json"], timeout=900, env=env, check=False)
    spent = clock.spent
    assert done.code in {0, 1}, done.stderr
    totals = {cluster["name"]: cluster["totals"] for cluster in json.loads(done.stdout)["clusters"]}
    lines = read(out / "record.jsonl").lines
    results = [line["data"] for line in lines if line["kind"] == "result"]
    checks = {result["check"] for result in results}
    slowest = sorted(results, key=lambda result: -result["duration"])[:3]
    print(f"{spent:5.1f} s for {len(checks)} checks, {len(results)} results ({totals})")
    print(f"        pytest itself {lines[-1]['data']['duration']:.1f} s; slowest checks: ", end="")
    print(", ".join(f"{r['check'] or r['nodeid']} on {r['cluster']} {r['duration']:.1f} s" for r in slowest))
    return spent


if __name__ == "__main__":
    # Ended early, it still ends the clusters.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
