"""What measures the effect of a fault, at the target and not at whoever injects it.

A meter is asked twice: `Meter.before` takes what is normal, `Meter.look` says whether it is otherwise now. Where
nothing can be measured the observation is neither yes nor no, and the experiment inconclusive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pytest_k8sha import _clock
from pytest_k8sha.chaos.engine import Observation
from pytest_k8sha.errors import Inconclusive, RequestError
from pytest_k8sha.kube.execute import execute

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_k8sha.chaos.tries import Command
    from pytest_k8sha.fleet.cluster import Cluster

Object = dict[str, Any]


def felt(seen: str) -> Observation:
    """The effect was measured."""
    return Observation(holds=True, seen=seen)


def unfelt(seen: str) -> Observation:
    """What was measured is as before."""
    return Observation(holds=False, seen=seen)


def unknown(seen: str) -> Observation:
    """Nothing could be measured."""
    return Observation(holds=None, seen=seen)


class Meter(Protocol):
    """Measures one effect at all targets of an experiment."""

    def before(self) -> None:
        """Takes what is normal. Raises `Inconclusive` when that cannot be had: then no effect could be seen later."""

    def look(self) -> Observation:
        """Whether the effect is felt at every target now."""


class Identities:
    """Pods that are killed: the very pods, by their uids, are gone or going. ``count`` of them are enough where it is
    not known before which ones; without it all."""

    def __init__(self, cluster: Cluster, pods: Sequence[Object], count: int | None = None) -> None:
        self._cluster, self._pods = cluster, list(pods)
        self._count = len(self._pods) if count is None else count

    def before(self) -> None:
        """The uids are in the pods that were listed."""

    def look(self) -> Observation:
        left = []
        for pod in self._pods:
            meta = pod["metadata"]
            found = self._cluster.resource("v1", "Pod").find(meta["name"], meta["namespace"])
            if found and found["metadata"]["uid"] == meta["uid"] and not found["metadata"].get("deletionTimestamp"):
                left.append(f"{meta['namespace']}/{meta['name']}")
        gone = len(self._pods) - len(left)
        if not self._count:
            return unknown("no pod was to be looked at")
        if gone < self._count:
            return unfelt(f"{', '.join(left)} run as before")
        return felt(f"{gone} pods are gone, by their uids")


class Containers:
    """Containers that are killed: they run by another id, or stopped since. ``names`` empty means the first of each."""

    def __init__(self, cluster: Cluster, pods: Sequence[Object], names: Sequence[str] = ()) -> None:
        self._cluster, self._pods, self._names = cluster, list(pods), tuple(names)
        self._ids: dict[str, str] = {}

    def before(self) -> None:
        self._ids = {key: str(status.get("containerID", "")) for key, status in self._statuses()}
        if not all(self._ids.values()):
            raise Inconclusive(f"{', '.join(k for k, v in self._ids.items() if not v)} runs no container yet")

    def look(self) -> Observation:
        same = []
        for key, status in self._statuses():
            died = status.get("state", {}).get("terminated") or status.get("state", {}).get("waiting")
            if not died and status.get("containerID") == self._ids.get(key):
                same.append(key)
        if same:
            return unfelt(f"{', '.join(same)} runs as before")
        if not self._ids:
            return unknown("no container was to be looked at")
        return felt(f"{len(self._ids)} containers run by another id, or stopped")

    def _statuses(self) -> list[tuple[str, Object]]:
        found = []
        for pod in self._pods:
            meta = pod["metadata"]
            now = self._cluster.resource("v1", "Pod").find(meta["name"], meta["namespace"]) or {}
            wanted = self._names or (pod["spec"]["containers"][0]["name"],)
            statuses = {s["name"]: s for s in now.get("status", {}).get("containerStatuses") or []}
            found += [(f"{meta['namespace']}/{meta['name']}/{name}", statuses.get(name, {})) for name in wanted]
        return found


class Unready:
    """Pods that fail: they are not ready any more."""

    def __init__(self, cluster: Cluster, pods: Sequence[Object]) -> None:
        self._cluster, self._pods = cluster, list(pods)

    def before(self) -> None:
        ready = [name for name, is_ready in self._readiness() if not is_ready]
        if ready:
            raise Inconclusive(f"{', '.join(ready)} was not ready before the fault")

    def look(self) -> Observation:
        still = [name for name, is_ready in self._readiness() if is_ready]
        if still:
            return unfelt(f"{', '.join(still)} is ready as before")
        if not self._pods:
            return unknown("no pod was to be looked at")
        return felt(f"{len(self._pods)} pods are not ready")

    def _readiness(self) -> list[tuple[str, bool]]:
        found = []
        for pod in self._pods:
            meta = pod["metadata"]
            now = self._cluster.resource("v1", "Pod").find(meta["name"], meta["namespace"]) or {}
            conditions = now.get("status", {}).get("conditions") or []
            ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
            found.append((f"{meta['namespace']}/{meta['name']}", ready))
        return found


@dataclass
class Clocks:
    """The clock of a container, by ``date +%s`` in it: it differs from this machine's by ``offset`` seconds more than
    before, give or take half of it."""

    cluster: Cluster
    commands: Sequence[Command]
    offset: float
    _normal: dict[str, float] = field(default_factory=dict)

    def before(self) -> None:
        for command in self.commands:
            self._normal[str(command)] = self._difference(command)

    def look(self) -> Observation:
        seen = []
        for command in self.commands:
            try:
                moved = self._difference(command) - self._normal[str(command)]
            except Inconclusive as error:
                return unknown(str(error))
            if abs(moved - self.offset) > abs(self.offset) / 2:
                return unfelt(f"the clock of {command.pod} moved by {moved:.0f} s, not {self.offset:.0f} s")
            seen.append(f"the clock of {command.pod} moved by {moved:.0f} s")
        return felt("; ".join(seen)) if seen else unknown("no clock was looked at")

    def _difference(self, command: Command) -> float:
        try:
            done = execute(
                self.cluster.client, command.pod, command.namespace, command.argv, container=command.container
            )
        except RequestError as error:
            raise Inconclusive(f"the clock of {command.pod} cannot be read: {error}") from error
        if done.code or not done.stdout.strip().lstrip("-").isdigit():
            raise Inconclusive(f"the clock of {command.pod} cannot be read: {done.stderr or done.stdout}")
        return int(done.stdout) - _clock.epoch()


class Usage:
    """CPU (cores) or memory (bytes) of pods, from the statistics of their kubelets: it rose by at least ``by``."""

    def __init__(self, cluster: Cluster, pods: Sequence[Object], what: Literal["cpu", "memory"], by: float) -> None:
        self._cluster, self._what, self._by = cluster, what, by
        self._uids = {p["metadata"]["uid"]: f"{p['metadata']['namespace']}/{p['metadata']['name']}" for p in pods}
        self._nodes = sorted({p["spec"].get("nodeName", "") for p in pods})
        self._normal: dict[str, float] = {}

    def before(self) -> None:
        self._normal = self._read()
        missing = [name for uid, name in self._uids.items() if uid not in self._normal]
        if missing:
            raise Inconclusive(f"the kubelet has no statistics of {', '.join(missing)}")

    def look(self) -> Observation:
        try:
            now = self._read()
        except RequestError as error:
            return unknown(f"the kubelet's statistics cannot be read: {error}")
        unit, scale = ("cores", 1.0) if self._what == "cpu" else ("MiB", 2.0**20)
        seen = []
        for uid, name in self._uids.items():
            if uid not in now:
                return unknown(f"the kubelet has no statistics of {name} now")
            rose = now[uid] - self._normal[uid]
            said = f"{self._what} of {name}: {now[uid] / scale:.2f} {unit}, and {self._normal[uid] / scale:.2f} before"
            if rose < self._by:
                return unfelt(said)
            seen.append(said)
        return felt("; ".join(seen)) if seen else unknown("no pod was looked at")

    def _read(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for node in self._nodes:
            stats = self._cluster.client.request("GET", f"/api/v1/nodes/{node}/proxy/stats/summary", timeout=10.0)
            for pod in stats.get("pods") or []:
                uid = pod["podRef"]["uid"]
                if self._what == "cpu" and "usageNanoCores" in (pod.get("cpu") or {}):
                    found[uid] = pod["cpu"]["usageNanoCores"] / 1e9
                elif self._what == "memory" and "workingSetBytes" in (pod.get("memory") or {}):
                    found[uid] = float(pod["memory"]["workingSetBytes"])
        return found


class Together:
    """Several effects that must all be felt."""

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters = list(meters)

    def before(self) -> None:
        for meter in self._meters:
            meter.before()

    def look(self) -> Observation:
        looks = [meter.look() for meter in self._meters]
        if not looks:
            return unknown("nothing measures the effect")
        return Observation.all_of(looks)


class Gated:
    """An effect that counts only while ``gate`` says nothing: it says why the effect cannot be that of its fault."""

    def __init__(self, meter: Meter, gate: Callable[[], str]) -> None:
        self._meter, self._gate = meter, gate

    def before(self) -> None:
        self._meter.before()

    def look(self) -> Observation:
        why = self._gate()
        return unfelt(why) if why else self._meter.look()


class InTurn:
    """Several effects that need not be felt at the same time: each is, once."""

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters = list(meters)
        self._felt: dict[int, Observation] = {}

    def before(self) -> None:
        self._felt.clear()
        for meter in self._meters:
            meter.before()

    def look(self) -> Observation:
        for number, meter in enumerate(self._meters):
            if number in self._felt:
                continue
            seen = meter.look()
            if seen.holds is not True:
                return Observation(seen.holds, f"{seen.seen} (felt so far: {len(self._felt)} of {len(self._meters)})")
            self._felt[number] = seen
        return Observation.all_of(list(self._felt.values())) if self._felt else unknown("nothing measures the effect")
