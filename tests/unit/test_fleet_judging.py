"""What one look at a fleet says of each promise: the limits, and what was not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_k8sha import Judge, _clock
from pytest_k8sha.errors import NotEvaluated
from pytest_k8sha.failover import judging
from pytest_k8sha.failover.overview import IMBALANCE, SLOW, SOON, Overview
from pytest_k8sha.failover.sight import Sight
from pytest_k8sha.model import Verdict

ALL: list[Callable[[Judge, Overview], None]] = [
    judging.quick,
    judging.healthy,
    judging.ready,
    judging.lasting,
    judging.alike,
    judging.addressed,
    judging.balanced,
    judging.current,
    judging.fitting,
    judging.distinct,
]


def sight(name: str, **values: Any) -> Sight:
    base: dict[str, Any] = {
        "uid": f"uid-{name}",
        "version": "v1.36.3",
        "latency": (0.01, 0.02, 0.03),
        "nodes": {"n1": True},
        "kubelets": {"v1.36.3": 1},
        "ends": _clock.epoch() + 2 * SOON,
        "credentials": "token",
        "rights": {"list pods": True},
        "balancers": 1,
        "share": {"cpu": 0.4, "memory": 0.4},
    }
    return Sight(name, **{**base, **values})


def verdict(judged: Callable[[Judge, Overview], None], *sights: Sight) -> Verdict:
    judge = Judge(rule="r", remedy="m")
    try:
        judged(judge, Overview(list(sights)))
    except NotEvaluated as error:
        return judge.conclude(error)[0]
    return judge.conclude()[0]


@pytest.mark.parametrize("judged", [judging.answers, *ALL])
def test_two_good_clusters_keep_every_promise(judged: Callable[[Judge, Overview], None]) -> None:
    """The control: what is well is passed."""
    assert verdict(judged, sight("east"), sight("west")) is Verdict.PASSED


@pytest.mark.parametrize("judged", ALL)
def test_a_cluster_that_was_not_seen_passes_nothing(judged: Callable[[Judge, Overview], None]) -> None:
    """A cluster that says nothing leaves every promise but the first open, and is never a pass."""
    dead = Sight("dead", failure="refused")
    assert verdict(judged, sight("east"), sight("west"), dead) is Verdict.INCONCLUSIVE
    assert verdict(judging.answers, sight("east"), dead) is Verdict.FAILED


@pytest.mark.parametrize("judged", [judging.answers, *ALL])
def test_a_fleet_of_nothing_passes_nothing(judged: Callable[[Judge, Overview], None]) -> None:
    """Zero subjects never pass."""
    assert verdict(judged) is not Verdict.PASSED


@pytest.mark.parametrize(
    ("judged", "values"),
    [
        (judging.quick, {"latency": (SLOW * 1.01,) * 3}),
        (judging.ready, {"nodes": {"n1": True, "n2": False}}),
        (judging.lasting, {"ends": 1.0}),
        (judging.alike, {"rights": {"list pods": False}}),
        (judging.addressed, {"addressless": ("shop/web",)}),
        (judging.balanced, {"share": {"cpu": 0.41 + IMBALANCE, "memory": 0.4}}),
        (judging.current, {"emulates": "v1.34"}),
        (judging.fitting, {"kubelets": {"v1.32.9": 1}}),
        (judging.fitting, {"kubelets": {"v1.37.0": 1}}),
        (judging.distinct, {"uid": "uid-east"}),
        (judging.healthy, {"failing": ("readyz: etcd",)}),
    ],
)
def test_each_breach_fails(judged: Callable[[Judge, Overview], None], values: dict[str, Any]) -> None:
    """What lies just past its limit is failed."""
    assert verdict(judged, sight("east"), sight("west", **values)) is Verdict.FAILED


@pytest.mark.parametrize(
    ("judged", "part"),
    [
        (judging.quick, "version and latency"),
        (judging.healthy, "health"),
        (judging.ready, "nodes and resources"),
        (judging.alike, "rights"),
        (judging.addressed, "load balancers"),
    ],
)
def test_what_may_not_be_read_is_open(judged: Callable[[Judge, Overview], None], part: str) -> None:
    """A refused read is neither well nor a breach."""
    assert verdict(judged, sight("east"), sight("south"), sight("west", unread={part: "403"})) is Verdict.INCONCLUSIVE
