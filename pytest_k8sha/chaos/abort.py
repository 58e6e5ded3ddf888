"""The words that end an experiment early: ``error_rate > 20% over 10s``, of what a probe has seen in the last seconds.

Too few requests in that time say nothing, and where nothing is known the experiment is ended as well.
"""

from __future__ import annotations

import math
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_k8sha import _clock
from pytest_k8sha.chaos.engine import Observation
from pytest_k8sha.chaos.lint import values
from pytest_k8sha.errors import UsageError
from pytest_k8sha.probes.objective import SECONDS
from pytest_k8sha.probes.sample import Outcome
from pytest_k8sha.probes.windows import quantile

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_k8sha.probes.availability import Probe
    from pytest_k8sha.probes.sample import Sample

OVER = 10.0
"""Seconds that are looked back where the words do not say."""

LEAST = 5
"""Requests that must have ended in that time."""

_WORDS = re.compile(
    r"\s*(?P<figure>error_rate|downtime|p[0-9.]+)\s*>\s*(?P<number>[0-9.]+)\s*(?P<unit>%|ms|s|m|min)?"
    r"(?:\s+over\s+(?P<over>[0-9.]+(?:ms|s|m)))?\s*"
)


@dataclass(frozen=True)
class Clause:
    """One figure and its limit: a share of 1 for ``error_rate``, else seconds. ``over`` is in seconds."""

    figure: str
    limit: float
    over: float
    text: str

    def look(self, samples: list[Sample]) -> Observation:
        """Of samples that were done by now, in the order of their sending; missed ones are no data."""
        now = max((s.done for s in samples), default=0.0)
        seen = [s for s in samples if s.outcome is not Outcome.MISSED and s.sent >= now - self.over]
        if len(seen) < LEAST:
            return Observation(None, f"{len(seen)} requests in the last {self.over:g} s say nothing of {self.figure}")
        value = self._value(seen, samples)
        shown = f"{100 * value:.1f} %" if self.figure == "error_rate" else f"{value:.3f} s"
        return Observation(value > self.limit, f"{self.figure} {shown} over {self.over:g} s, limit {self.text}")

    def _value(self, seen: list[Sample], samples: list[Sample]) -> float:
        if self.figure == "error_rate":
            return sum(not s.ok for s in seen) / len(seen)
        if self.figure == "downtime":  # the outage that goes on now, from the last success to the last failure
            last = max((s.sent for s in samples if s.ok), default=min(s.sent for s in samples))
            return max(0.0, max((s.done for s in seen if not s.ok), default=0.0) - last)
        return quantile(sorted(s.done - s.sent if s.ok else math.inf for s in seen), float(self.figure[1:]) / 100)


@dataclass(frozen=True)
class Abort:
    """When a fault is to be taken back early: when any clause holds, and when any can tell nothing."""

    clauses: tuple[Clause, ...]

    @classmethod
    def parse(cls, text: str) -> Abort:
        """From words with commas between. Raises `UsageError` with the part that cannot be meant."""
        return cls(tuple(_clause(part, text) for part in text.split(",")))

    def of(self, probe: Probe) -> Callable[[], Observation]:
        """The predicate of a running probe, for `pytest_k8sha.chaos.experiment.Experiment`."""

        def look() -> Observation:
            samples = probe.samples()
            silent = _silence(probe, samples)
            return silent or any_of([clause.look(samples) for clause in self.clauses])

        return look

    def __str__(self) -> str:
        return ", ".join(clause.text for clause in self.clauses)


@dataclass
class ByHand:
    """A person who aborts, from another thread."""

    pressed: threading.Event = field(default_factory=threading.Event)

    def look(self) -> Observation:
        asked = self.pressed.is_set()
        return Observation(asked, "it was asked for by hand" if asked else "nobody asked for it")


def any_of(looks: list[Observation]) -> Observation:
    """Holds when one does; not known when one is not; else none holds."""
    for wanted in (True, None):
        for one in looks:
            if one.holds is wanted:
                return one
    return Observation(False if looks else None, "; ".join(one.seen for one in looks))


def _silence(probe: Probe, samples: list[Sample]) -> Observation | None:
    """Whether the probe itself has stopped: then old samples would go on to say that all is well."""
    last = max((s.done or s.scheduled for s in samples), default=probe.began)
    allowed = 2 * probe.timeout + 5 / probe.rate + 1.0
    silent = _clock.now() - last
    return Observation(None, f"the probe has said nothing for {silent:.1f} s") if silent > allowed else None


def _clause(part: str, whole: str) -> Clause:
    found = _WORDS.fullmatch(part)
    number = values.number(found["number"]) if found else None
    if found is None or number is None:
        raise UsageError(
            f"the abort condition cannot be read at {part.strip()!r}",
            value=whole,
            remedy="write it as error_rate > 20%, error_rate > 0.2 over 10s, downtime > 5s, or p99 > 500ms",
        )
    figure, unit = found["figure"], found["unit"] or ""
    over = (values.duration(found["over"]) or 0) / values.SECOND if found["over"] else OVER
    if over <= 0:
        raise UsageError("an abort condition looks back over more than nothing", value=whole)
    text = part.strip()
    if figure == "error_rate":
        limit = number / 100 if unit == "%" else number
        if unit not in {"", "%"} or limit >= 1:
            raise UsageError("error_rate is a share below 100 %", value=whole, remedy="error_rate > 20%")
        return Clause(figure, limit, over, text)
    scale = {**SECONDS, "m": 60.0}.get(unit)
    if scale is None:
        raise UsageError(f"{figure} is a time, and needs its unit", value=whole, allowed=["ms", "s", "min"])
    if figure.startswith("p") and not 0 < (values.number(figure[1:]) or 0) < 100:
        raise UsageError("there is no such percentile", value=figure, allowed=["p1 to p99.9"])
    return Clause(figure, number * scale, over, text)
