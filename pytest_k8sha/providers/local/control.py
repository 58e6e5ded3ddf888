"""Orders to the supervisor of a cluster, and the faults that they make."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _wait
from pytest_k8sha.errors import EnvironmentFailure, NotEvaluated, UsageError
from pytest_k8sha.model import Impact
from pytest_k8sha.providers.local import commands, layout, storage

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_k8sha.kube.etcd import Etcd
    from pytest_k8sha.providers.local.layout import Layout
    from pytest_k8sha.providers.local.nodes import Nodes

_ORDER_TIMEOUT = 30.0
_HEAL = 90.0


class SupervisorGone(EnvironmentFailure):
    """Nobody takes orders for this cluster. Worth another try while it starts."""

    retryable = True


class Control:
    """Speaks to the supervisor of the cluster in ``place``."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def order(self, op: str, *, timeout: float = _ORDER_TIMEOUT, **more: Any) -> dict[str, Any]:
        """Gives one order and returns the cluster's status afterwards (see `supervisor`).

        Raises `SupervisorGone` when there is no supervisor, `UsageError` when it refuses the order.
        """
        text = json.dumps({"op": op, **more}).encode() + b"\n"
        try:
            with (
                layout.socket_address(self.place) as address,
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link,
            ):
                link.settimeout(timeout)
                link.connect(address)
                link.sendall(text)
                with link.makefile("rb") as answers:
                    line = answers.readline()
        except OSError as error:
            raise SupervisorGone(f"the supervisor of {self.place.name} does not answer ({error})") from error
        if not line:
            raise SupervisorGone(f"the supervisor of {self.place.name} ended without an answer")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UsageError(answer["error"])
        return answer


class LocalFaults:
    """The faults of a local cluster (see `pytest_k8sha.providers.base.Faults`)."""

    def __init__(self, control: Control, nodes: Nodes, plan: Layout) -> None:
        self._control, self._nodes, self._layout = control, nodes, plan
        self._hosts = tuple(plan.hostname(member) for member in plan.members)

    def cut(self, component: str, member: int = 0) -> None:
        self._order("cut", component, member)

    def delay(self, component: str, member: int, seconds: float) -> None:
        self._order("delay", component, member, seconds=seconds)

    def mend(self, component: str, member: int = 0) -> None:
        self._order("mend", component, member)

    def certify(self, component: str, member: int, seconds: float) -> None:
        from datetime import timedelta

        from pytest_k8sha.providers.local import certs

        if component not in certs.SERVING or member not in range(len(self._hosts)):
            raise UsageError("no such serving certificate", value=f"{component}-{member}", allowed=certs.SERVING)
        advertised = tuple(one.advertised for one in self._layout.members)
        certs.certify(self._layout.pki, component, member, advertised, timedelta(seconds=seconds))

    def fill(self, component: str, member: int = 0) -> None:
        from pytest_k8sha.kube import filling

        filling.fill(self._etcd(component), member)

    def relieve(self, component: str, member: int = 0) -> None:
        from pytest_k8sha.kube import filling

        filling.empty(self._etcd(component), member)

    def member_of(self, identity: str) -> int | None:
        host = identity.rpartition("_")[0]
        if host in self._hosts:
            return self._hosts.index(host)
        # Where the system gives programs no host name of their own, one member is still one member.
        return 0 if len(self._hosts) == 1 else None

    def stop_heartbeat(self, node: str) -> None:
        self._nodes.heartbeat(node, on=False)

    def resume_heartbeat(self, node: str) -> None:
        self._nodes.heartbeat(node, on=True)

    def stop_kubelet(self, node: str) -> None:
        """As a node without heartbeat: a simulated node has no containers that could go on."""
        self.stop_heartbeat(node)

    def start_kubelet(self, node: str) -> None:
        self.resume_heartbeat(node)

    def kill_container(self, node: str, container: str) -> None:
        raise NotEvaluated(f"the simulated node {node} runs no container {container}")

    def freeze_container(self, node: str, container: str) -> None:
        raise NotEvaluated(f"the simulated node {node} runs no container {container}")

    def is_frozen(self, node: str, container: str) -> bool:  # noqa: ARG002 - part of the Protocol
        return False

    def thaw_container(self, node: str, container: str) -> None:
        """Nothing was frozen."""

    def stop(self, component: str, member: int = 0) -> None:
        self._order("stop", component, member)

    def kill(self, component: str, member: int = 0) -> None:
        self._order("kill", component, member)

    def start(self, component: str, member: int = 0) -> None:
        self._order("start", component, member)

    def freeze(self, component: str, member: int = 0) -> None:
        self._order("freeze", component, member)

    def thaw(self, component: str, member: int = 0) -> None:
        self._order("thaw", component, member)

    def running(self, component: str) -> tuple[int, ...]:
        programs = self._control.order("status")["programs"]
        return tuple(p["member"] for p in programs if p["component"] == component and p["state"] == "running")

    def instance(self, component: str, member: int = 0) -> str:
        for one in self._control.order("status")["programs"]:
            if (one["component"], one["member"]) == (component, member):
                return f"{one['pid']} since {one['created']}" if one["pid"] else ""
        return ""

    def heal(self) -> None:
        storage.undo(self._control.place / "data", self._control)
        from pytest_k8sha.providers.local import certs

        advertised = tuple(one.advertised for one in self._layout.members)
        for component in certs.SERVING:
            for member in range(len(self._hosts)):
                if certs.is_short(self._layout.pki, component, member):
                    certs.certify(self._layout.pki, component, member, advertised)
        self._control.order("heal")
        _wait.eventually(
            lambda: self._control.order("status"),
            what="every API server is ready",
            timeout=_HEAL,
            accept=lambda status: len(status["serving"]) == status["served"],
            describe=lambda status: f"{len(status['serving'])} of {status['served']}",
        )
        from pytest_k8sha.kube import filling

        etcd = self._etcd(commands.ETCD)
        if filling.raised(etcd):
            filling.empty(etcd)
        self._nodes.resume_all()

    def _etcd(self, component: str) -> Etcd:
        from pytest_k8sha.kube.etcd import Etcd

        if component != commands.ETCD:
            raise UsageError("only etcd can be filled", value=component, allowed=[commands.ETCD])
        return Etcd(self._layout.etcd_access, Impact.DISRUPT)

    def _order(self, op: str, component: str, member: int, **more: float) -> None:
        if component not in commands.PROGRAMS:
            raise UsageError("unknown component", value=component, allowed=commands.PROGRAMS)
        self._control.order(op, component=component, member=member, **more)
