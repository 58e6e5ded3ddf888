"""The container engine under kind: Docker, Podman or nerdctl, asked and told through its command."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock, _process
from pytest_k8sha.errors import EnvironmentFailure, K8shaError, ProgramFailed, ProgramUnavailable
from pytest_k8sha.providers.kind import freezer

if TYPE_CHECKING:
    from collections.abc import Sequence

ENGINES = ("docker", "podman", "nerdctl")
"""In the order in which kind itself prefers them."""

CHOICE = "KIND_EXPERIMENTAL_PROVIDER"
"""The environment variable by which kind is told its engine."""

CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ROLE_LABEL = "io.x-k8s.kind.role"
CONTROL_PLANE = "control-plane"

_ID = re.compile("[0-9a-f]{64}")
_ANSWER = 20.0
"""Seconds for a question to the engine."""
_ACT = 60.0
"""Seconds for an order to it."""
_SETTLE = 1.0
"""Seconds after which a container, whose maker was killed, would have appeared."""


@dataclass(frozen=True)
class NodeContainer:
    """A node as its engine sees it. ``state`` is the engine's word, such as ``running``, ``exited``, ``paused``."""

    name: str
    state: str
    role: str

    @property
    def running(self) -> bool:
        return self.state == "running"


class Engine:
    """One engine, by its command."""

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def find(cls, wanted: str = "") -> Engine:
        """The wanted engine; else the one that kind was told to use; else the first that answers.

        Raises `EnvironmentFailure` with what each of them said.
        """
        chosen = wanted or os.environ.get(CHOICE, "")
        said = []
        for name in [chosen] if chosen else ENGINES:
            problem = cls(name).problem()
            if not problem:
                return cls(name)
            said.append(f"{name}: {problem}")
        raise EnvironmentFailure(
            f"no container engine answers ({'; '.join(said)})",
            remedy="install Docker or Podman, start it, and see that this user may use it (`docker info`)",
        )

    def problem(self) -> str:
        """Why it cannot be used; empty when it answers."""
        if not shutil.which(self.name):
            return "no such command on PATH"
        try:
            self.run("version", timeout=_ANSWER)
        except K8shaError as error:
            return str(error).splitlines()[-1]
        return ""

    @property
    def environment(self) -> dict[str, str]:
        """With which kind uses this engine and no other."""
        return {**os.environ, CHOICE: self.name}

    def run(
        self, *words: str, timeout: float = _ACT, stdin: bytes | None = None, check: bool = True
    ) -> _process.Completed:
        return _process.run([self.name, *words], timeout=timeout, stdin=stdin, check=check)

    @cached_property
    def info(self) -> dict[str, Any]:
        """What the engine says of itself."""
        answer: dict[str, Any] = json.loads(self.run("info", "--format", "{{json .}}", timeout=_ANSWER).stdout)
        return answer

    # --- nodes ---------------------------------------------------------------------------------------------------

    def nodes(self, cluster: str) -> list[NodeContainer]:
        """The node containers of a kind cluster in the order of their names, those that are stopped included."""
        names = self.names(cluster)
        if not names:
            return []
        found = []
        for item in json.loads(self.run("container", "inspect", *names, timeout=_ANSWER).stdout):
            labels = item["Config"].get("Labels") or {}
            state = str(item["State"].get("Status", "")).lower()
            found.append(NodeContainer(item["Name"].lstrip("/"), state, labels.get(ROLE_LABEL, "")))
        return sorted(found, key=lambda node: node.name)

    def clusters(self) -> set[str]:
        """The names of the kind clusters that have a container here."""
        form = '{{index .Labels "%s"}}' if self.name == "podman" else '{{.Label "%s"}}'
        words = ("ps", "-a", "--filter", f"label={CLUSTER_LABEL}", "--format", form % CLUSTER_LABEL)
        return set(self.run(*words, timeout=_ANSWER).stdout.split())

    def ports(self, node: str) -> dict[str, Any]:
        """The addresses of a node container in its networks, and where each of its ports is published."""
        item = json.loads(self.run("container", "inspect", node, timeout=_ANSWER).stdout)[0]["NetworkSettings"]
        networks = (item.get("Networks") or {}).values()
        addresses = [network.get(key) for network in networks for key in ("IPAddress", "GlobalIPv6Address")]
        return {"addresses": [a for a in addresses if a], "published": item.get("Ports") or {}}

    def execute(
        self, node: str, *command: str, timeout: float = _ACT, stdin: bytes | None = None, check: bool = True
    ) -> _process.Completed:
        """Runs a command in a node container, no shell between."""
        flags = ["-i"] if stdin is not None else []
        return self.run("exec", *flags, node, *command, timeout=timeout, stdin=stdin, check=check)

    def remove(self, cluster: str, *, settle: bool = False) -> list[str]:
        """Removes the node containers of a cluster with their volumes; returns the names of those that were there.

        With ``settle`` it looks once more a moment later, for what a killed `kind create` may still have ordered.
        Raises `EnvironmentFailure` when one remains.
        """
        gone: list[str] = []
        for attempt in range(3):
            if attempt and settle:
                _clock.pause(_SETTLE)
            names = self.names(cluster)
            if not names and (attempt or not settle):
                break
            if names:
                if attempt:
                    self._thaw(names)
                gone += names
                self.run("rm", "-f", "-v", *names, check=False)
        remaining = self.names(cluster)
        if remaining:
            raise EnvironmentFailure(
                f"containers of the kind cluster {cluster} cannot be removed: {', '.join(remaining)}",
                remedy=f"{self.name} rm -f -v {' '.join(remaining)}",
            )
        volumes = self.run("volume", "ls", "-q", "--filter", f"label={CLUSTER_LABEL}={cluster}", timeout=_ANSWER)
        if volumes.stdout.split():
            self.run("volume", "rm", *volumes.stdout.split(), check=False)
        return list(dict.fromkeys(gone))

    def _thaw(self, names: Sequence[str]) -> None:
        """Lets processes of these containers end that a killed runtime has left frozen."""
        seen = self.run("container", "inspect", "--format", "{{.Id}}", *names, timeout=_ANSWER, check=False)
        for container in seen.stdout.split():
            if _ID.fullmatch(container):
                freezer.thaw(container)

    def names(self, cluster: str) -> list[str]:
        """The names of a cluster's containers, those that are stopped included."""
        words = ("ps", "-a", "--filter", f"label={CLUSTER_LABEL}={cluster}", "--format", "{{.Names}}")
        return self.run(*words, timeout=_ANSWER).stdout.split()

    # --- images --------------------------------------------------------------------------------------------------

    def has_image(self, image: str) -> bool:
        return self.run("image", "inspect", image, timeout=_ANSWER, check=False).code == 0

    def pull(self, image: str, *, timeout: float) -> str:
        """Why the image could not be pulled; empty when it was."""
        try:
            self.run("pull", "-q", image, timeout=timeout)
        except (ProgramFailed, ProgramUnavailable) as error:
            return (str(error).strip().splitlines() or ["no reason was given"])[-1]
        return ""
