"""What this machine must have for kind, looked at all at once."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

from pytest_k8sha.errors import EnvironmentFailure, K8shaError
from pytest_k8sha.providers.kind import command
from pytest_k8sha.providers.kind.engine import Engine

INOTIFY = {"max_user_watches": 524288, "max_user_instances": 512}
"""What several clusters need (https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files)."""

DISK_BYTES = 3 * 1024**3
"""A node image unpacked, and what two nodes write."""

_INOTIFY_FOLDER = Path("/proc/sys/fs/inotify")


class Need(NamedTuple):
    """One thing that was looked at. Only a ``needed`` one that is not ``ok`` stands in the way of every cluster."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = True


def preflight(engine: str = "") -> list[Need]:
    """Everything that kind wants of this machine; changes nothing. ``engine`` is the engine that must be used."""
    found = [_command()]
    try:
        chosen = Engine.find(engine)
    except K8shaError as error:
        return [*found, Need("container engine", False, error.problem, error.remedy or ""), *_inotify()]  # noqa: FBT003
    found.append(Need("container engine", True, f"{chosen.name} answers"))  # noqa: FBT003
    try:
        info = chosen.info
    except (K8shaError, ValueError) as error:
        return [*found, *_inotify(), Need("engine's facts", False, str(error), "see `docker info`", needed=False)]  # noqa: FBT003
    store = info.get("store") or {}
    root = info.get("DockerRootDir") or store.get("graphRoot") or ""
    version = str(info.get("CgroupVersion") or (info.get("host") or {}).get("cgroupVersion") or "").removeprefix("v")
    return [*found, *_rootless(info, version), *_disk(root), *_inotify(), *_cgroup(version)]


def demand(engine: str = "") -> list[Need]:
    """Raises `EnvironmentFailure` with everything that is missing; returns what may become a problem."""
    needs = preflight(engine)
    missing = [need for need in needs if need.needed and not need.ok]
    if missing:
        raise EnvironmentFailure(
            "kind cannot be used here: " + "; ".join(f"{need.what}: {need.detail}" for need in missing),
            remedy="; ".join(need.remedy for need in missing),
        )
    return [need for need in needs if not need.ok]


def _command() -> Need:
    path = command.find()
    if path is None:
        return Need("kind", False, "not on PATH", command.REMEDY)  # noqa: FBT003
    try:
        return Need("kind", True, f"{command.version(path)} ({path})")  # noqa: FBT003
    except K8shaError as error:
        return Need("kind", False, str(error), command.REMEDY)  # noqa: FBT003


def _rootless(info: dict[str, Any], cgroup: str) -> list[Need]:
    """An engine without root's rights, as Docker (``SecurityOptions``) and Podman (``host.security``) tell it. kind
    wants cgroup v2 of one, with its controllers delegated to the user (https://kind.sigs.k8s.io/docs/user/rootless/)."""
    docker = any("rootless" in str(option) for option in info.get("SecurityOptions") or [])
    podman = bool(((info.get("host") or {}).get("security") or {}).get("rootless"))
    if not (docker or podman):
        return []
    remedy = "boot with cgroup v2 and delegate cpu, memory, pids and io to the user, or use an engine that runs as root"
    return [Need("rootless engine", cgroup != "1", f"cgroup v{cgroup or '?'}", remedy)]


def _disk(root: str) -> list[Need]:
    """The engine's own disk, where it is one of this machine."""
    if not root or not Path(root).exists():
        return []
    free = shutil.disk_usage(root).free
    return [
        Need("disk", free >= DISK_BYTES, f"{free // 2**20} MiB free in {root}", f"{DISK_BYTES // 2**20} MiB wanted")
    ]


def _inotify(folder: Path = _INOTIFY_FOLDER) -> list[Need]:
    """Below these limits the first cluster usually starts, and the second or fourth does not."""
    found = []
    for name, wanted in INOTIFY.items() if sys.platform.startswith("linux") else ():
        try:
            value = int((folder / name).read_text())
        except (OSError, ValueError):
            continue
        remedy = f"sysctl -w fs.inotify.{name}={wanted}"
        found.append(Need(f"fs.inotify.{name}", value >= wanted, str(value), remedy, needed=False))
    return found


def _cgroup(version: str) -> list[Need]:
    if not version:
        return []
    remedy = "use cgroup v2, or a node image whose kubelet is told failCgroupV1: false (Kubernetes 1.35 and later)"
    return [Need("cgroup version", version != "1", version, remedy, needed=False)]
