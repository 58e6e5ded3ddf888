"""An experiment: a fault with targets, a blast radius and a way back, in phases that are timed.

    preflight → steady before → inject → prove → hold → recover → steady after

What was not measured was not injected: then the experiment is inconclusive. The way back is taken however it ends.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos import preflight
from pytest_k8sha.chaos.engine import Observation
from pytest_k8sha.chaos.lock import ClusterLock
from pytest_k8sha.errors import EnvironmentFailure, Inconclusive, K8shaError, NotEvaluated, WaitTimeout
from pytest_k8sha.model import Impact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_k8sha.chaos.engine import ChaosEngine, Plan, Target
    from pytest_k8sha.chaos.order import Order
    from pytest_k8sha.fleet.cluster import Cluster

LOOK_EVERY = 0.5
"""Seconds between two looks at the abort predicate while a fault is held."""

SETTLE = 60.0
"""Seconds that the steady state may take to show before a fault; another test may just have ended."""

_SPARE = 120.0
"""Seconds of the lock on top of what the phases may take."""


class Aborted(Inconclusive):
    """The abort predicate came true, or said nothing; the fault was taken back."""


class NotRecovered(EnvironmentFailure):
    """The fault could not be taken back, or the steady state did not return. Carries every reason."""


@dataclass
class Phase:
    """One phase, in seconds since the experiment began. ``ok`` is None where it said nothing, or has not ended."""

    name: str
    began: float
    ended: float | None = None
    ok: bool | None = None
    said: str = ""

    def as_dict(self) -> dict[str, Any]:
        ended = None if self.ended is None else round(self.ended, 3)
        return {"phase": self.name, "began": round(self.began, 3), "ended": ended, "ok": self.ok, "said": self.said}


@dataclass
class Report:
    """What came of an experiment. ``origin`` is on the monotonic clock; the phases count from it."""

    name: str
    title: str
    targets: tuple[Target, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    phases: list[Phase] = field(default_factory=list)
    origin: float = field(default_factory=_clock.now)

    def phase(self, name: str) -> Phase:
        """Raises KeyError for a phase that was not reached."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(name)

    @property
    def injected(self) -> tuple[float, float]:
        """When the injection began and ended, on the monotonic clock."""
        phase = self.phase("inject")
        return self.origin + phase.began, self.origin + (phase.began if phase.ended is None else phase.ended)

    @property
    def effect(self) -> str:
        """The proof that the fault was felt."""
        return self.phase("prove").said

    def as_dict(self) -> dict[str, Any]:
        return {
            "experiment": self.name,
            "title": self.title,
            "targets": [str(target) for target in self.targets],
            "notes": dict(self.notes),
            "phases": [phase.as_dict() for phase in self.phases],
        }


class Experiment:
    """One fault on one cluster.

    ``steady`` is asked on top of the engine's own steady state. ``abort`` is asked from the injection on: the fault
    is taken back when it holds, and also when it can tell nothing. ``tell`` hears of each phase as it begins and ends.
    ``folder`` is that of the lock files; the user's state folder where it is not given. ``within`` is an experiment
    that goes on around this one and holds the lock for both.
    """

    def __init__(
        self,
        cluster: Cluster,
        order: Order,
        engine: ChaosEngine,
        *,
        steady: Callable[[], Observation] | None = None,
        abort: Callable[[], Observation] | None = None,
        tell: Callable[[Phase], None] | None = None,
        folder: Path | None = None,
        within: Experiment | None = None,
    ) -> None:
        self.cluster, self.order, self.engine = cluster, order, engine
        self._steady, self._abort, self._tell, self._folder = steady, abort, tell, folder
        self._within, self._over = within, False
        self.report = Report(order.name, order.title)

    def preflight(self) -> Plan:
        """The order with its targets resolved, judged and pinned. Changes nothing.

        Raises `pytest_k8sha.chaos.preflight.Refused` with every reason, and `NotEvaluated` below the ceiling *disrupt*.
        """
        if self.cluster.ceiling < Impact.DISRUPT:
            raise NotEvaluated(
                f"cluster {self.cluster.name} may be used up to {self.cluster.ceiling}; faults need disrupt"
            )
        found = self.engine.resolve(self.order)
        targets = preflight.choose(found.targets, self.order.spec.choice, self.order.spec.seed)
        risks = {name: list(told) for name, told in self.engine.risks(self.order, targets).items()}
        risks["foreign"] = self._foreign(targets)
        return preflight.plan(self.order, found, risks, targets)

    def run(self) -> Report:
        """The whole experiment, held for as long as the order says."""
        with self.running() as live:
            live.hold(self.order.spec.hold)
        return self.report

    @contextmanager
    def running(self) -> Iterator[Experiment]:
        """The fault for the time of the block, proved before it and taken back after it.

        Raises `Refused` and `Locked` when nothing was changed, `Inconclusive` when the cluster was not steady before,
        when no effect was measured or when it did not last, `NotRecovered` with all that went wrong on the way back.
        """
        self.report = Report(self.order.name, self.order.title)
        self._over = False
        with self._lock():
            with self._phase("preflight") as phase:
                plan = self.preflight()
                self.report.targets, self.report.notes = plan.targets, dict(plan.notes)
                phase.said = f"{plan.names}; {plan.notes['blast radius']}"
            with self._phase("steady before") as phase:
                phase.said = self._until(self._is_steady, SETTLE, "the steady state before the fault").seen
            failed: BaseException | None = None
            try:
                with self._phase("inject") as phase:
                    self.engine.inject(plan)
                    phase.said = f"{self.order.title}: {plan.names}"
                with self._phase("prove") as phase:
                    within = self.order.spec.prove_within
                    phase.said = self._until(lambda: self._felt(plan), within, "the effect of the fault").seen
                with self._phase("hold"):
                    yield self
                    self._still(plan)
            except BaseException as error:
                failed = error
                raise
            finally:
                self._take_back(plan, failed)

    def hold(self, seconds: float) -> None:
        """Lets the fault be for ``seconds``. Raises `Aborted` when the abort predicate holds or has no data."""
        deadline = _clock.Deadline(seconds)
        while True:
            self._watch()
            if deadline.passed:
                return
            _clock.pause(min(LOOK_EVERY, deadline.left))

    def over(self) -> None:
        """The block itself took the fault back, or a part of it: it is not looked for at the end."""
        self._over = True

    def _watch(self) -> None:
        """Raises `Aborted` when the abort predicate holds or has no data."""
        look = self._abort() if self._abort is not None else None
        if look is None or look.holds is False:
            return
        why = "no data" if look.holds is None else "the abort predicate holds"
        after = _clock.now() - self.report.injected[0]
        raise Aborted(f"{self.order.name} was aborted {after:.1f} s after its injection began: {why}: {look.seen}")

    def _felt(self, plan: Plan) -> Observation:
        self._watch()
        return self.engine.observe(plan)

    # --- the steps ---------------------------------------------------------------------------------------------------

    def _longest(self) -> float:
        spec = self.order.spec
        return SETTLE + spec.prove_within + spec.hold + spec.recover_within + _SPARE

    def _lock(self) -> AbstractContextManager[object]:
        if self._within is not None:
            return nullcontext()
        return ClusterLock(self.cluster, self.order.name, self._longest(), folder=self._folder)

    def _foreign(self, targets: tuple[Target, ...]) -> list[str]:
        if self.cluster.state.made:
            return []
        others = [t for t in targets if not (t.namespace and self.cluster.guard.owns(t.namespace))]
        return [f"{target} is not this project's own" for target in others]

    def _is_steady(self) -> Observation:
        first = self.engine.steady(self.order)
        return first if self._steady is None else Observation.all_of([first, self._steady()])

    def _until(self, look: Callable[[], Observation], seconds: float, what: str) -> Observation:
        try:
            return eventually(look, what=what, timeout=seconds, accept=_holds, describe=lambda seen: seen.seen)
        except WaitTimeout as error:
            raise Inconclusive(
                f"{self.order.name}: {what} was not measured within {seconds:g} s: {error.last}"
            ) from error

    def _still(self, plan: Plan) -> None:
        """A fault that ended by itself was not there for all of the time that was measured."""
        if self._over or not self.engine.lasts(plan):
            return
        seen = self.engine.observe(plan)
        if seen.holds is not True:
            raise Inconclusive(f"{self.order.name}: the fault did not last until it was taken back: {seen.seen}")

    def _take_back(self, plan: Plan, failed: BaseException | None) -> None:
        wrong: list[str] = []
        for name, step in (("recover", lambda: self.engine.recover(plan)), ("steady after", self._steady_again)):
            try:
                with self._phase(name) as phase:
                    phase.said = step() or "done"
            except K8shaError as error:
                wrong.append(f"{name}: {error}")
        if not wrong:
            return
        told = f"{self.order.name} was not recovered on cluster {self.cluster.name}: {'; '.join(wrong)}"
        if failed is not None:
            failed.add_note(told)  # the first error is the one to be judged; neither is lost
            return
        raise NotRecovered(told, remedy="`k8sha recover` takes back what the journal holds")

    def _steady_again(self) -> str:
        return self._until(self._is_steady, self.order.spec.recover_within, "the steady state after the fault").seen

    @contextmanager
    def _phase(self, name: str) -> Iterator[Phase]:
        phase = Phase(name, _clock.now() - self.report.origin)
        self.report.phases.append(phase)
        self._say(phase)
        try:
            yield phase
            phase.ok = True
        except BaseException as error:
            phase.ok, phase.said = False, str(error).partition("\n")[0] or type(error).__name__
            raise
        finally:
            phase.ended = _clock.now() - self.report.origin
            self._say(phase)

    def _say(self, phase: Phase) -> None:
        if self._tell is not None:
            self._tell(phase)


def _holds(seen: Observation) -> bool:
    return seen.holds is True
