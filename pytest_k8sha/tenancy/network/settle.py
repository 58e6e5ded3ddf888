"""Waiting until the network does what the policies say, and timing how long it takes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_k8sha import _clock
from pytest_k8sha.tenancy.network.agent import LANES, Agent, dialled
from pytest_k8sha.tenancy.network.look import PATIENCE, question
from pytest_k8sha.tenancy.network.places import TCP
from pytest_k8sha.tenancy.network.table import Expected, Outcome, Promise, Seen, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_k8sha.tenancy.network.agent import Lane
    from pytest_k8sha.tenancy.network.look import Eyes
    from pytest_k8sha.tenancy.network.table import Cell

AGREEING = 2
"""So many equal tables in a row are believed."""

CONVERGENCE = 20.0
"""Seconds that a network is given to do what the policies say."""

LONGEST = 4 * PATIENCE
"""Seconds that any answer is waited for; the agent itself gives up after five."""

RETRANSMISSION = 0.9

TICK = 0.05
"""Seconds between two probes of a stopwatch."""


@dataclass
class Settled:
    """The last table. ``stable``: it was seen `AGREEING` times in a row.

    ``lo`` and ``hi`` bound the seconds until every promise was kept, counted from ``since``; ``hi`` is None when that
    did not happen.
    """

    table: Table
    stable: bool
    rounds: int
    lo: float
    hi: float | None
    spent: float
    per_table: list[float] = field(default_factory=list)
    """Seconds that each look took."""

    @property
    def kept(self) -> bool:
        return not self.table.differences and not self.table.unproved


def settle(
    eyes: Eyes,
    promises: Mapping[Cell, Promise],
    *,
    lifted: Mapping[Cell, Seen] | None = None,
    since: float | None = None,
    timeout: float = CONVERGENCE,
    agreeing: int = AGREEING,
    patience: float = PATIENCE,
    counts: Callable[[Cell], bool] = lambda _: True,
) -> Settled:
    """Looks at the whole table until ``agreeing`` looks in a row showed the same and every promise was kept, or until
    ``timeout`` seconds have passed. ``since`` is when the policies were written, on the monotonic clock. Only cells
    that ``counts`` are waited for.

    A network that keeps its promises later than that is slow; one that never does has differences that stay.
    """
    began = _clock.now() if since is None else since
    deadline = _clock.Deadline(timeout)
    times: list[float] = []
    last: dict[Cell, Outcome] = {}
    equal, lo = 0, 0.0
    hi: float | None = None
    while True:
        start = _clock.now()
        table = Table(promises, eyes.look(list(promises), patience=patience), lifted or {})
        times.append(_clock.now() - start)
        # Whether an answer took the long way round or came with the nonce is no change of the network's mind.
        shown = {cell: Outcome.OPEN if s.outcome.through else s.outcome for cell, s in table.seen.items()}
        equal = equal + 1 if shown == last else 1
        last = shown
        unseen = any(s.outcome is Outcome.UNSEEN for s in table.seen.values())
        kept = not unseen and not any(counts(cell) for cell in table.differences)
        if kept and hi is None:
            hi = _clock.now() - began
        elif not kept:
            lo, hi = start - began, None
            # On a busy machine answers are late: silence is given more time, for as long as the agent waits itself.
            patience = min(1.5 * patience, LONGEST)
        if (kept and equal >= agreeing) or (deadline.passed and (equal >= agreeing or deadline.spent > 2 * timeout)):
            return Settled(table, equal >= agreeing, len(times), max(lo, 0.0), hi, deadline.spent, times)


def patience_after(seen: Mapping[Cell, Seen]) -> float:
    """Seconds to wait for an answer on a network whose open ways were ``seen``: thrice the slowest answer, within
    `PATIENCE` and `LONGEST`."""
    slowest = max((one.latency or 0.0 for one in seen.values()), default=0.0)
    return min(max(PATIENCE, 3 * slowest), LONGEST)


@dataclass(frozen=True)
class Enforced:
    """Seconds from the moment a change was accepted until the network followed: after ``lo``, by ``hi``.

    ``hi`` is None when it had not followed when the watch ended; ``lo`` is then how long it was watched.
    """

    lo: float
    hi: float | None
    probes: int

    def __str__(self) -> str:
        return f"{self.lo:.2f} to {self.hi:.2f} s" if self.hi is not None else f"not within {self.lo:.1f} s"


def stopwatch(
    agent: Agent,
    cell: Cell,
    change: Callable[[], object],
    *,
    towards: Expected,
    patience: float = PATIENCE,
    longest: float = 10.0,
) -> Enforced:
    """Makes a change, and sends a probe every `TICK` seconds, whether or not the last one was answered, until the
    change can be seen. ``cell`` must be one that the change opens or closes.

    What counts is when a probe was *sent*. Over UDP that is one packet; an answer over TCP that took as long as a
    retransmission says nothing of that moment. Raises what ``change`` raises, and `RequestError` without a connection.
    """
    lanes: list[Lane] = []
    found = Enforced(0.0, None, 0)
    change()
    began = _clock.now()
    while _clock.now() - began < longest:
        with agent.line(LANES) as line:
            while line.room:
                due = began + len(lanes) * TICK
                line.listen(max(0.0, due - _clock.now()), until=lambda due=due: _clock.now() >= due)  # type: ignore[misc]
                _clock.pause(due - _clock.now())  # every answer may be there already, and then nothing is waited for
                lanes.append(line.send(question(cell, f"n{secrets.token_hex(6)}")))
                if _turned(lanes, towards, patience, _clock.now()):
                    break
            line.listen(patience)
        found = verdict(lanes, towards, began, resent=cell.protocol == TCP)
        if found.hi is not None:
            return found
    return found


def _turned(lanes: Sequence[Lane], towards: Expected, patience: float, now: float) -> bool:
    """Whether enough is known: half a second of answers, or of silence that patience has turned into certainty."""
    if towards is Expected.OPEN:
        return len(lanes) > 3 and all(answered(lane) for lane in lanes[-10:-3])
    old = [lane for lane in lanes if now - lane.sent > patience]
    return len(old) > 10 and not any(answered(lane) for lane in old[-10:])


def answered(lane: Lane) -> bool:
    if lane.answered is None or lane.status != 200:
        return False
    try:
        return bool(dialled(lane.body)[0])
    except ValueError:
        return False


def retransmitted(lane: Lane) -> bool:
    """Whether the answer may be to a packet that was sent again (RFC 6298: after a second at the earliest)."""
    return answered(lane) and (lane.latency or 0.0) > RETRANSMISSION


def verdict(lanes: Sequence[Lane], towards: Expected, began: float, *, resent: bool = False) -> Enforced:
    """The bounds that the probes give. A probe that the control connection lost says nothing, nor does, where packets
    are ``resent``, an answer that may be to a later packet."""
    telling = [lane for lane in lanes if not (lane.problem or (resent and retransmitted(lane)))]
    told = [(lane.sent - began, answered(lane)) for lane in telling]
    wanted = towards is Expected.OPEN
    wrong = [at for at, open_ in told if open_ is not wanted]
    lo = max(0.0, wrong[-1]) if wrong else 0.0
    after = [at for at, open_ in told if open_ is wanted and (at > lo or not wrong)]
    hi = after[0] if after else None
    if hi is None:
        lo = told[-1][0] if told else 0.0
    return Enforced(lo, None if hi is None else max(hi, lo), len(told))
