"""What runs inside a node container: its kubelet, and the containers of its pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha import _wait
from pytest_k8sha.errors import EnvironmentFailure

if TYPE_CHECKING:
    from pytest_k8sha.providers.kind.engine import Engine

_CTR = ("ctr", "--namespace=k8s.io")
"""The namespace of containerd that the kubelet's containers live in."""

_UNIT = "kubelet"
_DEADLINE = 90.0


class Inside:
    """The inside of the nodes of one engine. A container is named by its id, as a pod's status tells it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def stop_kubelet(self, node: str) -> None:
        """Ends the kubelet and keeps it down; the containers go on. Idempotent."""
        self._engine.execute(node, "systemctl", "stop", _UNIT)

    def start_kubelet(self, node: str) -> None:
        """Idempotent. Raises `WaitTimeout` when it does not come up; a node that boots is given its time."""

        def active() -> bool:
            self._engine.execute(node, "systemctl", "start", "--no-block", _UNIT, check=False)
            return self._engine.execute(node, "systemctl", "is-active", "--quiet", _UNIT, check=False).code == 0

        _wait.eventually(active, what=f"the kubelet on {node} is active", timeout=_DEADLINE, interval=0.3)

    def kill(self, node: str, container: str) -> None:
        """SIGKILL to every process of a container; its kubelet makes another one. Raises `ProgramFailed` when it does
        not run."""
        self._engine.execute(node, *_CTR, "tasks", "kill", "--signal", "SIGKILL", "--all", plain(container))

    def freeze(self, node: str, container: str) -> None:
        """SIGSTOP to every process of a container: it holds its connections and answers nothing.

        Not the freezer of the control group, in which a kubelet could not kill it either.
        Raises `EnvironmentFailure` when there is nothing to freeze.
        """
        if not self._signal(node, container, "STOP"):
            raise EnvironmentFailure(f"no process of the container {container} runs on {node}")

    def thaw(self, node: str, container: str) -> None:
        """Nothing happens when the container is gone."""
        self._signal(node, container, "CONT")

    def is_frozen(self, node: str, container: str) -> bool:
        """Whether the container has processes, and all of them are stopped."""
        pids = self._pids(node, container)
        if not pids:
            return False
        states = self._engine.execute(node, "ps", "-o", "stat=", "-p", ",".join(pids), check=False).stdout.split()
        return bool(states) and all(state.startswith("T") for state in states)

    def thaw_all(self, node: str) -> None:
        """Every stopped process of the node goes on; the others do not notice."""
        self._engine.execute(node, "bash", "-c", "kill -CONT -1", check=False)

    def _signal(self, node: str, container: str, name: str) -> bool:
        pids = self._pids(node, container)
        return bool(pids) and self._engine.execute(node, "kill", f"-{name}", *pids, check=False).code == 0

    def _pids(self, node: str, container: str) -> list[str]:
        """The container's processes, by their numbers in the node; empty when it does not run."""
        said = self._engine.execute(node, *_CTR, "tasks", "ps", plain(container), check=False)
        return [line.split()[0] for line in said.stdout.splitlines() if line[:1].isdigit()]


def plain(container: str) -> str:
    """The id alone, of what a pod's status says (``containerd://ID``)."""
    return container.rpartition("//")[2]
