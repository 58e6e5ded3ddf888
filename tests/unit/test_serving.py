"""Trials without a cluster: what is asked, what is demanded, what a film of looks says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.chaos.serving import objectives, update
from pytest_k8sha.chaos.serving.film import Film, Frame, PodSeen, serving, trouble
from pytest_k8sha.chaos.serving.traffic import fitting
from pytest_k8sha.errors import UsageError
from pytest_k8sha.workloads import fronts
from pytest_k8sha.workloads.fronts import DEFAULT_RATE, Front
from pytest_k8sha.workloads.model import Inventory, Workload


def deployment(probe: dict[str, Any] | None = None) -> Workload:
    container: dict[str, Any] = {"name": "web", "ports": [{"name": "http", "containerPort": 8080}]}
    if probe:
        container["readinessProbe"] = {"httpGet": probe}
    labels = {"app": "web"}
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    meta = {"name": "web", "namespace": "shop", "uid": "w"}
    return Workload({"kind": "Deployment", "metadata": meta, "spec": spec})


def service(notes: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "namespace": "shop", "annotations": notes or {}},
        "spec": {"clusterIP": "10.96.0.7", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}
        | spec,
    }


def front(workload: Workload, one: dict[str, Any]) -> list[Front]:
    return fronts.fronts(Inventory(workloads=[workload], services=[one]))


def test_a_front_is_asked_as_its_pods_ask_to_be_asked() -> None:
    """The path of the readiness probe, where that probe asks the port that the Service leads to; else a connection."""
    (one,) = front(deployment({"path": "/readyz", "port": "http"}), service())
    assert one.url == "http://10.96.0.7:80/readyz"
    (one,) = front(deployment({"path": "/readyz", "port": 9000}), service())
    assert (one.url, one.scheme) == ("tcp://10.96.0.7:80", "tcp")
    (one,) = front(deployment({"port": 8080, "scheme": "HTTPS"}), service(clusterIP="fd00::7"))
    assert one.url == "https://[fd00::7]:80/"
    assert front(deployment(), service(clusterIP="None")) == []
    assert front(deployment(), service(selector={"app": "other"})) == []


def test_annotations_say_otherwise() -> None:
    """A path makes it HTTP; what cannot be meant counts as not given."""
    notes = {fronts.PATH: "/cart", fronts.RATE: "5", fronts.TIMEOUT: "10"}
    (one,) = front(deployment(), service(notes))
    assert (one.url, one.rate, one.timeout) == ("http://10.96.0.7:80/cart", 5.0, 10.0)
    (one,) = front(deployment(), service({fronts.RATE: "often", fronts.TIMEOUT: "-1"}))
    assert (one.rate, one.timeout) == (DEFAULT_RATE, fronts.DEFAULT_TIMEOUT)


def test_demands_are_read_strictly() -> None:
    """A trial's objective or its time; what cannot be meant is told with what is allowed."""
    found = objectives.read(["kubelet: error_rate <= 0.1%", "drain within 5min"])
    assert found["kubelet"].felt == "error_rate <= 0.1%"
    assert found["drain"].within == 300
    assert found["drain"].source == "given by the user"
    for wrong, words in (
        ("drains: error_rate <= 1%", "did you mean 'drain'"),
        ("drain: error_rate <= 1", "no unit"),
        ("drain within 300", "with its unit"),
        ("drain within 0s", "with its unit"),
        ("drain", "written TRIAL"),
    ):
        with pytest.raises(UsageError, match=words):
            objectives.read([wrong])


def test_every_default_can_be_read() -> None:
    """Each has a source, and an objective that a probe of the default rate can judge."""
    for demand in objectives.DEFAULTS.values():
        assert demand.source
        if demand.felt:
            assert fitting(demand.felt, DEFAULT_RATE, fronts.DEFAULT_TIMEOUT) == demand.felt


def test_what_a_coarse_probe_cannot_judge_is_left_out() -> None:
    """A request that may take ten seconds cannot show an outage of five; a share of errors it can."""
    assert fitting("error_rate <= 1%, longest <= 5s", 20, 10) == "error_rate <= 1%"
    assert fitting("longest <= 5s", 20, 10) is None


def pod(uid: str, *, ready: bool = True, leaving: bool = False, node: str = "a") -> PodSeen:
    return PodSeen(uid, "shop", uid, node, {"app": "web"}, ready, leaving, 0, "", "")


def film(looks: list[tuple[float, float, list[PodSeen]]]) -> Film:
    made = Film.__new__(Film)
    made._frames = [Frame(asked, answered, {p.uid: p for p in pods}, {}, {}, {}) for asked, answered, pods in looks]
    return made


def test_a_moment_has_bounds() -> None:
    """It came after the last look that was begun and did not see it, and by the end of the first that did."""
    seen = film([(0, 0.2, [pod("1")]), (1, 1.3, []), (2, 2.1, [pod("2")]), (3, 3.1, [])])
    there = seen.moment(lambda frame: "2" in frame.pods, since=0.5)
    assert (there.lo, there.hi) == (0.5, 1.6)
    never = seen.moment(lambda frame: "3" in frame.pods, since=0.0)
    assert (never.lo, never.hi) == (3, None)
    assert seen.least(deployment(), since=0.0) == 0
    assert seen.least(deployment(), since=4.0) is None


@given(st.floats(0.05, 5), st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 0.5)), min_size=3, max_size=20))
def test_the_bounds_hold_the_truth(truth: float, looks: list[tuple[float, float]]) -> None:
    """Whenever looks are made and however long they take: what was so from a moment on is found around that moment.
    A look sees what is so at some time between its question and its answer."""
    frames, clock = [], 0.0
    for wait, takes in looks:
        asked, answered = clock + wait, clock + wait + takes
        at = asked + takes / 2
        frames.append((asked, answered, [pod("1")] if at >= truth else []))
        clock = answered
    found = film(frames).moment(lambda frame: "1" in frame.pods, since=0.0)
    assert found.lo <= truth
    assert found.hi is None or found.hi >= truth


def test_ready_means_ready_and_staying() -> None:
    """A pod on its way out does not count, nor does one of another workload."""
    frame = Frame(0, 0, {p.uid: p for p in (pod("1"), pod("2", leaving=True), pod("3", ready=False))}, {}, {}, {})
    assert [p.uid for p in frame.ready(deployment())] == ["1"]


def test_endpoints_that_say_nothing_are_ready() -> None:
    """The API: a condition that is not told counts as true; one without a pod is nobody that could be named."""
    endpoints = [
        {"targetRef": {"uid": "1"}, "conditions": {}},
        {"targetRef": {"uid": "2"}, "conditions": {"ready": False}},
        {"conditions": {"ready": True}},
    ]
    meta = {"namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}}
    assert serving([{"metadata": meta, "endpoints": endpoints}]) == {("shop", "web"): frozenset({"1"})}


def test_why_a_pod_does_not_run() -> None:
    """The kubelet's word, else the scheduler's; a container that is being made is no trouble."""
    pulling = {"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}]}}
    assert trouble(pulling) == "ErrImagePull: no"
    making = {"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}}
    assert trouble(making) == ""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
    assert trouble({"status": {"conditions": [condition]}}) == "Unschedulable: no room"


def rolled(**status: int) -> dict[str, Any]:
    """A Deployment of two replicas whose third template the controller has seen."""
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {"spec": {"containers": []}}}
    meta = {"name": "web", "namespace": "shop", "generation": 3}
    seen = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, **status}
    return {"kind": "Deployment", "metadata": meta, "spec": spec, "status": seen}


def test_an_update_is_over_when_nothing_old_is_left() -> None:
    """An old template, an old replica, one that is not ready and one that still stops: each keeps it going."""
    pod = PodSeen(
        "old", "shop", "web-1", "n1", {"app": "web"}, ready=True, leaving=True, restarts=0, address="", trouble=""
    )
    gone = Frame(5.0, 5.1, {}, {}, {}, {})
    stops = Frame(5.0, 5.1, {"old": pod}, {}, {}, {})
    one = update.Updated(Workload(rolled()), began=4.0, old=frozenset({"old"}))
    left = update._left
    assert left(rolled(), one, gone) == ""
    assert left(rolled(), one, stops) == "old pods are still stopping"
    early = Frame(3.9, 4.2, {}, {}, {}, {})
    assert left(rolled(), one, early) == "old pods are still stopping", "a look from before the update proves nothing"
    assert "not seen" in left(rolled(observedGeneration=2), one, gone)
    for status in ({"updatedReplicas": 1}, {"readyReplicas": 1}, {"replicas": 3}):
        assert "are new" in left(rolled(**status), one, gone)


def test_what_no_update_reaches_is_left_out() -> None:
    """A paused Deployment and a StatefulSet that waits to be told would only look stuck."""
    paused, waiting, told = rolled(), rolled(), rolled()
    paused["spec"]["paused"] = True
    waiting["kind"], waiting["spec"]["updateStrategy"] = "StatefulSet", {"type": "OnDelete"}
    workloads = [Workload(o) for o in (paused, waiting, told)]
    assert list(update.fitting(workloads)) == [workloads[2]]
