"""What the control plane is held to, as times: their defaults, where these come from, and what a user says instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_k8sha.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|h|d)", re.ASCII)


@dataclass(frozen=True)
class Goal:
    """One time. ``source`` says why the default is what it is."""

    default: str
    meaning: str
    source: str


GOALS: Mapping[str, Goal] = {
    "certificate": Goal(
        "30d",
        "for how long a served certificate must still be valid",
        "kubeadm's live a year and are renewed by hand or by an upgrade; a month is time to notice and to act",
    ),
    "takeover": Goal(
        "25s",
        "how long nobody may lead after a scheduler or controller manager died",
        "a Lease of 15 s, then a try every 2 s with up to 2.4 s of jitter (client-go, JitterFactor 1.2), and 5 s for a "
        "busy API",
    ),
    "election": Goal(
        "5s",
        "how long etcd may be without a leader",
        "an election time-out of 1 to 2 s (--election-timeout=1000, randomised), a second round after a split vote",
    ),
    "api": Goal(
        "10s",
        "how long the API may not answer at its stable address when one API server is lost",
        "load balancers ask every 2 to 10 s and want 2 or 3 failures (HAProxy: inter 2s fall 3)",
    ),
    "writes": Goal(
        "30s",
        "how long no write may be acknowledged when one member of etcd is lost",
        "the election, the load balancer's notice, and API servers that take a silent etcd for gone after 30 s at most "
        "(the keep-alive of their client)",
    ),
    "quorum": Goal(
        "30s",
        "how long after the quorum's return the first write may come",
        "the start of a member, an election, and the API servers' next try",
    ),
}


def read(given: Iterable[str]) -> dict[str, float]:
    """Every goal in seconds: the defaults, and what ``NAME=TIME`` says instead (``election=3s``, ``certificate=60d``).

    Raises `UsageError` for an unknown name and for a time without a unit.
    """
    found = {name: seconds(goal.default) for name, goal in GOALS.items()}
    for text in given:
        name, sign, time = text.partition("=")
        if not sign or name.strip() not in GOALS:
            raise UsageError("a goal is given as NAME=TIME", value=name.strip(), allowed=GOALS)
        found[name.strip()] = seconds(time)
    return found


def seconds(text: str) -> float:
    """``500ms``, ``5s``, ``2min``, ``1h`` or ``30d`` in seconds. Raises `UsageError`."""
    match = _TIME.fullmatch(text.strip())
    if not match:
        bare = re.fullmatch(r"[0-9.]+", text.strip())
        raise UsageError(
            "a time has no unit" if bare else "this is no time", value=text, allowed=[f"5{unit}" for unit in UNITS]
        )
    return float(match[1]) * UNITS[match[2]]
