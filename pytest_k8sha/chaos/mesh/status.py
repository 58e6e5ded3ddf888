"""What an object of Chaos Mesh says of itself, read for what it proves.

``AllInjected`` is the controller's opinion, and ``AllRecovered`` is also what an experiment looks like that never began
(``controllers/common/records/controller.go``): the counts of each record tell the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

INJECTED, NOT_INJECTED = "Injected", "Not Injected"
RUN, STOP = "Run", "Stop"


@dataclass(frozen=True)
class Record:
    """One target of an experiment. ``id`` is ``NAMESPACE/NAME``, with ``/CONTAINER`` for kinds that take containers."""

    id: str
    key: str
    phase: str
    injected: int
    recovered: int
    failures: tuple[str, ...]
    """What the controller says went wrong here, the newest last."""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Record:
        failures = [
            str(event.get("message", ""))
            for event in data.get("events") or []
            if event.get("type") == "Failed" and event.get("message")
        ]
        return cls(
            id=str(data.get("id", "")),
            key=str(data.get("selectorKey", "")),
            phase=str(data.get("phase", "")),
            injected=int(data.get("injectedCount") or 0),
            recovered=int(data.get("recoveredCount") or 0),
            failures=tuple(failures),
        )

    @property
    def pod(self) -> str:
        """``NAMESPACE/NAME`` of the pod."""
        return "/".join(self.id.split("/")[:2])


@dataclass(frozen=True)
class Status:
    """The status of an experiment. ``conditions`` maps each condition to whether it is true."""

    desired: str
    conditions: Mapping[str, bool]
    records: tuple[Record, ...]
    reasons: tuple[str, ...] = ()
    """The reasons that the conditions give."""

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> Status:
        status = obj.get("status") or {}
        conditions = status.get("conditions") or []
        experiment = status.get("experiment") or {}
        return cls(
            desired=str(experiment.get("desiredPhase", "")),
            conditions={str(c.get("type")): c.get("status") == "True" for c in conditions},
            records=tuple(Record.of(one) for one in experiment.get("containerRecords") or []),
            reasons=tuple(str(c["reason"]) for c in conditions if c.get("reason")),
        )

    @property
    def injected(self) -> bool:
        """Whether every record was injected at least once, and is so now."""
        return bool(self.records) and all(r.injected >= 1 and r.phase == INJECTED for r in self.records)

    @property
    def ever_injected(self) -> bool:
        """Whether any record was injected at any time."""
        return any(r.injected >= 1 for r in self.records)

    @property
    def recovered(self) -> bool:
        """Whether every record was injected and then recovered; an experiment that never began has not recovered."""
        return (
            self.desired == STOP
            and bool(self.records)
            and all(r.injected >= 1 and r.recovered >= 1 and r.phase == NOT_INJECTED for r in self.records)
        )

    @property
    def paused(self) -> bool:
        return self.conditions.get("Paused", False)

    @property
    def pods(self) -> tuple[str, ...]:
        """``NAMESPACE/NAME`` of each pod that was selected, in order."""
        return tuple(dict.fromkeys(record.pod for record in self.records))

    def told(self, events: tuple[str, ...] = ()) -> str:
        """The state in one sentence, with the controller's own words where it failed. ``events`` are those of the
        object, for what is said nowhere else: that nothing was selected."""
        if not self.records:
            why = events[-1] if events else "the controller has not written a record"
            return f"no target was selected: {why}"
        done = sum(r.injected >= 1 for r in self.records)
        failures = [f"{r.id}: {r.failures[-1]}" for r in self.records if r.failures and r.phase != INJECTED]
        said = f"; the controller says: {failures[0]}" if failures else ""
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        phases = ", ".join(sorted({r.phase for r in self.records}))
        return f"injected into {done} of {len(self.records)} targets ({phases}){said}{more}"
