"""What the checks of running pods reckon with before they touch a cluster: percentiles, control groups, requests."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.errors import Inconclusive
from pytest_k8sha.tenancy.escapes import noise, placement, preempt, stage
from pytest_k8sha.tenancy.escapes.noise import Train
from pytest_k8sha.tenancy.escapes.placement import Node, tricks

SECONDS = st.floats(0, 60, allow_nan=False)


@given(st.lists(st.one_of(st.none(), SECONDS), min_size=1, max_size=120))
def test_the_99th_percentile_is_the_nearest_rank(latencies: list[float | None]) -> None:
    """It is one of the latencies, at least 99 of 100 are not above it, and a smaller one would not do."""
    train = Train(tuple(latencies))
    known = [one for one in latencies if one is not None]
    assert train.lost == len(latencies) - len(known)
    if not known:
        assert math.isinf(train.p99)
        return
    assert train.p99 in known
    assert 100 * sum(one <= train.p99 for one in known) >= 99 * len(known)
    assert 100 * sum(one < train.p99 for one in known) < 99 * len(known)


@given(st.lists(SECONDS, min_size=1, max_size=50), st.floats(0.001, 60))
def test_one_lost_request_breaks_the_objective(latencies: list[float], slo: float) -> None:
    """A request without an answer counts, however quick the others were."""
    assert Train(tuple(latencies)).keeps(slo) == (Train(tuple(latencies)).p99 <= slo)
    assert not Train((*latencies, None)).keeps(slo)


V2 = {
    "cpu.stat": "usage_usec 2500000\nuser_usec 1\nnr_periods 10\nnr_throttled 7\nthrottled_usec 5\n",
    "cpu.max": "50000 100000\n",
}
V1 = {
    "cpu/cpu.stat": "nr_periods 10\nnr_throttled 3\nthrottled_time 12\n",
    "cpuacct/cpuacct.usage": "1500000000\n",
    "cpu/cpu.cfs_quota_us": "-1\n",
    "cpu/cpu.cfs_period_us": "100000\n",
}


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (V2, noise.Meter(2.5, 7, Fraction(1, 2))),
        ({**V2, "cpu.max": "max 100000"}, noise.Meter(2.5, 7, None)),
        (V1, noise.Meter(1.5, 3, None)),
        ({**V1, "cpu/cpu.cfs_quota_us": "20000"}, noise.Meter(1.5, 3, Fraction(1, 5))),
    ],
)
def test_both_versions_of_control_groups_are_read(
    files: dict[str, str], wanted: noise.Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Use, throttling and bound, from the files that a container sees of its own group."""
    monkeypatch.setattr(stage, "read", lambda _client, _pod, path: files.get(path.removeprefix("/sys/fs/cgroup/")))
    assert noise.meter(SimpleNamespace(client=None), {}) == wanted  # type: ignore[arg-type]


def test_a_hidden_control_group_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the files nothing is known of what the burner took: inconclusive, and not *no limit*."""
    monkeypatch.setattr(stage, "read", lambda *_: None)
    with pytest.raises(Inconclusive):
        noise.meter(SimpleNamespace(client=None), {})  # type: ignore[arg-type]


def container(cpu: str | None, **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu}} if cpu else {}, **more}


@pytest.mark.parametrize(
    ("spec", "cpus"),
    [
        ({"containers": [container("100m"), container(None), container("1")]}, "11/10"),
        ({"containers": [container("100m")], "initContainers": [container("2")]}, "2"),
        ({"containers": [container("1")], "initContainers": [container("500m", restartPolicy="Always")]}, "3/2"),
        ({"containers": [container("100m")], "overhead": {"cpu": "50m"}}, "3/20"),
        ({"containers": [container("100m")], "resources": {"requests": {"cpu": "750m"}}}, "3/4"),
    ],
)
def test_requests_are_summed_as_the_scheduler_does(spec: dict[str, Any], cpus: str) -> None:
    """Containers and sidecars together, or the largest init container, or what the pod asks for as a whole."""
    assert preempt._asks({"spec": spec}) == Fraction(cpus)


def test_each_way_to_a_reserved_node_names_it() -> None:
    """nodeName alone passes a NoSchedule taint by; a NoExecute taint would end the pod, so everything is tolerated."""
    taint = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
    soft = {one.name: one.spec for one in tricks(Node("n1", (taint,)))}
    assert soft["nodeName"] == {"nodeName": "n1"}
    assert soft["a toleration of the node's own taint"]["tolerations"] == [
        {"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"}
    ]
    hard = {one.name: one.spec for one in tricks(Node("n1", ({**taint, "effect": "NoExecute"},)))}
    assert hard["nodeName"]["tolerations"] == [{"operator": "Exists"}]
    assert {placement.stage.HOST: "n1"} in [spec.get("nodeSelector") for spec in hard.values()]
