"""Running the command as a user does, and looking at what it leaves."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pytest_k8sha import _process
from pytest_k8sha._wait import eventually
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.model import LABEL_RUN, Impact, Run
from pytest_k8sha.providers.base import ClusterState
from pytest_k8sha.providers.local.provider import LocalProvider

COMMAND = [sys.executable, "-m", "pytest_k8sha.cli"]
ROOT = Path(__file__).parents[2]

PASSING = {"Event"}
"""Kinds that the cluster itself writes all the time and forgets again."""


@dataclass
class Home:
    """A user of the command: a state folder, a folder for temporary files, a working folder, all below ``base``."""

    base: Path

    def __post_init__(self) -> None:
        for path in (self.state, self.temporary, self.work):
            path.mkdir(parents=True, exist_ok=True)

    @property
    def state(self) -> Path:
        return self.base / "state"

    @property
    def temporary(self) -> Path:
        return self.base / "tmp"

    @property
    def work(self) -> Path:
        return self.base / "work"

    @property
    def env(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return {
            **os.environ,
            "K8SHA_STATE": str(self.state),
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": path,
            "KUBECONFIG": str(self.base / "no-kubeconfig"),
            "COLUMNS": "120",
        }

    def run(self, *words: str | Path, timeout: float = 180.0, **env: str) -> _process.Completed:
        """The command, to its end."""
        return _process.run([*COMMAND, *words], timeout=timeout, env={**self.env, **env}, cwd=self.work, check=False)

    def json(self, *words: str | Path, timeout: float = 180.0) -> Any:
        """What the command prints with ``--json``; its standard output must be that and nothing else."""
        done = self.run(*words, "--json", timeout=timeout)
        return json.loads(done.stdout)

    def start(self, *words: str | Path) -> _process.Program:
        """The command in the background, in a process group of its own; its output goes to ``log``."""
        return _process.start([*COMMAND, *words], log=self.log, env=self.env, cwd=self.work, detached=True)

    @property
    def log(self) -> Path:
        return self.base / "log"

    def kept(self, name: str) -> Cluster:
        """A kept cluster, to be looked at."""
        state = ClusterState.load(self.state / "fleets" / name)
        run = Run(id="look", owner="look", expires=0)
        private = self.base / "private"
        private.mkdir(mode=0o700, exist_ok=True)
        return Cluster(state, LocalProvider(), run=run, private=private, ceiling=Impact.OBSERVE)

    def processes(self, *, without: str = "") -> list[str]:
        """Command lines of processes whose command line or environment names the state folder."""
        found = []
        mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        for process in psutil.process_iter():
            if process.pid in mine:
                continue
            try:
                words, env = process.cmdline(), process.environ()
            except psutil.Error:
                continue
            line = " ".join(words)
            if (str(self.state) in line or str(self.state) in env.values()) and not (without and without in line):
                found.append(f"{process.pid} {line[:300]}")
        return found


def everything(cluster: Cluster) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Every object of every kind that the server offers, by resource, namespace and name."""
    found = {}
    for kind in cluster.kinds:
        if "list" in kind.verbs and kind.kind not in PASSING:
            for item in cluster.resource(kind.api_version, kind.kind).list():
                meta = item["metadata"]
                found[kind.qualified, meta.get("namespace", ""), meta["name"]] = item
    return found


def of_runs(objects: dict[tuple[str, str, str], dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Those that carry the label of a run."""
    return [key for key, item in objects.items() if LABEL_RUN in (item["metadata"].get("labels") or {})]


def child_of(program: _process.Program) -> psutil.Process | None:
    """The pytest process that a running ``k8sha run`` has started."""
    try:
        children = psutil.Process(program.pid).children()
    except psutil.NoSuchProcess:
        return None
    return next((child for child in children if "pytest" in " ".join(child.cmdline())), None)


def kill(program: _process.Program, *, group: bool) -> str:
    """SIGKILL: of the pytest process alone, or of the command's whole process group. Says which it was."""
    child = None if group else child_of(program)
    if child is not None:
        child.send_signal(signal.SIGKILL)
        how = "pytest"
    else:
        os.killpg(program.pid, signal.SIGKILL)
        how = "group"
    eventually(lambda: program.code is not None, what="the command has ended", timeout=60, interval=0.05)
    return how
