"""Making local clusters for tests, and looking at them."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_k8sha._process import ProcessId
from pytest_k8sha.kube.client import Client
from pytest_k8sha.providers.base import ClusterState, Request
from pytest_k8sha.providers.local.control import Control
from pytest_k8sha.providers.local.nodes import connect
from pytest_k8sha.providers.local.provider import LocalProvider
from pytest_k8sha.safety.journal import Journal
from pytest_k8sha.settings import Settings


@dataclass
class Made:
    """A cluster of a test. ``said`` is what was shown while it started."""

    provider: LocalProvider
    state: ClusterState
    place: Path
    said: list[str] = field(default_factory=list)


def provider_in(base: Path) -> LocalProvider:
    """A provider with a state folder of its own and the programs of this machine."""
    return LocalProvider(dataclasses.replace(Settings.from_environment(), state=base / "state"))


def make(provider: LocalProvider, base: Path, name: str, owner: ProcessId | None, **options: Any) -> Made:
    """A cluster called ``name`` in a folder of its own below ``base``; its owner is this process unless told."""
    place = base / name
    place.mkdir(mode=0o700)
    journal = Journal(base / f"{name}.journal", run="test", label="test")
    said: list[str] = []
    order = Request(name, None, provider.options.model_validate(options), place, journal, said.append, owner)
    try:
        return Made(provider, provider.create(order), place, said)
    finally:
        journal.close(clean=False)


def client_of(made: Made) -> Client:
    """The administrator's client."""
    return connect(Path(made.state.kubeconfig), made.place / "config")


def status_of(made: Made, program: str) -> dict[str, Any]:
    """What the supervisor says of one program."""
    return next(one for one in Control(made.place).order("status")["programs"] if one["name"] == program)


def processes_of(made: Made) -> list[ProcessId]:
    """The supervisor and every program that runs."""
    status = Control(made.place).order("status")
    pids = [status["pid"], *(one["pid"] for one in status["programs"] if one["pid"])]
    found = [ProcessId.of(pid) for pid in pids]
    return [one for one in found if one]


def is_ready(node: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])


def heartbeat_of(client: Client, node: str) -> str:
    """The status of a node's Ready condition: True, False or Unknown."""
    conditions = client.get(f"/api/v1/nodes/{node}")["status"]["conditions"]
    return str(next(c["status"] for c in conditions if c["type"] == "Ready"))


def owner_script(base: Path, name: str, *, kept: bool = False) -> list[str]:
    """A program that makes a cluster, says so, and then waits to be killed. ``kept``: the cluster has no owner."""
    owner = "None" if kept else "ProcessId.own()"
    code = (
        "import sys; from pathlib import Path\n"
        "from pytest_k8sha._process import ProcessId\n"
        "from tests.integration.local_clusters import make, provider_in\n"
        "base = Path(sys.argv[1])\n"
        "print('starting', flush=True)\n"
        f"make(provider_in(base), base, sys.argv[2], {owner}, nodes=1)\n"
        "print('made', flush=True)\n"
        "import signal; signal.pause()\n"
    )
    return [sys.executable, "-c", code, str(base), name]
