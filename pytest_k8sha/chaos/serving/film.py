"""A film of a cluster: looks at pods, nodes and endpoints, one after another, kept to be asked afterwards.

Every look has two times, when it was asked and when it was answered, so that whatever is found in it comes with the
bounds within which it happened. A look that fails is left out: it says nothing, and the bounds grow.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import RequestError, WaitTimeout
from pytest_k8sha.probes.node_loss import Moment
from pytest_k8sha.workloads.model import is_ready
from pytest_k8sha.workloads.selectors import selects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.workloads.model import Workload

EVERY = 0.2
"""Seconds between the beginnings of two looks."""


@dataclass(frozen=True)
class PodSeen:
    """What one look saw of a pod. ``leaving``: it is being deleted."""

    uid: str
    namespace: str
    name: str
    node: str
    labels: Mapping[str, str]
    ready: bool
    leaving: bool
    restarts: int
    address: str
    trouble: str

    @classmethod
    def of(cls, pod: Mapping[str, Any]) -> PodSeen:
        meta, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
        containers = status.get("containerStatuses") or []
        return cls(
            uid=str(meta["uid"]),
            namespace=str(meta["namespace"]),
            name=str(meta["name"]),
            node=str(spec.get("nodeName") or ""),
            labels=meta.get("labels") or {},
            ready=is_ready(pod),
            leaving=bool(meta.get("deletionTimestamp")),
            restarts=sum(int(c.get("restartCount") or 0) for c in containers),
            address=str(status.get("podIP") or ""),
            trouble=trouble(pod),
        )


def trouble(pod: Mapping[str, Any]) -> str:
    """Why a pod does not run, in the words of the scheduler or the kubelet; empty where they say nothing."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in {"ContainerCreating", "PodInitializing"}:
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason')}: {condition.get('message')}"
    return ""


@dataclass(frozen=True)
class Frame:
    """One look. ``serving`` holds, for each Service (namespace and name), the uids of the pods that its EndpointSlices
    call ready; ``nodes`` whether each node is Ready, ``tainted`` the keys of its NoExecute taints."""

    asked: float
    answered: float
    pods: Mapping[str, PodSeen]
    serving: Mapping[tuple[str, str], frozenset[str]]
    nodes: Mapping[str, bool]
    tainted: Mapping[str, frozenset[str]]

    def of(self, workload: Workload) -> list[PodSeen]:
        """The pods that a workload selects."""
        selector = workload.spec.get("selector")
        return [
            pod
            for pod in self.pods.values()
            if pod.namespace == workload.namespace and selects(selector, dict(pod.labels))
        ]

    def ready(self, workload: Workload) -> list[PodSeen]:
        """Those of its pods that are ready and stay."""
        return [pod for pod in self.of(workload) if pod.ready and not pod.leaving]


class Film:
    """Looks at a cluster in a thread of its own, from `__enter__` to `__exit__`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._frames: list[Frame] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="k8sha-film", daemon=True)
        self.problems: list[str] = []

    def __enter__(self) -> Self:
        self._cluster.client.discovery.preferred  # noqa: B018 - read once here, not by the thread
        self._thread.start()
        eventually(lambda: bool(self._frames), what="the first look at the cluster", timeout=30.0, interval=0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(timeout=30.0)

    @property
    def frames(self) -> list[Frame]:
        return list(self._frames)

    @property
    def last(self) -> Frame:
        return self._frames[-1]

    def within(self, since: float, until: float | None = None) -> Iterator[Frame]:
        """The looks that began after ``since`` and were over by ``until``, on the monotonic clock."""
        for frame in self.frames:
            if frame.asked >= since and (until is None or frame.answered <= until):
                yield frame

    def moment(self, so: Callable[[Frame], bool], *, since: float) -> Moment:
        """When something came to be so, in seconds from ``since``: looks before that do not count."""
        found = Moment()
        for frame in self.within(since):
            found.look(so=so(frame), asked=frame.asked - since, answered=frame.answered - since)
            if found.hi is not None:
                break
        return found

    def least(self, workload: Workload, *, since: float, until: float | None = None) -> int | None:
        """The fewest ready pods of a workload that a look saw; None without a look."""
        counts = [len(frame.ready(workload)) for frame in self.within(since, until)]
        return min(counts) if counts else None

    def until(self, so: Callable[[Frame], bool], *, timeout: float, what: str) -> bool:
        """Waits until a look, begun from now on, sees it so; false when ``timeout`` seconds pass before."""
        begun = _clock.now()
        try:
            eventually(
                lambda: self.last.asked >= begun and so(self.last),
                what=what,
                timeout=timeout,
                interval=EVERY / 2,
                growth=1.0,
            )
        except WaitTimeout:
            return False
        return True

    def _run(self) -> None:
        while not self._done.is_set():
            begun = _clock.now()
            try:
                self._frames.append(look(self._cluster))
            except RequestError as error:
                self.problems.append(str(error))
            self._done.wait(max(0.0, EVERY - (_clock.now() - begun)))


def look(cluster: Cluster) -> Frame:
    """One look. Raises `ApiError` and `TransportError`."""
    asked = _clock.now()
    pods = cluster.resource("v1", "Pod").list()
    slices = cluster.resource("discovery.k8s.io/v1", "EndpointSlice").list()
    nodes = cluster.resource("v1", "Node").list()
    answered = _clock.now()
    return Frame(
        asked,
        answered,
        {p["metadata"]["uid"]: PodSeen.of(p) for p in pods},
        serving(slices),
        {n["metadata"]["name"]: is_ready(n) for n in nodes},
        {n["metadata"]["name"]: _taints(n) for n in nodes},
    )


def serving(slices: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], frozenset[str]]:
    """By Service, the uids of the pods that take new connections: ready, and not on their way out."""
    found: dict[tuple[str, str], set[str]] = {}
    for one in slices:
        meta = one["metadata"]
        name = (meta.get("labels") or {}).get("kubernetes.io/service-name", "")
        mine = found.setdefault((str(meta.get("namespace", "")), name), set())
        for endpoint in one.get("endpoints") or []:
            conditions = endpoint.get("conditions") or {}
            uid = (endpoint.get("targetRef") or {}).get("uid", "")
            # A condition that is not told counts as true, as EndpointSlices define it.
            if uid and conditions.get("ready") is not False:
                mine.add(uid)
    return {key: frozenset(uids) for key, uids in found.items()}


def _taints(node: Mapping[str, Any]) -> frozenset[str]:
    taints = (node.get("spec") or {}).get("taints") or []
    return frozenset(str(t["key"]) for t in taints if t.get("effect") == "NoExecute")
