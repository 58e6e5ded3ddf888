"""The etcd of a local cluster: its programs, its members' flags, and the exchange of its data.

An exchange is a handful of renames below ``data``, so that at any moment it is known what is where:

    data/etcd-0           what etcd runs on
    data/before/etcd-0    what it ran on before
    data/exchange         there while an exchange is under way; `undo` then puts ``before`` back
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_k8sha.providers.local import commands

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_k8sha.kube.etcd import EtcdAccess
    from pytest_k8sha.providers.local.control import Control
    from pytest_k8sha.providers.local.layout import Layout, Member
    from pytest_k8sha.providers.local.programs import EtcdTools

_OTHERS = (commands.KWOK, commands.SCHEDULER, commands.CONTROLLER_MANAGER, commands.APISERVER)
"""Everything but etcd, in the order of the stop: an API server that outlives its etcd would not end by itself."""


class LocalStorage:
    """See `pytest_k8sha.providers.base.Storage`."""

    def __init__(self, plan: Layout, control: Control, tools: EtcdTools, access: EtcdAccess) -> None:
        self._plan, self._control = plan, control
        self.tools = tools
        self.access = access

    @property
    def scratch(self) -> Path:
        place = self._plan.data / "scratch"
        place.mkdir(mode=0o700, exist_ok=True)
        return place

    def membership(self, member: int) -> list[str]:
        return self._flags(self._plan.members[member], self._plan.members)

    def alone(self, member: int) -> list[str]:
        return self._flags(self._plan.members[member], (self._plan.members[member],))

    def _flags(self, own: Member, members: tuple[Member, ...]) -> list[str]:
        peers = {f"member-{m.index}": m.peer_url for m in members}
        name = f"member-{own.index}"
        return [
            *("--name", name, "--initial-advertise-peer-urls", peers[name]),
            *("--initial-cluster", ",".join(f"{key}={url}" for key, url in peers.items())),
            *("--initial-cluster-token", self._plan.name),
        ]

    @contextmanager
    def replace(self, data: Mapping[int, Path]) -> Iterator[None]:
        folder, control = self._plan.data, self._control
        before = folder / "before"
        before.mkdir(mode=0o700)
        _mark(folder).touch()
        _sync(folder)
        try:
            _stop(control)
            for member, restored in data.items():
                place = folder / f"etcd-{member}"
                if place.exists():
                    place.rename(before / place.name)
                restored.rename(place)
            for one in self._plan.members:
                control.order("start", component=commands.ETCD, member=one.index)
            yield
        except BaseException:
            undo(folder, control)
            control.order("heal")
            raise
        _mark(folder).unlink()  # from here on the new data count
        control.order("heal")
        shutil.rmtree(before)


def undo(folder: Path, control: Control) -> None:
    """Takes back an exchange of data that was begun and not ended; the control plane is stopped then. ``folder`` is
    that of the data. Does nothing when there is none."""
    if _mark(folder).exists():
        _stop(control)
        for old in sorted((folder / "before").glob("etcd-*")):
            place = folder / old.name
            shutil.rmtree(place, ignore_errors=True)
            old.rename(place)
        _mark(folder).unlink()
    shutil.rmtree(folder / "before", ignore_errors=True)


def _mark(folder: Path) -> Path:
    return folder / "exchange"


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _stop(control: Control) -> None:
    """Ends every program at once: what they hold in memory is of the data that goes."""
    programs = control.order("status")["programs"]
    for component in (*_OTHERS, commands.ETCD):
        for one in programs:
            if one["component"] == component:
                control.order("kill", component=component, member=one["member"])
