"""What was lost: the ledger against what a store holds after its recovery."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from typing import TYPE_CHECKING

from pytest_k8sha.errors import Inconclusive
from pytest_k8sha.probes.interval import Interval
from pytest_k8sha.recovery.ledger import Attempt, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_k8sha.recovery.ledger import Ledger
    from pytest_k8sha.recovery.writer import Record

CONFIDENCE = "95 %"


@dataclass(frozen=True)
class Reading:
    """An earlier look at the store, begun at ``began`` seconds on the monotonic clock."""

    began: float
    records: tuple[Record, ...]


@dataclass
class Loss:
    """The numbers of the writes by what became of them. All but ``ok`` and ``recovered`` are reasons to fail.

    ``lost``: acknowledged and not there. ``recovered``: unknown to the writer, and there. ``unexpected``: there and
    never attempted. ``contradicted``: there although the store said that it had not taken it. ``duplicate``: there more
    than once. ``corrupt``: there with another content; ``strangers`` counts records that carry no number at all.
    ``stale``: acknowledged before an earlier look began, missing in it, and there now. ``holes``: lost although a write
    that was begun later, and before the fault, survived; no rollback to a point in time explains that.
    """

    acknowledged: int
    ok: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    recovered: list[int] = field(default_factory=list)
    unexpected: list[int] = field(default_factory=list)
    contradicted: list[int] = field(default_factory=list)
    duplicate: list[int] = field(default_factory=list)
    corrupt: list[int] = field(default_factory=list)
    strangers: int = 0
    stale: list[int] = field(default_factory=list)
    holes: list[int] = field(default_factory=list)
    attempts: dict[int, Attempt] = field(default_factory=dict, repr=False)

    @property
    def clean(self) -> bool:
        """Whether everything that was acknowledged is there as it was written, once, and nothing else."""
        return not (self.lost or self.altered)

    @property
    def altered(self) -> bool:
        """Whether the store holds what it should not: no loss of recent writes explains that."""
        wrong = self.unexpected, self.contradicted, self.duplicate, self.corrupt, self.stale, self.holes
        return any(wrong) or self.strangers > 0

    @property
    def bound(self) -> float | None:
        """With nothing lost of n writes, the share of lost writes that 95 % of such results stay below: the rule of
        three, 3/n (Hanley and Lippman-Hand, JAMA 1983). None when something was lost: then the share is what was
        seen."""
        return None if self.lost or self.corrupt else min(1.0, 3 / self.acknowledged)

    def rpo(self, inject: Interval) -> Interval:
        """How long before the disaster the data end that came back, in seconds.

        ``inject`` is when the fault began, on the monotonic clock, its two ends being before and after the injection.
        The data end somewhere between the sending of the last write of the prefix that survived as a whole and the
        acknowledgement of the first write that did not: a write takes effect between the two. So the interval holds
        both the store's own point and the usual figure, the fault's time less the last surviving acknowledgement.
        Writes that were acknowledged later than the fault and are lost move the end of the window with them. ``hi`` is
        infinite when no write survived: then nothing says how far back the loss goes.
        """
        order = sorted(
            (a for a in self.attempts.values() if a.outcome is Outcome.OK and a.settled is not None),
            key=lambda a: (a.settled or 0.0, a.seq),
        )
        missing = {*self.lost, *self.corrupt}
        last: float | None = None
        first: float | None = None
        latest = -inf
        for attempt in order:
            assert attempt.settled is not None  # noqa: S101 - those without were left out
            if attempt.seq in missing:
                first = attempt.settled if first is None else first
                latest = max(latest, attempt.settled)
            elif first is None:
                last = attempt.invoked if last is None else max(last, attempt.invoked)
        start, end = max(inject.lo, latest), max(inject.hi, latest)
        lo = 0.0 if first is None else max(0.0, start - first)
        hi = inf if last is None else max(0.0, end - last)
        return Interval(min(lo, hi), hi)

    def __str__(self) -> str:
        names = "lost", "recovered", "unexpected", "contradicted", "duplicate", "corrupt", "stale", "holes"
        parts = [f"{len(getattr(self, name))} {name}" for name in names if getattr(self, name)]
        if self.strangers:
            parts.append(f"{self.strangers} that nobody wrote")
        if self.bound is not None:
            parts.insert(0, f"0 lost, so at most {self.bound:.2g} of all at {CONFIDENCE}")
        return f"of {self.acknowledged} acknowledged: " + ", ".join(parts)


def compare(
    ledger: Ledger, read: Iterable[Record], earlier: Sequence[Reading] = (), inject: Interval | None = None
) -> Loss:
    """Sorts every attempt of the ledger and every record that is there now; see `Loss` for the words.

    ``earlier`` are looks that were taken before, for what a store showed late. ``inject`` is when the fault began: what
    was written after it says nothing of holes; without it all writes count as made before.

    Raises `Inconclusive` when nothing was acknowledged: no data is never a pass.
    """
    attempts = dict(ledger.attempts)
    acknowledged = {seq for seq, attempt in attempts.items() if attempt.outcome is Outcome.OK}
    if not acknowledged:
        raise Inconclusive(
            f"no write of the ledger {ledger.path} was acknowledged ({len(attempts)} attempted), so none can be lost"
        )
    there: Counter[int] = Counter()
    wrong: set[int] = set()
    strangers = 0
    for record in read:
        if record.seq is None:
            strangers += 1
            continue
        there[record.seq] += 1
        attempt = attempts.get(record.seq)
        if attempt and sha256(record.payload).hexdigest() != attempt.payload_hash:
            wrong.add(record.seq)
    lost = acknowledged - set(there)
    survivors = acknowledged - lost - wrong
    # A hole lies before a write that was begun after the lost one had been acknowledged, and that survived: with
    # several writers at once the numbers alone do not tell which of two came first.
    end = inf if inject is None else inject.lo
    latest = max((attempts[seq].invoked for seq in survivors if attempts[seq].invoked <= end), default=-inf)
    return Loss(
        acknowledged=len(acknowledged),
        ok=sorted(survivors),
        lost=sorted(lost),
        recovered=sorted(s for s in there if s in attempts and attempts[s].outcome is Outcome.INFO and s not in wrong),
        unexpected=sorted(set(there) - set(attempts)),
        contradicted=sorted(s for s in there if s in attempts and attempts[s].outcome is Outcome.FAIL),
        duplicate=sorted(seq for seq, times in there.items() if times > 1),
        corrupt=sorted(wrong),
        strangers=strangers,
        stale=sorted(_stale(attempts, survivors, earlier)),
        holes=sorted(seq for seq in lost if (attempts[seq].settled or inf) <= latest),
        attempts=attempts,
    )


def _stale(attempts: dict[int, Attempt], survivors: set[int], earlier: Sequence[Reading]) -> set[int]:
    """Those that a look should have shown and did not, though they are there now."""
    late: set[int] = set()
    for reading in earlier:
        shown = {record.seq for record in reading.records}
        due = {seq for seq in survivors if (attempts[seq].settled or inf) < reading.began}
        late |= due - shown
    return late
