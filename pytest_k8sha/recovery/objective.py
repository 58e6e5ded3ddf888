"""A measured interval against an objective."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.model import Verdict

if TYPE_CHECKING:
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.probes.interval import Interval


def verdict(value: Interval, most: float) -> Verdict:
    """Passed when the whole interval is at or below ``most``, failed when all of it is above, else inconclusive: a
    measurement that is too coarse proves nothing."""
    if value.hi <= most:
        return Verdict.PASSED
    return Verdict.FAILED if value.lo > most else Verdict.INCONCLUSIVE


def within(judge: Judge, subject: str, value: Interval, most: float, remedy: str = "") -> None:
    """Puts seconds and their objective before the judge, and records them as a measure."""
    judge.measure(subject, value.hi, "s", value.lo, value.hi)
    seen = f"{value} s, the objective is {most:g} s"
    match verdict(value, most):
        case Verdict.PASSED:
            judge.ok(subject, seen)
        case Verdict.FAILED:
            judge.bad(subject, seen=seen, remedy=remedy)
        case _:
            judge.unsure(subject, f"{seen}: the measurement is too coarse to tell")
