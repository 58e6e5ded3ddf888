"""What the installed plugin costs a project that does not use it: pytest with one empty test, with and without it.

The runs are paired: each pair runs both commands one after the other, in changing order, so that a busy machine slows
both alike. The start-up cost is the median of the differences. Processor time is printed beside the time on the clock:
it is what counts where other programs run at the same time.

    python benchmarks/idle.py [PAIRS]
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

from pytest_k8sha import _clock, _process

LIMIT = 0.010
"""Seconds that the plugin may add."""
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]


Times = tuple[float, float]
"""Seconds on the clock, and of processor time."""


def once(folder: Path, *more: str) -> Times:
    """What one run of pytest takes."""
    clock, before = _clock.Deadline(0), _processor()
    _process.run([*PYTEST, *more, "test_empty.py"], timeout=60, cwd=folder)
    return clock.spent, _processor() - before


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def pairs(count: int) -> tuple[list[Times], list[Times]]:
    """``count`` runs without and with the plugin, after one of each that warms the caches."""
    without, with_it = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "test_empty.py").write_text("def test_empty():\n    pass\n")
        once(folder), once(folder, "-p", "no:k8sha")
        for number in range(count):
            if number % 2:
                without.append(once(folder, "-p", "no:k8sha"))
                with_it.append(once(folder))
            else:
                with_it.append(once(folder))
                without.append(once(folder, "-p", "no:k8sha"))
    return without, with_it


def main() -> None:
    assert entry_points(group="pytest11", name="k8sha"), "install the project first: pip install -e ."
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    without, with_it = pairs(count)
    for index, name in enumerate(("on the clock", "processor time")):
        first, second = [t[index] * 1000 for t in without], [t[index] * 1000 for t in with_it]
        difference = statistics.median(b - a for a, b in zip(first, second, strict=True))
        print(
            f"{name:<15} without {statistics.median(first):7.1f} ms, with {statistics.median(second):7.1f} ms,"
            f" difference {difference:5.1f} ms (medians of {count} pairs; limit {LIMIT * 1000:.0f} ms)"
        )


if __name__ == "__main__":
    main()
