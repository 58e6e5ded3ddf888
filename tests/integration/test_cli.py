"""The command as a user runs it, on real local clusters: from `up` to `down`, with reports and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.commands import Home

OWN = """\
def test_mine(cluster):
    assert cluster.resource("v1", "Namespace").find("default")


def test_broken(cluster):
    assert cluster.name == "nobody"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Somebody who keeps a cluster called quick."""
    made = Home(tmp_path_factory.mktemp("cli"))
    try:
        done = made.run("up", "--cluster", "quick=local,nodes=2")
        assert done.code == 0, done.stderr
        assert "starting" in done.stderr, "progress was not shown"
        assert "export KUBECONFIG=" in done.stdout
        yield made
    finally:
        made.run("down", "--all")


def test_status_and_doctor_know_the_kept_cluster(home: Home) -> None:
    """`status` shows a living cluster with version, processes, memory; `doctor` asks it what it can do."""
    (row,) = home.json("status")["clusters"]
    assert (row["name"], row["alive"], row["processes"] >= 5) == ("quick", True, True)
    assert row["version"].startswith("v1.")
    assert 100 < row["memory_mib"] < 2000
    assert "quick" in home.run("status").stdout
    told = home.json("doctor", "--cluster", "quick=local")
    assert told["good"]
    assert told["clusters"]["quick"]["capabilities"]["nodes"] == "2"
    context = f"same=context:quick,kubeconfig={row['kubeconfig']}"
    assert home.json("doctor", "--cluster", context)["clusters"]["same"]["version"] == row["version"]


def test_up_again_changes_nothing_and_another_make_is_refused(home: Home) -> None:
    """A second `up` of the same order uses what is there; one of another make is told, with the remedy."""
    again = home.json("up", "--cluster", "quick=local,nodes=2")
    assert [one["name"] for one in again["clusters"]] == ["quick"]
    other = home.run("up", "--cluster", "quick=local,nodes=3")
    assert other.code == 2
    assert "k8sha down quick" in other.stderr


def test_a_check_of_the_suites_on_the_kept_cluster(home: Home) -> None:
    """One check by its id: JSON alone on stdout, record and page where it says, the cluster reused, nothing left."""
    found = home.json("run", "TEN-ACC-001", "--cluster", "quick=local,nodes=2", "--out", "one")
    assert found["exit_code"] == 0, found
    assert {result["check"] for result in found["results"]} == {"TEN-ACC-001"}
    assert Path(found["page"]).read_text().startswith("<!doctype html>")
    assert home.json("report", "one", "-o", "again")["totals"] == found["totals"]
    assert (home.work / "again" / "index.html").exists()
    assert home.json("recover")["runs"] == []


def test_a_project_s_own_tests(home: Home) -> None:
    """Files of a project run as well, whatever its pytest configuration says, with workers too; exit code 1 for a
    failure; a second run puts the first one's record aside."""
    (home.work / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (home.work / "test_own.py").write_text(OWN)
    for number in range(2):
        done = home.run("run", "test_own.py", "--cluster", "quick=local,nodes=2", "-n", "2", "--out", "own")
        assert done.code == 1, done.stdout + done.stderr
        assert "1 failed" in done.stdout
        assert len(list((home.work / "own").glob("earlier/*.jsonl"))) == number
    one = home.run("run", "test_own.py::test_mine", "--cluster", "quick=local,nodes=2", "--out", "own", "--", "-q")
    assert one.code == 0, one.stdout + one.stderr


def test_a_test_that_cannot_be_collected_is_a_usage_error(home: Home) -> None:
    """A file with a mistake in it ends the run before any cluster is asked for, with exit code 2."""
    (home.work / "test_bad.py").write_text("import nothing_of_this_name\n")
    done = home.run("run", "test_bad.py", "--cluster", "other=local", "--out", "bad")
    assert done.code == 2, done.stdout + done.stderr
    assert "nothing_of_this_name" in done.stdout
    assert home.json("recover")["runs"] == []


def test_a_program_that_is_missing(home: Home, tmp_path: Path) -> None:
    """A folder without the programs: `doctor` says which and what to do; a run ends with 3 and makes no cluster."""
    done = home.run("doctor", "--json", K8SHA_BIN_DIR=str(tmp_path / "gone"))
    told = json.loads(done.stdout)
    bad = [item for item in told["items"] if item["state"] == "bad"]
    assert done.code == 3
    assert {item["name"] for item in bad} >= {"etcd", "kube-apiserver"}
    assert all(item["remedy"] for item in bad)
    failed = home.run("up", "--cluster", "new=local", K8SHA_BIN_DIR=str(tmp_path / "gone"))
    assert failed.code == 3
    assert "K8SHA_BIN_DIR is no folder" in failed.stderr
    assert [row["name"] for row in home.json("status")["clusters"]] == ["quick"]
