"""What each trial demands when nobody says otherwise, and where that comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_k8sha.errors import UsageError
from pytest_k8sha.probes.objective import SECONDS, Objective

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Demand:
    """What users may feel of a trial, and how long it may take. ``source`` says where the figures come from."""

    felt: str
    """An objective of the traffic (`pytest_k8sha.probes.objective`); empty where the trial has none."""
    within: float
    """Seconds that the cluster has: to roll out, to drain, to replace, to take out of service."""
    source: str

    @property
    def objective(self) -> Objective:
        return Objective.parse(self.felt)


NOTHING = "error_rate <= 0%"

DEFAULTS: Mapping[str, Demand] = {
    "update": Demand(NOTHING, 600.0, "no error: preStop and grace exist for it; 600 s: spec.progressDeadlineSeconds"),
    "drain": Demand(NOTHING, 300.0, "no error, as for an update; 300 s: half an hour for a cluster of six nodes"),
    "delete": Demand(NOTHING, 60.0, "no error, as for an update; 60 s: a start-up probe of 30 times 2 s"),
    "kill": Demand("longest <= 5s", 60.0, "5 s: three readiness probes of one second, and slack; 60 s as for delete"),
    "unready": Demand("", 30.0, "30 s: three readiness probes of 10 s, the defaults of the API"),
    "kubelet": Demand(
        NOTHING, 75.0, "no error: the containers go on; 75 s: 50 s grace (40 s before 1.32) and half again"
    ),
    "names": Demand("error_rate <= 1%", 60.0, "1 %: a resolver asks twice (resolv.conf attempts: 2) before it fails"),
}
"""By the name of the trial."""


def read(told: Iterable[str]) -> dict[str, Demand]:
    """The demands, with what the user said: ``TRIAL: OBJECTIVE`` or ``TRIAL within 30s``.

    Raises `UsageError` for a trial that there is none of, and for an objective without a unit.
    """
    found = dict(DEFAULTS)
    for text in told:
        name, colon, felt = text.partition(":")
        if colon:
            before = _known(name.strip(), text)
            if felt.strip():
                Objective.parse(felt.strip())
            found[name.strip()] = Demand(felt.strip(), before.within, "given by the user")
            continue
        name, word, limit = text.partition(" within ")
        before = _known(name.strip(), text)
        if not word:
            raise UsageError(
                "what a trial demands is written TRIAL: OBJECTIVE, or TRIAL within TIME",
                value=text,
                remedy='such as "update: error_rate <= 0.1%" or "drain within 300s"',
            )
        found[name.strip()] = Demand(before.felt, _seconds(limit.strip(), text), "given by the user")
    return found


def _known(name: str, text: str) -> Demand:
    if name not in DEFAULTS:
        raise UsageError(f"there is no such trial in {text!r}", value=name, allowed=DEFAULTS)
    return DEFAULTS[name]


def _seconds(limit: str, text: str) -> float:
    for unit in sorted(SECONDS, key=len, reverse=True):
        number = limit.removesuffix(unit)
        if number != limit and number.replace(".", "", 1).isdigit() and float(number) > 0:
            return float(number) * SECONDS[unit]
    raise UsageError(f"a time above 0 with its unit is expected in {text!r}", value=limit, allowed=SECONDS)
