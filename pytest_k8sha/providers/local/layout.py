"""Where the files of one cluster lie below its folder, and which program listens where."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_k8sha.kube.etcd import EtcdAccess


@dataclass(frozen=True)
class Member:
    """One control-plane member: its ports on 127.0.0.1 and the address that it advertises."""

    index: int
    api: int
    etcd_client: int
    etcd_peer: int
    controller_manager: int
    scheduler: int
    peer_proxy: int = 0
    """By which its etcd reaches its peers, and ``store_proxy`` by which its API server reaches its etcd: where what
    passes can be cut (`links`), else 0."""
    store_proxy: int = 0

    @property
    def peer_url(self) -> str:
        """Where the other members of etcd reach this one. Go asks no proxy for a loopback address, so with proxies it
        is the address that nobody routes."""
        return f"https://{self.advertised if self.peer_proxy else '127.0.0.1'}:{self.etcd_peer}"

    @property
    def advertised(self) -> str:
        """Endpoints must not be loopback addresses, so each member shows one of TEST-NET-1 (RFC 5737), which no
        network routes; nothing connects there."""
        return f"192.0.2.{10 + self.index}"


PORTS_PER_MEMBER = 5
LINK_PORTS = 2


@dataclass(frozen=True)
class Layout:
    """A cluster's folder and ports. ``stable`` is the port that clients use; with one member it is that member's."""

    name: str
    place: Path
    stable: int
    members: tuple[Member, ...]

    @classmethod
    def of(cls, name: str, place: Path, members: int, ports: list[int], *, links: bool = False) -> Layout:
        """Gives out ``ports``; there must be as many as `ports_needed` says."""
        stable, rest = ports[0], iter(ports[1:])
        made = []
        for index in range(members):
            api = stable if members == 1 else next(rest)
            made.append(Member(index, api, *(next(rest) for _ in range(_ports_of_one(links=links) - 1))))
        return cls(name, place, stable, tuple(made))

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.stable}"

    @property
    def etcd_access(self) -> EtcdAccess:
        """How the members of etcd are asked."""
        from pytest_k8sha.kube.etcd import EtcdAccess

        urls = tuple(f"https://127.0.0.1:{member.etcd_client}" for member in self.members)
        return EtcdAccess(urls, self.pki / "etcd-ca.crt", self.pki / "etcd-client.crt", self.pki / "etcd-client.key")

    @property
    def pki(self) -> Path:
        return self.place / "pki"

    @property
    def config(self) -> Path:
        return self.place / "config"

    @property
    def data(self) -> Path:
        return self.place / "data"

    @property
    def kubeconfig(self) -> Path:
        return self.place / "kubeconfig"

    def hostname(self, member: Member) -> str:
        """The name of the host that a member's programs believe to be on."""
        return f"{self.name}-{member.index}"

    def log(self, program: str) -> Path:
        return self.place / "logs" / f"{program}.log"

    def audit(self, member: int) -> Path:
        return self.place / "audit" / f"member-{member}.log"

    def prepare(self) -> None:
        """Makes the folders, for this user only."""
        for folder in (self.pki, self.config, self.data, self.place / "logs", self.place / "audit"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def ports_needed(members: int, *, links: bool = False) -> int:
    each = _ports_of_one(links=links)
    return each if members == 1 else 1 + each * members


def _ports_of_one(*, links: bool) -> int:
    return PORTS_PER_MEMBER + (LINK_PORTS if links else 0)


def plan_file(place: Path) -> Path:
    return place / "plan.json"


def socket_file(place: Path) -> Path:
    return place / "control.sock"


def folders_that_go(place: Path) -> list[Path]:
    """What holds keys or data, and goes with the cluster. Logs stay."""
    return [place / name for name in ("data", "pki", "config")]


def files_that_go(place: Path) -> list[Path]:
    return [place / "kubeconfig", plan_file(place), socket_file(place)]


def supervisor_log(place: Path) -> Path:
    return place / "logs" / "supervisor.log"


_LONGEST_SOCKET_PATH = 100
"""The kernel takes 107 bytes on Linux and 103 on macOS."""


@contextlib.contextmanager
def socket_address(place: Path) -> Iterator[str]:
    """The address of the cluster's control socket."""
    with short(socket_file(place)) as address:
        yield address


@contextlib.contextmanager
def short(path: Path) -> Iterator[str]:
    """A socket's path, or where it is too long for the kernel, a short one that means the same."""
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH or not sys.platform.startswith("linux"):
        yield str(path)
        return
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)
