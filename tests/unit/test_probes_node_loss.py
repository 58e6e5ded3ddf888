"""The loss of a node: who tolerates it for how long, which node tells most, and when something happened."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_k8sha.errors import Inconclusive
from pytest_k8sha.probes.node_loss import UNREACHABLE, Moment, choose, lacking, toleration, watched
from tests.unit.workload_sample import inventory, nodes, pods, workload

HERE = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("tolerations", "seconds"),
    [
        ([], 0.0),
        ([{**HERE, "tolerationSeconds": 300}], 300.0),
        ([HERE], None),
        ([{"operator": "Exists"}], None),
        ([{"operator": "Exists"}, {**HERE, "tolerationSeconds": 300}], 300.0),
        ([{**HERE, "tolerationSeconds": 300}, {**HERE, "tolerationSeconds": 5}], 5.0),
        ([{**HERE, "effect": "NoSchedule"}], 0.0),
        ([{"key": "other", "operator": "Exists"}], 0.0),
        ([{"operator": "Equal"}], 0.0),
        ([{**HERE, "tolerationSeconds": -1}], 0.0),
    ],
)
def test_how_long_a_pod_stays(tolerations: list[dict[str, Any]], seconds: float | None) -> None:
    """As GetMinTolerationTime of the taint eviction controller: the least of those given, for ever if none is."""
    assert toleration({"spec": {"tolerations": tolerations}}) == seconds


def test_the_node_with_most_workloads_is_chosen() -> None:
    """Its loss judges most workloads at once; many pods of one workload count once."""
    web, api = workload(), workload("api")
    found = inventory(web, api, pods=[*pods(web, "node-0", "node-0", "node-2"), *pods(api, "node-2")])
    assert choose(found) == "node-2"
    assert [one.name for one in watched(found, "node-2")] == ["Deployment shop/web", "Deployment shop/api"]


def test_the_only_node_is_never_taken() -> None:
    """Nothing could be replaced then, and everything would be lost."""
    with pytest.raises(Inconclusive, match="another one is ready"):
        choose(inventory(nodes=nodes(1)))


def test_a_moment_lies_between_two_looks() -> None:
    """The error bar runs from the last look that said no to the first that said yes, and stays."""
    moment = Moment()
    moment.look(so=False, asked=1.0, answered=1.1)
    assert "not within 1.0 s" in str(moment)
    moment.look(so=True, asked=1.5, answered=1.6)
    moment.look(so=False, asked=9.0, answered=9.1)
    assert (moment.lo, moment.hi) == (1.0, 1.6)
    assert str(moment) == "after 1.0 to 1.6 s"


def test_what_was_not_whole_before_is_not_judged() -> None:
    """A workload that lacks a pod before the loss is told with what it had; one that is whole, or elsewhere, is not."""
    web, api, far = workload(), workload("api"), workload("far")
    here = [*pods(web, "node-0", "node-1", "node-2"), *pods(api, "node-0", "node-1"), *pods(far, "node-1")]
    found = inventory(web, api, far, pods=here)
    assert lacking(found, "node-0") == {"Deployment shop/api": "2 of 3 pods were ready"}
