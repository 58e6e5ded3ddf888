"""The way back from an experiment of Chaos Mesh that does not go by itself.

Its objects carry the finalizer ``chaos-mesh/records``, which the controller takes away when all is undone. Deleted
before it was injected, an experiment is injected first; where that always fails, the object would stay for ever. So:

    delete → touch it, so that it is looked at again → ask for the forced clean-up → take the finalizer away →
    take what it left out of Pod{Network,IO,Http}Chaos

Each rung is climbed only when the one below has not helped within its time; each is told with what it took.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos.mesh.parts import API_VERSION
from pytest_k8sha.chaos.mesh.status import Status
from pytest_k8sha.errors import ApiError, EnvironmentFailure, NotEvaluated, RequestError, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.kube.resources import Resource

CHILDREN = ("PodNetworkChaos", "PodIOChaos", "PodHttpChaos")
"""The objects, one a pod, that hold what the daemons set up; each entry names the experiment that it comes from."""

FORCED = {"chaos-mesh.chaos-mesh.org/cleanFinalizer": "forced"}

PATIENCE = {"delete": 15.0, "touch": 5.0, "force": 5.0, "finalizer": 10.0}
"""Seconds that each rung is given."""

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
        if self._step("delete", self._delete) or self._step("touch", self._touch) or self._step("force", self._force):
            self._sweep()
            return self.rungs
        if not self._step("finalizer", self._finalizer):
            told = "; ".join(map(str, self.rungs))
            raise NotUndone(
                f"{self.kind} {self.namespace}/{self.name} is still there: {told}",
                remedy="look at the controller of Chaos Mesh; its webhooks refuse changes while it is down",
            )
        self._sweep()
        return self.rungs

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
        gone = self._gone(PATIENCE[name] * self.wait)
        if not gone:
            found = self._find()
            said += f"; {Status.of(found).told() if found else 'gone'}"
            gone = found is None
        self._told(Rung(name, began, self._clock.spent, said if not gone else f"{said}; gone"))
        return gone

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
        """Takes the entries of this experiment out of the objects that the daemons work from."""
        began, source, swept = self._clock.spent, f"{self.namespace}/{self.name}", []
        for kind in CHILDREN:
            try:
                resource = self.client.resource(API_VERSION, kind)
                items = resource.list()
            except NotEvaluated:
                continue  # an installation without this kind has nothing of it
            except RequestError as error:
                self._told(Rung("sweep", began, self._clock.spent, f"{kind} cannot be listed: {error}"))
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
                    swept.append(f"{kind} {meta['namespace']}/{meta['name']}")
        if swept:
            self._told(Rung("sweep", began, self._clock.spent, f"taken out of {', '.join(swept)}"))


class _Gone(Exception):
    """There is nothing left to change."""
