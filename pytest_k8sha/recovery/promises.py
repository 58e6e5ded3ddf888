"""The promises of a BIA file, put before the judge: among each other, against the strategy, against what was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.errors import NotEvaluated
from pytest_k8sha.model import Verdict
from pytest_k8sha.probes.interval import Interval
from pytest_k8sha.recovery import bia as impact
from pytest_k8sha.recovery import history
from pytest_k8sha.recovery.objective import verdict, within

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.recovery.bia import Bia


def loaded(path: Path | None) -> Bia:
    """Raises `NotEvaluated` when the plan names no BIA file."""
    if path is None:
        raise NotEvaluated("no BIA file is named by a restore plan", remedy="bia: FILE; `k8sha schema bia`")
    return impact.load(path)


def fitting(judge: Judge, bia: Bia) -> None:
    """No service promises more than what it depends on."""
    for service in bia.services:
        for name in service.dependencies:
            other = bia.named(name)
            for word, mine, theirs in (("RTO", service.rto, other.rto), ("RPO", service.rpo, other.rpo)):
                judge.that(
                    theirs <= mine,
                    f"{service.name} depends on {name}: {word}",
                    seen=f"{mine:g} s are promised, and {name} promises {theirs:g} s",
                    remedy=f"let {name} recover sooner, or promise less for {service.name}",
                )
    if not any(service.dependencies for service in bia.services):
        judge.skip("dependencies", "no service names one")
    judge.table(
        "tiers",
        [
            {
                "service": s.name,
                "criticality": s.criticality,
                "RTO": impact.rto_tier(s.rto),
                "RPO": impact.rpo_tier(s.rpo),
            }
            for s in bia.services
        ],
    )


def feasible(judge: Judge, bia: Bia) -> None:
    """The strategy of each service can keep what it promises."""
    for service in bia.services:
        strategy = bia.strategy(service)
        if strategy is None:
            judge.bad(service.name, seen="no recovery strategy is named", remedy="name one in recovery_strategies")
            continue
        rto, rpo = impact.BEST[strategy]
        seen = f"{strategy} gives an RTO of {rto:g} s and an RPO of {rpo:g} s at best"
        judge.that(
            service.rto >= rto and service.rpo >= rpo,
            service.name,
            seen=f"{seen}; {service.rto:g} s and {service.rpo:g} s are promised",
            remedy="recover by a standby that is further along, or promise less",
        )


def kept(judge: Judge, bia: Bia, records: Sequence[Path]) -> None:
    """What earlier runs measured keeps the strictest promise; MTTR and the number of recoveries for the report."""
    found = history.recoveries(records)
    if not found:
        raise NotEvaluated("no record of an earlier run with a measured recovery is named", remedy="records: [FILE]")
    strictest = min(bia.services, key=lambda service: service.rto)
    for one in found:
        subject = f"{one.check} on {one.cluster}, for {strictest.name}"
        within(judge, subject, one.took, strictest.rto, "rehearse the recovery, or promise less")
    count = len(found)
    lo, hi = (sum(getattr(one.took, end) for one in found) / count for end in ("lo", "hi"))
    judge.measure("MTTR", hi, "s", lo, hi)
    judge.measure("recoveries measured", count, "recoveries")


def available(judge: Judge, bia: Bia, records: Sequence[Path], observed: float) -> None:
    """The availability that follows from what earlier runs measured, each recovery taken as one failure within
    ``observed`` seconds, keeps what the services promise; MTTR, MTBF, nines and the parts of each recovery time for
    the report."""
    promising = [service for service in bia.services if service.availability]
    if not promising:
        raise NotEvaluated("no service of the BIA file promises an availability", remedy="availability: 0.999")
    found = history.recoveries(records)
    if not found or not observed:
        raise NotEvaluated(
            "nothing says how often services failed in which time",
            remedy="records: [FILE] and observed: 90d in the plan",
        )
    said = history.reliability([one.took for one in found], observed)
    for name, value, unit in (
        ("MTTR", said.mttr, "s"),
        ("MTBF", said.mtbf, "s"),
        ("availability", said.availability, ""),
        ("nines", said.nines, "nines"),
    ):
        judge.measure(name, value.lo, unit, value.lo, value.hi)
    for service in promising:
        seen = (
            f"{said.failures} failures in {observed:g} s give {said.availability}, {service.availability:g} is promised"
        )
        subject = f"{service.name}: availability"
        # The complement, so that less is better as with every objective.
        match verdict(Interval(1 - said.availability.hi, 1 - said.availability.lo), 1 - service.availability):
            case Verdict.PASSED:
                judge.ok(subject, seen)
            case Verdict.FAILED:
                judge.bad(subject, seen=seen, remedy="recover sooner, fail less often, or promise less")
            case _:
                judge.unsure(subject, f"{seen}: the measurement is too coarse to tell")
    judge.table(
        "recovery time actual, in seconds",
        [
            {"check": one.check, "cluster": one.cluster}
            | {part: str(getattr(one.rta, part)) if one.rta else "not recorded" for part in history.PARTS}
            for one in found
        ],
    )
