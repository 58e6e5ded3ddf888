"""Chaos Mesh as an engine of faults."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos import preflight
from pytest_k8sha.chaos.engine import Candidates, Observation
from pytest_k8sha.chaos.mesh import effects, install
from pytest_k8sha.chaos.mesh.ladder import CHILDREN, Ladder, started
from pytest_k8sha.chaos.mesh.manifest import HOSTS, MeshObject
from pytest_k8sha.chaos.mesh.parts import API_VERSION
from pytest_k8sha.chaos.mesh.selection import Selection
from pytest_k8sha.chaos.mesh.status import Status
from pytest_k8sha.chaos.meters import Gated, InTurn, Together, unfelt, unknown
from pytest_k8sha.chaos.tries import Command, Commands
from pytest_k8sha.chaos.ways import MESH
from pytest_k8sha.errors import Inconclusive, UsageError
from pytest_k8sha.fleet import undo
from pytest_k8sha.model import nonce
from pytest_k8sha.workloads.inventory import SYSTEM
from pytest_k8sha.workloads.model import is_ready
from pytest_k8sha.workloads.selectors import selects

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_k8sha.chaos.engine import Plan, Target
    from pytest_k8sha.chaos.mesh.ladder import Rung
    from pytest_k8sha.chaos.mesh.parts import Part
    from pytest_k8sha.chaos.meters import Meter
    from pytest_k8sha.chaos.order import Measure, Order
    from pytest_k8sha.fleet.cluster import Cluster

Object = dict[str, Any]

PAUSED = "experiment.chaos-mesh.org/pause"


class ChaosMesh:
    """The experiments of Chaos Mesh on one cluster. One object runs one experiment at a time.

    ``meter`` measures the effect where the kind has no meter of its own, or a better one is known (see
    `pytest_k8sha.chaos.mesh.effects`). ``tell`` hears of each rung of the way back.
    """

    name = "Chaos Mesh"

    def __init__(
        self, cluster: Cluster, *, meter: Meter | None = None, tell: Callable[[Rung], None] | None = None
    ) -> None:
        self._cluster, self._meter, self._tell = cluster, meter, tell
        self._pods: dict[str, Object] = {}
        self._found: list[tuple[Part, list[Object]]] = []
        self._fitting: list[list[Object]] = []
        self._far: dict[int, list[Object]] = {}
        self._measuring: Meter | None = None
        self._made: tuple[str, str, str, str] | None = None
        self._entry = 0
        self._over = False
        self.rungs: list[Rung] = []

    # --- before ------------------------------------------------------------------------------------------------------

    def resolve(self, order: Order) -> Candidates:
        """The pods that the manifest's selectors mean now, its mode's share taken by the seed."""
        mesh = MeshObject.of(order)
        wanted = [(part, Selection.of(part.spec, mesh.namespace)) for part in mesh.parts]
        unknown_fields = sorted({name for _, selection in wanted for name in selection.unknown})
        if unknown_fields:
            raise UsageError(
                f"{mesh.order.name}: its selector has fields that are not known, so nobody can say whom it hits",
                value=", ".join(unknown_fields),
            )
        far = {n: Selection.of(p.far, mesh.namespace) for n, p in enumerate(mesh.parts) if p.far is not None}
        spaces = {space for _, selection in wanted for space in selection.namespaces}
        swept = {CHILDREN[part.kind] for part in mesh.parts if part.kind in CHILDREN}
        install.usable(self._cluster, mesh.order.name, mesh.kind, mesh.namespace, spaces, swept)
        beyond = {space for selection in far.values() for space in selection.namespaces} - spaces
        listed = self._cluster.resource("v1", "Pod")
        pods = [p for space in sorted(spaces) for p in listed.list(space)]
        others = [*pods, *(p for space in sorted(beyond) for p in listed.list(space))]
        by_node = any(s.by_node for s in (*far.values(), *(s for _, s in wanted)))
        nodes = self._cluster.resource("v1", "Node").list() if by_node else []
        seed = mesh.order.spec.seed
        self._fitting = [selection.fitting(pods, nodes) for _, selection in wanted]
        self._found = [(p, s.taken(fit, seed)) for (p, s), fit in zip(wanted, self._fitting, strict=True)]
        self._far = {n: selection.taken(selection.fitting(others, nodes), seed) for n, selection in far.items()}
        self._over = False
        chosen = {_key(pod): pod for _, taken in self._found for pod in taken}
        self._pods = {_key(pod): pod for pod in pods}
        owners = {preflight.owner_of(pod) for pod in chosen.values()}
        kin = [pod for pod in pods if _key(pod) in chosen or preflight.owner_of(pod) in owners - {""}]
        return Candidates(
            targets=tuple(preflight.pod_target(pod) for pod in chosen.values()),
            population=len(kin),
            counted=f"pods of {', '.join(sorted(owners - {''})) or ', '.join(sorted(spaces))}",
        )

    def risks(self, order: Order, chosen: tuple[Target, ...]) -> Mapping[str, list[str]]:
        """What would come of it: budgets and workloads where pods stop serving, and targets that Chaos Mesh cannot be
        got out of again."""
        mesh = MeshObject.of(order)
        silenced = {p["metadata"]["uid"] for part, pods in self._found if part.silences for p in pods}
        spaces = sorted({target.namespace for target in chosen})
        listed = self._cluster.resource("policy/v1", "PodDisruptionBudget")
        budgets = [budget for space in spaces for budget in listed.list(space)]
        pods = [p for p in self._pods.values() if p["metadata"]["namespace"] in spaces]
        found = preflight.pod_risks(pods, budgets, silenced)
        system = [t.namespace for t in chosen if t.namespace in SYSTEM]
        found["system"] = [f"pods in the namespace {space} would be hit" for space in sorted(set(system))]
        found["hang"] = [
            f"{part.kind} cannot be injected into {_key(pod)}, and then cannot be deleted: {why}"
            for number, (part, taken) in enumerate(self._found)
            for pod in (*taken, *self._far.get(number, ()))
            if (why := _hangs(part, pod))
        ]
        found["empty"] = [
            f"{part.title} of {part.host or 'the manifest'} {part.name or mesh.order.name} hits nobody"
            for part, taken in self._found
            if not taken
        ] + [
            f"the far side of {self._found[number][0].title} has no pod"
            for number, taken in self._far.items()
            if not taken
        ]
        return found

    def steady(self, order: Order) -> Observation:
        """Whether every pod of the workloads that are hit is ready, and, when it was taken back, the fault is not felt
        any more."""
        mesh = MeshObject.of(order)
        spaces = {space for p in mesh.parts for space in Selection.of(p.spec, mesh.namespace).namespaces}
        pods = [p for space in sorted(spaces) for p in self._cluster.resource("v1", "Pod").list(space)]
        owners = {preflight.owner_of(pod) for _, taken in self._found for pod in taken} - {""}
        concerned = [p for p in pods if preflight.owner_of(p) in owners or _key(p) in self._names()]
        waiting = [_key(p) for p in concerned if preflight.runs(p) and not is_ready(p)]
        going = [_key(p) for p in concerned if p["metadata"].get("deletionTimestamp")]
        if waiting or going:
            return unfelt(f"not ready: {', '.join(waiting) or 'none'}; on their way out: {', '.join(going) or 'none'}")
        ready = Observation(holds=True, seen=f"{len(concerned)} pods of the workloads are ready")
        return Observation.all_of([ready, self._ended(pods)]) if self._over and mesh.lasts else ready

    def _ended(self, pods: list[Object]) -> Observation:
        """Whether what was measured is as before."""
        uids = {pod["metadata"]["uid"] for pod in pods}
        if self._measuring is None or any(p["metadata"]["uid"] not in uids for _, taken in self._found for p in taken):
            return Observation(holds=True, seen="its pods are others by now")
        seen = self._measuring.look()
        if seen.holds is True:
            return unfelt(f"the fault is still felt: {seen.seen}")
        return seen if seen.holds is None else Observation(holds=True, seen=f"not felt any more: {seen.seen}")

    # --- the fault ---------------------------------------------------------------------------------------------------

    def inject(self, plan: Plan) -> None:
        """Measures what is normal, then creates the object, its targets pinned by name."""
        mesh = MeshObject.of(plan.order)
        self._measuring = self._meters(mesh)
        self._measuring.before()
        manifest = mesh.bounded().pinned({n: taken for n, (_, taken) in enumerate(self._found)}, self._far).object
        name = nonce(mesh.order.name[:40].rstrip("-."))
        manifest["metadata"] = {k: v for k, v in manifest["metadata"].items() if k in {"labels", "annotations"}}
        manifest["metadata"]["name"] = name
        self._entry = undo.begin(self._cluster, f"{mesh.kind} {mesh.namespace}/{name}", way=way(mesh, name))
        self._made = (mesh.kind, mesh.namespace, name, "")  # a lost answer may hide an object that was stored
        made = self._cluster.resource(API_VERSION, mesh.kind).create(manifest, mesh.namespace)
        self._made = (mesh.kind, mesh.namespace, name, made["metadata"]["uid"])

    def observe(self, plan: Plan) -> Observation:
        """Whether the controller says that it is injected **and** its effect is measured."""
        mesh = MeshObject.of(plan.order)
        if self._made is None or self._measuring is None:
            return unknown("nothing was created")
        kind, namespace, name, _ = self._made
        obj = self._cluster.resource(API_VERSION, kind).find(name, namespace)
        if obj is None:
            return unfelt(f"{kind} {namespace}/{name} is not there any more")
        if mesh.kind not in HOSTS:
            status = Status.of(obj)
            if not status.injected:
                return unfelt(f"not injected: {status.told(self._events(kind, namespace, name))}{self._health()}")
            far = {_key(pod) for taken in self._far.values() for pod in taken}
            strays = set(status.pods) - self._names() - far
            if strays:
                return unfelt(f"it hit {', '.join(sorted(strays))}, which was not chosen")
        return self._measuring.look()

    def lasts(self, plan: Plan) -> bool:
        return MeshObject.of(plan.order).lasts

    def recover(self, plan: Plan) -> None:  # noqa: ARG002 - part of the Protocol
        """Deletes the object, and climbs the ladder where that does not end it. Idempotent."""
        if self._made is None:
            return
        kind, namespace, name, uid = self._made
        ladder = Ladder(self._cluster.client, kind, namespace, name, uid, tell=self._tell)
        try:
            ladder.climb()
        finally:
            self.rungs += ladder.rungs
        undo.end(self._cluster, self._entry)
        self._made, self._over = None, True

    def pause(self, timeout: float = 60.0) -> None:
        """Has Chaos Mesh take a lasting fault back for a while, and sees that it is not felt. Its duration goes on.

        Raises `Inconclusive` when nothing is injected, `WaitTimeout` when it is still felt after ``timeout`` seconds.
        """
        self._annotate("true")
        self._await(timeout, felt=False)

    def resume(self, timeout: float = 60.0) -> None:
        """Injects what was paused once more, and sees that it is felt. Raises as `pause`."""
        self._annotate(None)
        self._await(timeout, felt=True)

    def _annotate(self, value: str | None) -> None:
        if self._made is None or self._made[0] in HOSTS:
            raise Inconclusive("there is no single fault that could be paused")
        kind, namespace, name, _ = self._made
        body = {"metadata": {"annotations": {PAUSED: value}}}
        self._cluster.resource(API_VERSION, kind).patch(name, body, namespace)

    def _await(self, timeout: float, *, felt: bool) -> None:
        assert self._measuring is not None  # noqa: S101 - set before the object is created
        eventually(
            self._measuring.look,
            what=f"the fault is {'felt' if felt else 'not felt'}",
            timeout=timeout,
            accept=lambda seen: seen.holds is felt,
            describe=lambda seen: seen.seen,
        )

    def _meters(self, mesh: MeshObject) -> Meter:
        """What shows the effect: the meter given here, the manifest's own measure, or the one that fits the kind."""
        block = mesh.order.spec.manifest
        if self._meter is not None:
            return self._meter
        if block is not None and block.measure is not None:
            return self._command(block.measure)
        meters = [
            effects.meter(self._cluster, part, taken)
            if part.stable
            else effects.meter(self._cluster, part, fitting, len(taken))
            for (part, taken), fitting in zip(self._found, self._fitting, strict=True)
        ]
        missing = [part.title for (part, _), one in zip(self._found, meters, strict=True) if one is None]
        if missing:
            raise Inconclusive(
                f"{mesh.order.name}: nothing measures the effect of {', '.join(missing)}, and what is not measured is "
                "not believed",
                remedy="say what shows it: the annotation k8sha.dev/measure, or `measure:` beside the manifest",
            )
        known = [one for one in meters if one is not None]
        if mesh.kind not in HOSTS:
            return Together(known)
        parts = [part for part, _ in self._found]
        return InTurn([Gated(m, partial(self._unstarted, p)) for m, p in zip(known, parts, strict=True)])

    def _unstarted(self, part: Part) -> str:
        """Why what is seen now cannot be this part's doing: its own experiment is not injected. Empty where it is."""
        if self._made is None:
            return "nothing was created"
        kind, namespace, name, _ = self._made
        told = f"{part.host} {name} has not begun its {part.title}"
        for one, meta in started(self._cluster.client, kind, namespace, name):
            if one != part.kind or (part.name and not str(meta["name"]).startswith(f"{part.name}-")):
                continue
            status = Status.of(self._cluster.resource(API_VERSION, one).find(meta["name"], namespace) or {})
            if status.ever_injected if part.one_shot else status.injected:
                return ""
            told = f"{one} {meta['name']} is not injected: {status.told()}"
        return told

    def _command(self, measure: Measure) -> Meter:
        pod = measure.pod
        if measure.selector is not None:
            wanted = measure.selector.as_labels()
            listed = self._cluster.resource("v1", "Pod").list(measure.namespace)
            ready = [p for p in listed if selects(wanted, p["metadata"].get("labels") or {}) and is_ready(p)]
            if not ready:
                raise Inconclusive(f"no ready pod in {measure.namespace} fits the selector of the measure")
            pod = min(p["metadata"]["name"] for p in ready)
        command = Command(measure.namespace, pod, measure.command, measure.container)
        return Commands(self._cluster, [command], measure.effect, by=measure.by)

    # --- looking -----------------------------------------------------------------------------------------------------

    def _names(self) -> set[str]:
        return {_key(pod) for _, taken in self._found for pod in taken}

    def _events(self, kind: str, namespace: str, name: str) -> tuple[str, ...]:
        fields = f"involvedObject.kind={kind},involvedObject.name={name},type=Warning"
        found = self._cluster.resource("v1", "Event").list(namespace, fields=fields)
        found.sort(key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))
        return tuple(str(e.get("message", "")) for e in found)

    def _health(self) -> str:
        health = install.find(self._cluster).health
        return f"; {health}" if health else ""


def way(mesh: MeshObject, name: str) -> Object:
    """What the journal says of the way back, for `pytest_k8sha.chaos.mesh.ladder.take_back`."""
    return {"of": MESH, "kind": mesh.kind, "namespace": mesh.namespace, "name": name}


def _key(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _hangs(part: Part, pod: Object) -> str:
    """Why applying the part to this pod fails for ever; empty where it does not."""
    if not preflight.runs(pod):
        return f"the pod is {str(pod.get('status', {}).get('phase', 'gone')).lower()} or on its way out"
    if part.kind in {"NetworkChaos", "DNSChaos", "HTTPChaos"} and pod["spec"].get("hostNetwork"):
        return "the pod is on its node's own network"
    return ""
