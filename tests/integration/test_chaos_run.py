"""``k8sha chaos run`` on a real cluster: the probe decides, an abort takes the fault back, by words or by the key."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_k8sha import _process
from pytest_k8sha.providers.local.control import Control
from tests.conftest import KeptCluster
from tests.integration.commands import COMMAND, ROOT

ORDER = """
apiVersion: k8sha.dev/v1
kind: K8shaExperiment
metadata: {{name: managers}}
spec:
  action: freeze
  members: {{component: kube-controller-manager}}
  blastRadius: 100%
  accept: [outage]
  hold: {hold}
"""

KEYBOARD = """
import os, pty, sys
pressed = False
def read(file):
    global pressed
    data = os.read(file, 4096)
    if not pressed and b"hold" in data:
        os.write(file, b"a")
        pressed = True
    return data
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:], read)))
"""
"""A person at a terminal who presses the key as soon as the fault is held."""


@dataclass
class Service:
    """Answers ``status`` to every request; ``turns_after`` requests it begins to fail."""

    url: str
    asked: int = 0
    turns_after: int = 1_000_000


@pytest.fixture
def service() -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked += 1
            self.send_response(200 if found.asked <= found.turns_after else 500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Service(f"http://127.0.0.1:{server.server_port}/")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def words(folder: Path, hold: str, *more: str) -> list[str]:
    path = folder / "managers.yaml"
    path.write_text(ORDER.format(hold=hold))
    return [*COMMAND, "chaos", "run", str(path), "--cluster", "local=local", *more]


def run(kept: KeptCluster, argv: list[str]) -> _process.Completed:
    env = {**os.environ, **kept.env, "COLUMNS": "150", "TERM": "xterm"}
    return _process.run(argv, timeout=240, env=env, cwd=ROOT, check=False)


def assert_all_run(kept: KeptCluster) -> None:
    """Nothing of the fault is left in the processes, and nothing of the run in the state folder."""
    assert {one["state"] for one in Control(Path(kept.state.place)).order("status")["programs"]} == {"running"}
    assert list(kept.settings.runs.glob("*")) == []


def test_a_service_that_does_not_mind_passes(local_cluster: KeptCluster, service: Service, tmp_path: Path) -> None:
    """With the same requests without a fault beside it; the JSON has findings, phases, timelines and both figures."""
    asks = ["--probe", service.url, "--objective", "downtime <= 5s", "--abort-if", "error_rate > 50%", "--control"]
    done = run(local_cluster, words(tmp_path, "1s", *asks, "--json"))
    found = json.loads(done.stdout)
    assert (done.code, found["verdict"]) == (0, "passed"), done.stdout + done.stderr
    assert found["comparison"]["error_rate %"] == {"control": "[0, 0]", "fault": "[0, 0]"}
    assert [len(line["faults"]) for line in found["timelines"]] == [0, 1]
    assert {row["ok"] for row in found["tables"]["experiment managers"]} == {True}
    assert_all_run(local_cluster)


def test_a_service_that_breaks_aborts(local_cluster: KeptCluster, service: Service, tmp_path: Path) -> None:
    """The hold of five minutes ends when the words come true, and the fault is taken back."""
    service.turns_after = 100
    asks = ["--probe", service.url, "--abort-if", "error_rate > 0.2 over 5s"]
    done = run(local_cluster, words(tmp_path, "300s", *asks))
    assert done.code == 1, done.stdout + done.stderr
    assert "the abort predicate holds: error_rate" in done.stdout
    assert "managers: recover done" in done.stderr
    assert_all_run(local_cluster)


def test_a_key_aborts(local_cluster: KeptCluster, service: Service, tmp_path: Path) -> None:
    """On a terminal the picture shows phases and probe; the key a ends the hold of five minutes at once."""
    argv = [sys.executable, "-c", KEYBOARD, *words(tmp_path, "300s", "--probe", service.url)]
    done = run(local_cluster, argv)
    assert done.code == 1, done.stdout + done.stderr
    assert "a aborts and takes it back" in done.stdout
    assert "error rate 0.0 %" in done.stdout
    assert "it was asked for by hand" in done.stdout
    assert_all_run(local_cluster)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--objective", "downtime <= 5s"], "give --probe URL"),
        (["--probe", "http://127.0.0.1:1/", "--abort-if", "error_rate < 1"], "abort condition"),
    ],
)
def test_what_cannot_be_meant_is_told_first(
    local_cluster: KeptCluster, tmp_path: Path, more: list[str], said: str
) -> None:
    """Exit code 2, and no run was begun."""
    done = run(local_cluster, words(tmp_path, "1s", *more))
    assert done.code == 2
    assert said in done.stderr
    assert_all_run(local_cluster)
