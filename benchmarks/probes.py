"""How often the interval of a probe holds the truth, how wide it is, and whether its samples leave in time.

    python -m benchmarks.probes [RUNS] [LANES]

RUNS (200) probes at 10 a second watch a server each through an outage whose length is known: none, 0.12, 0.5, 3 and
17.3 s, by a closed port, resets, a blackhole and SIGSTOP; LANES (6) of them at a time. Asked for: the interval holds
the truth in 99 % of the runs and is at most 0.25 s wide. Then one probe sends 200 a second for ten seconds: 99 % of its
samples leave within half a period. At last 60,000 samples are read and made into windows, in a second or less.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.outages import KINDS, Server, Truth
from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.probes.availability import availability
from pytest_k8sha.probes.outage import Outage
from pytest_k8sha.probes.sample import SampleFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LENGTHS = {0.0: 0.15, 0.12: 0.35, 0.5: 0.3, 3.0: 0.15, 17.3: 0.05}
"""Seconds of the outages, and which share of the runs has them."""

TIMEOUT, SILENT = 0.5, 0.02
"""Seconds until a request is given up, and those where the outage is silent: it is known no better than two periods and
two of these."""


@dataclass(frozen=True)
class Run:
    """One probe and one outage."""

    kind: str
    length: float
    truth: Truth | None
    outage: Outage

    @property
    def holds(self) -> bool:
        least, most = (self.truth.least, self.truth.most) if self.truth else (0.0, 0.0)
        return self.outage.longest.lo <= most and least <= self.outage.longest.hi

    @property
    def width(self) -> float:
        return self.outage.longest.width


def plan(runs: int) -> Iterator[tuple[str, float]]:
    """Kind and length of each run; the long ones first, so that the lanes end together."""
    for length in sorted(LENGTHS, reverse=True):
        for n in range(round(runs * LENGTHS[length])):
            yield KINDS[n % len(KINDS)], length


def run(kind: str, length: float, *, rate: float = 10.0, timeout: float | None = None) -> Run:
    """A server and a probe of their own."""
    timeout = timeout or (SILENT if length and kind in {"blackhole", "stop"} else TIMEOUT)
    with TemporaryDirectory() as folder, Server(Path(folder)) as server:
        with availability(server.url(), rate=rate, timeout=timeout) as probe:
            truth = server.out(kind, length) if length else None
            over = _clock.now() + (0.0 if length else 1.0)
            # Two successes that were sent after it: then its end has been seen.
            eventually(lambda: sum(s.ok and s.sent > over for s in probe.samples()) > 1, timeout=60, interval=0.05)
        return Run(kind, length, truth, probe.outage())


def prove(order: Iterable[tuple[str, float]], lanes: int, **options: float) -> list[Run]:
    """All runs, ``lanes`` at a time."""
    with ThreadPoolExecutor(lanes) as pool:
        return list(pool.map(lambda one: run(*one, **options), order))


def pace(seconds: float = 10.0, rate: float = 200.0) -> tuple[float, int]:
    """The share of samples that left within half a period, and how many there were."""
    with TemporaryDirectory() as folder, Server(Path(folder)) as server:
        with availability(server.url(), rate=rate) as probe:
            _clock.pause(seconds)
        outage = probe.outage()
        return outage.sent / len(outage.samples), len(outage.samples)


def reading(count: int = 60_000) -> float:
    """Seconds from a file of so many samples, a tenth of them failed in flaps, to its windows and figures."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "samples.jsonl"
        lines = (
            [k, k / 1000, k / 1000, k / 1000 + 0.002, "refused" if k % 1000 < 100 else "ok", "0" * 12, "web-0", ""]
            for k in range(count)
        )
        path.write_text("{}\n" + "".join(json.dumps(line) + "\n" for line in lines))
        before = _clock.now()
        file = SampleFile(path)
        file.more()
        outage = Outage(file.samples)
        assert len(outage.windows) == count // 1000
        assert outage.longest.hi
        assert outage.latency(0.99).hi
        assert file.digest()
        return _clock.now() - before


def main(runs: int = 200, lanes: int = 6) -> int:
    found = prove(plan(runs), lanes)
    print(f"{'outage':>12} {'seconds':>8} {'runs':>5} {'held':>5} {'median width':>13} {'widest':>7}")
    for (kind, length), count in sorted(Counter((r.kind, r.length) for r in found).items()):
        group = [r for r in found if (r.kind, r.length) == (kind, length)]
        widths = sorted(r.width for r in group)
        held = sum(r.holds for r in group)
        print(f"{kind:>12} {length:>8} {count:>5} {held:>5} {widths[len(widths) // 2]:>13.3f} {widths[-1]:>7.3f}")
    held = sum(r.holds for r in found) / len(found)
    wide = sum(r.width <= 0.25 for r in found) / len(found)
    print(f"the interval holds the truth in {held:.1%} of {len(found)} runs, and is at most 0.25 s wide in {wide:.1%}")
    for one in found:
        if not one.holds:
            print(f"  not held: {one.kind} {one.truth} {one.outage.longest} {one.outage.windows}")
    share, count = pace()
    print(f"{share:.2%} of {count} samples at 200 a second left within half a period")
    print(f"60,000 samples are read and made into windows in {reading():.2f} s")
    return 0 if held >= 0.99 else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
