"""Windows of downtime from samples, each end with its error bar.

With s = sent and d = done, a window of failures between two successes began in [s(last OK), d(first failure)] and ended
in [s(last failure), d(first OK)]. So it lasted between max(0, s(last failure) - d(first failure)) and d(first OK) -
s(last OK). Samples may overtake one another: *last* is by the time of sending; the *first* failure and the *first* OK
are those that were done first.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from pytest_k8sha.probes.interval import Interval, covered
from pytest_k8sha.probes.sample import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.probes.sample import Sample


@dataclass(frozen=True)
class Window:
    """A time in which every request failed. Times are seconds on the monotonic clock.

    ``start.lo`` is minus infinity where no success came before, ``end.hi`` infinity where none came after.
    """

    start: Interval
    end: Interval
    failures: int
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    detail: str = ""
    """What the first failure said."""

    @property
    def duration(self) -> Interval:
        """Seconds."""
        return Interval(max(0.0, self.end.lo - self.start.hi), self.end.hi - self.start.lo)

    @property
    def words(self) -> str:
        """The kinds of failure, the most frequent first."""
        return ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())


@dataclass(frozen=True)
class Course:
    """What samples say about the course of a service."""

    windows: tuple[Window, ...]
    longest: Interval
    """Seconds of the longest downtime. Its upper end also holds for an outage that fell between two samples."""
    total: Interval
    """Seconds of all downtime. An outage that fell between two samples counts when there is no other one."""


def course(samples: Sequence[Sample]) -> Course:
    """The windows in ``samples`` (missed ones among them are passed over) and what follows from them.

    Without a success the longest is unbounded. An outage can hide between two successes as long as it begins after one
    was sent and ends before the next was done; the longest such span is the least that may be called the resolution.
    """
    seen = sorted((s for s in samples if s.outcome is not Outcome.MISSED), key=lambda s: (s.sent, s.k))
    good = [s for s in seen if s.outcome is Outcome.OK]
    # For each success: the earliest end of any that was sent after it.
    earliest = list(accumulate((s.done for s in reversed(good)), min))[::-1]
    sent = [s.sent for s in good]

    def answered_after(moment: float) -> float:
        place = bisect_right(sent, moment)
        return earliest[place] if place < len(good) else math.inf

    windows: list[Window] = []
    last_ok = -math.inf
    run: list[Sample] = []
    for sample in seen:
        if sample.outcome is not Outcome.OK:
            run.append(sample)
            continue
        if run:
            windows.append(_window(run, last_ok, answered_after(run[-1].sent)))
            run = []
        last_ok = sample.sent
    if run:
        windows.append(_window(run, last_ok, math.inf))
    return Course(tuple(windows), _longest(windows, good, earliest), _total(windows, good, earliest))


def _window(run: Sequence[Sample], last_ok: float, first_ok: float) -> Window:
    first = min(run, key=lambda s: s.done)
    last = run[-1].sent
    return Window(
        # Two requests that are sent at one moment may end differently; the clock cannot tell them apart.
        start=Interval(last_ok, max(first.done, last_ok)),
        end=Interval(last, max(first_ok, last)),
        failures=len(run),
        outcomes=Counter(s.outcome for s in run),
        detail=first.detail,
    )


def _hidden(good: Sequence[Sample], earliest: Sequence[float]) -> float:
    """The longest span between a success that was sent and the next that was done, in seconds."""
    return max((after - s.sent for s, after in zip(good, earliest[1:], strict=False)), default=0.0)


def _longest(windows: Sequence[Window], good: Sequence[Sample], earliest: Sequence[float]) -> Interval:
    lo = max((w.duration.lo for w in windows), default=0.0)
    if not good or any(not w.duration.bounded for w in windows):
        return Interval(lo, math.inf)
    return Interval(lo, max(_hidden(good, earliest), lo))


def _total(windows: Sequence[Window], good: Sequence[Sample], earliest: Sequence[float]) -> Interval:
    lo = sum(w.duration.lo for w in windows)
    if not good or any(not w.duration.bounded for w in windows):
        return Interval(lo, math.inf)
    hi = covered((w.start.lo, w.end.hi) for w in windows)
    return Interval(lo, max(hi, _hidden(good, earliest), lo))


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of the sorted ``values`` that ``share`` of them do not exceed (the nearest rank); NaN for none."""
    return values[max(0, math.ceil(share * len(values) - 1e-9) - 1)] if values else math.nan
