"""The faults of a kind cluster: its node containers, and the programs of its control-plane nodes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_k8sha import _wait
from pytest_k8sha.errors import EnvironmentFailure, NotEvaluated, UsageError, WaitTimeout
from pytest_k8sha.providers.kind.engine import CONTROL_PLANE
from pytest_k8sha.providers.kind.inside import Inside

if TYPE_CHECKING:
    from pytest_k8sha.providers.kind.engine import Engine, NodeContainer

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")

_MANIFESTS = "/etc/kubernetes/manifests"
_ASIDE = "/etc/kubernetes/k8sha-stopped"
"""Where the manifest of a static pod lies while it is kept down: kubelet watches the other folder alone."""

_ADMIN = "/etc/kubernetes/admin.conf"
_COMM = 15
"""The kernel keeps so many characters of a program's name, and pkill compares them."""

_GRACE = 40.0
"""Kubelet gives a static pod 30 s to end. An API server whose etcd is gone does not end by itself."""
_START = 90.0
_HEAL = 180.0


class KindFaults:
    """See `pytest_k8sha.providers.base.Faults`. A member is a control-plane node, counted in the order of the names.

    A frozen program is restarted by its kubelet when its liveness probe has failed for long enough (kubeadm: about
    80 s); whoever freezes one for longer must look at whether it still is.
    """

    def __init__(self, engine: Engine, cluster: str) -> None:
        self._engine, self._cluster = engine, cluster
        self._inside = Inside(engine)

    # --- nodes ---------------------------------------------------------------------------------------------------

    def stop_heartbeat(self, node: str) -> None:
        """Kills the node's container with all in it. Raises `UsageError` for a node that the cluster does not have, and
        `NotEvaluated` for its only control plane: with that the API would be lost, and nothing could be seen."""
        nodes = self._nodes()
        wanted = self._node(node, nodes)
        if wanted.role == CONTROL_PLANE and sum(other.role == CONTROL_PLANE for other in nodes) == 1:
            raise NotEvaluated(f"{node} is the only control plane: a cluster that loses it cannot be looked at")
        if wanted.state in {"running", "paused"}:
            self._engine.run("kill", node)

    def resume_heartbeat(self, node: str) -> None:
        self._up(self._node(node, self._nodes()))

    def stop_kubelet(self, node: str) -> None:
        self._inside.stop_kubelet(self._node(node, self._nodes()).name)

    def start_kubelet(self, node: str) -> None:
        """Also of a node that has lost its power meanwhile."""
        self.resume_heartbeat(node)
        self._inside.start_kubelet(node)

    # --- containers of pods --------------------------------------------------------------------------------------

    def kill_container(self, node: str, container: str) -> None:
        self._inside.kill(self._node(node, self._nodes()).name, container)

    def freeze_container(self, node: str, container: str) -> None:
        self._inside.freeze(self._node(node, self._nodes()).name, container)

    def is_frozen(self, node: str, container: str) -> bool:
        return self._inside.is_frozen(self._node(node, self._nodes()).name, container)

    def thaw_container(self, node: str, container: str) -> None:
        self._inside.thaw(self._node(node, self._nodes()).name, container)

    # --- programs of the control plane ---------------------------------------------------------------------------

    def stop(self, component: str, member: int = 0) -> None:
        node = self._member(component, member)
        self._put_aside(node, component)
        self._signal(node, component, "CONT")
        try:
            self._until_gone(node, component, _GRACE)
        except WaitTimeout:
            self._signal(node, component, "KILL")
            self._until_gone(node, component, _GRACE)

    def kill(self, component: str, member: int = 0) -> None:
        node = self._member(component, member)
        self._put_aside(node, component)
        self._signal(node, component, "KILL")
        self._until_gone(node, component, _GRACE)

    def start(self, component: str, member: int = 0) -> None:
        node = self._member(component, member)
        self._put_back(node, component)
        self._until_running(node, component, _START)

    def freeze(self, component: str, member: int = 0) -> None:
        """Raises `EnvironmentFailure` when there is nothing to freeze."""
        node = self._member(component, member)
        if not self._signal(node, component, "STOP"):
            raise EnvironmentFailure(f"{component} does not run on {node}")

    def thaw(self, component: str, member: int = 0) -> None:
        self._signal(self._member(component, member), component, "CONT")

    def cut(self, component: str, member: int = 0) -> None:  # noqa: ARG002 - part of the Protocol
        raise NotEvaluated("kind puts nothing between members that could be cut")

    def delay(self, component: str, member: int, seconds: float) -> None:  # noqa: ARG002
        raise NotEvaluated("kind puts nothing between members that could make it slow")

    def mend(self, component: str, member: int = 0) -> None:
        """Nothing was cut."""

    def certify(self, component: str, member: int, seconds: float) -> None:  # noqa: ARG002
        raise NotEvaluated("the certificates of a kind cluster are kubeadm's, and are left alone")

    def fill(self, component: str, member: int = 0) -> None:  # noqa: ARG002
        raise NotEvaluated("the etcd of a kind cluster has a quota of 2 GiB, which is not filled")

    def relieve(self, component: str, member: int = 0) -> None:
        """Nothing was filled."""

    def member_of(self, identity: str) -> int | None:
        host = identity.rpartition("_")[0]
        members = [node.name for node in self._control_planes()]
        return members.index(host) if host in members else None

    def running(self, component: str) -> tuple[int, ...]:
        """A frozen program counts; a program on a node that is down does not."""
        names = [node.name for node in self._control_planes()]
        return tuple(index for index, name in enumerate(names) if self._runs(name, component))

    def instance(self, component: str, member: int = 0) -> str:
        """Its process number in the node's container, which gives no number twice for as long as it runs."""
        found = self._engine.execute(
            self._member(component, member), "pgrep", "-o", "-x", component[:_COMM], check=False
        )
        return found.stdout.strip() if found.code == 0 else ""

    def heal(self) -> None:
        """Every node and its kubelet runs, every program of the control plane as well, no process is stopped, each API
        server says that it is ready, and the kubelet of each node that had to be started has renewed its lease.

        Raises `WaitTimeout` when that does not come about.
        """
        started = [node.name for node in self._nodes() if not node.running]
        for node in self._nodes():
            self._up(node)
            self._inside.thaw_all(node.name)
        for node in self._control_planes():
            for component in COMPONENTS:
                self._put_back(node.name, component)
                self._signal(node.name, component, "CONT")
        for node in self._control_planes():
            for component in COMPONENTS:
                self._until_running(node.name, component, _HEAL)
            _wait.eventually(
                lambda name=node.name: self._is_ready(name),  # type: ignore[misc]
                what=f"the API server on {node.name} is ready",
                timeout=_HEAL,
                interval=0.3,
            )
        for node in self._nodes():
            self._inside.start_kubelet(node.name)
        for name in started:
            self._until_renewed(name)

    # --- the steps -----------------------------------------------------------------------------------------------

    def _nodes(self) -> list[NodeContainer]:
        nodes = self._engine.nodes(self._cluster)
        if not nodes:
            raise EnvironmentFailure(f"the kind cluster {self._cluster} has no node containers any more")
        return nodes

    def _control_planes(self) -> list[NodeContainer]:
        return [node for node in self._nodes() if node.role == CONTROL_PLANE]

    @staticmethod
    def _node(name: str, nodes: list[NodeContainer]) -> NodeContainer:
        for node in nodes:
            if node.name == name:
                return node
        raise UsageError("the cluster has no such node", value=name, allowed=[node.name for node in nodes])

    def _member(self, component: str, member: int) -> str:
        if component not in COMPONENTS:
            raise UsageError("unknown component", value=component, allowed=COMPONENTS)
        names = [node.name for node in self._control_planes()]
        if not 0 <= member < len(names):
            raise UsageError("the cluster has no such member", value=member, allowed=map(str, range(len(names))))
        return names[member]

    def _up(self, node: NodeContainer) -> None:
        if node.state == "paused":
            self._engine.run("unpause", node.name)
        elif node.state != "running":
            self._engine.run("start", node.name)

    def _put_aside(self, node: str, component: str) -> None:
        self._engine.execute(node, "mkdir", "-p", _ASIDE)
        self._move(node, component, _MANIFESTS, _ASIDE)

    def _put_back(self, node: str, component: str) -> None:
        self._move(node, component, _ASIDE, _MANIFESTS)

    def _move(self, node: str, component: str, source: str, target: str) -> None:
        """Moves the manifest of a static pod; nothing happens when it is not there."""
        manifest = f"{component}.yaml"
        if self._engine.execute(node, "test", "-e", f"{source}/{manifest}", check=False).code == 0:
            self._engine.execute(node, "mv", f"{source}/{manifest}", f"{target}/{manifest}")

    def _signal(self, node: str, component: str, name: str) -> bool:
        """Whether there was a process to signal."""
        return self._engine.execute(node, "pkill", f"-{name}", "-x", component[:_COMM], check=False).code == 0

    def _runs(self, node: str, component: str) -> bool:
        return self._engine.execute(node, "pgrep", "-x", component[:_COMM], check=False).code == 0

    def _is_ready(self, node: str) -> bool:
        return self._ask(node, "/readyz") is not None

    def _ask(self, node: str, path: str) -> str | None:
        """The answer of a node's own API server; None without one."""
        words = ("kubectl", f"--kubeconfig={_ADMIN}", "--request-timeout=5s", "get", "--raw", path)
        done = self._engine.execute(node, *words, check=False)
        return done.stdout if done.code == 0 else None

    def _until_renewed(self, node: str) -> None:
        """A node object says *Ready* for most of a minute after its node was lost; the lease tells at once."""
        asked = self._control_planes()[0].name
        path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node}"

        def renewed() -> str:
            said = self._ask(asked, path)
            return str(json.loads(said)["spec"]["renewTime"]) if said else ""

        before = _wait.eventually(renewed, what=f"the lease of {node} can be read", timeout=_HEAL)
        _wait.eventually(
            renewed, what=f"{node} renews its lease", timeout=_HEAL, accept=lambda seen: bool(seen) and seen != before
        )

    def _until_gone(self, node: str, component: str, timeout: float) -> None:
        _wait.eventually(
            lambda: not self._runs(node, component),
            what=f"{component} on {node} is gone",
            timeout=timeout,
            describe=lambda _: "it still runs",
        )

    def _until_running(self, node: str, component: str, timeout: float) -> None:
        _wait.eventually(
            lambda: self._runs(node, component),
            what=f"{component} on {node} runs",
            timeout=timeout,
            describe=lambda _: "it does not run",
        )
