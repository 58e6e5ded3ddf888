"""What stands behind the fixture `chaos` and the marker of its name.

Not called ``chaos``: a module of that name would take the fixture's place in the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha.chaos import files
from pytest_k8sha.chaos.abort import Abort
from pytest_k8sha.chaos.trial import Trial
from pytest_k8sha.errors import UsageError
from pytest_k8sha.probes.objective import Objective

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_k8sha.chaos.experiment import Experiment, Report
    from pytest_k8sha.chaos.order import Order
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.probes.availability import Probe

KEYS = ("objective", "abort")


@dataclass(frozen=True)
class Wanted:
    """What the marker of a test says."""

    orders: tuple[Order, ...]
    objective: str | None
    abort: Abort | None


def read(item: Any) -> Wanted | None:
    """From the marker ``chaos`` of a test; None without one. Touches no cluster.

    Raises `UsageError` for a marker that cannot be meant and `FileProblems` with every mistake of its files.
    """
    marker = item.get_closest_marker("chaos")
    if marker is None:
        return None
    unknown = sorted(set(marker.kwargs) - set(KEYS))
    if unknown:
        raise UsageError("the marker chaos has no such word", value=", ".join(unknown), allowed=KEYS)
    if not marker.args or not all(isinstance(name, str) for name in marker.args):
        raise UsageError("the marker chaos takes the files of the experiments", value=marker.args)
    objective, abort = marker.kwargs.get("objective"), marker.kwargs.get("abort")
    if objective is not None:
        Objective.parse(objective)
    return Wanted(
        tuple(files.load([_place(item, name) for name in marker.args])),
        objective,
        Abort.parse(abort) if abort is not None else None,
    )


def _place(item: Any, name: str) -> Path:
    """Beside the test file, else in the root folder of the project."""
    beside: Path = item.path.parent / name
    return beside if beside.exists() else item.config.rootpath / name


class Chaos:
    """The experiments of a test: ``chaos.run(probe)``, or ``with chaos.running() as live:`` for the first of them."""

    def __init__(self, cluster: Cluster, wanted: Wanted, judge: Judge, *, compare: bool) -> None:
        self.cluster, self.wanted, self._judge, self._compare = cluster, wanted, judge, compare
        self._trial = Trial(cluster, wanted.orders, wanted.abort)

    @property
    def objective(self) -> str | None:
        """The objective of the marker; the fixture `availability` has it by default."""
        return self.wanted.objective

    @property
    def reports(self) -> list[Report]:
        return self._trial.reports

    def run(self, probe: Probe | None = None) -> list[Report]:
        """Every experiment of the files, each held for as long as it says, while ``probe`` asks the service; then waits
        for the service to recover, and judges the probe by its objective.

        With ``--k8sha-chaos-control`` the same requests are made without a fault first, and both are compared. Raises
        what `pytest_k8sha.chaos.experiment.Experiment.running` raises.
        """
        if probe is None and (self.wanted.abort is not None or self.wanted.objective is not None):
            raise UsageError(
                "an objective and an abort condition are about what a probe sees", remedy="chaos.run(probe)"
            )
        figures = self._trial.judged(probe, self._judge, compare=self._compare)
        if probe is not None and figures:
            rows = [{"figure": name, **both} for name, both in figures.items()]
            self._judge.table(f"{probe.target.name}: without and with the fault", rows)
        return self.reports

    def running(self, probe: Probe | None = None) -> AbstractContextManager[Experiment]:
        """The only experiment of the files for the time of a block."""
        if len(self.wanted.orders) != 1:
            raise UsageError("several experiments are not one", value=len(self.wanted.orders), remedy="chaos.run()")
        return self._trial.running(self.wanted.orders[0], probe, self._judge)


def chaos_of(item: Any, cluster: Cluster, judge: Judge, *, compare: bool) -> Chaos:
    """The fixture's value. A test that never runs an experiment has no subject, and is inconclusive by that."""
    wanted = read(item)
    if wanted is None:
        raise UsageError(
            "the fixture chaos needs the marker that names its files",
            remedy='@pytest.mark.chaos("partition.yaml", objective="downtime <= 5s")',
        )
    return Chaos(cluster, wanted, judge, compare=compare)
