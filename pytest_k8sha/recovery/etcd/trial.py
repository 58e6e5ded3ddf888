"""The trial restore: a snapshot restored into a member of its own beside the cluster, and read there."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_k8sha import _process
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import EnvironmentFailure, K8shaError, ProgramFailed
from pytest_k8sha.recovery.etcd.gateway import Gateway, MemberGone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_k8sha.providers.base import Tools

BUMP = 1_000_000_000
"""Revisions that a restore skips: a cluster that makes 1,500 changes a second needs a week for so many
(https://etcd.io/docs/v3.6/op-guide/recovery/#restoring-with-revision-bump)."""

_BUMPS_SINCE = (3, 5, 10)
_TIMEOUT = 300.0
_START = 60.0
_GRACE = 5.0


class Unrestorable(K8shaError):
    """etcd's own program refuses to restore a snapshot: what it is worth is known, and that is nothing."""


def restore(tools: Tools, snapshot: Path, target: Path, *, membership: Sequence[str] = (), bump: int = BUMP) -> None:
    """Makes the data folder of a new member from a snapshot; of a cluster of its own without ``membership``.

    ``target`` must not exist. Raises `Unrestorable` with the words of ``etcdutl``, and `EnvironmentFailure` where that
    program is too old to skip revisions.
    """
    words: list[str | Path] = [tools.program("etcdutl"), "snapshot", "restore", snapshot, "--data-dir", target]
    words += membership
    if bump:
        version = tools.version("etcdutl")
        if version < _BUMPS_SINCE:
            raise EnvironmentFailure(
                "this etcdutl cannot skip revisions, so watches would be left behind without a word",
                value=".".join(map(str, version)),
                remedy="use etcdutl 3.5.10 or newer",
            )
        words += ["--bump-revision", str(bump), "--mark-compacted"]
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        _process.run(words, timeout=_TIMEOUT)
    except ProgramFailed as error:
        shutil.rmtree(target, ignore_errors=True)
        said = str(error).strip().splitlines()[-1]
        raise Unrestorable(f"etcdutl refuses to restore {snapshot.name}: {said[-400:]}") from error


@contextmanager
def member(tools: Tools, data: Path) -> Iterator[Gateway]:
    """A running etcd on a data folder, which only this user can reach: it listens on sockets in a private folder.

    Raises `Unrestorable` when it does not come up on this data.
    """
    folder = data.parent
    words: list[str | Path] = [tools.program("etcd"), "--data-dir", data, "--log-level", "error", "--unsafe-no-fsync"]
    # etcd makes a socket called HOST:PORT in its working folder of a URL such as unix://HOST:PORT.
    words += ["--listen-client-urls", "unix://trial:1", "--advertise-client-urls", "unix://trial:1"]
    words += ["--listen-peer-urls", "unix://trial:2"]
    log = folder / "trial.log"
    program = _process.start(words, log=log, cwd=folder, detached=True)
    gateway = Gateway.on(folder / "trial:1")

    def ready() -> bool:
        if program.code is not None:
            raise Unrestorable(f"etcd ended with {program.code} on the restored data: {log.read_text()[-500:]}")
        return "leader" in gateway.status()

    try:
        eventually(ready, what="the trial member answers", timeout=_START, interval=0.05)
        yield gateway
    finally:
        program.end(_GRACE)


__all__ = ["BUMP", "MemberGone", "Unrestorable", "member", "restore"]
