"""The `kind` command, found on PATH: one call a function, each with a deadline."""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_k8sha import _process
from pytest_k8sha.errors import ProgramFailed, ProgramUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.providers.kind.engine import Engine

KIND = "kind"
REMEDY = "install kind (https://kind.sigs.k8s.io/docs/user/quick-start/#installation) so that it is on PATH"

_ANSWER = 30.0
_DELETE = 90.0
_LOAD = 300.0
_GRACE = 5.0
_TAIL = 4000


class Interrupted(ProgramFailed):
    """A Ctrl-C ended the command; its logs would tell nothing."""


def find() -> Path | None:
    """Where the command is; None when it is not on PATH."""
    path = shutil.which(KIND)
    return Path(path) if path else None


def version(path: Path) -> str:
    return _process.run([path, "version"], timeout=_ANSWER).stdout.strip()


class Kind:
    """The command with one engine. Every call names its kubeconfig: the user's own is never read, locked or changed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def create(self, cluster: str, *, kubeconfig: Path, config: Path, image: str, log: Path, timeout: float) -> None:
        """Makes a cluster, and keeps what there is of it when that fails, so that its logs can be read.

        It dies with the calling thread, so that nothing goes on being made after this process was killed.
        Raises `ProgramFailed` with the end of what it said.
        """
        words: list[str | Path] = ["create", "cluster", "--name", cluster, "--kubeconfig", kubeconfig]
        words += ["--config", config, "--retain", "--wait", f"{timeout:.0f}s"]
        words += ["--image", image] if image else []
        before = log.stat().st_size if log.exists() else 0
        program = _process.start(
            [self._path(), *words], log=log, env=self.engine.environment, cwd=log.parent, die_with_parent=True
        )
        try:
            code = program.wait(timeout)
        finally:
            program.end(_GRACE)
        if code == -signal.SIGINT:
            raise Interrupted("kind create cluster was interrupted")
        if code != 0:
            said = log.read_bytes()[before:].decode("utf-8", "replace").strip()[-_TAIL:]
            how = f"did not end within {timeout:.0f} s" if code is None else f"ended with {code}"
            raise ProgramFailed(f"kind create cluster {how}: {said}")

    def delete(self, cluster: str, *, kubeconfig: Path) -> None:
        self._run(["delete", "cluster", "--name", cluster, "--kubeconfig", kubeconfig], timeout=_DELETE)

    def kubeconfig(self, cluster: str) -> str:
        """The text of a cluster's kubeconfig."""
        return self._run(["get", "kubeconfig", "--name", cluster], timeout=_ANSWER).stdout

    def export_logs(self, cluster: str, folder: Path, *, timeout: float) -> str:
        """Collects the nodes' logs below ``folder``; returns what was wrong with that, for it may be done in part."""
        try:
            self._run(["export", "logs", folder, "--name", cluster], timeout=timeout)
        except ProgramFailed as error:
            return str(error)
        return ""

    def load(self, cluster: str, image: str, nodes: Sequence[str]) -> None:
        """Copies an image of the engine to the nodes."""
        where: list[str | Path] = ["--name", cluster, "--nodes", ",".join(nodes)]
        if self.engine.name == "docker":
            self._run(["load", "docker-image", image, *where], timeout=_LOAD)
            return
        # `kind load docker-image` asks Docker, whatever engine kind was told to use.
        with tempfile.TemporaryDirectory(prefix="k8sha-") as folder:
            archive = Path(folder) / "image.tar"
            self.engine.run("save", "-o", str(archive), image, timeout=_LOAD)
            self._run(["load", "image-archive", archive, *where], timeout=_LOAD)

    def _run(self, words: Sequence[str | Path], *, timeout: float) -> _process.Completed:
        return _process.run([self._path(), *words], timeout=timeout, env=self.engine.environment)

    @staticmethod
    def _path() -> Path:
        path = find()
        if path is None:
            raise ProgramUnavailable("the kind command is not on PATH", remedy=REMEDY)
        return path
