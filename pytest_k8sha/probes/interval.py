"""Intervals: a figure that was not seen exactly, between the least and the most that fits what was seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Interval:
    """The true value lies in [``lo``, ``hi``]. ``hi`` is infinite where nothing bounds it."""

    lo: float
    hi: float

    def __post_init__(self) -> None:
        if not self.lo <= self.hi:  # also for NaN, which compares with nothing
            raise ValueError(f"no interval: [{self.lo}, {self.hi}]")

    @classmethod
    def exactly(cls, value: float) -> Interval:
        return cls(value, value)

    @property
    def width(self) -> float:
        return 0.0 if self.lo == self.hi else self.hi - self.lo

    @property
    def bounded(self) -> bool:
        return math.isfinite(self.hi)

    def __contains__(self, value: float) -> bool:
        return self.lo <= value <= self.hi

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.lo + other.lo, self.hi + other.hi)

    def __sub__(self, other: Interval) -> Interval:
        """All differences of a value here and one there; both must be bounded on the sides that meet."""
        return Interval(self.lo - other.hi, self.hi - other.lo)

    def __truediv__(self, divisor: float) -> Interval:
        if divisor <= 0:
            raise ValueError(f"an interval is divided by positive numbers only, not by {divisor}")
        return Interval(self.lo / divisor, self.hi / divisor)

    def at_least(self, floor: float) -> Interval:
        """The same, where it is known that the value is not below ``floor``."""
        return Interval(max(self.lo, floor), max(self.hi, floor))

    def __str__(self) -> str:
        return f"[{_figure(self.lo)}, {_figure(self.hi)}]"


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of spans (begin, end); what two of them share counts once."""
    total, reached = 0.0, -math.inf
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def _figure(value: float) -> str:
    if not math.isfinite(value):
        return "unbounded"
    return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 1000 else f"{value:.1f}"
