"""Cron expressions as Schedule reads them: five fields, or six with seconds first, or ``@every 10m`` and its kin."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_k8sha.chaos.lint.values import SECOND, duration

DESCRIPTORS = {
    "@yearly": 365 * 86400,
    "@annually": 365 * 86400,
    "@monthly": 28 * 86400,
    "@weekly": 7 * 86400,
    "@daily": 86400,
    "@midnight": 86400,
    "@hourly": 3600,
}
"""Words for a schedule, with the least seconds between two of its times."""

_MONTHS = {
    name: n
    for n, name in enumerate(
        [
            "jan",
            "feb",
            "mar",
            "apr",
            "may",
            "jun",
            "jul",
            "aug",
            "sep",
            "oct",
            "nov",
            "dec",
        ],
        1,
    )
}
_DAYS = {name: n for n, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("second", 0, 59, {}),
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, _DAYS),
)
_LONGEST = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_ZONE = re.compile(r"(?:CRON_)?TZ=\S+\s+")


class CronError(ValueError):
    """An expression that Chaos Mesh refuses; the text says why."""


@dataclass(frozen=True, slots=True)
class Cron:
    """What is known of a schedule. ``interval``: at least this many nanoseconds lie between two of its times."""

    interval: int
    never: bool = False


def parse(text: str) -> Cron:
    """What a cron expression means. Raises `CronError`."""
    body = _ZONE.sub("", text.strip(), count=1)
    if body.startswith("@"):
        return _descriptor(body)
    parts = body.split()
    if len(parts) not in {5, 6}:
        raise CronError(f"it has {len(parts)} fields; five are needed, or six with seconds first")
    parts = ["0", *parts] if len(parts) == 5 else parts
    sets = [_field(part, *spec) for part, spec in zip(parts, _FIELDS, strict=True)]
    # The days of the month and of the week are alternatives as soon as both are limited.
    weekly = parts[5] not in {"*", "?"}
    never = not weekly and all(min(sets[3]) > _LONGEST.get(month, 31) for month in sets[4])
    return Cron(_least_gap(sets[0], sets[1], sets[2]), never)


def _descriptor(body: str) -> Cron:
    if body in DESCRIPTORS:
        return Cron(DESCRIPTORS[body] * SECOND)
    if body.startswith("@every "):
        every = duration(body.removeprefix("@every ").strip())
        if every is None:
            raise CronError(f"{body.removeprefix('@every ').strip()!r} is no duration")
        return Cron(max(every // SECOND, 1) * SECOND, never=every <= 0)
    raise CronError(f"{body!r} is none of @every DURATION, {', '.join(DESCRIPTORS)}")


def _field(text: str, name: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        body, slash, step_text = part.partition("/")
        first, dash, last = body.partition("-")
        if body in {"*", "?"}:
            start, end = low, high
        else:
            start = _number(first, name, names)
            end = _number(last, name, names) if dash else high if slash else start
        step = _number(step_text, name, {}) if slash else 1
        if start < low or end > high:
            raise CronError(f"the {name} {body!r} is not in {low} to {high}")
        if start > end:
            raise CronError(f"the {name} {body!r} ends before it begins")
        if step < 1:
            raise CronError(f"the {name} {part!r} has a step of zero")
        found.update(range(start, end + 1, step))
    return found


def _number(text: str, name: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise CronError(f"the {name} {text!r} is no number")
    return int(text)


def _least_gap(seconds: set[int], minutes: set[int], hours: set[int]) -> int:
    """The least time between two moments of a day, in nanoseconds; a bound from below, as days may be left out."""
    if len(seconds) > 1:
        return _gap(seconds, 60) * SECOND
    if len(minutes) > 1:
        return _gap(minutes, 60) * 60 * SECOND
    return _gap(hours, 24) * 3600 * SECOND


def _gap(values: set[int], cycle: int) -> int:
    ordered = sorted(values)
    return min((b - a for a, b in zip(ordered, [*ordered[1:], ordered[0] + cycle], strict=True)), default=cycle)
