"""The logs of a kind cluster, in its folder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from pytest_k8sha import _clock

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_k8sha.providers.kind.command import Kind

_FRESH = 10.0
"""Seconds for which an export is not done again."""
_TAIL = 2000
_TELLING = ("control-plane/kubelet", "control-plane/serial", "control-plane/containerd")
"""The logs whose ends say most of a start that failed."""


class Logs:
    """``logs/kind-create.log``, and ``logs/nodes/``: what `kind export logs` collects."""

    def __init__(self, place: Path, cluster: str) -> None:
        self._folder = place / "logs"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._nodes = self._folder / "nodes"
        self._problem = self._folder / "export-problem.log"
        self._cluster = cluster

    @property
    def created(self) -> Path:
        """What `kind create` said."""
        return self._folder / "kind-create.log"

    def export(self, kind: Kind, *, timeout: float) -> None:
        """Fetches the nodes' logs again, unless it was just done. What could not be had is told in a log of its own."""
        if self._nodes.exists() and _clock.epoch() - self._nodes.stat().st_mtime < _FRESH:
            return
        shutil.rmtree(self._nodes, ignore_errors=True)
        self._problem.unlink(missing_ok=True)
        problem = kind.export_logs(self._cluster, self._nodes, timeout=timeout)
        if problem:
            self._problem.write_text(problem)

    def files(self) -> dict[str, Path]:
        """The log files by a short name: ``kind-create``, ``control-plane/kubelet``, ``worker/pods/…``."""
        found = {path.stem: path for path in sorted(self._folder.glob("*.log"))}
        for path in sorted(self._nodes.rglob("*")):
            inner = path.relative_to(self._nodes)
            # `containers/` holds links to what lies in `pods/`.
            if path.is_file() and not path.is_symlink() and "containers" not in inner.parts:
                short = str(inner.with_suffix("")).removeprefix(f"{self._cluster}-")
                found[short] = path
        return found

    def tails(self) -> dict[Path, str]:
        """The ends of what tells most when a start failed."""
        files = self.files()
        wanted = [files[name] for name in ("kind-create", *_TELLING, "export-problem") if name in files]
        texts = {path: path.read_bytes()[-_TAIL:].decode("utf-8", "replace").strip() for path in wanted}
        return {path: text for path, text in texts.items() if text}
