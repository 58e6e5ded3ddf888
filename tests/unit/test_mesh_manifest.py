"""A manifest of Chaos Mesh as an order: its terms, its end, its targets."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_k8sha.chaos import files
from pytest_k8sha.chaos.mesh.manifest import MeshObject, as_order
from pytest_k8sha.errors import FileProblems, UsageError

PARTITION: dict[str, Any] = {
    "apiVersion": "chaos-mesh.org/v1alpha1",
    "kind": "NetworkChaos",
    "metadata": {"name": "cut", "namespace": "shop"},
    "spec": {
        "action": "partition",
        "mode": "one",
        "selector": {"namespaces": ["shop"], "labelSelectors": {"app": "web"}},
        "duration": "60s",
    },
}
KILL: dict[str, Any] = {
    **PARTITION,
    "kind": "PodChaos",
    "spec": {"action": "pod-kill", "mode": "one", "selector": PARTITION["spec"]["selector"]},
}
SCHEDULE: dict[str, Any] = {
    "apiVersion": "chaos-mesh.org/v1alpha1",
    "kind": "Schedule",
    "metadata": {"name": "often", "namespace": "shop"},
    "spec": {
        "schedule": "@every 5s",
        "type": "PodChaos",
        "historyLimit": 2,
        "concurrencyPolicy": "Forbid",
        "podChaos": KILL["spec"],
    },
}
WORKFLOW: dict[str, Any] = {
    "apiVersion": "chaos-mesh.org/v1alpha1",
    "kind": "Workflow",
    "metadata": {"name": "both", "namespace": "shop"},
    "spec": {
        "entry": "all",
        "templates": [
            {"name": "all", "templateType": "Serial", "deadline": "60s", "children": ["kill", "cut"]},
            {"name": "kill", "templateType": "PodChaos", "deadline": "20s", "podChaos": KILL["spec"]},
            {
                "name": "cut",
                "templateType": "NetworkChaos",
                "deadline": "20s",
                "networkChaos": {k: v for k, v in PARTITION["spec"].items() if k != "duration"},
            },
        ],
    },
}


def changed(base: dict[str, Any], **spec: Any) -> dict[str, Any]:
    made = copy.deepcopy(base)
    made["spec"] |= spec
    return {**made, "spec": {k: v for k, v in made["spec"].items() if v is not None}}


def mesh(document: dict[str, Any], **terms: Any) -> MeshObject:
    return MeshObject.of(as_order(document, **terms))


def pods(*names: str) -> list[dict[str, Any]]:
    return [{"metadata": {"name": name, "namespace": "shop"}} for name in names]


def test_annotations_are_terms_and_arguments_overrule_them() -> None:
    """What a manifest cannot say travels in its annotations, in the words of an experiment; a caller has the last
    word."""
    document = copy.deepcopy(PARTITION)
    document["metadata"]["annotations"] = {
        "k8sha.dev/hold": "5s",
        "k8sha.dev/blastRadius": "'40%'",
        "k8sha.dev/accept": "[budget, outage]",
        "k8sha.dev/measure": "{command: [agnhost, connect, 'db:80'], namespace: shop, pod: client}",
    }
    order = as_order(document, hold="9s")
    assert (order.spec.hold, order.spec.limit, order.spec.accept) == (9.0, 40.0, ("budget", "outage"))
    assert order.spec.manifest is not None
    assert order.spec.manifest.measure is not None
    assert order.spec.manifest.measure.command == ("agnhost", "connect", "db:80")


def test_a_duration_is_added_where_there_is_none() -> None:
    """An experiment without duration would outlive whoever started it; one that has its own keeps it."""
    bounded = mesh(changed(PARTITION, duration=None), hold="10s", proveWithin="20s").bounded()
    assert bounded.object["spec"]["duration"] == "60s"
    assert mesh(PARTITION).bounded().object["spec"]["duration"] == "60s"
    assert "duration" not in mesh(KILL).bounded().object["spec"]


@pytest.mark.parametrize(
    ("document", "terms", "words"),
    [
        (changed(PARTITION, duration="5s"), {"hold": "10s"}, "before the hold of 10 s is over"),
        (changed(PARTITION, duration="0s"), {}, "would never end it"),
        (
            changed(
                SCHEDULE, type="NetworkChaos", podChaos=None, networkChaos=changed(PARTITION, duration=None)["spec"]
            ),
            {},
            "would last for ever",
        ),
    ],
)
def test_what_would_not_end_is_refused(document: dict[str, Any], terms: dict[str, Any], words: str) -> None:
    """A duration that is too short, or none where none can be given, is refused with what to write."""
    with pytest.raises(UsageError, match=words):
        mesh(document, **terms).bounded()


def test_targets_are_pinned_by_name() -> None:
    """What was resolved is named, mode and value choose nothing any more, and the order's own object is not changed."""
    one = mesh(changed(PARTITION, mode="fixed", value="2"))
    spec = one.pinned({0: pods("web-1", "web-0")}).object["spec"]
    assert spec["selector"] == {"namespaces": ["shop"], "pods": {"shop": ["web-1", "web-0"]}}
    assert (spec["mode"], spec.get("value")) == ("all", None)
    assert one.object["spec"]["mode"] == "fixed"


def test_the_far_side_is_pinned_too() -> None:
    """A partition between two groups has both named; without a pod on the far side it stays as it was written."""
    far = {"mode": "one", "selector": {"labelSelectors": {"app": "db"}}}
    one = mesh({**PARTITION, "spec": {**PARTITION["spec"], "target": far}})
    spec = one.pinned({0: pods("web-0")}, {0: pods("db-0")}).object["spec"]
    assert spec["target"] == {"mode": "all", "selector": {"namespaces": ["shop"], "pods": {"shop": ["db-0"]}}}
    assert one.pinned({0: pods("web-0")}, {0: []}).object["spec"]["target"] == far


def test_pods_that_are_killed_time_and_again_are_not_pinned() -> None:
    """A Schedule that kills pods meets others each time: by name it would find nobody the second time."""
    assert mesh(SCHEDULE).pinned({0: pods("web-0")}).object == SCHEDULE
    templates = mesh(WORKFLOW).pinned({0: pods("web-0"), 1: pods("web-1")}).object["spec"]["templates"]
    assert templates[1]["podChaos"]["selector"] == KILL["spec"]["selector"]
    assert templates[2]["networkChaos"]["selector"]["pods"] == {"shop": ["web-1"]}


def test_what_is_there_all_the_time() -> None:
    """A kill is over at once, a Schedule and a Workflow come and go, a partition lasts."""
    assert mesh(PARTITION).lasts
    assert not any(mesh(one).lasts for one in (KILL, SCHEDULE, WORKFLOW))


def test_kinds_that_select_no_pod_are_refused() -> None:
    """What acts on a cloud or a machine cannot be pinned and measured here."""
    with pytest.raises(UsageError, match="acts on no pod"):
        mesh({**PARTITION, "kind": "AWSChaos", "spec": {"action": "ec2-stop"}})


def test_files_hold_both_kinds_and_every_mistake_is_told(tmp_path: Path) -> None:
    """One file may hold objects of Chaos Mesh and experiments of this project; what the linter finds is told with its
    line beside everything else, and nothing is given back."""
    good = tmp_path / "good.yaml"
    own = {
        "apiVersion": "k8sha.dev/v1",
        "kind": "K8shaExperiment",
        "metadata": {"name": "own"},
        "spec": {"action": "delete", "pods": {"namespaces": ["shop"]}},
    }
    good.write_text(yaml.safe_dump_all([PARTITION, own]))
    assert [(o.name, o.spec.block) for o in files.load([good], hold="3s")] == [("cut", "manifest"), ("own", "pods")]
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        yaml.safe_dump_all([{**PARTITION, "spec": {**PARTITION["spec"], "scheduler": {"cron": "@every 1m"}}}])
    )
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({**own, "spec": {"action": "explode"}}))
    with pytest.raises(FileProblems) as told:
        files.load([bad, other])
    text = str(told.value)
    assert "CHL-" in text
    assert "bad.yaml" in text
    assert "other.yaml" in text
