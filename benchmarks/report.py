"""How long a report of many results takes, and how large it is.

    python benchmarks/report.py [RESULTS]

Prints one line a case: writing the record, reading it with its chain checked, verifying it as an auditor does, making
the page (from the model to the file), its size, and the whole way from the record to the page. The promise for 10,000
results is 2 s and 10 MB.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pytest_k8sha import _clock
from pytest_k8sha.record.chain import Record, read, verify
from pytest_k8sha.reports.html import render, write
from pytest_k8sha.reports.merge import merge

SEVERITIES = ("critical", "high", "medium", "low")

# name: checks, clusters, share of failed results, findings of a failed result
CASES: dict[str, tuple[int, int, float, int]] = {
    "500 checks on 20 clusters, 10 per cent failed": (500, 20, 0.1, 3),
    "one check each, none failed": (10_000, 1, 0.0, 0),
    "one check each, all failed": (10_000, 1, 1.0, 2),
    "500 checks on 20 clusters, all failed with 50 subjects": (500, 20, 1.0, 50),
}


def result(check: int, cluster: int, *, failed: bool, findings: int) -> dict[str, Any]:
    """One result of the size that real checks have."""
    finding = {
        "subject": f"Secret shop-{check}/db",
        "verdict": "failed",
        "seen": f"get as user-{cluster} was answered with 200 and an object of 1,204 bytes; expected 403 Forbidden",
        "rule": "get is refused by RBAC",
        "remedy": "",
    }
    return {
        "check": f"TEN-ACC-{check:05d}",
        "title": f"A tenant cannot read what is its neighbour's, variant {check}",
        "suite": "tenancy" if check % 2 else "availability",
        "severity": SEVERITIES[check % 4],
        "impact": "exercise",
        "controls": ["NIST-800-53r5:AC-3", "CIS-K8s:5.1"],
        "why": "A secret that the neighbour can read is no secret: passwords of one tenant become those of all.",
        "remedy": "Grant secrets by name, or not at all; let workloads mount them instead of reading them by the API.",
        "cluster": f"cluster-{cluster:02d}",
        "nodeid": f"suites/tenancy/test_access.py::test_{check}[cluster-{cluster:02d}]",
        "verdict": "failed" if failed else "passed",
        "reason": "",
        "duration": 0.123,
        "started": "2026-03-02T08:00:00+00:00",
        "findings": [finding] * findings if failed else [],
        "subjects": {"passed": 3, "failed": findings if failed else 0, "inconclusive": 0, "not evaluated": 0},
        "measures": {"latency": {"value": 12.5, "unit": "ms", "lo": 11.0, "hi": 14.0}},
    }


def main(results: int) -> None:
    """Runs each case once."""
    for name, (checks, clusters, share, findings) in CASES.items():
        with TemporaryDirectory() as folder:
            path = Path(folder, "record.jsonl")
            marks = [_clock.now()]
            with Record(path) as record:
                record.append("run.start", {"run": "benchmark"})
                for n in range(results):
                    failed = (n % 100) < share * 100
                    data = result(n % checks, n // checks % clusters, failed=failed, findings=findings)
                    record.append("result", data)
                record.append("run.end", {"exitstatus": 0})
            marks.append(_clock.now())
            assert verify(path, record.head, record.length).ok
            marks.append(_clock.now())
            model = merge([read(path)])
            marks.append(_clock.now())
            page = write(render(model), Path(folder))
            marks.append(_clock.now())
            written, verified, loaded, made = (after - before for before, after in pairwise(marks))
            size = page.stat().st_size / 1e6
            print(
                f"{name}: record {path.stat().st_size / 1e6:.1f} MB, written in {written:.2f} s"
                f" ({written / results * 1e3:.2f} ms a line), verified in {verified:.2f} s, read in {loaded:.2f} s,"
                f" page {size:.2f} MB in {made:.2f} s; record to page {loaded + made:.2f} s"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
