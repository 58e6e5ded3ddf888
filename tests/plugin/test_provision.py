"""Making and dismissing fleets, with a provider whose clusters have no API behind them: Kubernetes is not pretended."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_k8sha import _process
from pytest_k8sha._wait import eventually

if TYPE_CHECKING:
    from tests.plugin.conftest import Inner

PROVIDER = '''
import json, pathlib
from pydantic import BaseModel, ConfigDict
from pytest_k8sha import _clock
from pytest_k8sha.errors import EnvironmentFailure, StartFailed
from pytest_k8sha.model import Impact
from pytest_k8sha.providers.base import ClusterState

LOG = pathlib.Path(__file__).parent / "provider.log"

def note(text):
    with LOG.open("a") as log:
        log.write(text + "\\n")

class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    how: str = "well"
    stays: bool = False

class Hollow:
    """Clusters without an API server: a folder each."""
    name = "hollow"
    options = Options

    def create(self, request):
        note(f"create {request.name}")
        if request.options.how == "fails":
            raise StartFailed("it did not come up")
        if request.options.how == "hangs":
            request.progress("this takes for ever")
            _clock.pause(3.5)
        kubeconfig = request.place / "kubeconfig"
        kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
            "users": [{"name": "u", "user": {}}],
        }))
        return ClusterState(request.name, self.name, str(request.place), str(kubeconfig), made=True,
                            ceiling=Impact.DISRUPT, options=request.options.model_dump(mode="json"))

    def delete(self, state):
        note(f"delete {state.name}")
        if state.options.get("stays"):
            raise EnvironmentFailure("it would not go")

    def alive(self, state): return True
    def capabilities(self, state): return {}
    def logs(self, state):
        path = pathlib.Path(state.place) / "node.log"
        if state.options.get("how") == "mute":
            raise EnvironmentFailure("nobody answers")
        path.write_text("early " * 60000 + "late, with password: hunter2-hunter2")
        return {"worker/node": path}
    def faults(self, state): return None
    def issuer(self, state): return None

def pytest_k8sha_providers(config): return [Hollow()]
'''

TESTS = """
@check("TST-PRO-001", "t", severity="low", impact="observe")
def test_check(judge, cluster): judge.ok("x")

def test_ordinary(cluster): pass

def test_other(): pass
"""


@pytest.fixture
def hollow(inner: Inner) -> Inner:
    inner.write(TESTS, conftest=PROVIDER)
    return inner


def log(inner: Inner) -> list[str]:
    path = inner.pytester.path / "provider.log"
    return sorted(path.read_text().splitlines()) if path.exists() else []


@pytest.mark.parametrize("workers", [0, 2])
def test_made_once_and_dismissed(hollow: Inner, workers: int) -> None:
    """Each cluster is made once, however many tests and workers use it, and is gone afterwards. A cluster that does not
    answer leaves its checks open and lets every other test run."""
    result = hollow.run("--k8sha-cluster=east=hollow", "--k8sha-cluster=west=hollow", workers=workers)
    result.assert_outcomes(passed=1, errors=2)
    assert log(hollow) == ["create east", "create west", "delete east", "delete west"]
    assert hollow.verdicts() == {
        "TST-PRO-001 east": "inconclusive",
        "TST-PRO-001 west": "inconclusive",
        "test_ordinary[east] east": "inconclusive",
        "test_ordinary[west] west": "inconclusive",
    }
    assert "could not be read" in hollow.results()["TST-PRO-001"]["reason"]
    assert {c["name"] for c in hollow.lines("cluster")} == {"east", "west"}
    assert hollow.left() == []


@pytest.mark.parametrize("workers", [0, 2])
def test_none_can_be_made(hollow: Inner, workers: int) -> None:
    """When no cluster comes up it is tried once, every test that needs one says why, and the others run."""
    result = hollow.run("--k8sha-cluster=east=hollow,how=fails", workers=workers)
    assert result.ret == 1
    assert log(hollow) == ["create east"]
    assert hollow.results()["TST-PRO-001"]["reason"] == "cluster east is not there: it did not come up"
    assert "it did not come up" in hollow.lines("cluster")[0]["problem"]
    assert hollow.left() == []


@pytest.mark.parametrize("args", [["--co"], ["--setup-plan"], ["-k", "other"], ["-k", "nothing_of_that_name"]])
def test_nothing_is_made_without_need(hollow: Inner, args: list[str]) -> None:
    """No cluster is made to collect, to plan, or for tests that need none; the same under xdist."""
    hollow.run("--k8sha-cluster=east=hollow", *args)
    assert log(hollow) == []
    hollow.run("--k8sha-cluster=east=hollow", *args, workers=1)
    assert log(hollow) == []
    assert hollow.left() == []


def test_logs_are_kept_of_a_run_that_fails(hollow: Inner) -> None:
    """The ends of the clusters' logs lie beside the report, without secrets, before the clusters go; what cannot be had
    is a note and changes nothing."""
    orders = ("--k8sha-cluster=east=hollow", "--k8sha-cluster=west=hollow,how=mute")
    hollow.run(*orders, "-k", "check")
    text = (hollow.record.parent / "logs" / "east" / "worker" / "node.log").read_text()
    assert text.startswith(("early", "arly", "rly", "ly", "y", " early"))
    assert "late" in text
    assert "hunter2" not in text
    assert len(text) <= 256 * 1024
    notes = [line["text"] for line in hollow.lines("note")]
    assert any("the ends of 1 logs of cluster east are in" in note for note in notes)
    assert any("logs of cluster west could not be kept: nobody answers" in note for note in notes)
    assert log(hollow) == ["create east", "create west", "delete east", "delete west"]


def test_leftover(hollow: Inner) -> None:
    """What cannot be removed is told with the remedy, and kept for `k8sha recover`; the exit code stays."""
    hollow.write(TESTS.replace("def test_ordinary(cluster)", "def test_ordinary(fleet, run)"), conftest=PROVIDER)
    before = hollow.run("--k8sha-cluster=east=hollow", "-k", "other or ordinary")
    result = hollow.run("--k8sha-cluster=east=hollow,stays=true", "-k", "other or ordinary")
    assert result.ret == before.ret
    result.stdout.fnmatch_lines(["left behind: cluster on east: it would not go; remedy: k8sha recover"])
    assert hollow.lines("teardown")[-1]["problem"] == "it would not go"
    assert len(hollow.left()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [[], ["-n", "1"]])
def test_interrupted(hollow: Inner, number: signal.Signals, workers: list[str]) -> None:
    """Ctrl-C and SIGTERM while the fleet is being made: what was made is deleted, the record ends, the report is
    written. The wait shows its progress before that."""
    argv = [sys.executable, "-m", "pytest", "--k8sha-out=out", "--k8sha-cluster=east=hollow,how=hangs", *workers]
    output = hollow.pytester.path / "output.txt"
    program = _process.start(argv, log=output, cwd=hollow.pytester.path, detached=True)
    eventually(lambda: "this takes for ever" in output.read_text(), what="progress is shown", timeout=60)
    program.signal(number)
    assert program.wait(60) is not None
    assert log(hollow) == ["create east", "delete east"]
    assert hollow.lines("run.end")[0]["interrupted"] is True
    assert (hollow.pytester.path / "out" / "index.html").exists()
    assert hollow.left() == []


def test_quiet(hollow: Inner) -> None:
    """With -qq no progress is shown."""
    result = hollow.run("--k8sha-cluster=east=hollow,how=hangs", "-qq")
    result.stdout.no_fnmatch_line("*this takes for ever*")


def test_lazy_default_under_xdist(inner: Inner) -> None:
    """Without any option the workers' need reaches the controller; a run that needs nothing leaves no trace."""
    inner.write("def test_run(run): assert run.id\n")
    result = inner.pytester.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*clusters (k8sha)*"])
    assert inner.left() == []
    assert not list(Path(inner.pytester.path).glob("out"))
