"""What is told by comparing clusters."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_k8sha.failover import overview
from pytest_k8sha.failover.overview import Overview, remarks
from pytest_k8sha.failover.sight import Sight
from pytest_k8sha.model import Verdict

NOW = 1_000_000.0


def sight(name: str, **values: Any) -> Sight:
    base: dict[str, Any] = {
        "uid": f"uid-{name}",
        "version": "v1.36.3",
        "latency": (0.01, 0.02, 0.03),
        "nodes": {"n1": True},
        "kubelets": {"v1.36.3": 1},
        "rights": {"list pods": True},
        "share": {"cpu": 0.4, "memory": 0.4},
    }
    return Sight(name, **{**base, **values})


def told(*sights: Sight) -> dict[tuple[str, bool], str]:
    return {(r.cluster, r.grave): r.what for r in remarks(sights, NOW)}


def test_two_good_clusters_give_no_remark() -> None:
    """Nothing is told of clusters that are well and alike: the control for every remark below."""
    assert told(sight("east"), sight("west")) == {}
    assert Overview([sight("east")]).verdict is Verdict.PASSED


def test_nothing_to_look_at_is_no_pass() -> None:
    """A fleet of no cluster is inconclusive."""
    assert Overview([]).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("values", "grave", "words"),
    [
        ({"latency": (0.2, 1.2, 1.3)}, False, "answers in 1200 ms"),
        ({"failing": ("readyz: etcd",)}, True, "readyz: etcd"),
        ({"nodes": {"n1": True, "n2": False}}, True, "1 of 2 nodes not ready: n2"),
        ({"ends": NOW - 1, "credentials": "token"}, True, "token that has ended"),
        ({"ends": NOW + 7200, "credentials": "client certificate"}, False, "ends in 2.0 h"),
        ({"addressless": ("shop/web",)}, False, "without an address: shop/web"),
        ({"kubelets": {"v1.32.0": 2}}, True, "2 kubelets of v1.32.0"),
        ({"kubelets": {"v1.37.0": 1}}, True, "1 kubelets of v1.37.0"),
        ({"unread": {"health": "403"}}, False, "did not let its health be read: 403"),
        ({"failure": "no answer within 10 s"}, True, "does not answer: no answer within 10 s"),
        ({"version": "v1.34.0", "kubelets": {"v1.34.0": 1}}, False, "more than one minor version behind east"),
        ({"rights": {"list pods": False}}, False, "does not allow what other clusters do: list pods"),
        ({"share": {"cpu": 0.9, "memory": 0.4}}, False, "has 90% of its cpu requested, and east 40%"),
        ({"uid": "uid-east"}, True, "is the same cluster as east"),
    ],
)
def test_each_remark(values: dict[str, Any], grave: bool, words: str) -> None:
    """Each thing that can be wrong with one cluster is told of that cluster, as grave as it is, and nothing else is."""
    found = told(sight("east"), sight("west", **values))
    assert list(found) == [("west", grave)]
    assert words in found["west", grave]
    verdict = Overview([sight("east")], remarks=[overview.Remark("west", words, grave)]).verdict
    assert verdict is (Verdict.FAILED if grave else Verdict.PASSED)


def test_rights_that_could_not_be_read_are_not_missing() -> None:
    """A cluster whose rights are unknown is not said to lack them."""
    found = told(sight("east"), sight("west", rights={"list pods": False}, unread={"rights": "timeout"}))
    assert found == {("west", False): "did not let its rights be read: timeout"}
