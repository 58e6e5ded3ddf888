"""The impact ladder, proved by the API server's own audit log: what a run may not do, the server never saw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ImpactRefused
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.model import Impact, Run, nonce
from pytest_k8sha.record.chain import read
from pytest_k8sha.safety.guard import REVIEWS
from tests.integration.commands import Home, everything

ORDER = "audited=local,nodes=2,audit=request"
READS = {"get", "list", "watch"}
AGENT = "pytest-k8sha/"


class Audited(Home):
    """A kept cluster with an audit log that holds what each request asked for."""

    def lines(self) -> list[dict[str, Any]]:
        """Everything that the log says by now; a read of ours, made last, shows that all before it is there."""
        mark = nonce("mark")
        cluster = self.kept("audited")
        cluster.client.request("GET", "/version", query={"mark": mark})
        log: Path = cluster.provider.logs(cluster.state)["audit-0"]
        eventually(lambda: mark in log.read_text(), what="the audit log has everything")
        return [json.loads(line) for line in log.read_text().splitlines()]

    def run_at(self, impact: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """A run of every bundled suite with this ceiling: what the server saw of it, and the totals of its verdicts."""
        before = len(self.lines())
        done = self.run("run", "--cluster", ORDER, "--impact", impact, "--out", f"out-{impact}", timeout=300)
        assert done.code in {0, 1}, done.stdout + done.stderr
        record = read(self.work / f"out-{impact}" / "record.jsonl")
        run = record.lines[0]["data"]["run"]
        seen = [line for line in self.lines()[before:] if line.get("userAgent") == f"{AGENT}0.1.0 (run {run})"]
        return seen, record.lines[-1]["data"]["totals"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    made = Audited(tmp_path_factory.mktemp("audit"))
    try:
        done = made.run("up", "--cluster", ORDER)
        assert done.code == 0, done.stderr
        yield made
    finally:
        made.run("down", "--all")


def cluster_at(home: Audited, ceiling: Impact) -> Cluster:
    cluster = home.kept("audited")
    run = Run(id=nonce("run"), owner="test", expires=0)
    return Cluster(cluster.state, cluster.provider, run=run, private=home.base / "private", ceiling=ceiling)


def is_review(line: dict[str, Any]) -> bool:
    target = line.get("objectRef", {})
    return line["verb"] == "create" and (target.get("apiGroup", ""), target.get("resource")) in REVIEWS


def is_dry(line: dict[str, Any]) -> bool:
    """Whether the server took it for a rehearsal: by the query, and for a DELETE with a body by that."""
    asked = parse_qs(urlsplit(line["requestURI"]).query).get("dryRun") == ["All"]
    if line["verb"] in {"delete", "deletecollection"} and line.get("requestObject"):
        return bool(line["requestObject"].get("dryRun") == ["All"])
    return asked


def test_a_run_at_observe_only_reads(home: Audited) -> None:
    """All bundled suites at observe: the server saw get, list, watch and access reviews, and nothing else."""
    before = set(everything(home.kept("audited")))
    seen, totals = home.run_at("observe")
    other = [line for line in seen if line["verb"] not in READS and not is_review(line)]
    assert other == []
    assert len(seen) > 30, "the run did hardly anything, so this proves nothing"
    assert totals.get("passed"), totals
    assert totals.get("not evaluated"), totals
    assert set(everything(home.kept("audited"))) == before


def test_a_run_at_rehearse_writes_only_in_rehearsal(home: Audited) -> None:
    """All bundled suites at rehearse: every write that the server saw was a dry run."""
    before = set(everything(home.kept("audited")))
    seen, totals = home.run_at("rehearse")
    writes = [line for line in seen if line["verb"] not in READS and not is_review(line)]
    assert [line for line in writes if not is_dry(line)] == []
    assert totals.get("passed"), totals
    assert set(everything(home.kept("audited"))) == before


@pytest.mark.parametrize("ceiling", [Impact.OBSERVE, Impact.REHEARSE])
def test_above_the_ceiling_nothing_is_sent(home: Audited, ceiling: Impact) -> None:
    """Each sort of write above the ceiling raises, and the server has no line about it."""
    cluster, name = cluster_at(home, ceiling), nonce("never")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    maps = cluster.resource("v1", "ConfigMap")
    attempts = [
        lambda: maps.create(body, "default"),
        lambda: maps.apply(body, "default"),
        lambda: maps.patch(name, {"data": {}}, "default"),
        lambda: maps.replace(body, "default"),
        lambda: maps.delete(name, "default"),
        lambda: cluster.client.request("DELETE", "/api/v1/namespaces/default/configmaps", query={"dryRun": "all"}),
        lambda: cluster.client.request("GET", f"/api/v1/namespaces/default/pods/{name}/exec"),
        lambda: cluster.client.request("POST", f"/api/v1/namespaces/default/pods/{name}/eviction", body={}),
        lambda: cluster.client.request(
            "DELETE", f"/api/v1/nodes/{name}", query={"dryRun": "All"}, body={"kind": "DeleteOptions"}
        ),
        lambda: cluster.create_namespace(name),
        lambda: cluster.service_account(name, "default").request("DELETE", f"/api/v1/nodes/{name}"),
    ]
    if ceiling is Impact.OBSERVE:
        attempts.append(lambda: maps.create(body, "default", dry_run=True))
    for attempt in attempts:
        with pytest.raises(ImpactRefused, match="was not sent"):
            attempt()
    # `apply` looks first whether the object is there; reading is allowed.
    told = [line for line in home.lines() if name in json.dumps(line) and line["verb"] not in READS]
    assert told == []


def test_a_rehearsed_delete_leaves_the_object(home: Audited) -> None:
    """`delete(dry_run=True)` is one for the server, too: the object is still there. And a DELETE whose body does not
    say so deletes in earnest in spite of ``?dryRun=All``: that the guard takes it for a write is no over-caution."""
    cluster, name = cluster_at(home, Impact.DISRUPT), nonce("dry")
    maps = cluster.resource("v1", "ConfigMap")
    maps.create({"metadata": {"name": name}}, "default")
    cluster_at(home, Impact.REHEARSE).resource("v1", "ConfigMap").delete(name, "default", dry_run=True)
    assert maps.find(name, "default") is not None
    path = f"/api/v1/namespaces/default/configmaps/{name}"
    cluster.client.request("DELETE", path, query={"dryRun": "All"}, body={"kind": "DeleteOptions", "apiVersion": "v1"})
    assert maps.find(name, "default") is None
