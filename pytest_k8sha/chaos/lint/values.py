"""The little languages inside Chaos Mesh fields: durations, numbers as texts, sizes, rates, names and cron."""

from __future__ import annotations

import re
from fractions import Fraction

UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
"""Units of a Go duration, in nanoseconds. There is no unit for a day."""

SECOND = 10**9
DAY = 24 * 3600 * SECOND

_LIMIT = 2**63
_PART = re.compile(r"(\d*)(?:\.(\d*))?([^.\d]+)", re.ASCII)
_ONE_UNIT = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:ns|us|ms|s|m|h)\Z")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_SIZE = re.compile(r"[0-9]+(?:\.[0-9]+)* ?[kKmMgGtTpP]?[iI]?[bB]?\Z")
_RATE = re.compile(r"\s*[0-9]+\s*[tgmk]?(?:bps|bit)\s*\Z", re.IGNORECASE)
_DNS_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*\Z")
_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?\Z")


def duration(text: str) -> int | None:
    """Nanoseconds of a Go duration such as ``1m30s``, ``-2.5h`` or ``0``; None where Go would refuse it.

    Go's ``time.ParseDuration``: an optional sign, then one or more decimal numbers, each with a unit; only zero needs
    no unit. What does not fit into 64 bits is refused.
    """
    body = text[1:] if text[:1] in {"+", "-"} else text
    if body == "0":
        return 0
    if not body:
        return None
    total, at = 0, 0
    while at < len(body):
        part = _PART.match(body, at)
        if part is None or part[3] not in UNITS or not (part[1] or part[2]):
            return None
        unit = UNITS[part[3]]
        whole = int(part[1] or "0")
        if whole > _LIMIT // unit:
            return None
        total += whole * unit
        if part[2]:
            # Go keeps the digits of a fraction that fit into 63 bits; the rest is less than a nanosecond.
            total += int(Fraction(int(part[2][:18]), 10 ** len(part[2][:18])) * unit)
        if total > _LIMIT:
            return None
        at = part.end()
    if text[0] == "-":
        return -total
    return total if total < _LIMIT else None


def one_unit(text: str) -> bool:
    """Whether a duration has one number and one unit, as latency and jitter of NetworkChaos must."""
    return _ONE_UNIT.match(text) is not None


def in_one_unit(nanoseconds: int) -> str:
    """The shortest text with one unit for a duration, such as ``90s`` for 1m30s."""
    for unit in ("h", "m", "s", "ms", "us"):
        if nanoseconds % UNITS[unit] == 0:
            return f"{nanoseconds // UNITS[unit]}{unit}"
    return f"{nanoseconds}ns"


def number(text: str) -> float | None:
    """The number that a text such as ``"25"`` or ``"0.5"`` holds; None where it holds none."""
    return float(text) if _FLOAT.match(text) else None


def percent_of_memory(text: str) -> int | None:
    """The number of ``"50%"``; None where the text is no percentage."""
    return int(text[:-1]) if re.fullmatch(r"[+-]?[0-9]{1,9}%", text, re.ASCII) else None


def is_size(text: str) -> bool:
    """Whether a text is a size such as ``256MB`` or ``1.5GiB``."""
    return _SIZE.match(text) is not None


def is_rate(text: str) -> bool:
    """Whether a text is a rate such as ``1mbps`` or ``512 kbit``: a whole number and a unit."""
    return _RATE.match(text) is not None


def rate_number(text: str) -> int:
    """The whole number of a rate that `is_rate` accepts."""
    found = re.search(r"[0-9]+", text)
    return int(found[0]) if found else 0


def is_subdomain(text: str) -> bool:
    """Whether a text may name an object (DNS-1123 subdomain, at most 253 characters)."""
    return len(text) <= 253 and _SUBDOMAIN.match(text) is not None


def is_label_value(text: str) -> bool:
    """Whether a text may be the value of a label."""
    return len(text) <= 63 and _LABEL.match(text) is not None


def is_label_key(text: str) -> bool:
    """Whether a text may be the key of a label, such as ``app.kubernetes.io/name``."""
    prefix, slash, name = text.rpartition("/")
    return bool(name) and is_label_value(name) and (not slash or is_subdomain(prefix))
