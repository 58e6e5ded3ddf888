"""Pytest inside pytest: a state folder of its own for each test, and ways to read what a run left."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from pytest_k8sha.record import chain

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import KeptCluster

# pytester forgets what a run in this process imported, and a class that is imported twice is two classes.
for _name in (
    *("kubernetes.client", "kubernetes.config", "pytest_k8sha.kube.client", "pytest_k8sha.providers.registry"),
    *("pytest_k8sha.reports.html", "pytest_k8sha.reports.summary", "pytest_k8sha.plugin.parametrise"),
    *(f"pytest_k8sha.plugin.{name}" for name in ("html", "live", "provision", "results", "tools", "trials", "xdist")),
):
    import_module(_name)

HEAD = """
import pytest
from pytest_k8sha import check, Inconclusive, NotEvaluated
"""


class Inner:
    """Runs pytest on a test file and reads the record of the run."""

    def __init__(self, pytester: pytest.Pytester, state: Path) -> None:
        self.pytester = pytester
        self.state = state
        self.record = pytester.path / "out" / "record.jsonl"

    def write(self, text: str, **files: str) -> None:
        """``text`` becomes the test file, after the usual imports; further files by their name without ``.py``."""
        self.pytester.makepyfile(test_inner=HEAD + text, **files)

    def run(self, *args: str, workers: int = 0, apart: bool = False) -> pytest.RunResult:
        """In this process, unless workers or ``apart`` are asked for."""
        more = ["-p", "no:cacheprovider"] if "--lf" not in args and "--ff" not in args else []
        argv = ["--k8sha-out=out", *more, *args]
        if workers:
            return self.pytester.runpytest_subprocess("-n", str(workers), *argv, timeout=180)
        if apart:
            return self.pytester.runpytest_subprocess(*argv, timeout=180)
        return self.pytester.runpytest_inprocess(*argv)

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """The data of the record's lines of one kind; the chain must be whole."""
        found = chain.read(self.record)
        assert found.intact
        return [line["data"] for line in found.lines if line["kind"] == kind]

    def verdicts(self) -> dict[str, tuple[str, str]]:
        """Check (or test name) and cluster → verdict."""
        return {
            " ".join(filter(None, (r["check"] or r["nodeid"].rpartition("::")[2], r["cluster"]))): r["verdict"]
            for r in self.lines("result")
        }

    def results(self) -> dict[str, dict[str, Any]]:
        return {r["check"] or r["nodeid"].rpartition("::")[2]: r for r in self.lines("result")}

    def left(self) -> list[str]:
        """Folders of runs that were not removed."""
        return sorted(p.name for p in (self.state / "runs").glob("*"))


@pytest.fixture
def inner(pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inner:
    """Without any cluster."""
    state = tmp_path / "state"
    monkeypatch.setenv("K8SHA_STATE", str(state))
    return Inner(pytester, state)


@pytest.fixture
def real(pytester: pytest.Pytester, local_cluster: KeptCluster, monkeypatch: pytest.MonkeyPatch) -> Inner:
    """With the shared kept cluster ``local``."""
    for name, value in local_cluster.env.items():
        monkeypatch.setenv(name, value)
    return Inner(pytester, local_cluster.settings.state)
