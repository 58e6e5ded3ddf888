"""A run: its id, its folder on the disk, its journals. Shared by the process that began it and by its workers."""

from __future__ import annotations

import getpass
import json
import re
import secrets
import shutil
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_k8sha import _clock
from pytest_k8sha._process import ProcessId
from pytest_k8sha.errors import EnvironmentFailure
from pytest_k8sha.model import Run
from pytest_k8sha.safety.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_k8sha.settings import Settings

LIFETIME = 6 * 3600
"""Seconds after which anybody may delete what a run left."""

RUN_FILE = "run.json"

UNFINISHED = ".part"
"""Ends the name of a run's folder that is still being made."""


@dataclass
class RunFolder:
    """``path`` is the run's folder (0700): ``run.json``, ``journal*.jsonl``, ``clusters/NAME/``, ``private/``."""

    path: Path
    run: Run
    owner: ProcessId
    journal: Journal

    @classmethod
    def create(cls, settings: Settings) -> RunFolder:
        """Begins a run owned by this process. Raises `EnvironmentFailure` when the folder cannot be made."""
        identity = f"r{_clock.wall():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        path = settings.runs / identity
        # Made under another name and then renamed: a run's folder is never seen without its journal, from which
        # `k8sha recover` knows that the run goes on.
        part = settings.runs / f".{identity}{UNFINISHED}"
        run = Run(id=identity, owner=_label(), expires=int(_clock.epoch()) + LIFETIME)
        owner = ProcessId.own()
        data = {"id": run.id, "owner": run.owner, "expires": run.expires, "pid": owner.pid, "created": owner.created}
        try:
            part.mkdir(mode=0o700, parents=True)
            (part / "private").mkdir(mode=0o700)
            (part / "clusters").mkdir(mode=0o700)
            (part / RUN_FILE).write_text(json.dumps(data))
            Journal(part / "journal.jsonl", run=run.id, label=run.owner).close(clean=False)
            part.rename(path)
        except OSError as error:
            raise EnvironmentFailure(
                f"the run's folder {path} cannot be made ({error.strerror})",
                remedy="set K8SHA_STATE to a folder of yours",
            ) from error
        return cls(path, run, owner, Journal(path / "journal.jsonl", run=run.id, label=run.owner))

    @classmethod
    def join(cls, path: Path, who: str) -> RunFolder:
        """The folder as seen by a worker, which journals into a file of its own."""
        data = json.loads((path / RUN_FILE).read_text())
        run = Run(id=data["id"], owner=data["owner"], expires=data["expires"])
        journal = Journal(path / f"journal-{who}.jsonl", run=run.id, label=run.owner)
        return cls(path, run, ProcessId(data["pid"], data["created"]), journal)

    @property
    def private(self) -> Path:
        """A folder (0700) for keys that must be files."""
        return self.path / "private"

    @property
    def fleet_file(self) -> Path:
        return self.path / "fleet.json"

    def place(self, cluster: str) -> Path:
        """The folder of a cluster that this run makes."""
        path = self.path / "clusters" / cluster
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def close(self, *, clean: bool) -> None:
        """Ends the run. When ``clean``, nothing is left and the folder goes; else it stays for `k8sha recover`."""
        self.journal.close(clean=clean)
        if clean:
            shutil.rmtree(self.path, ignore_errors=True)


def _label() -> str:
    """Who runs this, as a label value: ``user-host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return re.sub(r"[^A-Za-z0-9]+", "-", f"{user}-{socket.gethostname()}").strip("-")[:63]
