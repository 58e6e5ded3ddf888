"""A measured quantity with its error bar."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from pytest_k8sha.model import Verdict


@dataclass(frozen=True)
class Interval:
    """The true value lies between ``lo`` and ``hi``, both included; ``hi`` may be infinite. Seconds unless said."""

    lo: float
    hi: float

    def __post_init__(self) -> None:
        if not self.lo <= self.hi:  # also true for NaN
            raise ValueError(f"an interval from {self.lo} to {self.hi} holds nothing")

    @property
    def width(self) -> float:
        return self.hi - self.lo if self.lo < inf else 0.0

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.lo + other.lo, self.hi + other.hi)

    def __contains__(self, value: float) -> bool:
        return self.lo <= value <= self.hi

    def within(self, target: float) -> Verdict:
        """Passed when the whole interval is at or below ``target``, failed when all of it is above, else inconclusive:
        a measurement that is too coarse proves nothing."""
        if self.hi <= target:
            return Verdict.PASSED
        return Verdict.FAILED if self.lo > target else Verdict.INCONCLUSIVE

    def __str__(self) -> str:
        return f"[{self.lo:.3g}, {self.hi:.3g}] s"
