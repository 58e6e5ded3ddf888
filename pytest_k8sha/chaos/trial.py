"""Experiments while a probe asks a service: what each did to it, and the same traffic without a fault beside it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.chaos.abort import any_of
from pytest_k8sha.chaos.engines import engine_for
from pytest_k8sha.chaos.experiment import Experiment
from pytest_k8sha.errors import WaitTimeout
from pytest_k8sha.model import Verdict
from pytest_k8sha.probes import timeline
from pytest_k8sha.probes.availability import availability
from pytest_k8sha.probes.objective import Objective
from pytest_k8sha.probes.outage import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytest_k8sha.chaos.abort import Abort
    from pytest_k8sha.chaos.engine import Observation
    from pytest_k8sha.chaos.experiment import Phase, Report
    from pytest_k8sha.chaos.order import Order
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.probes.availability import Probe
    from pytest_k8sha.probes.outage import Outage

CONTROL_LEAST, CONTROL_MOST = 5.0, 120.0
"""Seconds of the control run: as long as the faults are held, within these."""


@dataclass
class Trial:
    """Experiments on one cluster, one after the other.

    ``abort`` is asked of the probe; ``hand`` is a further predicate. ``tell`` hears of the phases of each order.
    """

    cluster: Cluster
    orders: Sequence[Order]
    abort: Abort | None = None
    hand: Callable[[], Observation] | None = None
    tell: Callable[[Order, Phase], None] | None = None
    folder: Path | None = None
    reports: list[Report] = field(default_factory=list)

    @property
    def control_seconds(self) -> float:
        held = sum(order.spec.hold for order in self.orders)
        return min(max(held, CONTROL_LEAST), CONTROL_MOST)

    def run(self, probe: Probe | None = None, judge: Judge | None = None) -> list[Report]:
        """All of them, each held for as long as it says. Raises what `Experiment.running` raises, for the first that
        does not go as it should; the rest is not begun then."""
        for order in self.orders:
            with self.running(order, probe, judge) as live:
                live.hold(order.spec.hold)
        return self.reports

    def judged(
        self,
        probe: Probe | None,
        judge: Judge,
        *,
        compare: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> dict[str, dict[str, Any]]:
        """`run`; then waits for the service to recover, and judges the probe by its objective. With ``compare`` the
        same requests are made without a fault first, and the figures of `compared` are returned. ``say`` hears what
        goes on besides the phases. Raises as `run`."""
        quiet = None
        if compare and probe is not None:
            say(f"the same requests without a fault, for {self.control_seconds:g} s")
            quiet = control(probe, self.control_seconds, judge)
        self.run(probe, judge)
        if probe is None:
            return {}
        say("waiting for the service to be up for good")
        try:
            probe.await_recovery(max(order.spec.recover_within for order in self.orders))
        except WaitTimeout as error:
            judge.unsure(f"recovery of {probe.target.name}", str(error))
        if probe.objective is not None:
            probe.judge(judge)
        return compared(quiet, probe.outage()) if quiet is not None else {}

    @contextmanager
    def running(self, order: Order, probe: Probe | None = None, judge: Judge | None = None) -> Iterator[Experiment]:
        """One of them for the time of the block, marked on the probe's clock as far as it came."""
        live = Experiment(
            self.cluster,
            order,
            engine_for(self.cluster, order),
            abort=self._predicate(probe),
            tell=partial(self.tell, order) if self.tell else None,
            folder=self.folder,
        )
        try:
            with live.running():
                yield live
        finally:
            self.reports.append(live.report)
            if probe is not None:
                mark(probe, live.report)
            if judge is not None:
                judge.table(f"experiment {order.name}", [phase.as_dict() for phase in live.report.phases])
        if judge is not None:
            judge.ok(
                f"experiment {order.name}",
                f"{live.report.effect}; taken back: {live.report.phase('steady after').said}",
            )

    def _predicate(self, probe: Probe | None) -> Callable[[], Observation] | None:
        asked = [self.hand] if self.hand else []
        if self.abort is not None and probe is not None:
            asked.append(self.abort.of(probe))
        return (lambda: any_of([look() for look in asked])) if asked else None


def mark(probe: Probe, report: Report) -> None:
    """Notes an experiment as a fault of the probe. It was made between the beginning of its injection and the proof
    that it was felt, and taken back when its recovery ended. One that was not begun is none."""
    phases = {phase.name: phase for phase in report.phases}
    if "inject" not in phases:
        return

    def ended(*names: str) -> float | None:
        found = [phases[name].ended for name in names if name in phases]
        return next((report.origin + at for at in found if at is not None), None)

    start = report.origin + phases["inject"].began
    probe.faults.append(Fault(f"{report.name}: {report.title}", start, ended("prove", "inject"), ended("recover")))


def control(probe: Probe, seconds: float, judge: Judge | None = None) -> Outage:
    """The same requests for ``seconds`` without a fault. A service that does not keep its objective by itself cannot
    be judged under a fault: that makes ``judge`` unsure."""
    with availability(probe.target, rate=probe.rate, timeout=probe.timeout) as quiet:
        _clock.pause(seconds)
    outage = quiet.outage()
    subject = f"{probe.target.name} without a fault"
    # There is nothing to recover from.
    clauses = tuple(c for c in probe.objective.clauses if c.figure != "recovery") if probe.objective else ()
    judgements = outage.judgements(Objective(clauses)) if clauses else []
    if judge is not None:
        for one in judgements:
            if one.verdict is Verdict.FAILED:
                judge.unsure(subject, f"it does not keep its objective by itself: {one}")
        if outage.broken or outage.never_up:
            judge.unsure(subject, outage.broken or "it never answered")
        judge.timelines.append(timeline.summary(quiet, outage, subject, judgements))
    return outage


def compared(quiet: Outage, hurt: Outage) -> dict[str, dict[str, Any]]:
    """The figures side by side: ``{figure: {"control": …, "fault": …}}``, seconds, and shares in per cent."""
    figures: dict[str, Callable[[Outage], Any]] = {
        "error_rate %": lambda outage: outage.error_rate / 0.01,
        "downtime s": lambda outage: outage.total,
        "longest s": lambda outage: outage.longest,
        "p50 s": lambda outage: outage.latency(0.5),
        "p99 s": lambda outage: outage.latency(0.99),
    }
    return {name: {"control": str(of(quiet)), "fault": str(of(hurt))} for name, of in figures.items()}
