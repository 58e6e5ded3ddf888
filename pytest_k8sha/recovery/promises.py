"""The promises of a BIA file, put before the judge: among each other, against the strategy, against what was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.errors import NotEvaluated
from pytest_k8sha.recovery import bia as impact
from pytest_k8sha.recovery import history
from pytest_k8sha.recovery.objective import within

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
