"""Building the programs with ``go build`` from Go modules, where a download is not to be had.

``k8s.io/kubernetes`` replaces its staging modules by folders, which only the main module may do; so a module of ours
requires it and names the same modules by their versions. The flags make the result independent of where it was built.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_k8sha import _clock, _process
from pytest_k8sha.errors import ProgramUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_k8sha.providers.base import Progress

_STAGING = re.compile(r"^\s+(k8s\.io/[a-z-]+) => \./staging", re.MULTILINE)
_GO_LINE = re.compile(r"^go (\S+)", re.MULTILINE)
_BUILD_TIMEOUT = 3600.0
_FETCH_TIMEOUT = 1200.0
_KUBERNETES_COMMANDS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
_STAMP = "k8s.io/component-base/version"


def go() -> Path | None:
    """The Go tool, if there is one."""
    found = shutil.which("go")
    return Path(found) if found else None


class Builder:
    """Builds programs; ``folder`` keeps the modules that name their sources."""

    def __init__(self, tool: Path, folder: Path, progress: Progress) -> None:
        self._go, self._folder, self._progress = tool, folder, progress
        self._env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-trimpath -buildvcs=false"}

    def build(self, name: str, version: str, target: Path) -> None:
        """Puts the program at ``target`` in one step. Raises `ProgramFailed` with the compiler's last words."""
        clock = _clock.Deadline(_BUILD_TIMEOUT)
        self._progress(f"building {name} {version} from source; this takes minutes the first time")
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{name}.{os.getpid()}.part")
        try:
            if name in _KUBERNETES_COMMANDS:
                self._kubernetes(name, version, part)
            elif name == "etcd":
                self._plain(part, "go.etcd.io/etcd/server/v3", version, package="go.etcd.io/etcd/server/v3")
            elif name in {"etcdctl", "etcdutl"}:
                self._plain(part, f"go.etcd.io/etcd/{name}/v3", version, package=f"go.etcd.io/etcd/{name}/v3")
            elif name == "kwok":
                self._plain(part, "sigs.k8s.io/kwok", version, package="sigs.k8s.io/kwok/cmd/kwok")
            else:
                raise ProgramUnavailable("no way to build this program is known", value=name)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        self._progress(f"{name} {version} built in {clock.spent:.0f} s")

    def _kubernetes(self, name: str, version: str, part: Path) -> None:
        module = self._folder / f"kubernetes-{version}"
        if not (module / "done").exists():
            self._fresh(module)
            self._progress(f"fetching the modules of Kubernetes {version}")
            source = self._download(f"k8s.io/kubernetes@v{version}").read_text()
            staging = [match[1] for match in _STAGING.finditer(source)]
            lines = [f"\t{path} => {path} v0.{version.removeprefix('1.')}" for path in staging]
            language = _GO_LINE.search(source)
            head = f"module k8sha/kubernetes\n\ngo {language[1] if language else '1.24'}\n"
            requirement = f"\nrequire k8s.io/kubernetes v{version}\n\nreplace (\n" + "\n".join(lines) + "\n)\n"
            (module / "go.mod").write_text(head + requirement)
            imports = "".join(f'\t_ "k8s.io/kubernetes/cmd/{command}"\n' for command in _KUBERNETES_COMMANDS)
            (module / "tools.go").write_text(f"//go:build tools\n\npackage tools\n\nimport (\n{imports})\n")
            self._run(module, ["mod", "tidy"], _FETCH_TIMEOUT)
            (module / "done").touch()
        minor = version.split(".")[1]
        stamps = {
            "gitVersion": f"v{version}",
            "gitMajor": "1",
            "gitMinor": minor,
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
        }
        flags = "-s -w " + " ".join(f"-X {_STAMP}.{key}={value}" for key, value in stamps.items())
        package = f"k8s.io/kubernetes/cmd/{name}"
        self._run(module, ["build", "-ldflags", flags, "-o", str(part), package], _BUILD_TIMEOUT)

    def _plain(self, part: Path, requirement: str, version: str, *, package: str) -> None:
        """A program whose own module replaces nothing."""
        module = self._folder / f"{part.name.split('.')[0]}-{version}"
        if not (module / "done").exists():
            self._fresh(module)
            (module / "go.mod").write_text("module k8sha/program\n\ngo 1.24\n")
            self._run(module, ["get", f"{requirement}@v{version}"], _FETCH_TIMEOUT)
            self._run(module, ["get", f"{package}@v{version}"], _FETCH_TIMEOUT)
            (module / "done").touch()
        self._run(module, ["build", "-ldflags", "-s -w", "-o", str(part), package], _BUILD_TIMEOUT)

    @staticmethod
    def _fresh(module: Path) -> None:
        shutil.rmtree(module, ignore_errors=True)
        module.mkdir(parents=True)

    def _download(self, module: str) -> Path:
        """The ``go.mod`` of a module at a version."""
        import json

        done = _process.run([self._go, "mod", "download", "-json", module], timeout=_FETCH_TIMEOUT, env=self._env)
        answer: Mapping[str, str] = json.loads(done.stdout)
        return Path(answer["GoMod"])

    def _run(self, module: Path, words: list[str], timeout: float) -> None:
        _process.run([self._go, *words], timeout=timeout, env=self._env, cwd=module)
