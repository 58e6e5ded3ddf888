"""Objectives: ``downtime <= 5s, error_rate < 0.1%``, what they demand of the probe, and when they are met.

    OBJECTIVE = CLAUSE {"," CLAUSE}
    CLAUSE    = FIGURE ("<" | "<=" | ">" | ">=") NUMBER UNIT
    FIGURE    = downtime | longest | recovery | error_rate | availability | p50 | p99 | p99.9 …
    UNIT      = ms | s | min | h | %

Times and rates have an upper limit (``<``, ``<=``), availability a lower one. A number without a unit is refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_k8sha.errors import UsageError
from pytest_k8sha.model import Verdict

if TYPE_CHECKING:
    from pytest_k8sha.probes.interval import Interval

SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
TIMES = ("downtime", "longest", "recovery")
FIGURES = (*TIMES, "error_rate", "availability", "p50", "p99", "p99.9")

PARTS = 20
"""A period of the probe must be at most this part of a time that is judged: with two periods of error the bar is then a
tenth of the objective (the rule T <= target/20 for open-loop probes)."""

FASTEST = 1000.0
"""Samples a second that a probe can send."""

_CLAUSE = re.compile(
    r"(?P<figure>[A-Za-z_]+[0-9.]*)\s*(?P<relation><=|>=|<|>)\s*(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[A-Za-z%]*)",
    re.ASCII,
)
_PERCENTILE = re.compile(r"p([0-9]{1,2}(?:\.[0-9]{1,3})?)", re.ASCII)


@dataclass(frozen=True)
class Clause:
    """One demand. ``limit`` is in seconds, or a share of 1 for rates."""

    figure: str
    relation: str
    limit: float
    text: str

    @property
    def share(self) -> float | None:
        """For a percentile the share of requests that it speaks of, such as 0.99."""
        found = _PERCENTILE.fullmatch(self.figure)
        return float(found[1]) / 100 if found else None

    @property
    def unit(self) -> str:
        return "%" if self.figure in {"error_rate", "availability"} else "s"

    def judge(self, value: Interval) -> Verdict:
        """Passed when every value in the interval meets the demand, failed when none does, else inconclusive."""
        if self._meets(value.lo) and self._meets(value.hi):
            return Verdict.PASSED
        if not self._meets(value.lo) and not self._meets(value.hi):
            return Verdict.FAILED
        return Verdict.INCONCLUSIVE

    def _meets(self, value: float) -> bool:
        match self.relation:
            case "<":
                return value < self.limit
            case "<=":
                return value <= self.limit
            case ">":
                return value > self.limit
            case _:
                return value >= self.limit

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Objective:
    """What is demanded; each clause must be met."""

    clauses: tuple[Clause, ...]

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Raises `UsageError` with the clause that cannot be meant."""
        clauses = tuple(_clause(part.strip(), text) for part in text.split(","))
        doubled = [c.figure for n, c in enumerate(clauses) if c.figure in {other.figure for other in clauses[:n]}]
        if doubled:
            raise UsageError(f"the objective speaks of {doubled[0]} twice", value=text)
        return cls(clauses)

    def fit(self, rate: float, timeout: float) -> None:
        """Refuses what a probe of ``rate`` samples a second with ``timeout`` seconds for each cannot judge.

        Raises `UsageError` that names the rate or the time-out that would do.
        """
        for clause in self.clauses:
            if clause.figure in TIMES:
                _fit_time(clause, rate, timeout)
            elif clause.share is not None and clause.limit > timeout:
                raise UsageError(
                    f"a request is given up after {timeout:g} s, so that {clause.text} cannot be seen to hold",
                    value=clause.text,
                    remedy=f"timeout={clause.limit:g} or more",
                )

    @property
    def budget(self) -> float | None:
        """The share of requests that may fail, from availability or error_rate; None where neither is demanded."""
        for clause in self.clauses:
            if clause.figure == "availability":
                return 1 - clause.limit
            if clause.figure == "error_rate":
                return clause.limit
        return None

    def __str__(self) -> str:
        return ", ".join(clause.text for clause in self.clauses)


def _clause(text: str, whole: str) -> Clause:
    found = _CLAUSE.fullmatch(text)
    if not found:
        raise UsageError(
            f"the objective cannot be read at {text!r}",
            value=whole,
            remedy="write it as downtime <= 5s, error_rate < 0.1%, p99 < 300ms, availability >= 99.9%",
        )
    figure, relation, unit = found["figure"], found["relation"], found["unit"]
    number = float(found["number"])
    percentile = _PERCENTILE.fullmatch(figure)
    if figure not in FIGURES and not percentile:
        raise UsageError("the objective names an unknown figure", value=figure, allowed=FIGURES)
    if percentile and not 0 < float(percentile[1]) < 100:
        raise UsageError("there is no such percentile", value=figure, allowed=["p1 to p99.999"])
    wanted = ["%"] if figure in {"error_rate", "availability"} else list(SECONDS)
    if unit not in wanted:
        problem = "has an unknown unit" if unit else "has no unit"
        raise UsageError(f"the objective {text!r} {problem}", value=unit or None, allowed=wanted)
    upward = figure == "availability"
    if (relation[0] == ">") != upward:
        raise UsageError(
            f"{figure} has {'a lower' if upward else 'an upper'} limit",
            value=text,
            allowed=[">", ">="] if upward else ["<", "<="],
        )
    if unit == "%" and number > 100:
        raise UsageError("a share above 100 %", value=text)
    limit = number / 100 if unit == "%" else number * SECONDS[unit]
    if (relation == "<" and limit == 0) or (relation == ">" and limit == 1):
        raise UsageError("no measurement can meet this objective", value=text)
    return Clause(figure, relation, limit, f"{figure} {relation} {found['number']}{unit}")


def _fit_time(clause: Clause, rate: float, timeout: float) -> None:
    if clause.limit <= 0:
        raise UsageError(
            "that there was no downtime at all cannot be measured: an outage fits between two samples",
            value=clause.text,
            remedy="give the longest downtime that nobody would mind, or demand error_rate <= 0%",
        )
    wanted = math.ceil(PARTS / clause.limit * 1000) / 1000
    if wanted > FASTEST:
        raise UsageError(
            f"the objective is below what a probe can resolve: it would take {wanted:g} samples a second",
            value=clause.text,
            remedy=f"an objective of {PARTS / FASTEST * 1000:g}ms or more, at a rate of {FASTEST:g}",
        )
    if rate < wanted:
        raise UsageError(
            f"the objective is below the resolution of a probe with {rate:g} samples a second",
            value=clause.text,
            remedy=f"rate={wanted:g} or more",
        )
    if timeout > clause.limit:
        raise UsageError(
            f"a request may take {timeout:g} s, longer than the objective, so that a silent outage could not be judged",
            value=clause.text,
            remedy=f"timeout={clause.limit:g} or less",
        )
