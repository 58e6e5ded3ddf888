"""One experiment at a time on a cluster: two faults at once would each be blamed for what the other did.

A Lease in the cluster keeps out other machines, a locked file other processes of this one. The Lease carries the run
and is in its journal, so that `k8sha recover` removes what a killed driver left; until then it expires by itself.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

from pytest_k8sha._process import ProcessId
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError, EnvironmentFailure
from pytest_k8sha.model import LABEL_RUN
from pytest_k8sha.probes.control_plane import age, server_time
from pytest_k8sha.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from pytest_k8sha.fleet.cluster import Cluster

_RELEASE = 60.0

NAMESPACE, NAME = "kube-system", "k8sha-experiment"


class Locked(EnvironmentFailure):
    """Another experiment goes on at this cluster."""


class ClusterLock:
    """Holds one cluster for one experiment, for at most ``seconds``. A context manager.

    Raises `Locked` when it is held by another, and `ApiError` and `TransportError`. What has expired is taken over.
    """

    def __init__(self, cluster: Cluster, experiment: str, seconds: float, *, folder: Path | None = None) -> None:
        self._cluster, self._experiment, self._seconds = cluster, experiment, max(1, round(seconds))
        self._folder = folder or Settings.from_environment().state / "experiments"
        self._uid = ""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._take_file(stack)
            self._take_lease()
            stack.callback(self._release)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _take_file(self, stack: ExitStack) -> None:
        cluster = self._cluster.client.get(f"/api/v1/namespaces/{NAMESPACE}")["metadata"]["uid"]
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(self._folder / f"{cluster}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise Locked(
                f"another process of this machine has an experiment on cluster {self._cluster.name}",
                remedy="wait for its end",
            ) from None
        stack.callback(lock.release)

    def _take_lease(self) -> None:
        leases = self._cluster.resource("coordination.k8s.io/v1", "Lease")
        now = server_time(self._cluster)
        try:
            made = leases.create(self._lease(now), NAMESPACE)
        except ApiError as error:
            if error.status != 409:
                raise
            held = leases.find(NAME, NAMESPACE)
            if held is not None:
                if not has_expired(held, now):
                    raise Locked(self._held(held, now), remedy=_remedy(held)) from error
                with suppress(ApiError):  # somebody else removed it in this moment: the creation tells who was first
                    leases.delete(NAME, NAMESPACE, uid=held["metadata"]["uid"])
            try:
                made = leases.create(self._lease(now), NAMESPACE)
            except ApiError as second:
                if second.status != 409:
                    raise
                raise Locked(f"another experiment on cluster {self._cluster.name} was faster") from second
        self._uid = made["metadata"]["uid"]

    def _lease(self, now: float) -> dict[str, Any]:
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        own = ProcessId.own()
        return {
            "metadata": {"name": NAME, "annotations": {"k8sha.dev/experiment": self._experiment}},
            "spec": {
                "holderIdentity": f"{self._cluster.run.id}/{self._cluster.run.owner}/{own.pid}",
                "leaseDurationSeconds": self._seconds,
                "acquireTime": stamp,
                "renewTime": stamp,
            },
        }

    def _held(self, lease: Mapping[str, Any], now: float) -> str:
        spec, meta = lease.get("spec") or {}, lease["metadata"]
        what = (meta.get("annotations") or {}).get("k8sha.dev/experiment", "an experiment")
        left = int(spec.get("leaseDurationSeconds") or 0) - (age(lease, now) or 0.0)
        return (
            f"{what} goes on at cluster {self._cluster.name}, by {spec.get('holderIdentity') or 'nobody known'}; its "
            f"lock {NAMESPACE}/{NAME} expires in {left:.0f} s"
        )

    def _release(self) -> None:
        """Removes the Lease if it is still this experiment's own. The API may just have come back: it is given time."""

        def removed() -> bool:
            try:
                self._cluster.resource("coordination.k8s.io/v1", "Lease").delete(NAME, NAMESPACE, uid=self._uid)
            except ApiError as error:
                if error.status not in {404, 409}:  # gone, or another's by now
                    raise
            return True

        eventually(removed, what=f"the lock {NAMESPACE}/{NAME} is removed", timeout=_RELEASE)


def has_expired(lease: Mapping[str, Any], now: float) -> bool:
    """Whether a lock's time is over at ``now``, in seconds since the epoch on the server's clock."""
    seconds = age(lease, now)
    return seconds is None or seconds > int((lease.get("spec") or {}).get("leaseDurationSeconds") or 0)


def _remedy(lease: Mapping[str, Any]) -> str:
    run = (lease["metadata"].get("labels") or {}).get(LABEL_RUN, "")
    return f"wait for its end; if run {run or 'behind it'} was killed, `k8sha recover` on its machine removes the lock"
