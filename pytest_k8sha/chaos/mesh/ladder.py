"""The way back from an experiment of Chaos Mesh that does not go by itself.

Its objects carry the finalizer ``chaos-mesh/records``, which the controller takes away when all is undone. Deleted
before it was injected, an experiment is injected first; where that always fails, the object would stay for ever. So:

    delete → touch it, so that it is looked at again → ask for the forced clean-up → take the finalizer away →
    take what it left out of Pod{Network,IO,Http}Chaos, and see that the daemons have done so →
    delete the pod where they have not, since its network and its processes go with it

Each rung is climbed only when the one below has not helped within its time; each is told with what it took. What a
Schedule or a Workflow has started is climbed for by itself: it outlives what started it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos.mesh.parts import API_VERSION, POD_KINDS
from pytest_k8sha.chaos.mesh.status import Status
from pytest_k8sha.errors import ApiError, EnvironmentFailure, NotEvaluated, RequestError, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.kube.resources import Resource

CHILDREN = {"NetworkChaos": "PodNetworkChaos", "IOChaos": "PodIOChaos", "HTTPChaos": "PodHttpChaos"}
"""The kinds of objects, one a pod, that hold what the daemons set up; each entry names the experiment that it comes
from. Other experiments have none."""

STARTERS = ("Schedule", "Workflow")
STARTED = 120.0
"""Seconds for what those have started to be gone."""

FORCED = {"chaos-mesh.chaos-mesh.org/cleanFinalizer": "forced"}

PATIENCE = {"delete": 15.0, "touch": 5.0, "force": 5.0, "finalizer": 10.0}
"""Seconds that each rung is given."""

HOPELESS = {"delete": 4.0, "touch": 2.0, "force": 2.0, "finalizer": 10.0}
"""The same where the controller has said that the experiment cannot be injected: it then never goes by itself."""

SWEPT = 10.0
"""Seconds for a daemon to do what was taken out of its object."""

RECREATED = 90.0
"""Seconds for a pod that is deleted to be gone: its grace period is among them."""

WEBHOOK_PATIENCE = 90.0
"""Seconds for a controller that is down to come back: while it is, its own webhooks refuse every change."""


class NotUndone(EnvironmentFailure):
    """The ladder was climbed to its top and something is left."""


@dataclass(frozen=True)
class Rung:
    """One step: what was done, in seconds since the ladder began, and what came of it."""

    name: str
    began: float
    ended: float
    said: str

    def __str__(self) -> str:
        return f"{self.name} ({self.ended - self.began:.1f} s): {self.said}"


@dataclass
class Ladder:
    """Undoes one experiment. ``client`` must be allowed to delete and patch its kind; ``wait`` scales every patience,
    for tests."""

    client: Client
    kind: str
    namespace: str
    name: str
    uid: str = ""
    tell: Callable[[Rung], None] | None = None
    wait: float = 1.0
    rungs: list[Rung] = field(default_factory=list)
    _clock: _clock.Deadline = field(default_factory=lambda: _clock.Deadline(0))

    def climb(self) -> list[Rung]:
        """Goes up until the experiment is gone and nothing of it is left. Idempotent.

        Raises `NotUndone` with every rung, and `TransportError` when the API server does not answer.
        """
        steps = (
            ("delete", self._delete),
            ("touch", self._touch),
            ("force", self._force),
            ("finalizer", self._finalizer),
        )
        if not any(self._step(name, act) for name, act in steps):
            told = "; ".join(map(str, self.rungs))
            raise NotUndone(
                f"{self.kind} {self.namespace}/{self.name} is still there: {told}",
                remedy="look at the controller of Chaos Mesh; its webhooks refuse changes while it is down",
            )
        if self.kind in STARTERS:
            self._started()
        self._sweep()
        return self.rungs

    def _started(self) -> None:
        """Climbs for everything that this Schedule or Workflow has started, until there is nothing more of it."""
        eventually(
            self._none_started,
            what=f"nothing of {self.kind} {self.namespace}/{self.name} is left",
            timeout=STARTED * self.wait,
            interval=0.2,
        )

    def _none_started(self) -> bool:
        found = started(self.client, self.kind, self.namespace, self.name)
        for kind, meta in found:
            one = Ladder(self.client, kind, self.namespace, meta["name"], meta["uid"], self.tell, self.wait)
            try:
                one.climb()
            finally:
                self.rungs += one.rungs
        return not found

    @property
    def _resource(self) -> Resource:
        return self.client.resource(API_VERSION, self.kind)

    def _find(self) -> dict[str, Any] | None:
        found = self._resource.find(self.name, self.namespace)
        if found is not None and self.uid and found["metadata"].get("uid") != self.uid:
            return None  # another one of the same name
        return found

    def _step(self, name: str, act: Callable[[], str]) -> bool:
        """Whether the experiment is gone after this rung."""
        began = self._clock.spent
        said = act()
        hopeless = HOPELESS[name] * self.wait
        gone = self._gone(hopeless)
        if not gone and not self._hopeless():
            gone = self._gone(PATIENCE[name] * self.wait - hopeless)
        if not gone:
            found = self._find()
            said += f"; {Status.of(found).told() if found else 'gone'}"
            gone = found is None
        self._told(Rung(name, began, self._clock.spent, said if not gone else f"{said}; gone"))
        return gone

    def _hopeless(self) -> bool:
        """Whether the controller tried to inject it, failed, and was never successful: so it would go on for ever."""
        found = self._find()
        if found is None:
            return False
        status = Status.of(found)
        return not status.ever_injected and any(record.failures for record in status.records)

    def _told(self, rung: Rung) -> None:
        self.rungs.append(rung)
        if self.tell is not None:
            self.tell(rung)

    def _gone(self, seconds: float) -> bool:
        with suppress(WaitTimeout):
            return bool(
                eventually(
                    lambda: self._find() is None,
                    what=f"{self.kind} {self.namespace}/{self.name} is gone",
                    timeout=seconds,
                    interval=0.2,
                )
            )
        return False

    def _delete(self) -> str:
        found = self._find()
        if found is None:
            return "it was not there"
        if found["metadata"].get("deletionTimestamp"):
            return "its deletion was asked for already"
        with suppress(_Gone):
            self._change(lambda: self._resource.delete(self.name, self.namespace, uid=self.uid))
        return "deleted"

    def _touch(self) -> str:
        stamp = {"metadata": {"annotations": {"k8sha.dev/touched": str(_clock.epoch())}}}
        return self._patched(stamp, "touched, so that the controller looks again")

    def _force(self) -> str:
        return self._patched({"metadata": {"annotations": FORCED}}, "asked for the forced clean-up")

    def _finalizer(self) -> str:
        return self._patched({"metadata": {"finalizers": None}}, "its finalizers taken away")

    def _patched(self, patch: dict[str, Any], said: str) -> str:
        try:
            self._change(lambda: self._resource.patch(self.name, patch, self.namespace))
        except _Gone:
            return "it was gone by then"
        return said

    def _change(self, act: Callable[[], object]) -> None:
        """Sends a change. While the webhooks of Chaos Mesh are down the server refuses it, so it is tried until they
        are back. Raises `_Gone` when there is nothing to change, `ApiError` for any other refusal."""

        def once() -> bool:
            try:
                act()
            except ApiError as error:
                if error.status == 404:
                    raise _Gone from error
                if error.status == 409 and "uid" in error.message:
                    raise _Gone from error  # another object of this name
                if error.status >= 500 and "webhook" in error.message:
                    return False
                raise
            return True

        try:
            eventually(
                once,
                what="the webhooks of Chaos Mesh let the change pass",
                timeout=WEBHOOK_PATIENCE * self.wait,
                interval=1.0,
                describe=lambda _: "they do not answer",
            )
        except WaitTimeout as error:
            raise NotUndone(
                f"{self.kind} {self.namespace}/{self.name} cannot be changed: {error}",
                remedy="bring the controller of Chaos Mesh back, then `k8sha recover`",
            ) from error

    def _sweep(self) -> None:
        """Takes the entries of this experiment out of the objects that the daemons work from.

        Raises `NotUndone` when those cannot be looked at, or when a daemon does not follow: then nobody knows what is
        left on the nodes."""
        began, source, swept, unseen = self._clock.spent, f"{self.namespace}/{self.name}", [], []
        for kind in [CHILDREN[self.kind]] if self.kind in CHILDREN else []:
            try:
                resource = self.client.resource(API_VERSION, kind)
                items = resource.list()
            except NotEvaluated:
                continue  # an installation without this kind has nothing of it
            except RequestError as error:
                unseen.append(f"{kind} cannot be listed: {error}")
                self._told(Rung("sweep", began, self._clock.spent, unseen[-1]))
                continue
            for item in items:
                spec, left = item.get("spec") or {}, {}
                for field_name, entries in spec.items():
                    if isinstance(entries, list):
                        kept = [e for e in entries if not (isinstance(e, dict) and e.get("source") == source)]
                        if len(kept) != len(entries):
                            left[field_name] = kept
                if left:
                    meta = item["metadata"]
                    with suppress(_Gone):
                        self._change(partial(resource.patch, meta["name"], {"spec": left}, meta["namespace"]))
                        if "observedGeneration" in (item.get("status") or {}):
                            self._followed(resource, kind, meta)
                    swept.append(f"{kind} {meta['namespace']}/{meta['name']}")
        if swept:
            self._told(Rung("sweep", began, self._clock.spent, f"taken out of {', '.join(swept)}"))
        if unseen:
            raise NotUndone(
                f"{self.kind} {source} is gone, and nobody knows what it left: {'; '.join(unseen)}",
                remedy="allow this identity to list and patch them, then `k8sha recover`",
            )

    def _followed(self, resource: Resource, kind: str, meta: dict[str, Any]) -> None:
        """Waits until the daemon has done what its object says now. A pod on its node's own network had nothing."""

        def look() -> str:
            item = resource.find(meta["name"], meta["namespace"])
            if item is None:
                raise _Gone
            status = item.get("status") or {}
            failed = str(status.get("failedMessage") or "")
            if int(status.get("observedGeneration") or 0) < int(item["metadata"].get("generation") or 0):
                return "it has not looked yet"
            return "" if "hostNetwork" in failed else failed

        try:
            eventually(
                look,
                what=f"the daemon has done what {kind} {meta['namespace']}/{meta['name']} says",
                timeout=SWEPT * self.wait,
                accept=lambda said: not said,
                describe=lambda said: said,
            )
        except WaitTimeout as error:
            if not self._recreate(meta, error.last):
                raise NotUndone(
                    f"{self.kind} {self.namespace}/{self.name} is gone, and a pod may still feel it: {error}",
                    remedy=f"delete the pod {meta['namespace']}/{meta['name']}, which nothing would make anew",
                ) from error

    def _recreate(self, meta: dict[str, Any], why: str) -> bool:
        """Deletes a pod that something makes anew; whether it is gone."""
        began, pods = self._clock.spent, self.client.resource("v1", "Pod")
        pod = pods.find(meta["name"], meta["namespace"])
        if pod is None:
            return True
        uid = pod["metadata"]["uid"]
        if not any(owner.get("controller") for owner in pod["metadata"].get("ownerReferences") or []):
            return False
        pods.delete(meta["name"], meta["namespace"], uid=uid)

        def gone() -> bool:
            now = pods.find(meta["name"], meta["namespace"])
            return now is None or now["metadata"]["uid"] != uid

        try:
            eventually(gone, what=f"the pod {meta['name']} is gone", timeout=RECREATED * self.wait)
        except WaitTimeout:
            return False
        said = f"Pod {meta['namespace']}/{meta['name']} deleted, since its daemon did not follow: {why}"
        self._told(Rung("recreate", began, self._clock.spent, said))
        return True


class _Gone(Exception):
    """There is nothing left to change."""


def started(client: Client, kind: str, namespace: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Kind and metadata of the experiments that a Schedule or a Workflow has started, by their owners: also when it is
    gone itself, since its name is used once."""
    owners = {(kind, name)}
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    listed = [
        (one, item["metadata"])
        for one in (*STARTERS, "WorkflowNode", *POD_KINDS)
        for item in _listed(client, one, namespace)
    ]
    while True:
        more = [
            (one, meta)
            for one, meta in listed
            if meta["uid"] not in found
            and any((ref.get("kind"), ref.get("name")) in owners for ref in meta.get("ownerReferences") or [])
        ]
        if not more:
            return [one for one in found.values() if one[0] != "WorkflowNode"]
        owners |= {(one, meta["name"]) for one, meta in more}
        found |= {meta["uid"]: (one, meta) for one, meta in more}


def _listed(client: Client, kind: str, namespace: str) -> list[dict[str, Any]]:
    try:
        return client.resource(API_VERSION, kind).list(namespace)
    except NotEvaluated:
        return []  # an installation without this kind has nothing of it


def take_back(cluster: Cluster, way: Mapping[str, Any]) -> None:
    """The `pytest_k8sha.fleet.undo.Way` of Chaos Mesh. Raises `NotUndone` and `TransportError`."""
    try:
        cluster.client.resource(API_VERSION, str(way["kind"]))
    except NotEvaluated:
        return  # its kind is gone, and every object with it
    Ladder(cluster.client, str(way["kind"]), str(way["namespace"]), str(way["name"])).climb()
