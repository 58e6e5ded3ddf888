"""Making kind clusters for tests in the way a run makes them, and looking at what the engine has."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_k8sha import _process
from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos.ways import WAYS
from pytest_k8sha.errors import K8shaError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.fleet import Fleet
from pytest_k8sha.fleet.keeper import Keeper
from pytest_k8sha.fleet.run import RunFolder
from pytest_k8sha.fleet.spec import from_options
from pytest_k8sha.model import nonce
from pytest_k8sha.providers.kind import command
from pytest_k8sha.providers.kind.engine import CLUSTER_LABEL, Engine
from pytest_k8sha.providers.kind.options import PROBE_IMAGE
from pytest_k8sha.providers.kind.provider import MARK_FILE
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.recover import Recovered, recover
from pytest_k8sha.settings import Settings

ROOT = Path(__file__).parents[2]

KEPT = "K8SHA_TEST_KIND"
"""Environment variable, for quick turns: a folder where ``python -m tests.kind.kind_clusters FOLDER`` keeps a cluster
that the tests share instead of one of their own. It ends with that program."""

RIG_NODE = "kindest/node:v1.36.3"
RIG_PROBE = "localhost/rig/agnhost:1"
RIG_SHELL = "localhost/rig/busybox:1"


def missing() -> str:
    """Why no kind cluster can be made here; empty when one can."""
    try:
        Engine.find()
    except K8shaError as error:
        return f"there is no engine: {error.problem}"
    return "" if command.find() else "there is no kind command on PATH"


@dataclasses.dataclass(frozen=True)
class Images:
    """Which images the tests use: those of a machine that can pull none, where it has them, else the published ones."""

    node: str
    probe: str
    shell: str

    @classmethod
    def of(cls, engine: Engine) -> Images:
        if engine.has_image(RIG_NODE) and engine.has_image(RIG_PROBE):
            return cls(RIG_NODE, RIG_PROBE, RIG_SHELL)
        return cls("", PROBE_IMAGE, PROBE_IMAGE)

    @property
    def rigged(self) -> bool:
        return self.node == RIG_NODE

    def order(self, name: str, **options: object) -> str:
        """The value of ``--k8sha-cluster`` for a cluster of this machine."""
        keys = {"probe-image": self.probe, "start-timeout": 900, **options}
        keys |= {"image": self.node} if self.node else {}
        return f"{name}=kind," + ",".join(f"{key}={value}" for key, value in keys.items())


def settings_in(base: Path) -> Settings:
    return dataclasses.replace(Settings.from_environment(), state=base / "state")


@contextlib.contextmanager
def fleet(base: Path, *orders: str) -> Iterator[Fleet]:
    """The clusters of one run, made and dismissed as the plugin does it. Fails when a dismissal leaves something."""
    settings, registry, said = settings_in(base), Registry(), list[str]()
    keeper, folder = Keeper(settings, registry, said.append), RunFolder.create(settings)
    try:
        keeper.provide(folder, from_options(orders, registry), reuse=False)
        yield Fleet.open(folder, registry)
    finally:
        leftovers = keeper.dismiss(folder)
        folder.close(clean=not leftovers)
        assert leftovers == []


MAKER = """
import signal, sys
from pathlib import Path
from tests.kind import kind_clusters
with kind_clusters.fleet(Path(sys.argv[1]), *sys.argv[2:]):
    print("made", flush=True)
    signal.pause()
"""


def maker(base: Path, *orders: str) -> list[str]:
    """A program that makes clusters, says so, and waits to be killed."""
    return [sys.executable, "-c", MAKER, str(base), *orders]


@dataclasses.dataclass
class Elsewhere:
    """The clusters of another program, which can be killed: what `k8sha recover` then has to do with."""

    base: Path
    program: _process.Program
    fleet: Fleet

    @classmethod
    def make(cls, base: Path, *orders: str) -> Elsewhere:
        """Returns when all of them are made, at the same time."""
        program = start(base, *orders)
        eventually(lambda: program.code is not None or said(base), what="all are made", timeout=960, interval=0.5)
        assert program.code is None, said(base)
        return cls(base, program, opened(base))


def opened(base: Path) -> Fleet:
    """The clusters that another program keeps in a folder."""
    (run,) = base.glob("state/runs/*")
    return Fleet.open(RunFolder.join(run, f"test-{os.getpid()}"), Registry())


def start(base: Path, *orders: str) -> _process.Program:
    """Another program that makes clusters; it dies with this one at the latest."""
    return _process.start(maker(base, *orders), log=base / "maker.log", cwd=ROOT, die_with_parent=True)


def said(base: Path) -> str:
    """What that program has said."""
    log = base / "maker.log"
    return log.read_text() if log.exists() else ""


def recovered(base: Path) -> list[Recovered]:
    """What one `k8sha recover` has removed."""
    return recover(settings_in(base), Registry(), lambda _: None, ways=WAYS)


def clear(base: Path) -> None:
    """Ends and removes whatever a test has left below its folder."""
    for program in _process.naming(base, words=["python", "python3", "kind", str(base)]):
        program.end(5)
    recovered(base)


def marks(base: Path) -> dict[str, dict[str, str]]:
    """Which kind cluster each cluster of the runs below ``base`` is: also of those that are not there yet."""
    return {
        path.parent.name: json.loads(path.read_text())
        for path in base.glob(f"state/runs/*/clusters/*/{MARK_FILE}")
        if path.stat().st_size
    }


def containers(engine: Engine, cluster: str) -> list[str]:
    """The containers of a kind cluster by its label, without the code that is tested."""
    return engine.run("ps", "-aq", "--filter", f"label={CLUSTER_LABEL}={cluster}").stdout.split()


def volumes(engine: Engine, cluster: str) -> set[str]:
    """The volumes of a cluster's containers."""
    found: set[str] = set()
    for container in containers(engine, cluster):
        for seen in json.loads(engine.run("container", "inspect", container, check=False).stdout or "[]"):
            found |= {mount["Name"] for mount in seen["Mounts"] if mount["Type"] == "volume"}
    return found


def remaining(engine: Engine, names: set[str]) -> set[str]:
    """Those of these volumes that the engine still has."""
    return names & set(engine.run("volume", "ls", "-q").stdout.split())


def pod(
    cluster: Cluster,
    namespace: str,
    image: str,
    args: list[str],
    *,
    command: list[str] | None = None,
    node: str = "",
    labels: Mapping[str, str] | None = None,
    timeout: float = 180,
) -> dict[str, Any]:
    """A pod that runs: the object as it is when its container is ready."""
    container: dict[str, Any] = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "args": args}
    if command:
        container["command"] = command
    spec: dict[str, Any] = {"containers": [container], "terminationGracePeriodSeconds": 1}
    if node:
        spec["nodeName"] = node
    pods, name = cluster.resource("v1", "Pod"), nonce("pod")
    pods.create({"metadata": {"name": name, "labels": dict(labels or {})}, "spec": spec}, namespace)

    def state() -> dict[str, Any]:
        return dict(pods.get(name, namespace))

    def is_ready(seen: dict[str, Any]) -> bool:
        statuses = seen.get("status", {}).get("containerStatuses") or []
        return bool(statuses) and all(status.get("ready") for status in statuses)

    return eventually(
        state,
        what=f"pod {name} is ready",
        timeout=timeout,
        accept=is_ready,
        describe=lambda seen: str(seen.get("status")),
    )


if __name__ == "__main__":
    with fleet(Path(sys.argv[1]), Images.of(Engine.find()).order("east", nodes=2)):
        sys.stdout.write("made\n")
        sys.stdout.flush()
        signal.pause()
