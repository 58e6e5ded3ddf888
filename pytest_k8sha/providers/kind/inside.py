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
_DEADLINE = 30.0


class Inside:
    """The inside of the nodes of one engine. A container is named by its id, as a pod's status tells it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def stop_kubelet(self, node: str) -> None:
        """Ends the kubelet and keeps it down; the containers go on. Idempotent."""
        self._engine.execute(node, "systemctl", "stop", _UNIT)

    def start_kubelet(self, node: str) -> None:
        """Idempotent. Raises `WaitTimeout` when it does not come up."""
        self._engine.execute(node, "systemctl", "start", "--no-block", _UNIT)
        _wait.eventually(
            lambda: self._engine.execute(node, "systemctl", "is-active", "--quiet", _UNIT, check=False).code == 0,
            what=f"the kubelet on {node} is active",
            timeout=_DEADLINE,
        )

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

    def thaw_all(self, node: str) -> None:
        """Every stopped process of the node goes on; the others do not notice."""
        self._engine.execute(node, "bash", "-c", "kill -CONT -1", check=False)

    def _signal(self, node: str, container: str, name: str) -> bool:
        said = self._engine.execute(node, *_CTR, "tasks", "ps", plain(container), check=False)
        pids = [line.split()[0] for line in said.stdout.splitlines() if line.split()[:1] and line.split()[0].isdigit()]
        return bool(pids) and self._engine.execute(node, "kill", f"-{name}", *pids, check=False).code == 0


def plain(container: str) -> str:
    """The id alone, of what a pod's status says (``containerd://ID``)."""
    return container.rpartition("//")[2]
