"""Pods and nodes as targets of experiments, on simulated nodes: chosen, proved, taken back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_k8sha._process import ProcessId
from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos.engines import engine_for
from pytest_k8sha.chaos.experiment import Experiment
from pytest_k8sha.chaos.nodes import NodesEngine
from pytest_k8sha.chaos.order import Order, order
from pytest_k8sha.chaos.preflight import Refused
from pytest_k8sha.errors import Inconclusive, UsageError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.model import Run
from pytest_k8sha.probes import canary
from pytest_k8sha.safety import journal
from pytest_k8sha.workloads.model import is_ready, serves
from tests.integration.local_clusters import make, provider_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.local_clusters import Made


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A cluster of three nodes that gives a lost one up soon."""
    base = tmp_path_factory.mktemp("nodes")
    made = make(provider_in(base), base, "nodes", ProcessId.own(), nodes=3, node_grace=5, toleration=1)
    yield made
    made.provider.delete(made.state)


@pytest.fixture
def cluster(three_nodes: Made, tmp_path: Path) -> Iterator[Cluster]:
    """The cluster as a run of its own uses it, journalled as on one that outlives the run; healed afterwards."""
    made = three_nodes
    log = journal.Journal(tmp_path / "journal.jsonl", run="r-nodes", label="test")
    cluster = Cluster(
        made.state, made.provider, run=Run("r-nodes", "test", 9_999_999_999), private=tmp_path, journal=log
    )
    yield cluster
    log.close(clean=False)
    made.provider.faults(made.state).heal()


@pytest.fixture
def space(cluster: Cluster) -> Iterator[str]:
    """A namespace with three replicas of nothing, and a budget that lets one go at a time."""
    name = cluster.create_namespace("nodetest")
    body = canary.deployment("web")
    body["spec"]["replicas"] = 3
    cluster.resource("apps/v1", "Deployment").create(body, name)
    budget = {"metadata": {"name": "web"}, "spec": {"minAvailable": 2, "selector": body["spec"]["selector"]}}
    cluster.resource("policy/v1", "PodDisruptionBudget").create(budget, name)
    eventually(lambda: len(ready(cluster, name)) == 3, what="three replicas", timeout=60)
    yield name
    cluster.delete_namespace(name, wait=False)


def ready(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    pods = cluster.resource("v1", "Pod").list(namespace)
    return [p for p in pods if serves(p)]


def experiment(cluster: Cluster, tmp_path: Path, wanted: Order) -> Experiment:
    return Experiment(cluster, wanted, engine_for(cluster, wanted), folder=tmp_path / "locks")


def open_faults(tmp_path: Path) -> list[str]:
    return [str(e.data.get("on")) for e in journal.read(tmp_path / "journal.jsonl").open if e.what == "fault"]


@pytest.mark.parametrize("action", ["delete", "kill", "evict"])
def test_a_pod_is_taken_and_made_up_for(action: str, cluster: Cluster, space: str, tmp_path: Path) -> None:
    """One of three goes, which is proved; the steady state comes back by itself, with another pod."""
    before = {p["metadata"]["uid"] for p in ready(cluster, space)}
    wanted = order("one", action, pods={"namespaces": [space], "count": 1})
    report = experiment(cluster, tmp_path, wanted).run()
    assert report.notes["blast radius"] == "1 of 3 pods of their workloads (33 %)"
    assert action in report.effect
    assert len({p["metadata"]["uid"] for p in ready(cluster, space)} - before) == 1


def test_what_breaks_a_budget_is_refused(cluster: Cluster, space: str, tmp_path: Path) -> None:
    """Two of three at once, or none: nothing is changed, and every reason is told."""
    before = {p["metadata"]["uid"] for p in ready(cluster, space)}
    two = order("two", "delete", pods={"namespaces": [space], "count": 2}, blastRadius="70%")
    with pytest.raises(Refused, match="needs 2 healthy, and 1 of 3 would stay"):
        experiment(cluster, tmp_path, two).run()
    with pytest.raises(Refused, match="zero targets"):
        experiment(cluster, tmp_path, order("none", "delete", pods={"namespaces": [space], "names": ["no"]})).run()
    assert {p["metadata"]["uid"] for p in ready(cluster, space)} == before


def test_a_cordon_is_journalled_and_taken_back(cluster: Cluster, tmp_path: Path) -> None:
    """The journal holds the way back while the node takes no pods, and nothing afterwards."""
    node = cluster.resource("v1", "Node").list()[0]["metadata"]["name"]
    wanted = order("closed", "cordon", nodes={"names": [node]})
    with experiment(cluster, tmp_path, wanted).running():
        assert cluster.resource("v1", "Node").get(node)["spec"]["unschedulable"] is True
        assert open_faults(tmp_path) == [f"Node {node}"]
    assert "unschedulable" not in cluster.resource("v1", "Node").get(node)["spec"]
    assert open_faults(tmp_path) == []


def test_a_drain_evicts_and_tells_what_stays(cluster: Cluster, space: str, tmp_path: Path) -> None:
    """Pods leave the node as the budget lets them; with a budget of all, the drain says who stays."""
    node = ready(cluster, space)[0]["spec"]["nodeName"]
    wanted = order("empty", "drain", nodes={"names": [node]}, proveWithin="30s", accept=["outage"])
    engine = NodesEngine(cluster)
    with Experiment(cluster, wanted, engine, folder=tmp_path / "locks").running():
        assert engine.blocked == {}
        assert {t.namespace for t in engine.evicted} >= {space}
        eventually(lambda: len(ready(cluster, space)) == 3, what="three elsewhere", timeout=30)
        assert all(p["spec"]["nodeName"] != node for p in ready(cluster, space))
    cluster.resource("policy/v1", "PodDisruptionBudget").patch("web", {"spec": {"minAvailable": 3}}, space)
    node = ready(cluster, space)[0]["spec"]["nodeName"]
    wanted = order("stuck", "drain", nodes={"names": [node]}, proveWithin="2s", accept=["outage"])
    engine = NodesEngine(cluster)
    Experiment(cluster, wanted, engine, folder=tmp_path / "locks").run()
    assert any(t.namespace == space and why.startswith("429") for t, why in engine.blocked.items())


def test_a_lost_node_is_proved_by_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """The effect is that the cluster notices, not that the fault was ordered; the steady state is a node that is back
    without taints."""
    nodes = [n["metadata"]["name"] for n in cluster.resource("v1", "Node").list()]
    wanted = order("lost", "stop", nodes={"names": nodes[:1]}, proveWithin="60s", accept=["outage", "budget"])
    with experiment(cluster, tmp_path, wanted).running() as live:
        assert live.report.effect == f"Node {nodes[0]} is not Ready"
        assert open_faults(tmp_path) == [f"heartbeat of {nodes[0]}"]
    assert open_faults(tmp_path) == []
    assert is_ready(cluster.resource("v1", "Node").get(nodes[0]))


def test_bad_input_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """No such node, no such zone, and a fault that is not felt."""
    with pytest.raises(UsageError, match="no such node"):
        experiment(cluster, tmp_path, order("lost", "stop", nodes={"names": ["elsewhere"]})).run()
    with pytest.raises(Refused, match="zero targets"):
        experiment(cluster, tmp_path, order("lost", "stop", nodes={"zone": "nowhere"})).run()
    node = cluster.resource("v1", "Node").list()[0]["metadata"]["name"]
    hasty = order("hasty", "stop", nodes={"names": [node]}, proveWithin="100ms", accept=["outage", "budget"])
    with pytest.raises(Inconclusive, match="not measured within"):
        experiment(cluster, tmp_path, hasty).run()
    assert is_ready(cluster.resource("v1", "Node").get(node))
