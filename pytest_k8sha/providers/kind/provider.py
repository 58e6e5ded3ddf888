"""The provider itself: a cluster made by `kind`, or one of that kind which is there already."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock, _process, _wait
from pytest_k8sha.errors import (
    EnvironmentFailure,
    K8shaError,
    NotEvaluated,
    ProgramFailed,
    StartFailed,
    UsageError,
    WaitTimeout,
)
from pytest_k8sha.model import Impact
from pytest_k8sha.providers.base import STATE_FILE, ClusterState
from pytest_k8sha.providers.kind import command
from pytest_k8sha.providers.kind.command import Kind
from pytest_k8sha.providers.kind.engine import CLUSTER_LABEL, CONTROL_PLANE, ENGINES, Engine
from pytest_k8sha.providers.kind.faults import KindFaults
from pytest_k8sha.providers.kind.images import Images
from pytest_k8sha.providers.kind.logs import Logs
from pytest_k8sha.providers.kind.options import KindOptions
from pytest_k8sha.providers.kind.preflight import demand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.kube.etcd import EtcdAccess
    from pytest_k8sha.providers.base import Faults, Issuer, Listener, Request, Storage

MARK_FILE = "kind.json"
"""Written, and synced to the disk, before a cluster is made: what `delete` may remove."""

_NAME_PART = 24
"""A node's name is a host name: 63 characters with what kind and this provider add."""

_RACES = ("failed to lock config file", "port is already allocated", "address already in use")
"""What a second try of `kind create` helps against: the lock of a kubeconfig, which kind does not wait for, and the
free port for the API server, which it looks up first and takes a moment later."""
_TRIES = 2

_DELETE_TRIES = 2
_STRAY_GRACE = 5.0
_EXPORT = 60.0


class KindProvider:
    """Clusters of node containers (see `pytest_k8sha.providers.base.Provider`)."""

    name = "kind"
    options: type[BaseModel] = KindOptions

    def __init__(self) -> None:
        self._not_to_be_had: dict[tuple[str, str], str] = {}
        """Why an image is not on a cluster: a pull that failed is not tried again for every check of a run."""

    def create(self, request: Request) -> ClusterState:
        """Makes a cluster and returns when all its nodes are Ready and pods can be made; with ``kind:NAME`` takes the
        one that is there.

        Raises `EnvironmentFailure` with everything that this machine lacks, `UsageError` for a cluster that is not
        there, and `StartFailed` with the ends of the logs; what was begun is removed then.
        """
        options = request.options
        assert isinstance(options, KindOptions)  # noqa: S101 - the registry pairs provider and options
        doubts = demand(options.engine)
        engine = Engine.find(options.engine)
        if request.argument:
            return self._adopt(request, options, engine, request.argument)
        for need in doubts:
            request.progress(f"note: {need.what} is {need.detail} ({need.remedy})")
        return self._make(request, options, engine, "; ".join(need.remedy for need in doubts))

    def delete(self, state: ClusterState) -> None:
        """Removes a cluster that this project made, also one that is half made; idempotent.

        Raises `EnvironmentFailure` when containers remain.
        """
        place = Path(state.place)
        mark = _mark(place)
        if state.made and mark:
            engine = Engine(mark["engine"])
            half = not (place / STATE_FILE).exists()
            if half:
                _end_makers(place, mark["cluster"])
            _remove(Kind(engine), mark["cluster"], place / "kubeconfig", half=half)
        for file in (place / "kubeconfig", place / "kubeconfig.lock", place / MARK_FILE, place / STATE_FILE):
            file.unlink(missing_ok=True)

    def alive(self, state: ClusterState) -> bool:
        """Whether at least one of the nodes runs."""
        try:
            return any(node.state in {"running", "paused"} for node in _engine(state).nodes(_cluster(state)))
        except K8shaError:
            return False

    def capabilities(self, state: ClusterState) -> Mapping[str, str]:
        how = f"kind, by {state.details['engine']}"
        found = {
            "nodes:real": f"{how}: pods run in node containers",
            "faults:heartbeat": f"{how}: a node container is killed and started",
            "faults:kubelet": f"{how}: the kubelet in a node container is stopped and started",
            "faults:containers": f"{how}: containers of pods are killed, frozen and thawed in their node container",
            "faults:members": f"{how}: programs of control-plane nodes are stopped, killed, frozen and started",
        }
        members = state.details.get("members", 1)
        if members > 1:
            found["members:many"] = found[f"members:{members}"] = f"{how}: {members} control-plane nodes"
            found["members:identity"] = f"{how}: each node has a host name of its own"
        return found

    def logs(self, state: ClusterState) -> Mapping[str, Path]:
        """What `kind` said, and the nodes' logs as ``control-plane/kubelet`` …, fetched anew, for 60 s at most."""
        logs = Logs(Path(state.place), _cluster(state))
        if self.alive(state):
            logs.export(Kind(_engine(state)), timeout=_EXPORT)
        return logs.files()

    def faults(self, state: ClusterState) -> Faults | None:
        return KindFaults(_engine(state), _cluster(state))

    def issuer(self, state: ClusterState) -> Issuer | None:  # noqa: ARG002 - part of the Protocol
        """None: certificates are had by CertificateSigningRequest, as on any cluster."""
        return None

    def etcd(self, state: ClusterState) -> EtcdAccess | None:  # noqa: ARG002
        return None

    def listeners(self, state: ClusterState) -> tuple[Listener, ...]:  # noqa: ARG002
        return ()

    def storage(self, state: ClusterState) -> Storage | None:  # noqa: ARG002 - part of the Protocol
        return None

    def dial(self, state: ClusterState, address: str, port: int) -> tuple[str, int]:
        """The address of a control-plane node leads to its published port, since the engine's network need not be
        reachable from here. Any other is what it is."""
        engine = _engine(state)
        for node in engine.nodes(_cluster(state)):
            if node.role != CONTROL_PLANE or not node.running:
                continue
            known = engine.ports(node.name)
            published = known["published"].get(f"{port}/tcp") or []
            if address in known["addresses"] and published:
                return published[0]["HostIp"] or "127.0.0.1", int(published[0]["HostPort"])
        return address, port

    def ensure_image(self, state: ClusterState, image: str = "") -> list[str]:
        """Makes sure that every node has the image (default: the probe image of the options), loading it from this
        machine where it does not; returns the nodes to which it was copied.

        Raises `NotEvaluated` with the image's name when it cannot be had.
        """
        options = KindOptions.model_validate(state.options)
        name = image or options.probe_image
        known = self._not_to_be_had.get((_cluster(state), name))
        if known:
            raise NotEvaluated(known)
        try:
            return Images(Kind(_engine(state)), _cluster(state)).ensure(name, pull=options.pull)
        except NotEvaluated as error:
            self._not_to_be_had[_cluster(state), name] = str(error)
            raise

    # --- a cluster that is there ---------------------------------------------------------------------------------

    def _adopt(self, request: Request, options: KindOptions, engine: Engine, cluster: str) -> ClusterState:
        if cluster not in engine.clusters():
            raise UsageError(f"{engine.name} has no such kind cluster", value=cluster, allowed=engine.clusters())
        request.progress(f"using the kind cluster {cluster}")
        path = request.place / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(Kind(engine).kubeconfig(cluster))
        return self._state(request, options, engine, cluster, made=False, timings={})

    # --- a new one -----------------------------------------------------------------------------------------------

    def _make(self, request: Request, options: KindOptions, engine: Engine, doubts: str) -> ClusterState:
        clock = _clock.Deadline(options.start_timeout)
        cluster = f"k8sha-{request.name[:_NAME_PART].rstrip('-')}-{secrets.token_hex(4)}"
        kind, logs = Kind(engine), Logs(request.place, cluster)
        config = request.place / "kind.yaml"
        config.write_text(Path(options.config).read_text() if options.config else options.configuration())
        request.journal.intent("kind", cluster=request.name, place=str(request.place), name=cluster)
        _write_mark(request.place, cluster, engine.name)
        try:
            timings = self._bring_up(request, options, kind, cluster, clock)
            state = self._state(request, options, engine, cluster, made=True, timings=timings)
        except BaseException as error:
            known = isinstance(error, K8shaError)
            if known and not isinstance(error, command.Interrupted):
                logs.export(kind, timeout=_EXPORT)
            tails = logs.tails() if known else {}
            remains = self._clear(request.place, kind, cluster)
            if remains:
                raise StartFailed(
                    f"the cluster {request.name} did not start: {error}; and {remains.problem}",
                    logs=tails,
                    remedy=remains.remedy,
                ) from error
            if isinstance(error, (ProgramFailed, WaitTimeout)):
                raise StartFailed(
                    f"the cluster {request.name} did not start: {error}",
                    logs=tails,
                    remedy=doubts or "read the logs above; `k8sha doctor` looks at what kind needs",
                ) from error
            raise
        return state

    @staticmethod
    def _clear(place: Path, kind: Kind, cluster: str) -> EnvironmentFailure | None:
        """Takes down what was begun; returns what stood in the way of that."""
        try:
            _remove(kind, cluster, place / "kubeconfig", half=True)
        except EnvironmentFailure as problem:
            return problem
        for file in (place / "kubeconfig", place / MARK_FILE):
            file.unlink(missing_ok=True)
        return None

    def _bring_up(
        self, request: Request, options: KindOptions, kind: Kind, cluster: str, clock: _clock.Deadline
    ) -> dict[str, float]:
        count = "from a file" if options.config else f"with {options.nodes} node{'s' if options.nodes > 1 else ''}"
        kubeconfig = request.place / "kubeconfig"
        for attempt in range(1, _TRIES + 1):
            request.progress(f"kind makes a cluster {count}" + (" (again)" if attempt > 1 else ""))
            try:
                kind.create(
                    cluster,
                    kubeconfig=kubeconfig,
                    config=request.place / "kind.yaml",
                    image=options.image,
                    log=Logs(request.place, cluster).created,
                    timeout=clock.left,
                )
                break
            except ProgramFailed as error:
                if attempt == _TRIES or not any(race in str(error) for race in _RACES):
                    raise
                _remove(kind, cluster, kubeconfig, half=True)
                (request.place / "kubeconfig.lock").unlink(missing_ok=True)
        timings = {"kind": round(clock.spent, 3)}
        client = _client(request.place)
        wanted = len(kind.engine.nodes(cluster))
        if not wanted:
            raise EnvironmentFailure(f"{kind.engine.name} shows no node container of the cluster that kind has made")
        request.progress(f"waiting for {wanted} nodes")
        left = max(clock.left, 5.0)
        _wait.eventually(
            lambda: _ready(client), what=f"{wanted} nodes are Ready", timeout=left, accept=lambda n: n == wanted
        )
        accounts = "/api/v1/namespaces/default/serviceaccounts/default"
        _wait.eventually(lambda: client.get(accounts), what="the default ServiceAccount exists", timeout=left)
        return {**timings, "ready": round(clock.spent, 3)}

    def _state(
        self,
        request: Request,
        options: KindOptions,
        engine: Engine,
        cluster: str,
        *,
        made: bool,
        timings: dict[str, float],
    ) -> ClusterState:
        from pytest_k8sha.kube import kubeconfig

        nodes = engine.nodes(cluster)
        context = kubeconfig.load(request.place / "kubeconfig")
        state = ClusterState(
            name=request.name,
            provider=self.name,
            place=str(request.place),
            kubeconfig=str(request.place / "kubeconfig"),
            context=context.name,
            made=made,
            ceiling=Impact.DISRUPT if made else Impact.OBSERVE,
            options=options.model_dump(mode="json"),
            details={
                "cluster": cluster,
                "engine": engine.name,
                "server": context.server,
                "nodes": [node.name for node in nodes],
                "members": sum(node.role == CONTROL_PLANE for node in nodes),
                "timings": timings,
            },
        )
        state.save()
        return state


def _client(place: Path) -> Client:
    """The administrator's client, for the provider's own reads."""
    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.kube.kubeconfig import load
    from pytest_k8sha.model import Run
    from pytest_k8sha.safety.guard import Guard

    private = place / "private"
    private.mkdir(mode=0o700, exist_ok=True)
    guard = Guard("kind", Impact.OBSERVE, Run(id="provider", owner="provider", expires=0))
    connector = load(place / "kubeconfig").connector(private)
    return Client(connector, guard=guard, private=private, who="kubernetes-admin")


def _ready(client: Client) -> int:
    """How many nodes are Ready and, a moment later, rid of the taint that kept pods away until they were."""

    def is_ready(node: dict[str, Any]) -> bool:
        conditions = node["status"].get("conditions") or []
        taints = node["spec"].get("taints") or []
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions) and not any(
            taint["key"] == "node.kubernetes.io/not-ready" for taint in taints
        )

    return sum(map(is_ready, client.get("/api/v1/nodes")["items"]))


def _cluster(state: ClusterState) -> str:
    return str(state.details["cluster"])


def _engine(state: ClusterState) -> Engine:
    return Engine(str(state.details["engine"]))


def _write_mark(place: Path, cluster: str, engine: str) -> None:
    with (place / MARK_FILE).open("w") as file:
        json.dump({"cluster": cluster, "engine": engine}, file)
        file.flush()
        os.fsync(file.fileno())


def _mark(place: Path) -> dict[str, Any] | None:
    """Which cluster was, or was about to be, made in this folder; None when none was."""
    try:
        found: dict[str, Any] = json.loads((place / MARK_FILE).read_text())
    except (OSError, ValueError):
        return None  # it was not written to its end, so that nothing was made yet
    return found


def _end_makers(place: Path, cluster: str) -> None:
    """Ends what was making a cluster when its owner was killed: on some systems it goes on."""
    for stray in _process.naming(place, words=[command.KIND]):
        stray.end(_STRAY_GRACE)
    for stray in _process.naming(Path(f"{CLUSTER_LABEL}={cluster}"), words=ENGINES):
        if not stray.wait(_STRAY_GRACE):
            stray.end(_STRAY_GRACE)


def _remove(kind: Kind, cluster: str, kubeconfig: Path, *, half: bool) -> None:
    """`kind delete`, which may be flaky, and then the containers themselves."""
    for _ in range(_DELETE_TRIES):
        if not kind.engine.names(cluster):
            break
        try:
            kind.delete(cluster, kubeconfig=kubeconfig)
        except EnvironmentFailure:
            continue  # what it left is removed below, and what remains then is told
    kind.engine.remove(cluster, settle=half)


__all__ = ["KindProvider"]
