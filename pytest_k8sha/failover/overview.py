"""All clusters of a fleet looked at side by side, and what is told by comparing them."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.errors import K8shaError, UsageError
from pytest_k8sha.failover.sight import Sight, look
from pytest_k8sha.kube import kubeconfig
from pytest_k8sha.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_k8sha.fleet.cluster import Cluster

TIMEOUT = 10.0
SLOW = 1.0
"""Seconds of latency above which a warning is given."""

SOON = 14 * 24 * 3600.0
"""Seconds before their end at which credentials are told of."""

IMBALANCE = 0.3
"""Difference between the fullest and the emptiest cluster's share of a resource that is told of."""

GRACE = 1.0
"""Seconds past the time-out that a look may take to come back; after that it is given up."""


@dataclass(frozen=True)
class Remark:
    """Something to look at. ``grave`` remarks are failures, the others warnings."""

    cluster: str
    what: str
    grave: bool = False


@dataclass
class Overview:
    """What was seen of the fleet, in the order of its clusters."""

    sights: list[Sight]
    took: float = 0.0
    remarks: list[Remark] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """Failed with a grave remark, else passed; a fleet of nothing is inconclusive."""
        if not self.sights:
            return Verdict.INCONCLUSIVE
        return Verdict.FAILED if any(remark.grave for remark in self.remarks) else Verdict.PASSED

    def as_dict(self) -> dict[str, Any]:
        return {
            "took": round(self.took, 3),
            "clusters": [sight.as_dict() for sight in self.sights],
            "remarks": [vars(remark) for remark in self.remarks],
        }


def survey(clusters: Mapping[str, Cluster], timeout: float = TIMEOUT) -> Overview:
    """Looks at all clusters at the same time: those that hang cost one ``timeout`` (seconds) together.

    Each look has a thread of its own that nobody waits for any longer than that, since a command that gets credentials
    may hang where no time-out of ours reaches.
    """
    if timeout <= 0:
        raise UsageError("a time-out above 0 is needed", value=timeout)
    kubeconfig.warm()  # not part of what the clusters cost
    clock = _clock.Deadline(timeout + GRACE)
    answers: queue.SimpleQueue[Sight] = queue.SimpleQueue()

    def one(name: str, cluster: Cluster) -> None:
        began = _clock.Deadline(0)
        try:
            answers.put(look(cluster, timeout))
        except Exception as error:  # noqa: BLE001 - it must not be lost in a thread; it is told as what was seen
            said = str(error) if isinstance(error, K8shaError) else f"{type(error).__name__}: {error}"
            answers.put(Sight(name, failure=said, took=began.spent))

    for name, cluster in clusters.items():
        threading.Thread(target=one, args=(name, cluster), daemon=True, name=f"look-{name}").start()
    seen: dict[str, Sight] = {}
    while len(seen) < len(clusters) and not clock.passed:
        try:
            sight = answers.get(timeout=max(clock.left, 0.01))
        except queue.Empty:
            break
        seen[sight.name] = sight
    for name, cluster in clusters.items():
        if name not in seen:
            said = f"no answer within {timeout:g} s; its credentials may wait for a login"
            seen[name] = Sight(name, cluster.state.context, failure=said, took=clock.spent)
    found = Overview([seen[name] for name in clusters], clock.spent)
    found.remarks = remarks(found.sights, _clock.epoch())
    return found


def remarks(sights: Sequence[Sight], now: float) -> list[Remark]:
    """What is wrong with each cluster, and what differs between them. ``now`` is in seconds since 1970."""
    found: list[Remark] = []
    for sight in sights:
        found += _of_one(sight, now)
    found += [Remark(name, f"is the same cluster as {other}", grave=True) for name, other in twins(sights)]
    found += _skew(sights) + _imbalance(sights) + _rights(sights)
    return found


def _of_one(sight: Sight, now: float) -> list[Remark]:
    def tell(what: str, *, grave: bool = False) -> None:
        found.append(Remark(sight.name, what, grave))

    found: list[Remark] = []
    if sight.failure:
        return [Remark(sight.name, f"does not answer: {sight.failure}", grave=True)]
    if sight.delay is not None and sight.delay > SLOW:
        tell(f"answers in {1000 * sight.delay:.0f} ms, and {1000 * SLOW:.0f} ms are the limit")
    for name in sight.failing:
        tell(f"is not healthy: {name}", grave=True)
    if sight.not_ready:
        count = f"{len(sight.not_ready)} of {len(sight.nodes)}"
        tell(f"has {count} nodes not ready: {', '.join(sight.not_ready)}", grave=True)
    if sight.ends is not None and sight.ends <= now:
        tell(f"is asked with a {sight.credentials} that has ended", grave=True)
    elif sight.ends is not None and sight.ends - now < SOON:
        tell(f"is asked with a {sight.credentials} that ends in {(sight.ends - now) / 3600:.1f} h")
    for name in sight.addressless:
        tell(f"has a load balancer without an address: {name}")
    for kubelet, number in sight.misfits.items():
        tell(f"has {number} kubelets of {kubelet} with an API server of {sight.version}", grave=True)
    for name, why in sight.unread.items():
        tell(f"did not let its {name} be read: {why}")
    return found


def twins(sights: Sequence[Sight]) -> list[tuple[str, str]]:
    """Pairs of names that lead to one and the same cluster, told by the uid of its kube-system namespace."""
    first: dict[str, str] = {}
    found = []
    for sight in sights:
        if not sight.uid:
            continue
        if sight.uid in first:
            found.append((sight.name, first[sight.uid]))
        first.setdefault(sight.uid, sight.name)
    return found


def _skew(sights: Sequence[Sight]) -> list[Remark]:
    """API servers of one fleet more than one minor version apart: what is written for one may not be for the other."""
    known = [sight for sight in sights if sight.speaks]
    if not known:
        return []
    newest = max(known, key=lambda sight: sight.speaks)
    return [
        Remark(sight.name, f"runs {sight.spoken}, more than one minor version behind {newest.name} ({newest.spoken})")
        for sight in known
        if newest.speaks - sight.speaks > 1
    ]


def _imbalance(sights: Sequence[Sight]) -> list[Remark]:
    found = []
    for what in ("cpu", "memory"):
        known = [sight for sight in sights if what in sight.share]
        if len(known) < 2:
            continue
        low, high = min(known, key=lambda s: s.share[what]), max(known, key=lambda s: s.share[what])
        if high.share[what] - low.share[what] > IMBALANCE:
            said = f"has {high.share[what]:.0%} of its {what} requested, and {low.name} {low.share[what]:.0%}"
            found.append(Remark(high.name, said))
    return found


def _rights(sights: Sequence[Sight]) -> list[Remark]:
    """Rights that one context has and another lacks."""
    known = [sight for sight in sights if sight.rights and "rights" not in sight.unread]
    found = []
    for sight in known:
        lacking = [
            right
            for right, allowed in sight.rights.items()
            if not allowed and any(other.rights.get(right) for other in known)
        ]
        if lacking:
            found.append(Remark(sight.name, f"does not allow what other clusters do: {', '.join(lacking)}"))
    return found
