"""The only module that reads the clock. Durations come from `now`, dates on paper from `wall`."""

from __future__ import annotations

import time  # noqa: TID251 - this is the one place
from dataclasses import dataclass, field
from datetime import UTC, datetime


def now() -> float:
    """Seconds on the monotonic clock; only differences mean anything."""
    return time.monotonic()


def epoch() -> float:
    """Seconds since 1970 on the wall clock; for labels and comparison with what others wrote, never for durations."""
    return time.time()


def wall() -> datetime:
    """The date and time, in UTC."""
    return datetime.now(UTC)


def pause(seconds: float) -> None:
    """Lets ``seconds`` pass. For the steps between two looks at a condition, inside a wait that has a deadline."""
    time.sleep(max(0.0, seconds))


@dataclass(frozen=True)
class Deadline:
    """A point on the monotonic clock, ``seconds`` from its making."""

    seconds: float
    started: float = field(default_factory=now)

    @property
    def left(self) -> float:
        """Seconds that remain, never below 0."""
        return max(0.0, self.started + self.seconds - now())

    @property
    def spent(self) -> float:
        """Seconds since the making."""
        return now() - self.started

    @property
    def passed(self) -> bool:
        return self.left <= 0
