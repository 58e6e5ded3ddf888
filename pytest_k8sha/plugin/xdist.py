"""Under pytest-xdist the controller makes the fleet, after the workers have collected and before any test starts.

The controller does not collect, so it cannot know whether the plugin is used. Each worker that has a test which needs
clusters says so by a file; the controller looks for it when the worker has collected, makes the fleet, and leaves the
path of the run's folder beside it. Neither costs anything where the plugin is not used.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_k8sha.plugin.session import Session

INPUT = "k8sha_rendezvous"
MEETING = pytest.StashKey[str]()
FOLDER_DEADLINE = 1800.0
"""Seconds that a worker waits for the controller to make the fleet."""


def greet(node: Any) -> None:
    """In the controller: tells a worker where to ask for clusters."""
    stash = node.config.stash
    if MEETING not in stash:
        # Not to be guessed by another user of the machine; made only when a worker needs it.
        stash[MEETING] = str(Path(tempfile.gettempdir()) / f"k8sha-{os.getpid()}-{secrets.token_hex(16)}")
    node.workerinput[INPUT] = stash[MEETING]


def serve(config: pytest.Config) -> None:
    """In the controller: makes the fleet when a worker asked for it, once."""
    place = Path(config.stash.get(MEETING, "-"))
    if not place.is_dir() or (place / "run").exists():
        return
    from pytest_k8sha.errors import K8shaError
    from pytest_k8sha.plugin.session import activate

    session = activate(config)
    cases = json.loads((place / "cases.json").read_text())
    try:
        path = str(session.folder.path)
        if any(case["clusters"] for case in cases.values()):
            session.fleet  # noqa: B018 - makes it; what could not be made is written down for the workers
    except K8shaError as error:
        path = f"!{error}"
    part = place / "run.part"
    part.write_text(path)
    part.replace(place / "run")


def run_folder(config: pytest.Config) -> Path:
    """In a worker: the folder of the run, once the controller has made the fleet."""
    from pytest_k8sha._wait import eventually
    from pytest_k8sha.errors import Inconclusive

    place = config.workerinput.get(INPUT)  # type: ignore[attr-defined]
    if not place:
        raise Inconclusive("this worker's controller runs without the plugin, so there is no fleet")
    path = Path(place) / "run"
    eventually(path.exists, what="the controller has made the fleet", timeout=FOLDER_DEADLINE)
    text = path.read_text()
    if text.startswith("!"):
        raise Inconclusive(text[1:])
    return Path(text)


class Worker:
    """In a worker: says which tests need clusters."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        from pytest_k8sha.plugin.cases import case_of

        cases = [case for case in map(case_of, session.items) if case is not None]
        place = self.session.config.workerinput.get(INPUT)  # type: ignore[attr-defined]
        if not place or not cases or self.session.dry:
            return
        folder = Path(place)
        folder.mkdir(mode=0o700, exist_ok=True)
        known = {
            case.item.nodeid: {
                "clusters": bool(case.cluster or case.everywhere) and case.needs.clusters <= len(self.session.names),
                "result": {**case.describe(), "judged": case.judged},
            }
            for case in cases
        }
        part = folder / f"cases-{os.getpid()}.part"
        part.write_text(json.dumps(known))
        part.replace(folder / "cases.json")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        if self.session.begun:
            self.session.folder.journal.close(clean=False)


class Controller:
    """In the controller: what a worker that crashed can no longer say."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        case = self._cases().get(crashitem)
        if case is None:
            return
        report.k8sha = {  # type: ignore[attr-defined]
            **case["result"],
            "verdict": "inconclusive",
            "reason": "the worker process ended while this test ran",
            "duration": 0.0,
            "started": "",
            "findings": [],
            "subjects": {},
            "measures": {},
        }

    def pytest_unconfigure(self) -> None:
        place = Path(self.session.config.stash.get(MEETING, "-"))
        for name in ("cases.json", "run"):
            (place / name).unlink(missing_ok=True)
        if place.is_dir():
            place.rmdir()

    def _cases(self) -> dict[str, dict[str, Any]]:
        path = Path(self.session.config.stash.get(MEETING, "-")) / "cases.json"
        found: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
        return found
