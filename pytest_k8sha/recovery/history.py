"""Earlier runs: what their records measured, and the figures over time that follow."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from math import inf, log10
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import Inconclusive
from pytest_k8sha.probes.interval import Interval
from pytest_k8sha.record import chain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

RTO = "RTO"
"""The measure by which a check records a recovery time."""


@dataclass(frozen=True)
class Rta:
    """The recovery time actual by its parts, each in seconds: until it was noticed, until somebody decided, until it
    was restored, until that was proved."""

    detect: Interval
    decide: Interval
    recover: Interval
    verify: Interval

    @property
    def total(self) -> Interval:
        return self.detect + self.decide + self.recover + self.verify

    @classmethod
    def between(cls, inject: Interval, noticed: float, began: float, rto: Interval, verified: float) -> Rta:
        """From moments on one monotonic clock: the injection lies within ``inject``, the first failure was seen at
        ``noticed``, the restore ``began``, and all was proved when it was ``verified``; ``rto`` counts from the
        injection. Who acts before anything was noticed decided at once."""
        back = Interval(rto.lo + inject.hi, max(rto.hi + inject.lo, rto.lo + inject.hi))
        acted = max(noticed, began)
        return cls(
            Interval(max(0.0, noticed - inject.hi), max(0.0, noticed - inject.lo)),
            Interval.exactly(acted - noticed),
            Interval(max(0.0, back.lo - acted), max(0.0, back.hi - acted)),
            Interval(max(0.0, verified - back.hi), max(0.0, verified - back.lo)),
        )


PARTS = tuple(part.name for part in fields(Rta))
"""Each is recorded as the measure ``RTA`` with its name."""


@dataclass(frozen=True)
class Recovery:
    """A recovery that an earlier run measured. ``at`` is in seconds since the epoch, ``took`` in seconds; ``rta`` has
    its parts, None where they were not recorded."""

    at: float
    cluster: str
    check: str
    took: Interval
    rta: Rta | None = None


@dataclass(frozen=True)
class Reliability:
    """Mean time to recovery and between failures in seconds, and the availability that follows, as a share of 1."""

    failures: int
    mttr: Interval
    mtbf: Interval
    availability: Interval

    @property
    def nines(self) -> Interval:
        """0.999 is three nines."""
        return Interval(nines(self.availability.lo), nines(self.availability.hi))


def nines(availability: float) -> float:
    """How many nines: minus the decimal logarithm of the share that is missing."""
    return inf if availability >= 1 else -log10(1 - availability)


def recoveries(records: Iterable[Path]) -> list[Recovery]:
    """The recovery times in the records of earlier runs, the oldest first.

    Raises `Inconclusive` for a record whose chain is broken: nobody knows what it said.
    """
    found = []
    for path in records:
        record = chain.read(path)
        if not record.intact:
            raise Inconclusive(f"the record {path} is not whole: {record.problems[0]}")
        for line in record.lines:
            measures = (line["data"].get("measures") or {}) if line["kind"] == "result" else {}
            if not measures.get(RTO):
                continue
            moment = datetime.fromisoformat(line["time"]).timestamp()
            parts = [_interval(measures[f"RTA {part}"]) for part in PARTS if f"RTA {part}" in measures]
            found.append(
                Recovery(
                    moment,
                    str(line["data"].get("cluster", "")),
                    str(line["data"].get("check", "")),
                    _interval(measures[RTO]),
                    Rta(*parts) if len(parts) == len(PARTS) else None,
                )
            )
    return sorted(found, key=lambda one: one.at)


def _interval(measure: dict[str, Any]) -> Interval:
    value = float(measure["value"])
    return Interval(float(measure.get("lo", value)), float(measure.get("hi", value)))


def reliability(outages: Sequence[Interval], span: float) -> Reliability:
    """The figures of ``outages`` (seconds each) within ``span`` seconds of observation.

    MTBF is the time in service by the number of failures; without a failure it is at least the span, and nothing bounds
    it. Availability is MTBF / (MTBF + MTTR), as in IEC 60050-192. Raises `Inconclusive` without an observation.
    """
    if span <= 0:
        raise Inconclusive("nothing was observed, so nothing can be said of its reliability")
    down = Interval(sum(o.lo for o in outages), sum(o.hi for o in outages))
    if down.hi > span:
        raise Inconclusive(f"the outages last {down.hi:.0f} s, longer than the {span:.0f} s that were observed")
    if not outages:
        return Reliability(0, Interval(0.0, 0.0), Interval(span, inf), Interval(1.0, 1.0))
    count = len(outages)
    mttr = Interval(down.lo / count, down.hi / count)
    mtbf = Interval((span - down.hi) / count, (span - down.lo) / count)
    return Reliability(count, mttr, mtbf, Interval(1 - down.hi / span, 1 - down.lo / span))
