"""Where the programs of a cluster come from: looked up in one documented order.

1. the folder ``K8SHA_BIN_DIR``, 2. the folder ``KUBEBUILDER_ASSETS``, 3. ``PATH``, 4. the cache, 5. the official
download, 6. ``go build``. What a user names (1, 2) must work, or it is an error; elsewhere a program of another version
is passed over. What 5 and 6 make goes into the cache.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_k8sha import _process
from pytest_k8sha.errors import ProgramFailed, ProgramUnavailable
from pytest_k8sha.providers.local.commands import (
    APISERVER,
    CONTROLLER_MANAGER,
    ETCD,
    ETCDCTL,
    ETCDUTL,
    KWOK,
    PROGRAMS,
    SCHEDULER,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_k8sha.providers.base import Progress
    from pytest_k8sha.settings import Settings

ETCD_VERSION, KWOK_VERSION = "3.6.16", "0.7.0"
_KUBERNETES = frozenset({APISERVER, CONTROLLER_MANAGER, SCHEDULER})
_ETCD = frozenset({ETCD, ETCDCTL, ETCDUTL})
_LONGEST_WAIT = 3600.0
_NUMBER = re.compile(r"v?(\d+\.\d+\.\d+)")


@dataclass(frozen=True)
class Found:
    """A program, its version, and where it came from."""

    name: str
    path: Path
    version: str
    source: str
    notes: tuple[str, ...] = ()
    """Why places that come earlier in the order were passed over."""


@dataclass
class Finder:
    """Finds the programs for one Kubernetes version. ``exact``: the user asked for just this version."""

    settings: Settings
    kubernetes: str
    exact: bool = False
    progress: Progress = print
    notes: dict[str, list[str]] = field(default_factory=dict)

    def all(self) -> dict[str, Found]:
        """Every program, made where it is not there. Raises `ProgramUnavailable` and `ChecksumMismatch`."""
        return {name: self.get(name) for name in PROGRAMS}

    def get(self, name: str) -> Found:
        return self.look(name) or self._make(name)

    def look(self, name: str) -> Found | None:
        """The program if it is on this machine; nothing is downloaded or built."""
        self.notes[name] = []
        for path, source, named in self._places(name):
            version = self._version(path, name, strict=named)
            if version is None:
                continue
            if not self._fits(name, version, named=named):
                self.notes[name].append(f"{path} is {version}, not {self.wanted(name)}")
                continue
            return Found(name, path, version, source, tuple(self.notes[name]))
        return None

    def wanted(self, name: str) -> str:
        return {**dict.fromkeys(_ETCD, ETCD_VERSION), KWOK: KWOK_VERSION}.get(name, self.kubernetes)

    def cached(self, name: str) -> Path:
        """Where the cache keeps it."""
        family = "kubernetes" if name in _KUBERNETES else ETCD if name in _ETCD else name
        return self.settings.cache / "bin" / f"{family}-{self.wanted(name)}" / name

    def _places(self, name: str) -> Iterator[tuple[Path, str, bool]]:
        for variable, folder in (
            ("K8SHA_BIN_DIR", self.settings.bin_dir),
            ("KUBEBUILDER_ASSETS", self.settings.kubebuilder_assets),
        ):
            if folder is None:
                continue
            if not folder.is_dir():
                raise ProgramUnavailable(
                    f"{variable} is no folder", value=str(folder), remedy=f"correct {variable}, or unset it"
                )
            if (folder / name).exists():
                yield folder / name, variable, True
            else:
                self.notes[name].append(f"{variable} ({folder}) has none")
        on_path = shutil.which(name)
        if on_path:
            yield Path(on_path), "PATH", False
        if self.cached(name).exists():
            yield self.cached(name), "cache", False

    def _fits(self, name: str, version: str, *, named: bool) -> bool:
        """The folder that a user names counts as it is, unless just another version was asked for."""
        if name in _KUBERNETES:
            return version == self.kubernetes or (named and not self.exact)
        wanted, have = self.wanted(name).split("."), version.split(".")
        return have[:2] == wanted[:2] or (named and have[0] == wanted[0])

    def _version(self, path: Path, name: str, *, strict: bool) -> str | None:
        """The version that a program tells; remembered by size and date, since asking costs up to half a second."""
        stat = path.stat()
        stamp = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
        memory = self.settings.cache / "versions.json"
        known = _read(memory)
        if stamp in known:
            return known[stamp]
        problem = ""
        if not os.access(path, os.X_OK):
            problem = "is not executable"
        else:
            try:
                word = "version" if name in {ETCDCTL, ETCDUTL} else "--version"
                done = _process.run([path, word], timeout=30)
                match = _NUMBER.search(done.stdout + done.stderr)
                if match:
                    _remember(memory, stamp, match[1])
                    return match[1]
                problem = "does not tell its version"
            except (ProgramFailed, ProgramUnavailable) as error:
                problem = f"does not run ({error.problem})"
        if strict:
            raise ProgramUnavailable(
                f"{path} {problem}", remedy=f"replace it with {name} {self.wanted(name)}, or take the folder away"
            )
        self.notes[name].append(f"{path} {problem}")
        return None

    def _make(self, name: str) -> Found:
        """Downloads or builds a program into the cache. One process at a time does this for one cache."""
        from filelock import FileLock, Timeout

        target = self.cached(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(f"{name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self.progress(f"waiting for another process that gets {name}")
            lock.acquire(timeout=_LONGEST_WAIT)
        with lock:
            lock.release()  # the with statement has taken it once more
            found = self.look(name)  # another process may have made it meanwhile
            if found:
                return found
            source = self._download(name, target) or self._build(name, target)
        if source is None:
            raise ProgramUnavailable(
                f"{name} {self.wanted(name)} was found nowhere: {'; '.join(self.notes[name])}",
                remedy="name a folder that has it in K8SHA_BIN_DIR, a mirror in K8SHA_MIRROR, or install Go",
            )
        return Found(name, target, self._version(target, name, strict=True) or "", source, tuple(self.notes[name]))

    def _download(self, name: str, target: Path) -> str | None:
        from pytest_k8sha.providers.local import download

        release = download.release_of(name, self.wanted(name))
        if release is None:
            self.notes[name].append("no official download for this platform")
            return None
        release = release.at(self.settings.mirror)
        try:
            download.fetch(release, target, self.progress)
        except download.Unreachable as error:
            self.notes[name].append(error.problem)
            return None
        return "download" if not self.settings.mirror else "mirror"

    def _build(self, name: str, target: Path) -> str | None:
        from pytest_k8sha.providers.local import build

        tool = build.go()
        if tool is None:
            self.notes[name].append("no go to build it with")
            return None
        build.Builder(tool, self.settings.cache / "src", self.progress).build(name, self.wanted(name), target)
        return "go build"


@dataclass(frozen=True)
class EtcdTools:
    """``etcd``, ``etcdctl`` and ``etcdutl`` that fit one Kubernetes version; got when first asked for."""

    settings: Settings
    kubernetes: str

    def program(self, name: str) -> Path:
        """Raises `ProgramUnavailable`."""
        return self._found(name).path

    def version(self, name: str) -> tuple[int, ...]:
        return tuple(int(part) for part in self._found(name).version.split("."))

    def _found(self, name: str) -> Found:
        return Finder(self.settings, self.kubernetes, progress=lambda _: None).get(name)


def _read(memory: Path) -> dict[str, str]:
    try:
        known: dict[str, str] = json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}
    return known


def _remember(memory: Path, stamp: str, version: str) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    part = memory.with_suffix(f".{os.getpid()}.part")
    # Two processes may overwrite each other's memory; what is lost is asked again.
    part.write_text(json.dumps({**_read(memory), stamp: version}))
    part.replace(memory)
