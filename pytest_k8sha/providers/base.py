"""What a provider is: the Protocol, and the state of a cluster as it lies on the disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pytest_k8sha.errors import EnvironmentFailure
from pytest_k8sha.model import Impact

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pydantic import BaseModel

    from pytest_k8sha._process import ProcessId
    from pytest_k8sha.kube.etcd import EtcdAccess
    from pytest_k8sha.safety.journal import Journal

Progress = Callable[[str], None]
"""Called with one short sentence whenever something that may last begins."""

STATE_FILE = "cluster.json"


@dataclass(frozen=True)
class ClusterState:
    """A cluster that exists: all that another process needs to use it, kept as ``cluster.json`` in its folder.

    ``made`` tells whether this project created the cluster and may delete it. ``ceiling`` is the provider's default;
    a fleet may lower it, and raise it only for a context that the user allowed by name.
    """

    name: str
    provider: str
    place: str
    kubeconfig: str
    context: str = ""
    made: bool = False
    ceiling: Impact = Impact.OBSERVE
    options: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    """What the provider itself wants to find again; no other module reads it."""

    def save(self) -> None:
        """Writes ``cluster.json`` in one step, readable by this user only."""
        path = Path(self.place) / STATE_FILE
        text = json.dumps({**asdict(self), "ceiling": str(self.ceiling)}, indent=1)
        part = path.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(text)
        part.replace(path)

    @classmethod
    def load(cls, place: Path) -> ClusterState:
        """Raises `EnvironmentFailure` when the folder holds no cluster."""
        path = place / STATE_FILE
        try:
            data = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise EnvironmentFailure(f"no cluster is described by {path} ({error})") from error
        return cls(**{**data, "ceiling": Impact.parse(data["ceiling"])})


@dataclass(frozen=True)
class Request:
    """An order for one cluster. ``place`` is an existing empty folder, mode 0700, that the cluster may fill.

    ``owner`` is the process whose end must end the cluster; None for a cluster that is to stay (`k8sha up`).
    """

    name: str
    argument: str | None
    options: BaseModel
    place: Path
    journal: Journal
    progress: Progress
    owner: ProcessId | None


@dataclass(frozen=True)
class Listener:
    """A program of the control plane, or a kubelet, that serves TLS, and where this machine reaches it.

    ``component`` is the program's name; the peer port of etcd is ``etcd peer``. ``member`` counts control-plane
    members, and is -1 for a node.
    """

    component: str
    member: int
    host: str
    port: int
    node: str = ""

    def __str__(self) -> str:
        whose = self.node or f"member {self.member}"
        return f"{self.component} of {whose}"


class Faults(Protocol):
    """The faults that a provider can inject into a cluster. Each is journalled by its caller and taken back by
    `heal`, which is idempotent and knows nothing but the cluster."""

    def stop_heartbeat(self, node: str) -> None:
        """The node stops reporting, as if it had lost power."""

    def resume_heartbeat(self, node: str) -> None: ...

    def stop_kubelet(self, node: str) -> None:
        """The node's kubelet ends and stays down; its containers go on, and nobody looks after them."""

    def start_kubelet(self, node: str) -> None: ...

    def kill_container(self, node: str, container: str) -> None:
        """SIGKILL to all processes of a running container, which its kubelet then starts anew. ``container`` is the id
        in the pod's status."""

    def freeze_container(self, node: str, container: str) -> None:
        """SIGSTOP to all processes of a running container: it holds its connections and answers nothing."""

    def is_frozen(self, node: str, container: str) -> bool:
        """Whether the container runs, and all of its processes are stopped."""

    def thaw_container(self, node: str, container: str) -> None: ...

    def stop(self, component: str, member: int = 0) -> None:
        """Ends a control-plane program (``etcd``, ``kube-apiserver``, ``kube-controller-manager``,
        ``kube-scheduler``) of one member and keeps it down."""

    def kill(self, component: str, member: int = 0) -> None:
        """As `stop`, by SIGKILL."""

    def start(self, component: str, member: int = 0) -> None: ...

    def freeze(self, component: str, member: int = 0) -> None:
        """SIGSTOP: it holds its connections and answers nothing."""

    def thaw(self, component: str, member: int = 0) -> None: ...

    def cut(self, component: str, member: int = 0) -> None:
        """Nothing passes any more between the ``etcd`` of a member and its peers, or between the ``kube-apiserver`` of
        a member and its etcd. Needs the capability ``faults:links``, as the next one does."""

    def delay(self, component: str, member: int, seconds: float) -> None:
        """What passes there comes ``seconds`` later, in each direction."""

    def mend(self, component: str, member: int = 0) -> None:
        """Takes `cut` and `delay` back."""

    def certify(self, component: str, member: int, seconds: float) -> None:
        """Gives the ``etcd`` or ``kube-apiserver`` of a member a serving certificate that is valid for so long; a
        negative time is how long ago it expired."""

    def fill(self, component: str, member: int = 0) -> None:
        """Fills ``etcd`` through a member, until it raises NOSPACE. Raises `UsageError` unless its quota is small."""

    def relieve(self, component: str, member: int = 0) -> None:
        """Takes `fill` back: compact, defragment, disarm."""

    def member_of(self, identity: str) -> int | None:
        """The member whose program holds a Lease under this identity (``HOST_UUID``); None when it cannot be told."""

    def running(self, component: str) -> tuple[int, ...]:
        """The members on which the control-plane program runs now."""

    def instance(self, component: str, member: int = 0) -> str:
        """A name for the process of a program that another process never has; empty when it does not run."""

    def heal(self) -> None:
        """Takes back every fault of this cluster, and returns when all of its control plane serves again."""


class Tools(Protocol):
    """The programs ``etcd``, ``etcdctl`` and ``etcdutl`` that fit one etcd."""

    def program(self, name: str) -> Path:
        """Raises `ProgramUnavailable`."""

    def version(self, name: str) -> tuple[int, ...]:
        """The version of such a program, such as (3, 6, 16)."""


class Storage(Protocol):
    """The etcd of a control plane whose data this machine can replace. Members count from 0."""

    access: EtcdAccess
    """How its members are asked."""

    @property
    def tools(self) -> Tools: ...

    @property
    def scratch(self) -> Path:
        """A private folder (0700) on the same file system as the data; the caller makes folders of its own in it."""

    def membership(self, member: int) -> list[str]:
        """The flags of ``etcdutl snapshot restore`` that make a data folder this member's, in a new cluster of all."""

    def alone(self, member: int) -> list[str]:
        """The same for a new cluster of this member alone."""

    def replace(self, data: Mapping[int, Path]) -> AbstractContextManager[None]:
        """Stops the control plane, puts these folders in the place of the members' data and starts etcd alone for the
        time of the block; then the API servers and the controllers. Leaving it by an error puts the old data back and
        starts everything. What a SIGKILL interrupts is taken back by `Faults.heal`."""


class Issuer(Protocol):
    """Makes client certificates that a cluster trusts, without asking the cluster."""

    def issue(self, user: str, groups: tuple[str, ...]) -> tuple[str, str]:
        """A certificate and its private key, both PEM, for the user (CN) in the groups (O), valid for a day."""


class Provider(Protocol):
    """How clusters of one sort are made. Stateless: everything known about a cluster is in its `ClusterState`."""

    name: str
    options: type[BaseModel]
    """The keys that ``--k8sha-cluster NAME=PROVIDER,key=value`` and a fleet file may set, with defaults."""

    def create(self, request: Request) -> ClusterState:
        """Makes the cluster and returns when its API is ready. Journals each process before it starts.

        Raises `StartFailed`, `ProgramUnavailable` and other `EnvironmentFailure`; what was begun is taken down again.
        """

    def delete(self, state: ClusterState) -> None:
        """Takes the cluster down; idempotent. Does nothing to a cluster that was not made by this project."""

    def alive(self, state: ClusterState) -> bool:
        """Whether the cluster's processes or containers are there; no request is sent."""

    def capabilities(self, state: ClusterState) -> Mapping[str, str]:
        """What the provider knows without asking the API: capability → how it is known."""

    def logs(self, state: ClusterState) -> Mapping[str, Path]:
        """Log files by a short name."""

    def faults(self, state: ClusterState) -> Faults | None: ...

    def issuer(self, state: ClusterState) -> Issuer | None: ...

    def etcd(self, state: ClusterState) -> EtcdAccess | None:
        """How etcd is reached; None where it is not to be had."""

    def listeners(self, state: ClusterState) -> tuple[Listener, ...]:
        """What of the control plane serves TLS, as far as the provider knows without asking; empty where it does not
        know."""

    def storage(self, state: ClusterState) -> Storage | None:
        """The cluster's etcd, where its data can be replaced."""

    def dial(self, state: ClusterState, address: str, port: int) -> tuple[str, int]:
        """Where to connect, from this machine, to reach an endpoint that the cluster's API servers advertise."""
