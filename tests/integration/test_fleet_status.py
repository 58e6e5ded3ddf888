"""One look at many contexts: real clusters, servers that say nothing, and credentials that hang."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pytest_k8sha import _clock, _process
from tests.conftest import KeptCluster

LIMIT = 8.0
"""Seconds; a busy machine needs some of them for four whole looks in one process."""


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A server that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


def kubeconfig(path: Path, good: Path, names: list[str], bad: dict[str, dict[str, object]]) -> Path:
    """A kubeconfig of many contexts: ``names`` all lead to the good cluster, ``bad`` gives cluster and user entries."""
    base = yaml.safe_load(good.read_text())
    cluster, user = base["clusters"][0]["cluster"], base["users"][0]["user"]
    entries = dict.fromkeys(names, (cluster, user)) | {n: (v["cluster"], v["user"]) for n, v in bad.items()}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": n, "cluster": c} for n, (c, _) in entries.items()],
        "users": [{"name": n, "user": u} for n, (_, u) in entries.items()],
        "contexts": [{"name": n, "context": {"cluster": n, "user": n}} for n in entries],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def status(*args: str) -> tuple[int, dict[str, object], float]:
    clock = _clock.Deadline(60)
    argv = [sys.executable, "-m", "pytest_k8sha.cli", "fleet", "status", "--json", *args]
    done = _process.run(argv, timeout=clock.left, check=False)
    return done.code, json.loads(done.stdout), clock.spent


def test_contexts_that_hang_cost_one_time_out(local_cluster: KeptCluster, tmp_path: Path) -> None:
    """Of nine contexts five hang, one of them in the command that gets its credentials. Together they cost one
    time-out; the others are told in full, and the one cluster behind them is seen to be one."""
    names = [f"good-{n}" for n in range(4)]
    hanging = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sleep", "args": ["20"]}}
    with silent() as port:
        quiet = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
        bad = {f"quiet-{n}": {"cluster": quiet, "user": {"token": "x"}} for n in range(4)}
        bad["login"] = {"cluster": quiet, "user": hanging}
        file = kubeconfig(tmp_path / "config", local_cluster.kubeconfig, names, bad)
        code, seen, _ = status("--all-contexts", "--kubeconfig", str(file), "--timeout", str(LIMIT))
    assert code == 1
    assert float(str(seen["took"])) <= LIMIT + 2
    by_name = {one["name"]: one for one in seen["clusters"]}  # type: ignore[attr-defined]
    assert len(by_name) == 9
    for name in bad:
        assert by_name[name]["failure"], name
    whole = [n for n in names if not by_name[n]["failure"] and not by_name[n]["unread"]]
    assert whole == names, json.dumps(by_name["good-0"], indent=1)
    assert by_name["good-0"]["version"].startswith("v1.")
    assert by_name["good-0"]["sort"] == "certificate"
    same = [r for r in seen["remarks"] if "is the same cluster as good-0" in r["what"]]  # type: ignore[attr-defined]
    assert len(same) == 3


def test_a_context_that_is_not_there_stops_nobody(local_cluster: KeptCluster, tmp_path: Path) -> None:
    """An unknown context is told of by name, and what there is instead; the others are looked at."""
    file = kubeconfig(tmp_path / "config", local_cluster.kubeconfig, ["east"], {})
    code, seen, _ = status("--context", "east", "--context", "weest", "--kubeconfig", str(file))
    assert code == 1
    by_name = {one["name"]: one for one in seen["clusters"]}  # type: ignore[attr-defined]
    assert not by_name["east"]["failure"]
    assert "unknown kubeconfig context" in by_name["weest"]["failure"]
    assert "east" in by_name["weest"]["failure"]


def test_only_reads_are_sent(local_cluster: KeptCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept clusters are looked at without any option, with every part read and nothing wrong."""
    for name, value in local_cluster.env.items():
        monkeypatch.setenv(name, value)
    code, seen, _ = status("--timeout", "20")
    (only,) = seen["clusters"]  # type: ignore[misc]
    assert only["unread"] == {}
    assert only["rights"]["list pods"] is True
    assert only["uid"]
    assert (code, seen["remarks"]) == (0, [])


def test_drift_of_one_cluster_is_refused(local_cluster: KeptCluster, tmp_path: Path) -> None:
    """Two contexts that lead to one cluster, and a fleet of one, are told as mistakes, and never as a likeness."""
    file = kubeconfig(tmp_path / "config", local_cluster.kubeconfig, ["east", "west"], {})
    argv = [
        sys.executable,
        "-m",
        "pytest_k8sha.cli",
        "fleet",
        "drift",
        "--kubeconfig",
        str(file),
        "--kind",
        "v1/Service",
    ]
    alone = _process.run([*argv, "--context", "east"], timeout=60, check=False)
    assert (alone.code, "two clusters or more" in alone.stderr) == (2, True), alone.stderr
    twins = _process.run([*argv, "--context", "east", "--context", "west"], timeout=60, check=False)
    assert (twins.code, "west is the same cluster as east" in twins.stderr) == (2, True), twins.stderr
