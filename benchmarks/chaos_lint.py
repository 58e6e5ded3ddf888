"""How long linting 1,000 Chaos Mesh manifests takes. Run: ``python benchmarks/chaos_lint.py [COUNT]``.

The manifests are the fixtures, good and bad by turns, each under a name of its own, in files of their own.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from pytest_k8sha import _clock
from pytest_k8sha.chaos.lint.linter import lint
from pytest_k8sha.chaos.lint.shapes import bundled

LIMIT = 2.0
"""Seconds that 1,000 manifests may take."""


def main() -> None:
    """Prints the median of five runs, in seconds, and what was found."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    root = Path(__file__).parents[1] / "fixtures" / "chaos"
    sources = [path.read_text() for path in sorted(root.rglob("*.yaml"))]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            text = sources[number % len(sources)].replace("\n  name: ", f"\n  name: n{number}-", 1)
            (Path(folder) / f"{number:04}.yaml").write_text(text)
        first = _clock.Deadline(0)
        bundled()
        loading = first.spent
        spent, busy = [], []
        for _ in range(5):
            clock, before = _clock.Deadline(0), sum(os.times()[:2])
            result = lint([Path(folder)])
            spent.append(clock.spent)
            busy.append(sum(os.times()[:2]) - before)
    median, cpu = sorted(spent)[2], sorted(busy)[2]
    lines = sum(text.count("\n") for text in sources) * count // len(sources)
    print(f"{count} manifests, {lines} lines: {median:.2f} s (from {min(spent):.2f} to {max(spent):.2f} s)")
    print(f"processor time of this program: {cpu:.2f} s; the difference is what others had of the machine")
    print(f"{result.count('error')} errors found; the bundle of fields was read in {loading * 1000:.0f} ms")
    if count == 1000:
        print(f"limit {LIMIT:.0f} s: {'met' if median <= LIMIT else 'NOT met'}")


if __name__ == "__main__":
    main()
